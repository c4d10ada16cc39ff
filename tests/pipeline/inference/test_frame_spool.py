"""Frames in memory go through a file that loses nothing, one at a time, and is gone afterwards."""

from __future__ import annotations

import weakref
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from skelact import SkelactError
from skelact.pipeline.inference.frame_spool import (
    check_frames,
    parse_fps,
    spool_frames,
    write_frames,
)
from skelact.pose_extract.decode.video import open_video

FRAMES = np.random.default_rng(0).integers(0, 256, (9, 97, 131, 3), dtype=np.uint8)


def read(path, decoder="auto"):
    with open_video(path, decoder) as reader:
        return np.concatenate([batch.frames for batch in reader.batches(4)]), reader.info


@pytest.mark.parametrize("decoder", ["auto", "pyav"])
@pytest.mark.parametrize(
    "fps", [25, Fraction(24000, 1001), Fraction(60000, 1001), 240, 1000, Fraction(1, 7)], ids=str
)
def test_noise_comes_back_to_the_last_bit(fps, decoder):
    with spool_frames(FRAMES, Fraction(fps)) as clip:
        back, info = read(clip.path, decoder)
    assert np.array_equal(back, FRAMES)
    assert float(info.fps) == pytest.approx(float(fps), rel=1e-6)


def test_an_iterator_gives_the_same_as_an_array():
    with spool_frames(iter(FRAMES), Fraction(25)) as clip:
        assert np.array_equal(read(clip.path)[0], FRAMES)


def test_views_and_torch_tensors_are_read_too():
    import torch

    with spool_frames(torch.from_numpy(FRAMES)[:, :, ::2], Fraction(25)) as clip:
        assert np.array_equal(read(clip.path)[0], FRAMES[:, :, ::2])


def test_few_frames_are_alive_at_a_time():
    alive = []

    def frames():
        for i in range(60):
            frame = np.full((40, 60, 3), i, np.uint8)
            alive.append(weakref.ref(frame))
            yield frame
            del frame
            # The first frame is kept for its size.
            assert sum(ref() is not None for ref in alive) <= 4

    with spool_frames(frames(), Fraction(25)) as clip:
        assert read(clip.path)[0].shape == (60, 40, 60, 3)
    assert len(alive) == 60


def broken_frames():
    yield FRAMES[0]
    raise av.error.InvalidDataError(1, "the camera's stream is damaged")


def test_the_file_is_removed_whatever_happens(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with spool_frames(FRAMES, Fraction(25)) as clip:
        assert [clip.path.parent.parent] == [tmp_path]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ZeroDivisionError), spool_frames(FRAMES, Fraction(25)):
        _ = 1 / 0
    # As it is, though it is an error of the library that writes too.
    with (
        pytest.raises(av.error.InvalidDataError, match="camera"),
        spool_frames(broken_frames(), Fraction(25)),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (FRAMES[0], r"expected \(T, H, W, 3\) uint8 RGB, got \(97, 131, 3\) uint8"),
        (FRAMES.astype(np.float32), r"frame 0: expected \(H, W, 3\) uint8 RGB, got .* float32"),
        (FRAMES.transpose(0, 3, 1, 2), r"got \(3, 97, 131\) uint8; move the channels to the end"),
        (FRAMES[..., :1], r"got \(97, 131, 1\) uint8"),
        (FRAMES[:0], "expected at least one frame, got none"),
        (iter([]), "expected at least one frame, got none"),
        ([FRAMES[0], FRAMES[1, :50]], r"frame 1: expected \(97, 131, 3\).*got \(50, 131, 3\)"),
        (["a.mp4"], r"frame 0: expected \(H, W, 3\) uint8 RGB"),
    ],
)
def test_frames_that_cannot_be_are_refused(frames, message):
    with pytest.raises(ValueError, match=message):
        list(check_frames(frames))


def test_what_holds_no_frames_is_refused():
    with pytest.raises(TypeError, match="expected an array .* or an iterable"):
        list(check_frames(5))


@pytest.mark.parametrize(
    ("fps", "rate"),
    [
        (25, Fraction(25)),
        (29.97, Fraction(2997, 100)),
        (30000 / 1001, Fraction(30000, 1001)),
        (np.float32(24), Fraction(24)),
        (np.int64(50), Fraction(50)),
        (Fraction(123457, 4321), Fraction(123457, 4321)),
    ],
)
def test_rates(fps, rate):
    assert parse_fps(fps) == rate


@pytest.mark.parametrize("fps", [None, 0, -1, float("nan"), float("inf"), 1001, "25", 1e-9])
def test_rates_that_cannot_be(fps):
    with pytest.raises(ValueError, match="^fps: "):
        parse_fps(fps)


def test_a_full_disk_is_a_clear_error(tmp_path):
    """/dev/full takes nothing; the container is flushed before it is closed."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with pytest.raises(SkelactError, match="No space left.*TMPDIR"):
        write_frames(Path("/dev/full"), iter(FRAMES.repeat(20, axis=0)), Fraction(25))
