"""The overlay plays as the clip does, with its people drawn where they are."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from clips import FPS, write_clip
from scenes import make_sequence

from skelact import SkelactError
from skelact.pipeline.drawing.overlay import draw_panel, draw_people, write_overlay
from skelact.pose_extract.sources import ClipSource

GREY = np.full((240, 320, 3), 90, np.uint8)


def standing(num_frames=40, height=96, width=128, start=0):
    keypoints = np.zeros((1, num_frames, 17, 2), np.float32)
    keypoints[..., 0] = np.linspace(30, 90, 17)
    keypoints[..., 1] = np.linspace(20, 80, 17)
    return make_sequence(
        1,
        num_frames,
        keypoints=keypoints,
        keypoint_scores=np.ones((1, num_frames, 17), np.float32),
        bboxes=np.tile(np.array([25, 15, 95, 85], np.float32), (1, num_frames, 1)),
        track_ids=np.array([4]),
        frame_inds=np.arange(start, start + num_frames),
        img_shape=(height, width),
        fps=FPS,
    )


def facts(path):
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(stream)]
        return stream.codec_context.name, stream.pix_fmt, stream.average_rate, frames


@pytest.mark.parametrize(("height", "width"), [(96, 128), (97, 131), (321, 333)])
def test_same_frames_same_rate_and_a_codec_that_browsers_play(tmp_path, height, width):
    clip = write_clip(tmp_path / "a.mkv", height=height // 2 * 2, width=width // 2 * 2)
    if height % 2:
        clip = write_odd(tmp_path / "odd.mkv", height, width)
    out = tmp_path / "deep" / "out.mp4"
    write_overlay(standing(40, height, width), ClipSource(clip, "a"), out, lines=["vault  97 %"])
    codec, pix_fmt, rate, frames = facts(out)
    assert (codec, pix_fmt, rate) == ("h264", "yuv420p", Fraction(24000, 1001))
    assert len(frames) == 40
    factor = 4 if height < 100 else 1  # to 320 rows or more
    assert frames[0].shape[:2] == (height * factor // 2 * 2, width * factor // 2 * 2)
    # The box's colour stands at its lower edge, away from the panel.
    assert frames[20][85 * factor, 60 * factor, 1] > frames[20][85 * factor, 60 * factor, 0] + 40


def write_odd(path, height, width):
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = width, height, "bgr0"
        for i in range(40):
            image = np.full((height, width, 3), 5 * i, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        file.mux(stream.encode())
    return path


def test_a_cut_shows_its_own_frames(tmp_path):
    clip = write_clip(tmp_path / "a.mp4")
    source = ClipSource(clip, "a", start_frame=10, end_frame=25)
    out = tmp_path / "out.mp4"
    write_overlay(standing(15, start=10), source, out)
    frames = facts(out)[3]
    assert len(frames) == 15
    assert frames[0][360, 480].mean() == pytest.approx(50, abs=4)


def test_a_failure_leaves_no_file(tmp_path):
    clip = write_clip(tmp_path / "a.mp4")
    wrong = standing(40, height=100)
    with pytest.raises(SkelactError, match="expected frames of 100x128"):
        write_overlay(wrong, ClipSource(clip, "a"), tmp_path / "out.mp4")
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_left_is_blue_right_is_orange_and_the_frame_is_kept():
    sequence = make_sequence(1, 1, keypoints=np.zeros((1, 1, 17, 2), np.float32))
    sequence.keypoints[0, 0, 9] = [100, 50]
    sequence.keypoints[0, 0, 10] = [200, 50]
    sequence.bboxes[0, 0] = [5, 100, 50, 200]
    before = GREY.copy()
    canvas = draw_people(GREY, sequence, 0)
    left, right = canvas[50, 100].astype(int), canvas[50, 200].astype(int)
    assert left[2] > left[0]
    assert right[0] > right[2]
    assert np.array_equal(GREY, before)


def test_joints_of_low_score_and_absent_people_are_not_drawn():
    sequence = make_sequence(1, 1)
    sequence.keypoint_scores[:] = 0
    assert np.array_equal(draw_people(GREY, sequence, 0), GREY)


def test_text_is_cut_to_the_frame_and_bears_any_letters():
    small = np.full((60, 80, 3), 90, np.uint8)
    panel = draw_panel(small, ["Überschlag vorwärts mit ganzer Schraube " * 4, "x"] * 10)
    assert panel.shape == small.shape
    assert not np.array_equal(panel, small)
    assert np.array_equal(draw_panel(small, []), small)
