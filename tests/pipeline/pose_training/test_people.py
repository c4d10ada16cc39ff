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
)
from skelact.pipeline.pose_training.people_files import read_people
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
        ({"files": ["no.png"] * 3}, "the image 'no.png' cannot be read"),
        ({"keypoints": None}, "expected keypoints, visible and files or numbers"),
        ({"keypoints": np.float32(1.0)}, "expected keypoints, visible and files or numbers"),
        ({"numbers": None}, "expected keypoints, visible and files or numbers"),
        ({"numbers": [7, 12, 13.5]}, "numbers that are no whole numbers"),
        ({"numbers": ["7", "12", "13"]}, "numbers that are no whole numbers"),
        ({"visible": np.full((3, 17), 0.02)}, "0.02 in visible, which is to be False or True"),
        ({"files": np.array(["a", "b", "c"], object)}, "save names as numpy.array"),
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


def write_coco(folder, annotations, images=None, **more):
    images = [{"id": 8, "file_name": "b.png"}, {"id": 3, "file_name": "a.png"}] + (images or [])
    path = folder / "person_keypoints.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, **more}))
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(png(9))
    return path


SEEN = [5, 6, 2] * 17


def test_people_of_one_image_share_its_number(npz, tmp_path):
    people = [{"image_id": i, "keypoints": SEEN} for i in (3, 8, 3)]
    read = read_people(write_coco(tmp_path, people))
    assert read.numbers.tolist() == [1, 0, 1]
    assert read.names == ["a.png", "b.png", "a.png"]

    path, keypoints = npz
    files = np.array([b"im00012.jpg", b"im00007.jpg", b"im00012.jpg"])
    np.savez(path, keypoints=keypoints, visible=np.ones((3, 17), bool), files=files)
    read = read_people(path)
    assert read.numbers.tolist() == [0, 1, 0]
    assert [read.image(i)[0, 0, 0] for i in range(3)] == [12, 7, 12]


def test_crowds_and_other_categories_are_not_people(tmp_path):
    people = [
        {"image_id": 3, "keypoints": SEEN, "iscrowd": 1, "category_id": 1},
        {"image_id": 3, "keypoints": [1, 2, 2] * 9, "iscrowd": 0, "category_id": 2},
        {"image_id": 8, "keypoints": SEEN, "iscrowd": 0, "category_id": 1},
    ]
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "horse"}]
    assert read_people(write_coco(tmp_path, people, categories=categories)).names == ["b.png"]
    with pytest.raises(SkelactError, match="found none"):
        read_people(write_coco(tmp_path, people[:2], categories=categories))


@pytest.mark.parametrize(
    ("person", "message"),
    [
        (None, "expected COCO keypoint annotations"),
        ({"image_id": 3, "keypoints": [10**400, *SEEN[1:]]}, "expected COCO keypoint annotations"),
        ({"image_id": 3, "keypoints": 5}, "expected COCO keypoint annotations"),
        ({"image_id": 3, "keypoints": [SEEN] * 51}, "expected COCO keypoint annotations"),
        ({"image_id": 4, "keypoints": SEEN}, "annotation 77: expected the id .* image_id 4"),
        ({"image_id": 3, "keypoints": SEEN[3:]}, "annotation 77: expected 51 numbers.*got 48"),
        ({"image_id": 50, "keypoints": SEEN}, "cannot be read"),
        ({"image_id": 51, "keypoints": SEEN}, "expected images inside the folder, got '/a.png'"),
        ({"image_id": 52, "keypoints": SEEN}, "expected images inside the folder"),
        ({"image_id": 53, "keypoints": SEEN}, "a file_name that is no text"),
    ],
)
def test_annotations_that_are_refused(tmp_path, person, message):
    names = ["a\0.png", "/a.png", "x/../../a.png", None]
    images = [{"id": 50 + i, "file_name": name} for i, name in enumerate(names)]
    path = write_coco(tmp_path, [person and {"id": 77, **person}], images)
    with pytest.raises(SkelactError, match=message):
        read_people(path)


def test_joints_that_are_not_finite(npz, caplog):
    """They do not matter where nothing is annotated; elsewhere the person is left out."""
    path, keypoints = npz
    keypoints[0, 0] = np.nan
    keypoints[1, 9, 1] = np.inf
    np.savez(path, **dict(np.load(path)) | {"keypoints": keypoints})
    people = read_people(path)
    assert people.numbers.tolist() == [7]
    assert people.keypoints[0, 0].tolist() == [0, 0]
    np.testing.assert_array_equal(people.keypoints[0, 1:], keypoints[0, 1:])
    (line,) = caplog.messages
    assert "2 of 3 people left out: 1 without annotated joints, 1 with" in line


def test_nothing_is_said_where_nobody_is_left_out(tmp_path, caplog):
    read_people(write_coco(tmp_path, [{"image_id": 3, "keypoints": SEEN}]))
    assert caplog.messages == []


@pytest.mark.parametrize("data", [b"", b"no image"])
def test_an_image_that_cannot_be_decoded(tmp_path, data):
    path = write_coco(tmp_path, [{"image_id": 3, "keypoints": SEEN}])
    (tmp_path / "a.png").write_bytes(data)
    people = read_people(path)
    with pytest.raises(SkelactError, match=rf"a.png: expected an image, got {len(data)} bytes"):
        people.image(0)


def test_a_damaged_zip_gives_way_to_the_folder(npz):
    path, _ = npz
    archive, folder = path.with_suffix(".zip"), path.with_suffix("")
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(SkelactError, match="people.zip: expected a zip of images"):
        read_people(path)
    folder.mkdir()
    for number in (7, 12):
        (folder / f"im{number:05d}.jpg").write_bytes(png(number + 1))
    assert read_people(path).image(0)[0, 0, 0] == 8


def test_an_encrypted_image_is_refused(npz):
    path, _ = npz
    archive = path.with_suffix(".zip")
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1  # the flag "encrypted" of the first file listed
    data[6] |= 1  # and in its own header
    archive.write_bytes(data)
    with pytest.raises(SkelactError, match="im00007.jpg' cannot be read: .*encrypted"):
        read_people(path)


def test_arrays_that_are_damaged_or_no_archive(npz):
    path, keypoints = npz
    np.savez_compressed(path, **dict(np.load(path)))
    data = bytearray(path.read_bytes())
    data[100:110] = b"\xff" * 10
    path.write_bytes(data)
    with pytest.raises(SkelactError, match="people.npz: expected keypoints, visible and files"):
        read_people(path)
    with path.open("wb") as stream:
        np.save(stream, keypoints)
    with pytest.raises(SkelactError, match="people.npz: expected an archive of numpy.savez"):
        read_people(path)


def test_a_folder_is_no_file_of_people(tmp_path):
    with pytest.raises(SkelactError, match="it is a folder"):
        read_people(tmp_path)


def test_corrections_with_a_number_in_two_lists(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("exchanged: [1, 5]\nunusable: [2, 5]\n")
    with pytest.raises(SkelactError, match="mine.yaml: .*got 5 in exchanged and unusable"):
        read_corrections(str(path))


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


def test_flags_of_0_and_1_are_bool(npz):
    path, _ = npz
    values = dict(np.load(path))
    np.savez(path, **values | {"visible": values["visible"].astype(np.int64)})
    assert read_people(path).visible.dtype == bool


def test_an_empty_file_and_missing_images_say_what_to_do(npz):
    path, _ = npz
    path.with_suffix(".zip").unlink()
    with pytest.raises(SkelactError, match=r"expected its images in people.zip or people/"):
        read_people(path)
    path.write_bytes(b"")
    with pytest.raises(SkelactError, match=r"archive of numpy.savez, got an empty file"):
        read_people(path)


def test_crowds_and_other_categories_are_passed_over_and_told(tmp_path, caplog):
    (tmp_path / "a.png").write_bytes(png(9))
    person = {"image_id": 0, "keypoints": [5, 5, 2] * 17, "category_id": 1}
    values = {
        "images": [{"id": 0, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}],
        "annotations": [person, person | {"iscrowd": 1}, person | {"category_id": 2}],
    }
    path = tmp_path / "a.json"
    path.write_text(json.dumps(values))
    assert len(read_people(path)) == 1
    assert "2 of 3 annotations passed over: crowds" in caplog.text
    path.write_text(json.dumps(values | {"annotations": [person | {"keypoints": [5, 5, 7] * 17}]}))
    with pytest.raises(SkelactError, match="a visibility of 7, which is to be 0, 1 or 2"):
        read_people(path)


def test_joints_outside_their_images_are_found(npz):
    path, _ = npz
    values = dict(np.load(path))
    values["keypoints"][1, 9] = 30, 39.4  # the images are 30 wide and 40 high
    values["keypoints"][1, 10] = -0.4, 39.4
    values["keypoints"][1, 0] = 500, 500  # not annotated
    np.savez(path, **values)
    outside = read_people(path).joints_outside()
    assert np.argwhere(outside).tolist() == [[1, 9]]
