"""Reading people annotated by hand, and correcting their labels."""

from __future__ import annotations

import json
import zipfile

import cv2
import numpy as np
import pytest

from skelact import SkelactError
from skelact.pipeline.config import shipped_corrections
from skelact.pipeline.pose_training.people import (
    Corrections,
    corrected,
    read_corrections,
    read_people,
)
from skelact.pose_extract.layout import COCO_17

LEFT, RIGHT = COCO_17.index("left_wrist"), COCO_17.index("right_wrist")
LEFT_KNEE, RIGHT_KNEE = COCO_17.index("left_knee"), COCO_17.index("right_knee")


def png(color):
    return cv2.imencode(".png", np.full((40, 30, 3), color, np.uint8))[1].tobytes()


@pytest.fixture
def npz(tmp_path):
    """Three people, of whom the last has no annotated joint."""
    keypoints = np.random.default_rng(0).uniform(5, 25, (3, 17, 2)).astype(np.float32)
    visible = np.ones((3, 17), bool)
    visible[:, :5] = False
    visible[2] = False
    path = tmp_path / "people.npz"
    np.savez(path, keypoints=keypoints, visible=visible, numbers=[7, 12, 13])
    with zipfile.ZipFile(tmp_path / "people.zip", "w") as files:
        for number in (7, 12, 13):
            files.writestr(f"im{number:05d}.jpg", png(number))
    return path, keypoints


def test_people_without_annotated_joints_are_left_out(npz):
    path, keypoints = npz
    people = read_people(path)
    assert people.numbers.tolist() == [7, 12]
    np.testing.assert_array_equal(people.keypoints, keypoints[:2])
    assert people.image(1)[0, 0].tolist() == [12, 12, 12]


def test_boxes_hold_the_annotated_joints_with_a_margin(npz):
    path, keypoints = npz
    low, high = keypoints[0, 5:].min(axis=0), keypoints[0, 5:].max(axis=0)
    margin = 0.12 * (high - low).max()
    np.testing.assert_allclose(
        read_people(path).bboxes()[0], [*(low - margin), *(high + margin)], rtol=1e-5
    )


def test_images_may_lie_in_a_folder_under_names_of_their_own(npz, tmp_path):
    _, keypoints = npz
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "a.png").write_bytes(png(50))
    np.savez(
        tmp_path / "others.npz",
        keypoints=keypoints[:1],
        visible=np.ones((1, 17), bool),
        files=["a.png"],
    )
    people = read_people(tmp_path / "others.npz")
    assert people.names == ["a.png"]
    assert people.image(0)[0, 0, 0] == 50


def test_coco_annotations(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(png(9))
    triples = np.column_stack([np.arange(34).reshape(17, 2), np.arange(17) % 3])
    people = [
        {"image_id": 3, "keypoints": triples.ravel().tolist()},
        {"image_id": 3, "keypoints": [0] * 51},
        {"image_id": 3},
    ]
    values = {"images": [{"id": 3, "file_name": "a.png"}], "annotations": people}
    path = tmp_path / "person_keypoints.json"
    path.write_text(json.dumps(values))
    read = read_people(path)
    assert len(read) == 1
    np.testing.assert_array_equal(read.keypoints[0], triples[:, :2])
    np.testing.assert_array_equal(read.visible[0], np.arange(17) % 3 > 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": np.zeros((3, 16, 2))}, r"expected keypoints \(3, 17, 2\)"),
        ({"visible": np.zeros((3, 17), bool)}, "found none"),
        ({"files": ["no.png"] * 3}, "the image no.png cannot be read"),
        ({"keypoints": None}, "expected keypoints, visible and files or numbers"),
    ],
)
def test_files_that_are_refused(npz, change, message):
    path, _ = npz
    values = dict(np.load(path)) | change
    np.savez(path, **{name: value for name, value in values.items() if value is not None})
    with pytest.raises(SkelactError, match=message):
        read_people(path)


@pytest.mark.parametrize("text", ["", "[]", '{"images": []}', "[" * 100_000])
def test_json_that_is_no_annotation_file_is_refused(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(SkelactError, match="expected COCO keypoint annotations"):
        read_people(path)


def test_corrections_exchange_sides(npz):
    people = read_people(npz[0])
    before = people.keypoints
    whole = corrected(people, Corrections(exchanged=(7,))).keypoints
    np.testing.assert_array_equal(whole[0, LEFT], before[0, RIGHT])
    np.testing.assert_array_equal(whole[0, LEFT_KNEE], before[0, RIGHT_KNEE])
    np.testing.assert_array_equal(whole[1], before[1])
    arms = corrected(people, Corrections(exchanged_arms=(12,))).keypoints
    np.testing.assert_array_equal(arms[1, LEFT], before[1, RIGHT])
    np.testing.assert_array_equal(arms[1, LEFT_KNEE], before[1, LEFT_KNEE])
    legs = corrected(people, Corrections(exchanged_legs=(12,))).keypoints
    np.testing.assert_array_equal(legs[1, LEFT], before[1, LEFT])
    np.testing.assert_array_equal(legs[1, LEFT_KNEE], before[1, RIGHT_KNEE])


def test_corrections_leave_people_out_and_mark_sides(npz):
    people = corrected(read_people(npz[0]), Corrections(unusable=(7,), sides_unknown=(12,)))
    assert people.numbers.tolist() == [12]
    assert people.sides_unknown.tolist() == [True]


def test_the_shipped_corrections_name_each_person_once():
    for name in shipped_corrections():
        corrections = read_corrections(name)
        numbers = [
            *corrections.exchanged,
            *corrections.exchanged_arms,
            *corrections.exchanged_legs,
            *corrections.sides_unknown,
            *corrections.unusable,
        ]
        assert numbers
        assert len(set(numbers)) == len(numbers)


def test_corrections_that_are_not_there():
    with pytest.raises(SkelactError, match="no corrections 'lsp': expected .* lspet"):
        read_corrections("lsp")
