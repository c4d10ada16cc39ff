"""Half precision is taken where the keypoints of real people stay, and nowhere else.

A processor computes in bf16 as a GPU does, slowly; "auto" is made to ask for it here.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from coco_people import NET

from skelact.pose_extract.nets import engines
from skelact.pose_extract.nets.notes import MachineNotes
from skelact.pose_extract.pose import precision
from skelact.pose_extract.pose.crops import Crops
from skelact.pose_extract.pose.estimator import PoseEstimator
from skelact.pose_extract.pose.precision import PrecisionTrial

VERDICTS = ("precision", ("half", "fp32"))


@pytest.fixture
def notes(tmp_path):
    return MachineNotes(tmp_path / "notes.json", VERDICTS)


@pytest.fixture
def trial(notes):
    return PrecisionTrial("half", "full", notes, "a machine")


def judged(trial, moved, scores=None, crop_pixels=1.0):
    """Judge keypoints that moved by (N, V) pixels of the frame."""
    moved = np.asarray(moved, np.float32)
    full = np.full((*moved.shape, 2), 100.0, np.float32)
    half = full + moved[..., None] * (0.6, 0.8)
    scores = np.ones(moved.shape, np.float32) if scores is None else scores
    return trial.judge(half, full, scores, np.full(len(moved), crop_pixels))


def test_keypoints_that_stay_speak_for_half_precision(trial, notes):
    assert judged(trial, np.full((50, 17), 0.2)) is None, "850 keypoints are too few"
    assert judged(trial, np.full((50, 17), 0.2)) == "half"
    note = notes.read()["a machine"]
    assert note == {
        "precision": "half", "keypoints": 1700, "mean_pixels": 0.2, "p99_pixels": 0.2,
    }  # fmt: skip


def test_many_that_move_a_little_and_few_that_move_far_speak_against_it(notes):
    few = np.zeros((100, 17))
    few.flat[:18] = 2.5  # of 1700, a little over a hundredth
    for moved in (np.full((100, 17), 0.35), few):
        assert judged(PrecisionTrial("half", "full", notes, "a machine"), moved) == "full"
        assert notes.read()["a machine"]["precision"] == "fp32"
    few.flat[:2] = 0.0
    assert judged(PrecisionTrial("half", "full", notes, "a machine"), few) == "half"


def test_pixels_are_those_of_the_crop(trial):
    assert judged(trial, np.full((100, 17), 0.2), crop_pixels=2.0) == "full"


def test_what_is_not_seen_does_not_count_and_what_is_no_number_does(trial, notes):
    moved, scores = np.zeros((100, 17)), np.ones((100, 17), np.float32)
    moved[:, :3], scores[:, :3] = 50.0, 0.3
    assert judged(trial, moved, scores) == "half"
    moved[:, 5] = np.nan
    assert judged(PrecisionTrial("half", "full", notes, "a machine"), moved, scores) == "full"
    assert notes.read()["a machine"]["mean_pixels"] is None


def assert_same(found, expected):
    """Compare scores, too: keypoints lie on quarters of a cell, and may be the same ones."""
    for mine, theirs in zip(found, expected):
        np.testing.assert_array_equal(mine, theirs)


@pytest.fixture
def crops(coco):
    _, people = coco
    exact = PoseEstimator(NET, device="cpu", engine="pytorch", precision="fp32")
    boxes = [
        (image, np.array([ann["bbox"] for ann in annotations], np.float32))
        for image, annotations in people[:4]
    ]
    return Crops.concatenate(
        [exact.crop(image, np.hstack([b[:, :2], b[:, :2] + b[:, 2:]])) for image, b in boxes]
    )


@pytest.mark.parametrize(("most_p99", "expected"), [(0.01, "fp32"), (1000.0, "bf16")])
def test_the_first_people_decide_and_it_is_remembered(
    crops, tmp_path, monkeypatch, most_p99, expected
):
    monkeypatch.setenv("SKELACT_CACHE", str(tmp_path))
    monkeypatch.setattr(engines, "fastest_dtype", lambda device: torch.bfloat16)
    monkeypatch.setattr(precision, "_ENOUGH", 20)
    monkeypatch.setattr(precision, "_MOST_P99", most_p99)
    monkeypatch.setattr(precision, "_MOST_MEAN", most_p99)
    first, later = crops.take(slice(0, 3)), crops.take(slice(3, 4))
    fp32 = PoseEstimator(NET, device="cpu", engine="pytorch", precision="fp32")
    trying = PoseEstimator(NET, device="cpu")
    # As long as it is not known, and then, by what is chosen.
    assert_same(trying.predict(first), fp32.predict(first))
    chosen = PoseEstimator(NET, device="cpu", engine="pytorch", precision=expected).predict(later)
    assert_same(trying.predict(later), chosen)
    (note,) = (tmp_path / "engines").glob("*.precision.json")
    (verdict,) = json.loads(note.read_text()).values()
    assert verdict["precision"] == ("fp32" if expected == "fp32" else "half")
    assert verdict["keypoints"] >= 20
    # What is asked for is not tried.
    asked = PoseEstimator(NET, device="cpu", precision="bf16")
    asked.load()
    assert asked._trial is None
    # Another process asks no more.
    again = PoseEstimator(NET, device="cpu")
    assert_same(again.predict(later), chosen)
    assert np.array_equal(chosen[1], fp32.predict(later)[1]) == (expected == "fp32")


def test_without_a_cache_it_is_told_all_the_same(trial, notes, monkeypatch):
    def refuse(*_):
        raise OSError("read-only")

    monkeypatch.setattr(MachineNotes, "add", refuse)
    assert judged(trial, np.zeros((100, 17))) == "half"
    assert not notes.read()
