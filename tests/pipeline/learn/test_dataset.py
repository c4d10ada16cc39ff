"""Class folders and lists, and what is wrong with them."""

from __future__ import annotations

import pytest
from touch import touch

from skelact import SkelactError
from skelact.pipeline.learn.dataset import read_dataset


def read(path):
    notes = []
    clips = read_dataset(path, notes.append)
    return [(clip.clip_id, clip.label, clip.split, clip.group) for clip in clips], notes


def test_a_folder_per_class(tmp_path):
    touch(tmp_path, "dive/a.mp4", "dive/deeper/b.avi", "salto/c.mov", "readme.txt", "d.mp4")
    found, notes = read(tmp_path)
    assert found == [
        ("dive/a.mp4", "dive", None, None),
        ("dive/deeper/b.avi", "dive", None, None),
        ("salto/c.mov", "salto", None, None),
    ]
    assert notes == [
        f"{tmp_path}: passed over 1 .txt",
        f"1 clips beside the class folders of {tmp_path} are left out",
    ]


def test_folders_of_splits_above_those_of_classes(tmp_path):
    touch(tmp_path, "train/dive/a.mp4", "train/salto/b.mp4", "test/dive/c.mp4", "test/salto/d.mp4")
    found, _ = read(tmp_path)
    assert [(label, split) for _, label, split, _ in found] == [
        ("dive", "test"), ("salto", "test"), ("dive", "train"), ("salto", "train"),
    ]  # fmt: skip


def test_results_inside_the_data_set_are_no_class(tmp_path):
    touch(tmp_path, "dive/a.mp4", "salto/b.mp4", "out/run_1/plan.json")
    assert len(read_dataset(tmp_path, print, tmp_path / "out")) == 2
    with pytest.raises(SkelactError, match="no clip in out"):
        read_dataset(tmp_path, print)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["dive/a.mp4"], "expected clips of two classes or more, got dive"),
        (["a.mp4", "b.mp4"], "got 2 clips without a class folder"),
        (
            ["dive/a.mp4", "salto/notes.txt"],
            "no clip in salto; expected clips in each",
        ),
        (["dive/notes.txt"], "no video among 1 files"),
        (["train/dive/a.mp4", "train/salto/b.mp4"], "all clips are in the split 'train'"),
        (["test/dive/a.mp4", "test/salto/b.mp4"], "no clip is in the split 'train'"),
        (["train/dive/a.mp4", "salto/b.mp4"], "a split for all clips or for none, got 1 of 2"),
    ],
)
def test_folders_that_cannot_be_learned_from(tmp_path, files, message):
    touch(tmp_path, *files)
    with pytest.raises(SkelactError, match=message):
        read(tmp_path)


def test_a_list_with_groups(tmp_path):
    path = tmp_path / "clips.csv"
    path.write_text("path,label,group\na.mp4,dive,anna\nb.mp4,salto,anna\nc.mp4,,\n")
    found, notes = read(path)
    assert found == [("a.mp4", "dive", None, "anna"), ("b.mp4", "salto", None, "anna")]
    assert notes == [f"1 rows of {path} without a label are left out"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path\na.mp4\n", "no row has a label"),
        ("path,label,athlete\na.mp4,dive,anna\n", "is 'group' meant?"),
        ("path,label,split\na.mp4,dive,train\nb.mp4,salto,\n", "got 1 of 2 without one"),
        ("path,label,split\na.mp4,dive,one\nb.mp4,salto,two\n", "train, val, test, got one, two"),
    ],
)
def test_lists_that_cannot_be_learned_from(tmp_path, text, message):
    (tmp_path / "clips.csv").write_text(text)
    with pytest.raises(SkelactError, match=message):
        read(tmp_path / "clips.csv")


def test_what_is_no_data_set(tmp_path):
    touch(tmp_path, "a.mp4")
    for name in ("a.mp4", "nothing"):
        with pytest.raises(SkelactError, match="expected a folder with a folder of clips"):
            read(tmp_path / name)
