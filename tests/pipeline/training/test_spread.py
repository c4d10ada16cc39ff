"""Labels spread along chains of clips that are alike, and not to clips that are like none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from skeletons import make_annotations, write_annotations
from training_configs import make_config

from skelact import SkelactError
from skelact.pipeline.checkpoints.checkpoint import load_meta
from skelact.pipeline.config import FinetuneConfig, PretrainConfig
from skelact.pipeline.training.prepare import prepare_finetune
from skelact.pipeline.training.spread import spread_labels, spread_to
from skelact.pipeline.training.train import add_gate, finetune, pretrain


def chains(count=2, length=30):
    """Features of chains of clips: each is like those near it, and like none of another chain."""
    steps = torch.arange(length)
    one = torch.exp(-((steps - steps[:, None]) ** 2) / 18.0)
    return torch.block_diag(*[one] * count)


def test_a_label_goes_along_the_whole_chain():
    """The far end of a chain is no more like its own label than like the other one."""
    labels = np.full(60, -1)
    labels[[0, 30]] = 1, 0
    assert spread_labels(chains(), labels).tolist() == [1] * 30 + [0] * 30


def test_between_two_labels_the_nearer_one():
    labels = np.full(30, -1)
    labels[[0, 29]] = 0, 1
    assert spread_labels(chains(1), labels).tolist() == [0] * 15 + [1] * 15


def test_classes_keep_their_shares():
    """Three labels of four are class 1: it has more than half of a chain labelled at its ends."""
    labels = np.full(30, -1)
    labels[[0, 27, 28, 29]] = 0, 1, 1, 1
    assert (spread_labels(chains(1), labels) == 1).sum() > 15


def test_what_no_label_reaches_has_none():
    labels = np.full(90, -1)
    labels[[5, 35]] = 0, 1
    assert spread_labels(chains(3), labels).tolist() == [0] * 30 + [1] * 30 + [-1] * 30


@pytest.fixture(scope="module")
def ann_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "actions.pkl"
    return write_annotations(path, make_annotations(8), make_annotations(4, seed=1))


def test_a_classifier_learns_from_labels_that_spread(ann_file, tmp_path):
    """One clip of each of three classes has a label; what is learned from are all 24."""
    tube = {"model": "tube", "tube": {"widths": (16, 32), "strides": (2, 1), "num_heads": 4}}
    first = pretrain(make_config(PretrainConfig, ann_file, **tube), tmp_path / "pre", quiet=True)
    few = {"label_fraction": 0.1, "spread_from": str(first)}
    config = make_config(FinetuneConfig, ann_file, **tube, data=few, optim={"epochs": 1})
    prepared = prepare_finetune(config, 0, first)
    assert prepared.said.startswith("learns from the labels of 3 of 24 clips")
    store = prepared.module.store
    true = {clip.frame_dir: clip.label for clip in make_annotations(8)}
    right = [true[name] == label for name, label in zip(store.names, store.labels.tolist())]
    assert len(store) == 24
    assert np.mean(right) > 0.8
    alone = prepare_finetune(replace(config, data=replace(config.data, spread_from="")), 0)
    assert len(alone.module.store) == 3

    info = finetune(config, tmp_path / "fin", pretrained=first, quiet=True)
    meta = load_meta(info)
    assert (meta.data["num_clips"], meta.data["labelled_clips"]) == (24, 3)
    assert load_meta(add_gate(info, tmp_path / "gate")).gate is not None


def test_labels_of_clips_that_are_not_there(ann_file):
    clips = make_annotations(2)
    with pytest.raises(SkelactError, match="expected each once among the training clips"):
        spread_to(clips[1:], clips[:1], ann_file)


def test_the_surest_labels_of_each_class_are_kept():
    """Between two labels no class is ahead; a class that spreads to few clips keeps its share."""
    labels = np.full(30, -1)
    labels[[0, 29]] = 0, 1
    kept = spread_labels(chains(1), labels, share=0.5)
    assert kept.tolist() == [0] * 8 + [-1] * 14 + [1] * 8
    one_class = np.full(30, -1)
    one_class[3] = 0
    assert (spread_labels(chains(1), one_class, share=0.5) == 0).sum() in (15, 16)
