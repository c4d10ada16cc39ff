"""``benchmarks/published_lists.py``: lists as FineGym and Diving48 publish them."""

from __future__ import annotations

import csv
import json
import runpy

import pytest
from click.testing import CliRunner
from touch import touch

from skelact.pose_extract.sources import find_sources

# An identifier of YouTube may have underscores. A vault has stages; an event has no elements.
INFO = {
    "a_B-c": {
        "E_000151_000159": {
            "event": 1,
            "timestamps": [[151.5, 159.25]],
            "segments": {
                "A_0003_0005": {"stages": 1, "timestamps": [[3.25, 5.5]]},
                "A_0000_0004": {"stages": 3, "timestamps": [[0.5, 1.0], [1.0, 2.0], [2.0, 4.0]]},
            },
        },
        "E_000200_000210": {"event": 2, "timestamps": [[200.0, 210.0]], "segments": None},
    }
}
DIVES = [{"vid_name": "x_00001", "label": 1, "start_frame": 0, "end_frame": 80}]


@pytest.fixture
def lists(repository, tmp_path):
    main = runpy.run_path(str(repository / "benchmarks" / "published_lists.py"))["main"]

    def run(*arguments, **files):
        for name, content in files.items():
            (tmp_path / name).write_text(content)
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    return run


def rows(result):
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(result.stdout.splitlines()))


def test_finegym_s_elements_have_their_times_in_the_video(lists, tmp_path):
    touch(tmp_path, "videos/a_B-c.mkv")
    found = lists(
        "gym99", "--info", tmp_path / "info", "--train", tmp_path / "train",
        "--val", tmp_path / "val", "--videos", tmp_path / "videos",
        info=json.dumps(INFO), train="a_B-c_E_000151_000159_A_0003_0005 2\n",
        val="a_B-c_E_000151_000159_A_0000_0004 0\n",
    )  # fmt: skip
    train, val = rows(found)
    assert (train["split"], train["start_seconds"], train["end_seconds"]) == (
        "train", "154.75", "157.0"
    )  # fmt: skip
    assert (val["split"], val["start_seconds"], val["end_seconds"]) == ("val", "152.0", "155.5")
    assert val["label"].startswith("(VT) ")
    assert train["path"] == str(tmp_path / "videos" / "a_B-c.mkv")
    # And skelact extract takes it.
    (tmp_path / "gym99.csv").write_text(found.stdout)
    clips = find_sources([tmp_path / "gym99.csv"])
    assert [(clip.label, clip.split, clip.start_seconds) for clip in clips] == [
        (train["label"], "train", 154.75), (val["label"], "val", 152.0)
    ]  # fmt: skip


def test_diving48_has_a_video_per_dive_and_missing_ones_are_counted(lists, tmp_path):
    touch(tmp_path, "x_00001.mp4")
    found = lists(
        "diving48", "--train", tmp_path / "train", "--val", tmp_path / "test",
        "--videos", tmp_path, train=json.dumps(DIVES),
        test=json.dumps([{"vid_name": "y", "label": 0}]),
    )  # fmt: skip
    (dive,) = rows(found)
    assert (dive["label"], dive["start_seconds"]) == ("Back 15som 15Twis FREE", "")
    assert found.stderr == f"1 videos are not in {tmp_path}; their clips are left out\n"


def test_another_list_is_told(lists, tmp_path):
    arguments = ["--train", tmp_path / "train", "--val", tmp_path / "train", "--videos", tmp_path]
    result = lists("gym99", *arguments, train="")
    assert (result.exit_code, "--info: expected with gym99" in result.output) == (2, True)
    result = lists("gym99", "--info", tmp_path / "i", *arguments, i="{}", train="a.mp4 3\n")
    assert (result.exit_code, "got 'a.mp4 3'" in result.output) == (1, True)
