"""``benchmarks/flight_joints.py``: its file is well-formed, and its figures are right."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest

from skelact.pose_extract.decode.video import open_video
from skelact.pose_extract.layout import COCO_17


@pytest.fixture
def bench(repository, monkeypatch):
    monkeypatch.syspath_prepend(repository / "benchmarks")
    return importlib.import_module("flight_joints")


@pytest.fixture
def stored(bench):
    return json.loads(bench.JOINTS_FILE.read_text())


def upright(frame_class, frame=0, **moved):
    """A person of a torso of 100 pixels, 40 wide; ``moved`` joints lie elsewhere."""
    joints = {
        "left_shoulder": (70, 100, True),
        "right_shoulder": (30, 100, True),
        "left_hip": (70, 200, True),
        "right_hip": (30, 200, False),
    }
    return frame_class("a.mp4", frame, {**joints, **moved})


def test_forty_frames_hold_each_a_torso_within_their_frame(bench, stored):
    frames = bench.load_flight_joints()
    keys = [(frame.video, frame.frame) for frame in frames]
    assert len(frames) == 40
    assert keys == sorted(set(keys))
    assert {video for video, _ in keys} == set(stored["videos"])
    for frame in frames + bench.load_flight_joints(key="second_pass"):
        facts = stored["videos"][frame.video]
        assert 0 <= frame.frame < facts["num_frames"]
        assert len(frame.joints) >= 6
        assert frame.torso > 5
        for x, y, _ in frame.joints.values():
            assert 0 <= x <= facts["width"] - 1
            assert 0 <= y <= facts["height"] - 1


def test_names_visibility_and_numbers_are_of_their_kinds(bench, stored):
    for entry in stored["frames"] + stored["second_pass"]:
        assert set(entry) == {"video", "frame", "joints"}
        assert set(entry["joints"]) <= set(COCO_17.keypoint_names[5:])
        for x, y, visible in entry["joints"].values():
            assert type(visible) is bool
            assert type(x) in (int, float)
            assert type(y) in (int, float)


def test_the_second_pass_reads_ten_of_the_frames_and_its_spread_is_the_stored_one(bench, stored):
    first, second = bench.load_flight_joints(), bench.load_flight_joints(key="second_pass")
    keys = {(frame.video, frame.frame) for frame in first}
    again = {(frame.video, frame.frame) for frame in second}
    assert len(again) == len(second) == 10
    assert again < keys
    found, kept = bench.spread(first, second), stored["spread"]
    assert kept == {
        "num_frames": 10,
        "num_joints": len(found.distances),
        "median_torso": round(float(np.median(found.distances)), 3),
        "p90_torso": round(float(np.percentile(found.distances, 90)), 3),
        "share_within_0.2_torso": round(float((found.distances <= 0.2).mean()), 3),
        "num_left_right_pairs": found.num_pairs,
        "num_left_right_exchanged": found.num_swapped,
    }


def test_videos_have_the_sizes_that_the_file_tells(shared, stored):
    for video, facts in stored["videos"].items():
        with open_video(shared / video) as reader:
            info = reader.info
            assert facts == {
                "width": info.width,
                "height": info.height,
                "num_frames": info.num_frames,
            }


def test_spread_counts_in_torsos_and_sees_exchanged_sides(bench):
    first = upright(bench.FlightFrame, left_knee=(70, 300, True))
    moved = upright(
        bench.FlightFrame,
        left_shoulder=(30, 100, True),
        right_shoulder=(70, 100, True),
        left_hip=(70, 210, True),
    )
    found = bench.spread([first, upright(bench.FlightFrame, 1)], [moved])
    assert sorted(found.distances) == pytest.approx([0, 0.1, 0.4, 0.4])
    assert (found.num_pairs, found.num_swapped) == (2, 1)


def test_a_frame_gives_its_joints_as_arrays(bench):
    frame = upright(bench.FlightFrame)
    assert frame.torso == 100
    assert frame.keypoints[[5, 12]].tolist() == [[70, 100], [30, 200]]
    assert np.isnan(frame.keypoints[[0, 7, 16]]).all()
    assert np.flatnonzero(frame.visible).tolist() == [5, 6, 11]
    short = upright(bench.FlightFrame, left_hip=(70, 140, True), right_hip=(30, 140, True))
    assert bench.clip_torsos([short, frame, short]) == {"a.mp4": 100}
    with pytest.raises(ValueError, match="got left_foot"):
        upright(bench.FlightFrame, left_foot=(0, 0, True))


def test_a_tile_shows_the_joints_where_they_are(bench):
    image = np.zeros((400, 100, 3), dtype=np.uint8)
    tile = bench.draw_tile(image, upright(bench.FlightFrame))
    # The square of 140 pixels around the joints begins at (-20, 80).
    for x, y, color in ((70, 100, bench._LEFT), (30, 100, bench._RIGHT), (70, 200, bench._LEFT)):
        at = np.rint((np.array([x + 20, y - 80]) + 0.5) * 300 / 140 - 0.5).astype(int)
        assert tuple(tile[at[1], at[0]]) == color
