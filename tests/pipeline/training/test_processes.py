"""torchrun with two processes, here on the CPU, on a file of a public benchmark's format."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from skelact.pipeline.checkpoints.checkpoint import load_meta
from skelact.pipeline.data.annotations import load_annotations
from skelact.pipeline.evaluation.evaluate import evaluate_checkpoint
from skelact.pipeline.training.runner import epoch_batches

# Runs a command of skelact, and notes the clips of each step of its process.
NOTED = """
import json, os, sys
from skelact.pipeline.cli.main import main
from skelact.pipeline.training.runner import SeededModule
from skelact.pipeline.training import objectives
seen, plain = [], objectives._TrainingModule.training_batch
def noted(self, inds):
    if self.epoch < 2:  # later ones are the gate's
        seen.append((self.epoch, list(inds)))
    return plain(self, inds)
objectives._TrainingModule.training_batch = noted
main(sys.argv[1:], standalone_mode=False)
with open(f"{sys.argv[1]}_{os.environ['RANK']}.json", "w") as stream:
    json.dump(seen, stream)
"""
CONFIG = """
data: {dataset: gym99, ann_file: gym_hrnet.pkl, train_split: train%s}
preprocess: {clip_len: 8, num_person: 1}
encoder: {embed_dim: 8, hidden_dim: 8}
optim: {kind: adam, lr: 1.0e-3, batch_size: 4, epochs: 2}
%s
"""


@pytest.mark.parametrize("length", [16, 21])
def test_two_processes_see_the_clips_of_one_in_its_order(length):
    one = epoch_batches(length, 8, seed=3)
    two = [epoch_batches(length, 4, 3, rank, 2) for rank in range(2)]
    assert len(two[0]) == len(two[1]) == len(one)
    for step, clips in enumerate(one):
        shared = {*two[0][step], *two[1][step]}
        # An odd number of clips is made even with the first of the order.
        assert shared - set(one[0][:1]) == set(clips) - set(one[0][:1])


@pytest.mark.slow
def test_pretraining_and_fine_tuning_by_two_processes(repository, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(repository / "benchmarks")
    import published_files

    published_files.write_file(published_files.FILES["gym_hrnet.pkl"], tmp_path, 110)
    data = load_annotations(tmp_path / "gym_hrnet.pkl")
    (tmp_path / "noted.py").write_text(NOTED)
    (tmp_path / "pre.yaml").write_text(CONFIG % ("", ""))
    (tmp_path / "fin.yaml").write_text(
        CONFIG % (", val_split: val, labels: gym99, metric: mean_class_accuracy",
                  "classifier: {temporal_dim: 16}\nruntime: {num_test_clips: 3, flip_test: true}")
    )  # fmt: skip
    for command in (
        ["pretrain", "pre.yaml", "--work-dir", "pre"],
        ["finetune", "fin.yaml", "--work-dir", "fin", "--pretrained", "pre"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone",
             "noted.py", *command, "--device", "cpu", "--quiet", "--seed", "5"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        seen = [json.loads((tmp_path / f"{command[0]}_{rank}.json").read_text()) for rank in (0, 1)]
        length = len(data.splits["train"])
        for epoch in (0, 1):
            one = epoch_batches(length, 8, seed=5 + epoch)
            two = zip(*([clips for e, clips in of_rank if e == epoch] for of_rank in seen))
            assert [sorted({*a, *b}) for a, b in two] == [sorted(clips) for clips in one]
    figures = json.loads((tmp_path / "fin" / "metrics.json").read_text())
    # Each clip of the val split is counted once, with its own label.
    labels = [clip.label for clip in data.select("val")]
    assert figures["num_clips"] == len(labels)
    expected = np.bincount(labels, minlength=99)
    assert np.array_equal(np.sum(figures["confusion_matrix"], axis=1), expected)
    assert load_meta(tmp_path / "pre").data["num_clips"] == length
    assert figures.pop("val_loss") > 0  # of trainings alone
    again = evaluate_checkpoint(tmp_path / "fin", data.path, "val", device="cpu").to_json()
    assert {name: again[name] for name in figures} == figures
