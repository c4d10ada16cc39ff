"""Classifiers trained side by side end where each ends alone."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from skeletons import make_annotations, write_annotations
from training_configs import make_config

from skelact import SkelactError
from skelact.pipeline.config import FinetuneConfig
from skelact.pipeline.training.optim import TrainingState, learning_rates
from skelact.pipeline.training.prepare import prepare_finetune
from skelact.pipeline.training.runner import epoch_batches
from skelact.pipeline.training.side_by_side import (
    Draw,
    finetune_side_by_side,
    train_side_by_side,
)

NETWORKS = {
    "tube": {"tube": {"widths": [16, 32], "strides": [2, 1], "num_heads": 4}},
    "ssl": {},
    "stgcn": {"stgcn": {"base_width": 8}},
}


@pytest.fixture(scope="module")
def ann_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "actions.pkl"
    names = ["wave", "turn", "jump"]
    return write_annotations(
        path, make_annotations(8), make_annotations(4, seed=1), label_names=names
    )


@pytest.fixture
def exact():
    """In double precision the order of additions, all that may differ, is not to be seen."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def prepared(config, seed):
    module = prepare_finetune(config, seed).module
    module.store._frames = module.store._frames.double()
    return module


def config_of(ann_file, model="tube", **changes):
    return make_config(
        FinetuneConfig,
        ann_file,
        model=model,
        data={"val_split": "val", "label_fraction": 0.5},
        classifier={"temporal_dim": 16, "dropout": 0.0},
        optim={"kind": "sgd", "lr": 0.02, "batch_size": 6, "epochs": 2, "weight_decay": 0.05,
               "clip_grad_norm": 0.5, "ema_momentum": 0.3, "label_smoothing": 0.1},
        **NETWORKS[model],
        **changes,
    )  # fmt: skip


def train_alone(module, seed, optim):
    """The loop of a training, without its files."""
    state = TrainingState(module.train(), optim, "fp32")
    for epoch, rate in enumerate(learning_rates(optim)):
        state.set_rate(rate)
        batches = epoch_batches(len(module.store), optim.batch_size, seed + epoch)
        for step, inds in enumerate(batches):
            module.set_step(seed, epoch, step, 0)
            state.step(module(inds)["loss"])
    state.keep_average()


@pytest.mark.parametrize("model", [*NETWORKS, "transferred"])
def test_side_by_side_as_in_turn(ann_file, exact, model):
    config, seeds = config_of(ann_file, "tube" if model == "transferred" else model), (0, 1, 2)
    if model == "transferred":
        config = replace(
            config,
            classifier=replace(config.classifier, pooling="mean_std"),
            optim=replace(config.optim, encoder_rate=0.1),
        )
    modules = [prepared(config, seed) for seed in seeds]
    start = copy.deepcopy(modules[1].classifier.state_dict())
    alone = copy.deepcopy(modules)
    for module, seed in zip(alone, seeds):
        train_alone(module, seed, config.optim)
    train_side_by_side(modules, seeds, config.optim, "fp32")
    for one, two in zip(alone, modules):
        for (name, value), ours in zip(
            one.classifier.state_dict().items(), two.classifier.state_dict().values()
        ):
            torch.testing.assert_close(
                ours, value, atol=1e-6, rtol=0, msg=lambda m, n=name: f"{n}: {m}"
            )
        logits = [m.classifier.eval()(m.store.batch(torch.arange(4), torch.device("cpu")))
                  for m in (one, two)]  # fmt: skip
        torch.testing.assert_close(*logits, atol=1e-6, rtol=0)
    moved = modules[1].classifier.state_dict()
    assert any(not torch.equal(moved[name], value) for name, value in start.items())


def test_a_clip_without_a_person_changes_nothing(ann_file, exact):
    config, seeds = config_of(ann_file), (0, 1)
    modules = [prepared(config, seed) for seed in seeds]
    modules[1].store._frames[: modules[1].store._lengths[0]] = 0
    alone = copy.deepcopy(modules)
    for module, seed in zip(alone, seeds):
        train_alone(module, seed, config.optim)
    train_side_by_side(modules, seeds, config.optim, "fp32")
    for one, two in zip(alone, modules):
        for ours, value in zip(two.parameters(), one.parameters()):
            torch.testing.assert_close(ours, value, atol=1e-6, rtol=0)


@pytest.mark.parametrize("model", list(NETWORKS))
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_figures_of_each_draw(ann_file, model, precision):
    draws = [Draw(label_draw, seed=0) for label_draw in (3, 4)]
    config = config_of(ann_file, model, runtime={"precision": precision})
    found = finetune_side_by_side(config, draws, device="cpu", quiet=True)
    assert [figures["num_clips"] for figures in found] == [12, 12]
    assert all(0 <= figures["top1"] <= 100 for figures in found)


def test_what_cannot_be_trained_side_by_side(ann_file):
    with pytest.raises(SkelactError, match="expected one draw"):
        finetune_side_by_side(config_of(ann_file), [], device="cpu", quiet=True)
    own_loss = make_config(FinetuneConfig, ann_file, model="protogcn", protogcn={"base_width": 8})
    with pytest.raises(SkelactError, match="ProtoGCNClassifier adds to the cross-entropy"):
        finetune_side_by_side(own_loss, [Draw(0, 0)], device="cpu", quiet=True)
    config = make_config(FinetuneConfig, ann_file, optim={"kind": "muon"})
    with pytest.raises(SkelactError, match="muon"):
        finetune_side_by_side(config, [Draw(0, 0)], device="cpu", quiet=True)
