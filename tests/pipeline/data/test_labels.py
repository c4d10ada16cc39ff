"""Labels by name: three clips of a wave, a turn and a jump, however a file numbers them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from skeletons import ACTIONS, make_annotations

from skelact import SkelactError
from skelact.pipeline.data.annotations import AnnotationFile
from skelact.pipeline.data.labels import match_labels, read_label_map

OURS = ("jump", "turn", "wave")  # make_annotations numbers wave 0, turn 1, jump 2


def file_of(names, labels=(0, 1, 2)):
    clips = [replace(c, label=i) for c, i in zip(make_annotations(1), labels)]
    return AnnotationFile(Path("a.pkl"), {c.frame_dir: c for c in clips}, {}, names), clips


def labels_of(names, ours=OURS, label_map=None, labels=(0, 1, 2)):
    clips, note = match_labels(*file_of(names, labels), ours, label_map)
    return [clip.label for clip in clips], note


def test_the_names_say_which_class_is_which():
    assert labels_of(ACTIONS) == ([2, 1, 0], "")
    assert labels_of(OURS) == ([0, 1, 2], "")


def test_a_file_may_hold_some_of_the_classes_and_others_that_no_clip_has():
    assert labels_of(ACTIONS, ours=("fly", *OURS)) == ([3, 2, 1], "")
    assert labels_of((*ACTIONS, "swim")) == ([2, 1, 0], "")


def test_a_class_that_the_classifier_lacks_is_an_error():
    with pytest.raises(
        SkelactError,
        match=r"a.pkl: 1 of the 3 classes of its clips are not classes of the checkpoint: turns "
        r"\(is 'turn' meant\?\); expected names from: jump, turn, wave; name each with --label-map",
    ):
        labels_of(("wave", "turns", "jump"))
    with pytest.raises(SkelactError, match="3 of the 3 classes .* catch, clap, golf; expected"):
        labels_of(("catch", "clap", "golf"))


def test_upper_and_lower_case_are_two_names():
    with pytest.raises(SkelactError, match=r"Wave \(is 'wave' meant\?\)"):
        labels_of(("Wave", "turn", "jump"))


def test_a_map_says_what_a_class_is_called():
    theirs = ("WAVE", "turn", "leap")
    assert labels_of(theirs, label_map={"WAVE": "wave", "leap": "jump"}) == ([2, 1, 0], "")
    # Two of theirs may be one of ours.
    both = {"WAVE": "wave", "leap": "wave"}
    assert labels_of(theirs, label_map=both) == ([2, 1, 2], "")


def test_a_map_for_a_file_without_names():
    assert labels_of(None, label_map=list(ACTIONS)) == ([2, 1, 0], "")
    numbers = {"0": "wave", "1": "turn", "2": "jump"}
    assert labels_of(None, label_map=numbers) == ([2, 1, 0], "")
    assert labels_of(None, label_map={int(i): name for i, name in numbers.items()})[0] == [2, 1, 0]
    # The file has the first two classes alone; the list names all of the data set.
    assert labels_of(None, label_map=list(ACTIONS), labels=(0, 1, 1)) == ([2, 1, 1], "")


@pytest.mark.parametrize(
    ("names", "label_map", "message"),
    [
        (ACTIONS, {"wav": "wave"}, r"a.pkl has no class 'wav' \(is 'wave' meant\?\)"),
        (ACTIONS, {"wave": "wav"}, r"the checkpoint has no class 'wav' \(is 'wave' meant\?\)"),
        (ACTIONS, ["wave"], "a name for each of the 3 classes of a.pkl, each name once, got 1"),
        (ACTIONS, ["wave", "wave", "turn"], "each name once"),
        (None, {"wave": "wave"}, "a.pkl has no label_names; expected class indices"),
        (None, {"0": "wave"}, "2 of the 3 classes of its clips are not .*: 1, 2; expected"),
    ],
)
def test_maps_that_cannot_be(names, label_map, message):
    with pytest.raises(SkelactError, match=message):
        labels_of(names, label_map=label_map)


def test_without_names_the_number_of_classes_has_to_agree_and_a_line_says_so():
    labels, note = labels_of(None)
    assert labels == [0, 1, 2]
    assert note == (
        "a.pkl has no label_names: its class indices were taken for the 3 classes of the "
        "checkpoint, names could not be compared"
    )
    for ours in (OURS[:2], (*OURS, "fly")):
        with pytest.raises(SkelactError, match=f"expected {len(ours)} classes, .* got 3, and"):
            labels_of(None, ours=ours)


def test_a_classifier_without_names():
    labels, note = labels_of(ACTIONS, ours=("0", "1", "2"))
    assert labels == [0, 1, 2]
    assert "the checkpoint has no class names" in note
    with pytest.raises(SkelactError, match="expected 4 classes"):
        labels_of(ACTIONS, ours=("0", "1", "2", "3"))


def test_where_neither_has_names_the_numbers_are_the_names():
    assert labels_of(None, ours=("0", "1", "2", "3", "4")) == ([0, 1, 2], "")
    with pytest.raises(SkelactError, match="1 of the 3 classes .* not classes of the .*: 2; exp"):
        labels_of(None, ours=("0", "1"))


def test_clips_without_a_label_are_an_error():
    data, clips = file_of(ACTIONS)
    clips[1] = replace(clips[1], label=-1)
    with pytest.raises(SkelactError, match=r"1 of 3 clips have no label \(-1\), such as turn_0_1"):
        match_labels(data, clips, OURS)


def test_two_classes_of_one_name_cannot_be_matched():
    with pytest.raises(SkelactError, match="two classes of one name"):
        labels_of(ACTIONS, ours=("wave", "wave", "turn", "jump"))


def test_maps_are_read_from_yaml_and_json(tmp_path):
    (tmp_path / "a.yaml").write_text("WAVE: wave\n0: turn\n")
    assert read_label_map(tmp_path / "a.yaml") == {"WAVE": "wave", "0": "turn"}
    (tmp_path / "b.yaml").write_text("names: [wave, turn]\n")
    assert read_label_map(str(tmp_path / "b.yaml")) == ["wave", "turn"]
    (tmp_path / "c.json").write_text('["wave", "turn"]')
    assert read_label_map(tmp_path / "c.json") == ["wave", "turn"]
    (tmp_path / "d.json").write_text('{"WAVE": "wave"}')
    assert read_label_map(tmp_path / "d.json") == {"WAVE": "wave"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "cannot read it as JSON"),
        ("a.json", '"wave"', "expected a mapping of names .* got 'wave'"),
        ("a.json", "[]", "expected a mapping of names"),
        ("a.json", '{"wave": ["turn"]}', r"expected names of classes as text, got \['turn'\]"),
        ("a.json", "[" * 100_000, "cannot read it as JSON"),
        ("a.json", '{"wave": "a", "wave": "b"}', "the key 'wave' twice"),
        ("a.yaml", "wave: a\nwave: b\n", "line 2 has the key 'wave' again"),
        ("a.yaml", "1: a\n'1': b\n", "expected each class once, got '1' twice"),
        ("a.yaml", "wave: true\n", "expected names of classes as text, got True"),
        ("a.yaml", "", "expected"),
        ("a.txt", "wave: turn\n", "expected a YAML file"),
    ],
)
def test_map_files_that_cannot_be(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(SkelactError, match=message):
        read_label_map(tmp_path / name)
    with pytest.raises(SkelactError, match="cannot read"):
        read_label_map(tmp_path / f"none{Path(name).suffix}".replace(".txt", ".json"))


def test_maps_are_small_regular_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    for name in ("pipe.json", "zero.json"):
        with pytest.raises(SkelactError, match=f"{name}: expected a file"):
            read_label_map(tmp_path / name)
    with (tmp_path / "large.json").open("wb") as stream:
        stream.truncate(17 << 20)
    with pytest.raises(SkelactError, match="at most 16 MiB"):
        read_label_map(tmp_path / "large.json")
