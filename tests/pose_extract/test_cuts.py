"""Cuts: which frames they hold, by the frames' own times, and what they may not ask for."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import write_clip

from skelact import SkelactError
from skelact.pose_extract.decode.frames import VideoError, VideoInfo
from skelact.pose_extract.decode.video import open_video
from skelact.pose_extract.sources import ClipSource, check_cuts, find_sources


def info(fps=25, num_frames=100, num_missing=0, pts=None):
    if pts is None:
        pts = np.arange(num_frames) / float(fps)
    return VideoInfo(
        path=Path("a.mp4"), fps=Fraction(fps), pts_seconds=np.array(pts, np.float64),
        num_missing=num_missing, height=96, width=128, pixel_aspect=Fraction(1), codec="h264",
        container="mov", decoder="pyav",
    )  # fmt: skip


def seconds(start, end, facts):
    return ClipSource("a.mp4", "a", start_seconds=start, end_seconds=end).frame_range(facts)


def frames(start, end, facts):
    return ClipSource("a.mp4", "a", start_frame=start, end_frame=end).frame_range(facts)


def test_a_whole_file_is_no_cut():
    assert ClipSource("a.mp4", "a").frame_range(info()) == (0, None)


def test_a_cut_in_seconds_holds_the_frames_shown_in_it():
    # Frame 45 is the first at or after 1.5 s (1.5015 s), frame 68 the first after 2.25 s.
    assert seconds(1.5, 2.25, info(Fraction(30000, 1001))) == (45, 68)
    assert seconds(None, 1.0, info()) == (0, 25)
    assert seconds(1.0, None, info()) == (25, None)
    # The whole file: its end is the end of the last frame.
    assert seconds(0, 4.0, info()) == (0, 100)


def test_frames_of_a_variable_rate_go_by_their_own_times():
    # A second at 10 Hz, half a second at 100 Hz, and again 10 Hz.
    pts = [*np.arange(0, 1, 0.1), *np.arange(1, 1.5, 0.01), *np.arange(1.5, 2.5, 0.1)]
    facts = info(Fraction(28), pts=pts)
    assert facts.num_frames == 70
    assert seconds(0.5, 1.1, facts) == (5, 20)
    assert seconds(1.45, 1.75, facts) == (55, 63)
    assert seconds(2.35, 2.5, facts) == (69, 70)


@pytest.mark.parametrize("fps", [10, 24, Fraction(30000, 1001), 30, 50, 59, 120, 240, 480])
def test_a_time_printed_with_three_decimals_means_its_frame(fps):
    facts = info(fps, 500)
    for start in range(0, 490, 7):
        text = [f"{facts.pts_seconds[i]:.3f}" for i in (start, start + 3)]
        assert seconds(float(text[0]), float(text[1]), facts) == (start, start + 3)


def test_a_time_between_frames_means_the_next_frame():
    for share in (0.3, 0.5, 0.9):
        assert seconds((10 + share) / 25, (20 + share) / 25, info()) == (11, 21)
    # A frame that is shown for two seconds began before the cut.
    slow = info(10, pts=[0, 0.5, 1.0, 3.0, 3.1])
    assert seconds(1.05, 3.05, slow) == (3, 4)


def test_a_cut_in_which_no_frame_is_shown():
    with pytest.raises(VideoError, match="a: no frame is shown in it; the next one is .* 3.000 s"):
        seconds(1.2, 2.9, info(10, pts=[0, 0.5, 1.0, 3.0, 3.1]))


def test_a_cut_in_seconds_beyond_the_end():
    # Lengths are rounded: one frame too many is none.
    assert seconds(3.0, 4.04, info()) == (75, 100)
    with pytest.raises(VideoError, match=r"within the file's 4.000 s, got 3 to 4.1"):
        seconds(3.0, 4.1, info())
    for start in (4.0, 1e9):
        with pytest.raises(VideoError, match=r"within the file's 4.000 s, got .* to the end"):
            seconds(start, None, info())
    # The last frame of a GIF is shown as long as any other.
    assert seconds(0, 5.0, info(10, pts=[0, 2.0, 3.0])) == (0, 3)


def test_a_cut_in_frames_beyond_the_end():
    assert frames(0, 100, info()) == (0, 100)
    assert frames(99, None, info()) == (99, None)
    with pytest.raises(VideoError, match="a: expected a cut within the file's 100 frames"):
        frames(0, 101, info())
    with pytest.raises(VideoError, match="got 100 to the end"):
        frames(100, None, info())


def test_a_cut_may_hold_frames_that_a_file_cut_short_has_lost():
    facts = info(25, num_frames=60, num_missing=40)
    assert frames(50, 80, facts) == (50, 80)
    assert seconds(2.0, 3.2, facts) == (50, 80)
    assert seconds(2.0, 4.0, facts) == (50, 100)
    with pytest.raises(VideoError, match=r"within the file's 4.000 s"):
        seconds(2.0, 4.2, facts)


def test_a_file_of_one_frame():
    facts = info(25, 1)
    assert seconds(0, 0.04, facts) == (0, 1)
    assert frames(0, 1, facts) == (0, 1)
    with pytest.raises(VideoError):
        seconds(0, 0.2, facts)


def test_the_error_names_the_row(tmp_path):
    (tmp_path / "l.csv").write_text("path,end_seconds\na.mp4,9\n")
    (clip,) = find_sources(tmp_path / "l.csv")
    with pytest.raises(VideoError, match=r"l.csv, line 2: expected a cut within"):
        clip.frame_range(info())


def test_the_frames_of_a_cut_are_those_asked_for(tmp_path):
    path = write_clip(tmp_path / "a.mp4")
    clip = ClipSource(path, "a", start_seconds=0.5, end_seconds=1.0)
    with open_video(path) as reader:
        (batch,) = reader.batches(100, *clip.frame_range(reader.info))
    # At 23.976 Hz frame 12 is shown at 0.5005 s, and frame 24 after 1 s.
    assert batch.frame_inds.tolist() == list(range(12, 24))
    assert np.abs(batch.frames.mean(axis=(1, 2, 3)) - 5 * batch.frame_inds).max() < 3


def test_cuts_are_checked_before_a_run_row_by_row(tmp_path, monkeypatch):
    write_clip(tmp_path / "a.mp4")
    write_clip(tmp_path / "b.mp4")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    rows = ["a.mp4,0,40", "a.mp4,5,41", "none.mp4,0,1", "broken.mp4,0,1", "b.mp4,,", "a.mp4,40,"]
    (tmp_path / "l.csv").write_text("\n".join(["path,start_frame,end_frame", *rows]))
    opened = []

    def counting(path):
        opened.append(path.name)
        return open_video(path)

    monkeypatch.setattr("skelact.pose_extract.decode.video.open_video", counting)
    told = check_cuts(find_sources(tmp_path / "l.csv"))
    assert [line.split(": ", 1)[0] for line in told] == [
        f"{tmp_path / 'l.csv'}, line 3",
        f"{tmp_path / 'l.csv'}, line 7",
    ]
    # Once each, and those that are not cut not at all.
    assert opened == ["a.mp4", "none.mp4", "broken.mp4"]


def test_no_file_is_opened_after_the_time_for_the_check(tmp_path, monkeypatch):
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        write_clip(tmp_path / name)
    clips = [ClipSource(tmp_path / name, name, end_frame=99) for name in ("a.mp4", "b.mp4")]
    assert len(check_cuts(clips)) == 2
    assert check_cuts(clips, max_seconds=-1) == []


@pytest.mark.parametrize(
    ("name", "ranges"),
    [
        ("cut", [(24, 40), (24, 40), (37, 50), (48, 60), (24, 40)]),
        # By the frames' times, as the README of the folder has them.
        ("vfr", [(25, 30), (31, 36), (27, 39), (51, 66)]),
    ],
)
def test_lists_of_real_files(shared, name, ranges):
    path = shared / "faults" / f"{name}.csv"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    clips = find_sources(path)
    assert check_cuts(clips) == []
    found = []
    for clip in clips:
        with open_video(clip.path) as reader:
            found.append(clip.frame_range(reader.info))
    assert found == ranges


def test_a_cut_that_cannot_be_is_no_clip():
    with pytest.raises(SkelactError, match="expected 0 <= start < end in seconds, got 3 to 2"):
        ClipSource("a.mp4", "a", start_seconds=3, end_seconds=2)
    for name, value in (
        ("start_seconds", float("nan")),
        ("end_seconds", float("inf")),
        ("end_seconds", "2"),
        ("start_frame", 1.5),
        ("end_frame", True),
    ):
        with pytest.raises(SkelactError, match=f"a: expected a .*{name}, got {value!r}"):
            ClipSource("a.mp4", "a", **{name: value})
    assert ClipSource("a.mp4", "a", end_frame=np.int64(3)).frame_range(info()) == (0, 3)
