"""The copy of a report has the frames of the clip at their times, in a form that browsers play."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from numbered_clips import Recipe, number_of

from skelact import SkelactError
from skelact.pipeline.inference.clip_skeletons import ClipSkeletons
from skelact.pipeline.report.video_copy import write_video_copy
from skelact.pose_extract.common.own_output import is_own_output
from skelact.pose_extract.decode.video import open_video
from skelact.pose_extract.sources import ClipSource

from .conftest import SUITED, predicted


def shown(path):
    """Return the numbers and the times of a file's frames, its codec and its sound in seconds."""
    with av.open(str(path)) as file:
        context = file.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        frames = list(file.decode(video=0))
    with av.open(str(path)) as file:
        sound = 0.0
        if file.streams.audio:
            sound = sum(frame.samples / frame.rate for frame in file.decode(audio=0))
    numbers = [number_of(frame.to_ndarray(format="rgb24")) for frame in frames]
    return numbers, [float(frame.pts * frame.time_base) for frame in frames], sound


def test_h264_is_copied_without_loss(clips, tmp_path):
    path = clips(SUITED)
    copy = write_video_copy(predicted(path).skeletons, tmp_path / "v.mp4")
    numbers, seconds, sound = shown(tmp_path / "v.mp4")
    assert not copy.is_encoded
    assert numbers == list(range(60))
    assert seconds == pytest.approx([float(time) for time in SUITED.seconds], abs=1e-3)
    assert copy.seconds == pytest.approx(seconds, abs=1e-6)
    assert sound == pytest.approx(4, abs=0.1)
    with av.open(str(path)) as one, av.open(str(tmp_path / "v.mp4")) as two:
        packets = [[bytes(p) for p in file.demux(video=0) if p.size] for file in (one, two)]
    assert packets[0] == packets[1]
    assert is_own_output(tmp_path / "v.mp4")


@pytest.mark.parametrize(
    ("recipe", "is_encoded"),
    [
        (
            Recipe("late.mkv", "libx264", {"bf": "2"}, offset=Fraction(3), seconds=SUITED.seconds),
            False,
        ),
        (Recipe("rotated.mov", "libx264", display=(90, False, False)), False),
        (Recipe("mirrored.mov", "libx264", display=(0, True, False)), True),
        (Recipe("stream.ts", "libx264", sound_seconds=2), False),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_containers_and_rotations_of_h264(clips, tmp_path, recipe, is_encoded):
    copy = write_video_copy(predicted(clips(recipe)).skeletons, tmp_path / "v.mp4")
    numbers, seconds, _ = displayed(tmp_path)
    assert copy.is_encoded is is_encoded
    assert numbers == list(range(60))
    assert copy.seconds == pytest.approx(seconds, abs=1e-6)
    assert seconds == pytest.approx([float(time) for time in recipe.seconds], abs=1e-3)
    assert copy.has_sound is (recipe.sound_seconds > 0)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe("old.avi", "mpeg4", sound_seconds=2),
        Recipe("high.mkv", "libx264", pix_fmt="yuv420p10le"),
        Recipe("hevc.mp4", "libx265", pix_fmt="yuv420p10le"),
        Recipe("wide.mp4", "libx264", pixel_aspect=Fraction(4, 3)),
        Recipe("odd.avi", "mpeg4", size=(97, 131)),
    ],
    ids=lambda recipe: recipe.name,
)
def test_all_else_is_shown_as_it_is(clips, tmp_path, recipe):
    prediction = predicted(clips(recipe))
    copy = write_video_copy(prediction.skeletons, tmp_path / "v.mp4")
    numbers, seconds, sound = shown(tmp_path / "v.mp4") if copy.is_encoded else displayed(tmp_path)
    assert numbers == list(range(60))
    assert seconds == pytest.approx([float(time) for time in recipe.seconds], abs=1e-3)
    assert copy.seconds == pytest.approx(seconds, abs=1e-6)
    assert sound == pytest.approx(recipe.sound_seconds, abs=0.1)
    height, width = prediction.sequence.img_shape
    assert copy.covers_wh == (width // 2 * 2, height // 2 * 2)


def displayed(folder):
    """Return the numbers and times as a player shows them, upright and with square pixels."""
    with open_video(folder / "v.mp4") as reader:
        frames = [frame for batch in reader.batches(60) for frame in batch.frames]
        return [number_of(frame) for frame in frames], reader.info.pts_seconds, 0.0


def test_a_cut_is_cut_with_its_sound(clips, tmp_path):
    path = clips(SUITED)
    whole = predicted(path).skeletons
    source = ClipSource(path, "cut", start_frame=12, end_frame=30)
    copy = write_video_copy(
        ClipSkeletons("cut", whole.sequence[12:30], source=source), tmp_path / "v.mp4"
    )
    numbers, seconds, sound = shown(tmp_path / "v.mp4")
    times = np.array([float(time) for time in SUITED.seconds])
    assert numbers == list(range(12, 30))
    assert seconds == pytest.approx(times[12:30] - times[12], abs=1e-3)
    assert copy.seconds == pytest.approx(seconds, abs=1e-6)
    assert sound == pytest.approx(times[29] + 0.04 - times[12], abs=0.1)


def test_a_damaged_file_shows_the_frames_that_are_left(clips, tmp_path):
    path = tmp_path / "short.avi"
    data = clips(Recipe("whole.avi", "mpeg4")).read_bytes()
    path.write_bytes(data[: len(data) * 9 // 10])
    skeletons = predicted(path).skeletons
    copy = write_video_copy(skeletons, tmp_path / "v.mp4")
    numbers, seconds, _ = shown(tmp_path / "v.mp4")
    assert numbers == list(range(56))
    assert copy.seconds == pytest.approx(seconds, abs=1e-6)


def test_large_frames_are_made_smaller(clips, tmp_path):
    path = clips(Recipe("large.avi", "mpeg4", size=(1500, 2000), seconds=SUITED.seconds[:3]))
    copy = write_video_copy(predicted(path, elements=()).skeletons, tmp_path / "v.mp4")
    with av.open(str(tmp_path / "v.mp4")) as file:
        assert (file.streams.video[0].width, file.streams.video[0].height) == (1920, 1440)
    assert copy.covers_wh == (2000, 1500)


def test_frames_in_memory_have_no_video(clips, tmp_path):
    skeletons = predicted(clips(SUITED)).skeletons.of_frames(Fraction(25))
    with pytest.raises(SkelactError, match="these frames were in memory"):
        write_video_copy(skeletons, tmp_path / "v.mp4")


def test_sound_that_ends_its_decoder_costs_the_sound_alone(clips, tmp_path, monkeypatch):
    """The process that takes the streams dies: the video is there all the same."""
    monkeypatch.setattr("skelact.pipeline.drawing.streams._START", "import os; os.abort()")
    copy = write_video_copy(predicted(clips(SUITED)).skeletons, tmp_path / "v.mp4")
    assert (copy.is_encoded, copy.has_sound) == (True, False)
    assert shown(tmp_path / "v.mp4")[0] == list(range(60))
