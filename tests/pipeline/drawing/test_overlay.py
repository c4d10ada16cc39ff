"""The overlay plays as the clip does, with its people drawn where they are."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import FPS, write_clip
from scenes import make_sequence

from skelact import SkelactError
from skelact.pipeline.drawing.h264 import copy_clock
from skelact.pipeline.drawing.overlay import draw_panel, draw_people, write_overlay
from skelact.pose_extract.common.own_output import is_own_output
from skelact.pose_extract.decode.video import open_video
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


def varied(path, seconds, width=128, height=96, pixel_aspect=1):
    """Write a clip whose frame i has brightness 5 i and is shown at a time of its own."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=30, options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.sample_aspect_ratio = Fraction(pixel_aspect)
        for i, second in enumerate(seconds):
            image = np.full((height, width, 3), 5 * i, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = round(1000 * second), Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def shown_at(path):
    """Return the time of each frame, and its brightness away from what is drawn on it."""
    with av.open(str(path)) as file:
        frames = list(file.decode(video=0))
    return (
        np.array([frame.time for frame in frames]),
        [frame.to_ndarray(format="rgb24")[-4:, -4:].mean() for frame in frames],
    )


TIMES = {
    "dropped frames": np.delete(np.arange(24) / 30, [3, 4, 5, 11, 17]),
    "slow motion": np.r_[np.arange(10) / 30, 10 / 30 + np.arange(10) / 120],
    "random": np.cumsum(np.random.default_rng(0).integers(4, 300, 20)) / 1000,
}


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_it_runs_as_the_clip_does(tmp_path, name, suffix):
    times = TIMES[name]
    clip = varied(tmp_path / f"a{suffix}", times)
    write_overlay(standing(len(times)), ClipSource(clip, "a"), tmp_path / "out.mp4")
    shown, brightness = shown_at(tmp_path / "out.mp4")
    assert np.abs(shown - (times - times[0])).max() < 1e-3
    assert brightness == pytest.approx(5 * np.arange(len(times)), abs=4)


def test_a_cut_of_varied_times_starts_at_zero(tmp_path):
    times = TIMES["random"]
    clip = varied(tmp_path / "a.mp4", times)
    source = ClipSource(clip, "a", start_frame=5, end_frame=12)
    write_overlay(standing(7, start=5), source, tmp_path / "out.mp4")
    shown, brightness = shown_at(tmp_path / "out.mp4")
    assert np.abs(shown - (times[5:12] - times[5])).max() < 1e-3
    assert brightness == pytest.approx(5 * np.arange(5, 12), abs=4)


def test_times_that_no_clock_tells_apart_still_follow_each_other():
    fps = Fraction(25)
    base, ticks = copy_clock(np.arange(40) * 1e-7, fps)
    assert (base, ticks.tolist()) == (Fraction(1, 90_000), list(range(40)))
    base, ticks = copy_clock(np.round(3.5 + np.arange(40) / 25, 3), fps)
    assert (base, ticks.tolist()) == (Fraction(1, 25), list(range(40)))
    assert len(copy_clock(np.zeros(0), fps)[1]) == 0


@pytest.mark.parametrize(
    ("stored", "aspect", "size"),
    [(640, 1, (480, 640)), (320, 2, (480, 640)), (452, Fraction(64, 45), (480, 642))],
    ids=["square", "2:1", "64:45"],
)
def test_people_have_their_shape_whatever_the_shape_of_the_pixels(tmp_path, stored, aspect, size):
    """A box that is square in square pixels is square in the overlay."""
    clip = varied(tmp_path / "a.mp4", np.arange(3) / 30, stored, 480, aspect)
    with open_video(clip) as reader:
        height, width = reader.info.height, reader.info.width
    assert abs(width - stored * aspect) < 1
    sequence = standing(3, height, width)
    sequence.bboxes[:] = [300, 200, 500, 400]
    write_overlay(sequence, ClipSource(clip, "a"), tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as file:
        frame = next(file.decode(video=0))
        # Players stretch nothing: their pixels are square.
        assert frame.width / frame.height == pytest.approx(width / height, rel=0.01)
        assert file.streams.video[0].sample_aspect_ratio in (None, 1)
        assert (frame.height, frame.width) == size
        drawn = frame.to_ndarray(format="rgb24")[..., 1] > 100
    rows, columns = np.flatnonzero(drawn[250:390].any(0)), np.flatnonzero(drawn[:, 350:450].any(1))
    assert rows[-1] - rows[0] == pytest.approx(200, abs=4)
    assert columns[-1] - columns[0] == pytest.approx(200, abs=20)  # the label is above it


def test_it_is_known_as_ours(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", 5)
    write_overlay(standing(5), ClipSource(clip, "a"), str(tmp_path / "out.mp4"))
    assert is_own_output(tmp_path / "out.mp4")
    assert not is_own_output(clip)


def test_a_rate_that_ffmpeg_cannot_hold_is_no_error(tmp_path):
    clip = varied(tmp_path / "a.mkv", TIMES["random"])
    sequence = replace(standing(20), fps=Fraction(10**10, 3))
    write_overlay(sequence, ClipSource(clip, "a"), tmp_path / "out.mp4")
    shown = shown_at(tmp_path / "out.mp4")[0]
    assert np.abs(shown - (TIMES["random"] - TIMES["random"][0])).max() < 1e-3


def test_a_full_disk_is_an_error_with_the_file(tmp_path, monkeypatch):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, which Linux has")
    clip = write_clip(tmp_path / "a.mp4", 5)
    real = av.open
    monkeypatch.setattr(
        "skelact.pipeline.drawing.h264.av.open",
        lambda path, *more, **options: real("/dev/full", *more, **options),
    )
    with pytest.raises(SkelactError, match=r"out.mp4: the overlay cannot be written: .*space left"):
        write_overlay(standing(5), ClipSource(clip, "a"), tmp_path / "out.mp4")
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


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
