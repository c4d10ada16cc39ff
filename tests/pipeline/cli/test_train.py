"""Commands on labels and trainings: mistakes are told in a line, before any work."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from skeletons import ACTIONS, make_annotations, write_annotations

from skelact.pipeline.cli.main import main

CONFIG = (
    "data: {{dataset: mine, ann_file: {}, val_split: val}}\n"
    "preprocess: {{clip_len: 16, num_person: 1}}\n"
    "encoder: {{embed_dim: 16, hidden_dim: 16}}\n"
    "classifier: {{temporal_dim: 32}}\n"
    "optim: {{kind: adam, lr: 3.0e-3, batch_size: 8, epochs: 2}}\n"
    "runtime: {{save_every: 1}}\n"
)


def run(*arguments):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    return result.exit_code, result.output


@pytest.fixture
def config(tmp_path):
    train, val = make_annotations(2), make_annotations(1, seed=1)
    ann_file = write_annotations(tmp_path / "a.pkl", train, val, label_names=ACTIONS)
    path = tmp_path / "fin.yaml"
    path.write_text(CONFIG.format(ann_file))
    return path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--set", "optim.epochs=0"), "optim: epochs: expected at least 1, got 0"),
        (("--set", "optim.batch_size=0"), "optim: batch_size: expected at least 1, got 0"),
        (("--set", "optim.lr=-1"), "optim: lr: expected above 0, got -1.0"),
        (("--set", "optim.lr=.nan"), "optim: lr: expected above 0, got nan"),
        (("--set", "data.val_split=train"), "val_split: expected another split than train_split"),
        (("--seed", -1), "seed: expected a whole number from 0"),
        (("--seed", 1, "--seed", 1), "--seed: expected each seed once, got 1, 1"),
        (("--pretrained", "{other}"), "checkpoint {other}: expected the pair"),
    ],
)
def test_what_cannot_be_trained_is_told_before_the_run(config, tmp_path, options, message):
    code, output = run("finetune", config, "--work-dir", tmp_path / "out", *options)
    assert code in (1, 2)
    assert message in output
    assert not (tmp_path / "out").exists()


def test_a_resumed_run_says_how(config, tmp_path):
    out = tmp_path / "out"
    arguments = ("finetune", config, "--work-dir", out, "--resume")
    assert run(*arguments)[0] == 0
    assert run(*arguments, "--set", "optim.epochs=3")[0] == 0
    lines = [line.split(" ", 2)[2] for line in (out / "train.log").read_text().splitlines()]
    assert lines[0] == f"nothing to resume from in {out}: training begins at epoch 1"
    assert lines[3] == f"resumed from epoch 2 of 3 ({out / 'state.pt'})"
    assert [line.split(":")[0] for line in lines[1:3] + lines[4:]] == [
        "epoch 1/2", "epoch 2/2", "epoch 3/3",
    ]  # fmt: skip


def test_labels_that_cannot_be_are_told_before_an_extraction(tmp_path):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "clips.csv").write_text("path,label\na.mp4,-1\n")
    out = ("--out", tmp_path / "out", "--annotations", tmp_path / "a.pkl")
    code, output = run("extract", tmp_path / "clips.csv", "--detector", "whole-frame", *out)
    assert code == 1
    assert "label '-1': expected a class name or a whole number from 0" in output
    assert not (tmp_path / "out").exists()
