"""Annotation files: PYSKL's dictionary, JHMDB's joints, and files that are neither."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from scenes import make_sequence
from skeletons import make_annotations, write_annotations

from skelact import SkelactError
from skelact.pipeline.data.annotations import (
    Annotation,
    label_index,
    load_annotations,
    write_sequences,
)
from skelact.pipeline.data.annotations import write_annotations as write_file
from skelact.pose_extract.store.manifest import ManifestEntry


def write(path, **changes):
    record = {"frame_dir": "a", "label": 2, "keypoint": np.ones((1, 4, 17, 2), np.float16)}
    path.write_bytes(pickle.dumps({"split": {"train": ["a"]}, "annotations": [record | changes]}))
    return path


def test_what_is_written_is_read(tmp_path):
    train, val = make_annotations(2), make_annotations(1, seed=1)
    data = load_annotations(write_annotations(tmp_path / "a.pkl", train, val))
    assert [clip.frame_dir for clip in data.select("train")] == [clip.frame_dir for clip in train]
    read = data.select("val")[2]
    assert read.label == val[2].label
    assert read.keypoints.dtype == np.float32
    assert np.allclose(read.keypoints, val[2].keypoints, atol=0.2)  # half precision
    assert read.img_shape == (240, 320)


def test_the_fields_of_a_file_are_pyskls_in_this_order(tmp_path):
    clip = replace(make_annotations(1)[0], frame_dir="a", label=1)
    path = tmp_path / "a.pkl"
    assert write_file(str(path), [clip], {"train": ("a",)}, ("x", "y"), notes={"made": "here"}) == 1
    data = pickle.loads(path.read_bytes())
    record = data["annotations"][0]
    assert list(data) == ["split", "annotations", "label_names", "made"]
    assert list(record) == [
        "frame_dir", "label", "img_shape", "original_shape", "total_frames", "keypoint",
        "keypoint_score",
    ]  # fmt: skip
    assert (data["split"], data["label_names"]) == ({"train": ["a"]}, ["x", "y"])
    assert (record["frame_dir"], record["label"]) == ("a", 1)
    assert record["img_shape"] == record["original_shape"] == (240, 320)
    assert record["total_frames"] == clip.keypoints.shape[1]
    assert record["keypoint"].dtype == record["keypoint_score"].dtype == np.float32
    np.testing.assert_array_equal(record["keypoint"], clip.keypoints)
    np.testing.assert_array_equal(record["keypoint_score"], clip.keypoint_scores)


def test_extracted_sequences_become_an_annotation_file(tmp_path):
    entries = [
        ManifestEntry("day1/vault.mp4", "done", label="vault", split="train"),
        ManifestEntry("day2/vault.mp4", "done", label="beam", split="train"),
        ManifestEntry("day2/a.b.mp4", "done", label="vault", split="val"),
    ]
    sequence = make_sequence()
    labels = label_index(entry.label for entry in entries)
    assert labels == {"beam": 0, "vault": 1}
    path = tmp_path / "a.pkl"
    assert write_sequences(path, [(entry, sequence) for entry in entries], labels) == 3
    data = pickle.loads(path.read_bytes())
    assert list(data) == ["split", "annotations", "label_names"]
    assert data["label_names"] == ["beam", "vault"]
    assert data["split"] == {
        "train": ["day1/vault.mp4", "day2/vault.mp4"], "val": ["day2/a.b.mp4"],
    }  # fmt: skip
    records = data["annotations"]
    assert [record["frame_dir"] for record in records] == [entry.video for entry in entries]
    assert [record["label"] for record in records] == [1, 0, 1]
    assert records[0]["img_shape"] == (240, 320)
    np.testing.assert_array_equal(records[2]["keypoint"], sequence.keypoints)
    np.testing.assert_array_equal(records[2]["keypoint_score"], sequence.keypoint_scores)


def test_clips_without_label_split_or_people(tmp_path):
    """Label -1, the split "all", and one person whose scores are 0; no names of number labels."""
    items = [
        (ManifestEntry("a.mp4", "done", label="7"), make_sequence()),
        (ManifestEntry("b.mp4", "done"), make_sequence(num_person=0)),
    ]
    write_sequences(tmp_path / "a.pkl", items, label_index(["7", None]))
    data = pickle.loads((tmp_path / "a.pkl").read_bytes())
    assert list(data) == ["split", "annotations"]
    assert data["split"] == {"all": ["a.mp4", "b.mp4"]}
    assert [record["label"] for record in data["annotations"]] == [7, -1]
    empty = data["annotations"][1]
    assert empty["keypoint"].shape == (1, 3, 17, 2)
    assert (empty["keypoint_score"] == 0).all()


def test_number_labels_keep_their_value():
    assert label_index(["7", "2", None, ""]) == {"2": 2, "7": 7}


def test_without_scores_all_finite_joints_count_as_seen(tmp_path):
    keypoint = np.ones((1, 4, 17, 2), np.float32)
    keypoint[0, 1, 3] = np.nan
    clip = load_annotations(write(tmp_path / "a.pkl", keypoint=keypoint)).select("train")[0]
    assert clip.keypoint_scores[0, 1, 3] == 0
    assert clip.keypoint_scores.sum() == 4 * 17 - 1
    assert np.isfinite(clip.keypoints).all()


def test_jhmdb_joints_take_their_coco_places(tmp_path):
    keypoint = np.arange(15, dtype=np.float32).repeat(2).reshape(1, 1, 15, 2) + 1
    clip = load_annotations(write(tmp_path / "a.pkl", keypoint=keypoint)).select("train")[0]
    values, scores = clip.keypoints[0, 0, :, 0] - 1, clip.keypoint_scores[0, 0]
    # JHMDB: 0 neck, 1 belly, 2 face, 3/4 right/left shoulder, 5/6 hip, 7/8 elbow, 9/10 knee,
    # 11/12 wrist, 13/14 ankle.
    assert values[[0, 5, 6, 7, 8, 9, 10]].tolist() == [2, 4, 3, 8, 7, 12, 11]
    assert values[[11, 12, 13, 14, 15, 16]].tolist() == [6, 5, 10, 9, 14, 13]
    assert scores[1:5].tolist() == [0, 0, 0, 0]


def test_the_public_files(shared):
    penn = load_annotations(shared / "data" / "penn_action_train.pkl")
    assert [len(penn.select(split)) for split in ("train", "dev_train", "dev_val")] == [
        1258,
        1005,
        253,
    ]
    jhmdb = load_annotations(shared / "data" / "jhmdb14_gt.pkl")
    assert len(jhmdb.annotations) == 609
    assert next(iter(jhmdb.annotations.values())).keypoints.shape[2] == 17


def test_a_sequence_becomes_an_annotation():
    sequence = make_sequence()
    clip = Annotation.from_sequence(sequence)
    assert clip.label == -1
    assert clip.frame_dir == sequence.video_id
    assert clip.keypoints is sequence.keypoints


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoint": np.ones((4, 17, 2))}, r"expected \(M, T, V, 2\)"),
        ({"keypoint": np.ones((1, 4, 25, 3))}, "expected 17 COCO keypoints, got 25"),
        ({"keypoint_score": np.ones((1, 3, 17))}, "keypoint_score: expected"),
        ({"label": "dive"}, "annotation 0"),
    ],
)
def test_records_that_cannot_be(tmp_path, changes, message):
    with pytest.raises(SkelactError, match=message):
        load_annotations(write(tmp_path / "a.pkl", **changes))


def test_an_unknown_split_lists_the_known_ones(tmp_path):
    data = load_annotations(write(tmp_path / "a.pkl"))
    with pytest.raises(SkelactError, match="has no split 'test'; it has: train"):
        data.select("test")


def test_two_clips_of_one_name_are_refused(tmp_path):
    record = {"frame_dir": "a", "label": 0, "keypoint": np.ones((1, 1, 17, 2))}
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"split": {}, "annotations": [record, record]}))
    with pytest.raises(SkelactError, match="two annotations are called 'a'"):
        load_annotations(path)


class Bomb:
    def __reduce__(self):
        return print, ("executed",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"split": {}, "annotations": [Bomb()]}))
    with pytest.raises(SkelactError, match="print"):
        load_annotations(path)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps([1, 2])])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    with pytest.raises(SkelactError, match="expected"):
        load_annotations(path)
