"""Training on CUDA: mixed precision, the moving average, and resuming. Skipped without a device."""

from __future__ import annotations

import copy

import pytest
import torch
from skeletons import make_annotations, write_annotations
from torch import nn
from training_configs import make_config

from skelact.pipeline.checkpoints.checkpoint import load_classifier, load_meta
from skelact.pipeline.config import FinetuneConfig, OptimConfig
from skelact.pipeline.training.optim import MovingAverage, TrainingState
from skelact.pipeline.training.prepare import prepare_finetune
from skelact.pipeline.training.side_by_side import train_side_by_side
from skelact.pipeline.training.train import finetune

pytestmark = pytest.mark.cuda

DEVICE = "cuda"
TUBE = {"model": "tube", "tube": {"widths": (16, 32), "strides": (2, 1), "num_heads": 4}}


@pytest.fixture(scope="module")
def ann_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "actions.pkl"
    return write_annotations(path, make_annotations(8), make_annotations(4, seed=1))


def linear_state(precision, **changes):
    """A network of one weight, 0, whose gradient is its input."""
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    optim = OptimConfig(**{"kind": "sgd", "lr": 0.5, "batch_size": 4, "epochs": 1} | changes)
    return TrainingState(net.to(DEVICE), optim, precision)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_a_step_in_each_precision(precision, dtype):
    state = linear_state(precision, clip_grad_norm=0.25)
    with state.autocast():
        out = state.module(torch.tensor([[2.0]], device=DEVICE))
    assert out.dtype == dtype
    # A quarter: the scale at the beginning, 65536, is itself above the greatest float16.
    state.step(0.25 * out.float().sum())
    # The gradient, a half, is cut to a quarter, whatever the loss was multiplied by.
    assert state.module.weight.item() == pytest.approx(-0.125, rel=1e-3)
    assert state.module.weight.dtype == torch.float32


def test_a_step_whose_gradient_overflows_in_float16_is_left_out():
    state = linear_state("fp16")
    scale = state.state_dict()["scaler"]["scale"]
    x = torch.tensor([[60000.0]], device=DEVICE)  # its gradient times the scale is above 65504
    with state.autocast():
        loss = state.module(x).float().sum()
    state.step(loss)
    assert state.module.weight.item() == 0.0
    assert state.state_dict()["scaler"]["scale"] == scale / 2


def test_the_moving_average_lies_beside_the_module():
    net = nn.BatchNorm1d(2).to(DEVICE)
    average = MovingAverage(0.25)
    for value in (4.0, 8.0):
        nn.init.constant_(net.running_mean, value)
        average.update(net)
    assert average.values["running_mean"].device == net.running_mean.device
    with average.shown_by(net):
        assert net.running_mean.tolist() == [5.0, 5.0]
    assert net.running_mean.tolist() == [8.0, 8.0]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_stopped_run_ends_where_an_unbroken_one_ends(ann_file, tmp_path, precision):
    def config(epochs):
        return make_config(
            FinetuneConfig,
            ann_file,
            **TUBE,
            # Not Adam: it makes whole steps of gradients that are nothing but rounding.
            optim={"kind": "sgd", "lr": 0.1, "epochs": epochs, "ema_momentum": 0.1},
            runtime={"precision": precision},
        )

    def weights(folder, epochs, resume=False):
        info = finetune(config(epochs), folder, device=DEVICE, resume=resume, quiet=True)
        return load_classifier(info)[0].state_dict()

    whole = weights(tmp_path / "whole", 8)
    first = weights(tmp_path / "parts", 4)
    state = torch.load(tmp_path / "parts" / "state.pt", weights_only=True, map_location="cpu")
    assert bool(state["scaler"]) == (precision == "fp16")
    resumed = weights(tmp_path / "parts", 8, resume=True)
    # Sums on CUDA have no fixed order, so the last digits differ.
    torch.testing.assert_close(resumed, whole, rtol=1e-2, atol=1e-3)
    assert any((first[name] - whole[name]).abs().max() > 1e-2 for name in whole)


def test_it_learns_in_mixed_precision(ann_file, tmp_path):
    config = make_config(
        FinetuneConfig, ann_file, **TUBE, optim={"epochs": 25}, runtime={"precision": "bf16"}
    )
    info = finetune(config, tmp_path, device=DEVICE, quiet=True)
    assert load_meta(info).figures["top1"] >= 90


def test_a_state_moves_from_cuda_to_the_processor():
    state = linear_state("bf16", kind="adam", ema_momentum=0.1)
    state.step(state.module(torch.ones(1, 1, device=DEVICE)).sum())
    values = copy.deepcopy(state.state_dict())
    other = TrainingState(
        nn.Linear(1, 1, bias=False),
        OptimConfig("adam", 0.5, batch_size=4, epochs=1, ema_momentum=0.1),
        "fp32",
    )
    other.load_state_dict(values)
    for one in (state, other):
        one.step(one.module(torch.ones(1, 1, device=one.module.weight.device)).sum())
        one.keep_average()
    torch.testing.assert_close(other.module.weight.cpu(), state.module.weight.cpu())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_side_by_side_as_in_turn(ann_file, precision):
    optim = {"kind": "sgd", "lr": 0.02, "epochs": 1}
    config = make_config(FinetuneConfig, ann_file, **TUBE, classifier={"dropout": 0.0}, optim=optim)
    modules = [prepare_finetune(config, seed).module.to(DEVICE) for seed in (0, 1)]
    alone = copy.deepcopy(modules)
    train_side_by_side(modules, (0, 1), config.optim, precision)
    for seed, (module, ours) in enumerate(zip(alone, modules)):
        start = copy.deepcopy(module.classifier.state_dict())
        train_side_by_side([module], [seed], config.optim, precision)
        theirs = module.classifier.state_dict()
        tolerance = 1e-3 if precision == "fp32" else 0.05
        torch.testing.assert_close(
            ours.classifier.state_dict(), theirs, atol=tolerance, rtol=tolerance
        )
        assert any(not torch.equal(start[name], value) for name, value in theirs.items())
