"""Evaluation of a checkpoint: classes by name, and what a reader of the figures has to know."""

from __future__ import annotations

import dataclasses
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from skeletons import ACTIONS, make_annotations, write_annotations
from training_configs import make_config

from skelact import SkelactError
from skelact.pipeline.checkpoints.checkpoint import (
    CheckpointMeta,
    load_meta,
    save_checkpoint,
)
from skelact.pipeline.checkpoints.networks import build_classifier
from skelact.pipeline.cli.main import main
from skelact.pipeline.config import ClassifierConfig, FinetuneConfig, TubeConfig
from skelact.pipeline.data.annotations import load_annotations
from skelact.pipeline.data.annotations import write_annotations as write_file
from skelact.pipeline.data.preprocess import PreprocessConfig
from skelact.pipeline.evaluation.evaluate import evaluate_checkpoint
from skelact.pipeline.evaluation.trained_on import training_note
from skelact.pipeline.training.train import finetune

PREPROCESS = PreprocessConfig(clip_len=16, num_person=1)


@pytest.fixture(scope="module")
def ann_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "actions.pkl"
    train, val = make_annotations(8), make_annotations(4, seed=1)
    return write_annotations(path, train, val, label_names=list(ACTIONS))


@pytest.fixture(scope="module")
def checkpoint(ann_file, tmp_path_factory):
    """A classifier that tells the three actions apart."""
    config = make_config(FinetuneConfig, ann_file, optim={"epochs": 25, "ema_momentum": 0.05})
    return finetune(config, tmp_path_factory.mktemp("fin"), quiet=True)


def renumbered(path, ann_file, order):
    """Copy a file with its classes in another order; the same clips, the same names."""
    data = load_annotations(ann_file)
    clips = [
        replace(clip, label=order.index(data.label_names[clip.label]))
        for clip in data.annotations.values()
    ]
    write_file(path, clips, data.splits, order)
    return path


def test_the_order_of_the_classes_in_a_file_changes_nothing(ann_file, checkpoint, tmp_path):
    expected = evaluate_checkpoint(checkpoint, ann_file, "val")
    assert expected.top1 >= 90
    assert expected.notes == ()
    for order in (["jump", "wave", "turn"], ["turn", "jump", "wave", "swim"]):
        path = renumbered(tmp_path / "a.pkl", ann_file, order)
        assert evaluate_checkpoint(checkpoint, str(path), "val") == expected


def test_it_tells_how_far_it_is_and_prints_json_alone(ann_file, checkpoint):
    told = []
    result = evaluate_checkpoint(
        checkpoint, ann_file, "val", num_clips=20, on_progress=lambda *step: told.append(step)
    )
    # Three clips of 20 views are a batch of at most 64.
    assert told == [(3, 12), (6, 12), (9, 12), (12, 12)]
    arguments = ["--checkpoint", str(checkpoint), "--ann-file", str(ann_file), "--split", "val"]
    command = ["evaluate", *arguments, "--num-clips", "20"]
    printed = CliRunner().invoke(main, [*command, "--json", "-"])
    assert json.loads(printed.stdout) == result.to_json()
    quiet = CliRunner().invoke(main, [*command, "--quiet"])
    assert (quiet.exit_code, quiet.output) == (0, "")


def test_the_same_66_clips_give_the_same_figures_in_every_order(shared, tmp_path):
    """The shipped classifier on real clips that it knows: all right, or none before."""
    data = load_annotations(shared / "data" / "penn_action_train.pkl")
    rng = np.random.default_rng(0)
    clips = data.select("dev_val")
    clips = [clips[i] for i in rng.permutation(len(clips))[:66]]
    splits = {"some": [clip.frame_dir for clip in clips]}
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(15).tolist()
        names = [data.label_names[i] for i in order]
        moved = [replace(clip, label=order.index(clip.label)) for clip in clips]
        write_file(tmp_path / "a.pkl", moved, splits, names)
        result = evaluate_checkpoint(None, tmp_path / "a.pkl", "some")
        assert (result.num_clips, result.top1, result.mean_class_accuracy) == (66, 100, 100)


def test_another_data_set_is_an_error_unless_a_map_names_its_classes(shared, tmp_path):
    jhmdb = shared / "data" / "jhmdb14_gt.pkl"
    with pytest.raises(SkelactError, match="expected 15 classes, as the checkpoint has, got 14"):
        evaluate_checkpoint(None, jhmdb, "test1")
    names = shared / "data" / "jhmdb14_classes.json"
    with pytest.raises(SkelactError, match="13 of the 14 classes .*: catch, clap, golf"):
        evaluate_checkpoint(None, jhmdb, "test1", label_map=names)


def test_the_command_takes_a_map(ann_file, checkpoint, tmp_path):
    foreign = renumbered(tmp_path / "a.pkl", ann_file, list(ACTIONS))
    data = load_annotations(foreign)
    names = [f"my {name}" for name in ACTIONS]
    write_file(foreign, data.annotations.values(), data.splits, names)
    arguments = ["evaluate", "--checkpoint", checkpoint, "--ann-file", foreign, "--split", "val"]
    result = CliRunner().invoke(main, [*map(str, arguments)])
    assert result.exit_code == 1
    assert "my wave, my turn, my jump (is" in result.output
    (tmp_path / "map.json").write_text(json.dumps({f"my {name}": name for name in ACTIONS}))
    arguments += ["--label-map", tmp_path / "map.json", "--json", tmp_path / "out.json"]
    result = CliRunner().invoke(main, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    expected = evaluate_checkpoint(checkpoint, ann_file, "val")
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["confusion_matrix"] == expected.confusion_matrix


def test_padded_clips_give_the_figures_of_the_clips(ann_file, checkpoint, tmp_path):
    data = pickle.loads(ann_file.read_bytes())
    for record in data["annotations"]:
        for name in ("keypoint", "keypoint_score"):
            filler = np.zeros_like(record[name][:, :1]).repeat(120, axis=1)
            record[name] = np.concatenate([record[name], filler], axis=1)
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(data))
    expected = evaluate_checkpoint(checkpoint, ann_file, "val")
    assert evaluate_checkpoint(checkpoint, path, "val") == expected


def test_clips_that_were_trained_on_are_told(ann_file, checkpoint, tmp_path):
    arguments = ["evaluate", "--checkpoint", checkpoint, "--ann-file", ann_file, "--split"]
    result = CliRunner().invoke(main, [*map(str, arguments), "train"])
    assert result.exit_code == 0, result.output
    note = (
        "24 of these 24 clips are in split 'train', which this checkpoint was trained on (known by "
        "the hash of the file)"
    )
    assert f"skelact: note: {note}" in result.output
    assert "note" not in CliRunner().invoke(main, [*map(str, arguments), "val"]).output
    # The same clips in another file: a class more, and a split that mixes them with others.
    data = load_annotations(ann_file)
    mixed = {"train": data.splits["train"], "mixed": [*data.splits["train"][:2], "wave_1_0"]}
    write_file(tmp_path / "a.pkl", data.annotations.values(), mixed, [*ACTIONS, "swim"])
    (note,) = evaluate_checkpoint(checkpoint, tmp_path / "a.pkl", "mixed").notes
    assert note.startswith("2 of these 3 clips are in split 'train'")
    assert "known by the names of its clips" in note
    # Another data set, of which a split has the same name.
    write_annotations(tmp_path / "b.pkl", make_annotations(3, seed=5), [], label_names=ACTIONS)
    assert evaluate_checkpoint(checkpoint, tmp_path / "b.pkl", "train").notes == ()


def test_training_clips_of_checkpoints_that_record_no_hash(ann_file, checkpoint, tmp_path):
    meta = load_meta(checkpoint)
    record = {k: v for k, v in meta.data.items() if not k.endswith("sha256")}
    data = load_annotations(ann_file)
    train = data.select("train")
    old = replace(meta, data=record)
    assert "known by the name of the file" in training_note(old, data, train)
    moved = replace(data, path=tmp_path / "b.pkl")
    assert "known by the size of the split" in training_note(old, moved, train)
    assert training_note(replace(old, data=record | {"num_clips": 7}), moved, train) == ""
    before = replace(old, data={"pretrained_on": record})
    assert "was pre-trained (without labels) on" in training_note(before, data, train)
    for data_of_meta in ({}, {"split": None}, {"split": ["train"]}, {"pretrained_on": 3}):
        assert training_note(replace(old, data=data_of_meta), data, train) == ""


def test_the_shipped_classifier_knows_its_training_clips(shared):
    data = load_annotations(shared / "data" / "penn_action_train.pkl")
    note = training_note(load_meta(None), data, data.select("dev_val"))
    assert note.startswith("253 of these 253 clips are in split 'train'")


def test_scores_that_are_not_finite_are_an_error(ann_file, tmp_path):
    model = build_classifier(PREPROCESS, TubeConfig((16, 32), (2, 1), 4), ClassifierConfig(), 3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1e30)  # finite, but their products are not
    meta = CheckpointMeta(
        kind="classifier", preprocess=PREPROCESS, head={}, label_names=ACTIONS, config={}, data={},
        encoder=dataclasses.asdict(TubeConfig((16, 32), (2, 1), 4)), seed=0, figures={},
        model="tube",
    )  # fmt: skip
    path = save_checkpoint(tmp_path / "classifier", model.eval(), meta)
    with pytest.raises(SkelactError, match=r"expected finite numbers, .* 12 of 12 clips, such as"):
        evaluate_checkpoint(path, ann_file, "val")


def test_clips_without_a_label_are_an_error(ann_file, checkpoint, tmp_path):
    data = load_annotations(ann_file)
    clips = [replace(clip, label=-1) for clip in data.annotations.values()]
    write_file(tmp_path / "a.pkl", clips, data.splits, list(ACTIONS))
    with pytest.raises(SkelactError, match=r"12 of 12 clips have no label \(-1\), such as wave_1"):
        evaluate_checkpoint(checkpoint, tmp_path / "a.pkl", "val")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_clips": 0}, "num_clips: expected 1 to 1000, got 0"),
        ({"num_clips": 10**9}, "num_clips: expected 1 to 1000, got 1000000000"),
        ({"seed": -1}, "seed: expected a whole number from 0 to 4294967295, got -1"),
        ({"joint_noise": float("nan")}, "expected joint noise of 0 or more"),
        ({"joint_noise": float("inf")}, "expected joint noise of 0 or more"),
        ({"lost_frames": float("nan")}, "share of lost frames"),
    ],
)
def test_options_that_cannot_be(ann_file, checkpoint, options, message):
    with pytest.raises(SkelactError, match=message):
        evaluate_checkpoint(checkpoint, ann_file, "val", **options)
