"""Frames that show again what the one before shows, on images whose change is known."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from clips import BrightnessPose, OneWalker

from skelact.pose_extract.extract import ExtractConfig, Extractor
from skelact.pose_extract.sources import ClipSource
from skelact.pose_extract.track.repeats import RepeatDetector


def hall(x, height=240, width=320):
    """Return a textured hall in which a bar of 6 x 20 pixels stands at x."""
    noise = np.random.default_rng(0).integers(60, 160, (height // 8, width // 8, 3), np.uint8)
    image = cv2.resize(noise, (width, height))
    image[100:120, x : x + 6] = 250
    return image


@pytest.mark.parametrize(("height", "width"), [(240, 320), (1080, 1920), (32, 40)])
def test_a_frame_repeats_another_but_for_noise(height, width):
    rng = np.random.default_rng(1)
    detector = RepeatDetector()
    still = cv2.resize(hall(50), (width, height))
    noisy = np.clip(still + rng.integers(-2, 3, still.shape), 0, 255).astype(np.uint8)
    assert [detector.add(frame) for frame in (still, still, noisy)] == [False, True, True]


def test_what_moves_by_two_pixels_is_new_and_so_is_another_size():
    detector = RepeatDetector()
    frames = (hall(50), hall(52), hall(52), hall(54), cv2.resize(hall(54), (200, 150)))
    assert [detector.add(frame) for frame in frames] == [False, False, True, False, False]


def test_what_changes_little_by_little_is_new_in_time():
    """A block gets lighter by one level a frame, where five are noise; a hall by two is faded."""
    detector = RepeatDetector()
    found = []
    for level in range(13):
        frame = np.full((240, 320, 3), 100, np.uint8)
        frame[40:44, 40:44] += level
        found.append(detector.add(frame))
    assert np.flatnonzero(~np.array(found)).tolist() == [0, 6, 12]
    assert not detector.add(np.full((240, 320, 3), 102, np.uint8))


def test_repeated_frames_have_the_skeletons_of_what_they_show(tmp_path):
    """A walker who goes 10 pixels a frame, each frame shown three times."""
    path = tmp_path / "slow.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=Fraction(30))
        stream.width, stream.height, stream.pix_fmt = 320, 240, "bgr0"
        for number in range(36):
            image = np.full((240, 320, 3), 5 * (number // 3) + 20, np.uint8)
            image[:, 10 * (number // 3) : 10 * (number // 3) + 40] += 100
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        file.mux(stream.encode())
    config = ExtractConfig(num_person=1)
    extractor = Extractor(config, detector=OneWalker(), pose=BrightnessPose())
    (result,) = extractor.run([ClipSource(path, "a")])
    assert result.error is None
    sequence = result.sequence
    assert result.facts["repeated_frames"] == 24
    assert sequence.frame_inds.tolist() == list(range(36))
    assert np.allclose(np.diff(sequence.pts_seconds), 1 / 30, atol=1e-3)
    shown = sequence.keypoints[0].reshape(12, 3, 17, 2)
    assert np.array_equal(shown[:, 0], shown[:, 1])
    assert np.array_equal(shown[:, 0], shown[:, 2])
    assert (np.abs(np.diff(shown[:, 0, 0, 0])) > 0).all()
    # Boxes that are given are given frame by frame.
    config = ExtractConfig(detector="whole-frame")
    (given,) = Extractor(config, pose=BrightnessPose()).run([ClipSource(path, "a")])
    assert given.facts["repeated_frames"] == 0


def test_of_what_is_shown_several_times_as_much_is_looked_at_as_else(tmp_path):
    """25 frames a second, each shown four times: every second new one has candidates."""

    seen = []

    class Counting(OneWalker):
        def detect(self, batch, clip_id):
            seen.extend(batch.frame_inds.tolist())
            return super().detect(batch, clip_id)

    path = tmp_path / "pulled.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=Fraction(100))
        stream.width, stream.height, stream.pix_fmt = 128, 96, "bgr0"
        for number in range(80):
            image = np.full((96, 128, 3), 5 * (number // 4) + 20, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        file.mux(stream.encode())
    extractor = Extractor(ExtractConfig(num_person=1), detector=Counting(), pose=BrightnessPose())
    (result,) = extractor.run([ClipSource(path, "a")])
    assert result.error is None
    assert result.facts["repeated_frames"] == 60
    # First every eighth new frame, as of 100 new ones a second, then every second.
    assert seen == [0, 32, 64, *range(0, 80, 8)]
