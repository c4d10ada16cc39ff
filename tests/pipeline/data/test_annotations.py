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
from skelact.pipeline.data.preprocess import PreprocessConfig, normalize
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
    # As pandas writes whole numbers where a cell is empty.
    assert label_index(["10.0", "2.0", None]) == {"2.0": 2, "10.0": 10}


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
        ({"label": "dive"}, r"annotation 0 \('a'\): label: expected a class index.*got 'dive'"),
        ({"frame_dir": None}, "annotation 0: frame_dir: expected the name of the clip"),
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


def write_file_of(path, **changes):
    record = {"frame_dir": "a", "label": 1, "keypoint": np.ones((1, 1, 17, 2))}
    data = {"split": {"train": ["a"]}, "annotations": [record]} | changes
    path.write_bytes(pickle.dumps(data))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": {"a": 1}}, r"annotations: expected a list, got {'a': 1}"),
        ({"annotations": ["a"]}, "annotation 0: expected a dictionary, got 'a'"),
        ({"split": ["a"]}, r"split: expected a dictionary of lists of clips, got \['a'\]"),
        ({"split": {"train": "a"}}, "split 'train': expected a list of clips, got 'a'"),
        ({"split": {"train": ["a" * 5000]}}, "split 'train': expected names of clips, got 'aaa"),
        ({"split": {("a", "b"): ["a"]}}, r"split: expected names of splits, got \('a', 'b'\)"),
        ({"split": {"train": [["a"]]}}, r"split 'train': expected names of clips, got \['a'\]"),
        ({"label_names": "ab"}, "label_names: expected a list of class names, got 'ab'"),
        ({"label_names": [["a"], ["b"]]}, "label_names: expected a list of class names"),
        ({"label_names": ["a", "a"]}, "label_names: expected each class name once, got 'a' twice"),
        ({"label_names": ["a"]}, r"a: label 1 has no name: label_names has 1 \(0 to 0\)"),
    ],
)
def test_files_that_cannot_be(tmp_path, changes, message):
    with pytest.raises(SkelactError, match=message):
        load_annotations(write_file_of(tmp_path / "a.pkl", **changes))


def test_class_names_are_read_under_either_name(tmp_path):
    for names in (["x", "y"], ("x", "y"), np.array(["x", "y"])):
        path = write_file_of(tmp_path / "a.pkl", label_names=names)
        assert load_annotations(path).label_names == ("x", "y")
    path = write_file_of(tmp_path / "a.pkl", classes=["x", "y"])
    assert load_annotations(path).label_names == ("x", "y")
    path = write_file_of(tmp_path / "a.pkl", classes=["x", "y"], label_names=["p", "q"])
    assert load_annotations(path).label_names == ("p", "q")
    for other in (
        {"classes": 15},
        {"classes": ["x"]},
        {"classes": [{}]},
        {"label_names": None},
        {"label_names": []},
        {},
    ):
        data = load_annotations(write_file_of(tmp_path / "a.pkl", **other))
        assert (data.label_names, data.num_classes) == (None, 2)


def test_splits_that_name_other_clips_or_one_twice(tmp_path):
    splits = {"few": ["a", "b", "c"], "twice": ["a", "a"], "none": [], "set": {"a"}}
    data = load_annotations(write_file_of(tmp_path / "a.pkl", split=splits))
    assert [clip.frame_dir for clip in data.select("set")] == ["a"]
    with pytest.raises(SkelactError, match=r"names 2 clip\(s\) that the file lacks, .* b;"):
        data.select("few")
    with pytest.raises(SkelactError, match="split 'twice' names a twice"):
        data.select("twice")
    with pytest.raises(SkelactError, match="split 'none' names no clip"):
        data.select("none")


def test_two_clips_of_one_name_are_not_written(tmp_path):
    clip = make_annotations(1)[0]
    with pytest.raises(SkelactError, match="two clips are called wave_0_0; nothing was written"):
        write_file(tmp_path / "a.pkl", [clip, clip], {})
    assert not list(tmp_path.iterdir())


def test_a_negative_number_is_no_class():
    with pytest.raises(SkelactError, match="label '-1': expected a class name or a whole number"):
        label_index(["vault", "-1"])
    with pytest.raises(SkelactError, match="leave the label empty"):
        label_index(["-1.0", "3"])
    with pytest.raises(SkelactError, match="label 123456789: expected class indices below 100000"):
        label_index(["123456789"])


def test_two_spellings_of_a_number_are_words(tmp_path):
    labels = label_index(["7", "07"])
    assert labels == {"07": 0, "7": 1}
    items = [(ManifestEntry("a.mp4", "done", label="7"), make_sequence())]
    write_sequences(tmp_path / "a.pkl", items, labels)
    assert load_annotations(tmp_path / "a.pkl").label_names == ("07", "7")


def test_damaged_files_are_errors_or_hold_finite_numbers(tmp_path):
    """400 copies with bytes changed, cut off or doubled: never another exception."""
    path = write_annotations(
        tmp_path / "a.pkl", make_annotations(1), [], label_names=["a", "b", "c"]
    )
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = []
    for _ in range(400):
        damaged = bytearray(whole)
        # Half of the changes in the last bytes or the first, where the structure is.
        places = [rng.integers(len(whole)), rng.integers(300), len(whole) - 1 - rng.integers(300)]
        for place in places[: rng.integers(1, 4)]:
            damaged[place] = rng.integers(256)
        if rng.random() < 0.2:
            del damaged[rng.integers(len(damaged)) :]
        path.write_bytes(damaged)
        try:
            data = load_annotations(path)
            for clip in data.annotations.values():
                assert np.isfinite(normalize(clip, PreprocessConfig())).all()
        except SkelactError as error:
            refused.append(len(str(error)))
    assert 100 < len(refused) < 400
    assert max(refused) < 1000


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
