"""What the start model says of people's faces is kept, and read back for the same people."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from skelact.pipeline.pose_training.faces import find_faces
from skelact.pipeline.pose_training.people import AnnotatedPeople
from skelact.pose_extract.layout import COCO_17
from skelact.pose_extract.pose.estimator import PoseEstimator

START = "skelact-litehrnet18-256x192"


@pytest.fixture
def people():
    """Two people on noise, of whom the second has no annotated hips, and so no trunk."""
    rng = np.random.default_rng(0)
    images = [
        cv2.imencode(".png", rng.integers(0, 255, (120, 100, 3), np.uint8))[1].tobytes()
        for _ in range(2)
    ]
    keypoints = np.stack([rng.uniform(20, 80, 17), np.linspace(10, 110, 17)], axis=-1)
    visible = np.ones((2, 17), bool)
    visible[1, [COCO_17.index("left_hip"), COCO_17.index("right_hip")]] = False
    return AnnotatedPeople(
        images, ["a", "b"], np.arange(2), np.stack([keypoints] * 2).astype(np.float32), visible,
        np.zeros(2, bool),
    )  # fmt: skip


@pytest.fixture
def model(people, monkeypatch):
    """The start model's place: it finds all joints that are annotated, and counts its crops."""
    crops = []

    def predict(self, images):
        crops.append(len(images))
        return people.keypoints[: len(images)] + 1, np.full((len(images), 17), 0.9, np.float32)

    monkeypatch.setattr(PoseEstimator, "predict_with_peaks", predict)
    return crops


def test_faces_are_found_once(people, model, tmp_path):
    path = tmp_path / "run" / "faces.npz"
    keypoints, scores = find_faces(START, people, "cpu", path)
    assert model == [1]
    np.testing.assert_array_equal(keypoints[0], people.keypoints[0] + 1)
    assert scores[0].tolist() == pytest.approx([0.9] * 17)
    assert not scores[1].any()
    again = find_faces(START, people, "cpu", path)
    assert model == [1]
    for kept, found in zip(again, (keypoints, scores)):
        np.testing.assert_array_equal(kept, found)
        assert kept.dtype == np.float32
    assert [file.name for file in path.parent.iterdir()] == ["faces.npz"]


@pytest.mark.parametrize("change", ["fewer", "labels", "images", "model"])
def test_faces_of_other_people_or_another_model_are_found_anew(
    people, model, tmp_path, monkeypatch, change
):
    path = tmp_path / "faces.npz"
    find_faces(START, people, "cpu", path)
    if change == "fewer":
        people = people.take(np.array([0]))
    elif change == "labels":
        people = replace(people, keypoints=people.keypoints + np.float32(0.5))
    elif change == "images":
        people = replace(people, images=[people.images[1], people.images[0]])
    else:
        monkeypatch.setattr(PoseEstimator, "identity", lambda self: {"weights": "others"})
    keypoints, _ = find_faces(START, people, "cpu", path)
    assert model == [1, 1]
    assert len(keypoints) == len(people)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive"])
def test_a_damaged_file_is_written_anew(people, model, tmp_path, content):
    path = tmp_path / "faces.npz"
    path.write_bytes(content)
    find_faces(START, people, "cpu", path)
    find_faces(START, people, "cpu", path)
    assert model == [1]


def test_pickled_objects_are_not_read(people, model, tmp_path):
    path = tmp_path / "faces.npz"
    find_faces(START, people, "cpu", path)
    with np.load(path) as kept:
        values = dict(kept)
    np.savez(path, **{**values, "scores": np.array([{}], object)})
    find_faces(START, people, "cpu", path)
    assert model == [1, 1]
