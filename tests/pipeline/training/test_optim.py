"""How weights change: rates, the moving average, and the limit of gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from torch import nn

from skelact import SkelactError
from skelact.pipeline.config import OptimConfig
from skelact.pipeline.training.optim import MovingAverage, TrainingState, learning_rates


def optim(**changes):
    return OptimConfig(**{"kind": "sgd", "lr": 0.1, "batch_size": 4, "epochs": 12} | changes)


@pytest.mark.parametrize("warmup", [0, 1, 2, 5])
def test_the_rate_rises_to_its_full_value_and_falls_to_nothing(warmup):
    rates = learning_rates(optim(warmup_epochs=warmup, schedule="cosine"))
    assert len(rates) == 12
    assert rates[0] == pytest.approx(0.1 / (warmup + 1))
    assert rates[warmup] == pytest.approx(0.1)
    assert rates[: warmup + 1] == sorted(rates[: warmup + 1])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    assert rates[-1] < 0.01


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"epochs": 3}, [0.1, 0.1, 0.1]),
        ({"epochs": 1, "warmup_epochs": 5}, [0.1]),
        ({"epochs": 2, "warmup_epochs": 5}, [0.05, 0.1]),  # all but the last epoch
        ({"epochs": 4, "warmup_epochs": 3}, [0.025, 0.0625, 0.1, 0.1]),
        ({"epochs": 5, "schedule": "step", "milestones": (2, 4)}, [0.1, 0.1, 0.01, 0.01, 0.001]),
        ({"epochs": 4, "schedule": "cosine"}, [0.1, 0.0853553, 0.05, 0.0146447]),
    ],
)
def test_rates_by_hand(changes, expected):
    assert learning_rates(optim(**changes)) == pytest.approx(expected, rel=1e-5)


def test_the_moving_average_is_mmengines():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    ours = MovingAverage(0.1)
    theirs = ExponentialMovingAverage(net, momentum=0.1, update_buffers=True)
    for _ in range(3):
        net(torch.randn(2, 3, 8, 8))
        with torch.no_grad():
            net[0].weight += 1.0
        ours.update(net)
        theirs.update_parameters(net)
    assert not torch.equal(ours.values["0.weight"], net[0].weight)
    for name, value in theirs.module.state_dict().items():
        assert torch.equal(ours.values[name], value)


def test_a_module_shows_its_average_for_a_while():
    net = nn.Linear(1, 1, bias=False)
    average = MovingAverage(0.25)
    for value in (4.0, 8.0):
        nn.init.constant_(net.weight, value)
        average.update(net)
    with average.shown_by(net):
        assert net.weight.item() == 5.0
    assert net.weight.item() == 8.0


def test_gradients_are_cut_to_the_limit():
    net = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(net.weight)
    state = TrainingState(net, optim(lr=1.0, clip_grad_norm=0.5), "fp32")
    state.step(net(torch.tensor([30.0, 40.0])).sum())  # the gradient is (30, 40)
    torch.testing.assert_close(net.weight.data, torch.tensor([[-0.3, -0.4]]))


def test_a_state_resumes_in_another_module():
    torch.manual_seed(0)
    nets = [nn.Linear(3, 2), nn.Linear(3, 2)]
    one, two = (TrainingState(net, optim(kind="adam", ema_momentum=0.1), "bf16") for net in nets)
    x = torch.randn(8, 3)

    def step(state):
        with state.autocast():
            loss = state.module(x).float().square().mean()
        state.step(loss)

    step(one)
    two.load_state_dict(copy.deepcopy(one.state_dict()))
    step(one)
    step(two)
    assert torch.equal(nets[0].weight, nets[1].weight)
    for state in (one, two):
        state.keep_average()
    assert torch.equal(nets[0].weight, nets[1].weight)


@pytest.mark.parametrize("separator", [".", "/"])
def test_the_encoder_learns_at_a_rate_of_its_own(separator):
    """Gradients are 1: the head moves by the rate, the rest by a tenth of it."""
    net = nn.ModuleDict({"encoder": nn.Linear(1, 1), "head": nn.Linear(1, 1)})
    if separator == "/":  # as the names are side by side
        flat = nn.Module()
        for name, value in net.named_parameters():
            flat.register_parameter(name.replace(".", "/"), value)
        net = flat
    for p in net.parameters():
        nn.init.zeros_(p)
    state = TrainingState(net, optim(lr=1.0, encoder_rate=0.1), "fp32")
    state.set_rate(0.5)
    state.step(sum(p.sum() for p in net.parameters()))
    moved = {name[:4]: p.item() for name, p in net.named_parameters() if name.endswith("bias")}
    assert moved == pytest.approx({"head": -0.5, "enco": -0.05})


def test_a_rate_of_the_encoder_needs_a_head():
    with pytest.raises(SkelactError, match=r"optim.encoder_rate: .* no parameter is in a 'head'"):
        TrainingState(nn.Linear(1, 1), optim(encoder_rate=0.1), "fp32")
    with pytest.raises(ValueError, match="encoder_rate: expected 1 for what is no classifier"):
        optim(encoder_rate=0.1).expect_no_head()
    with pytest.raises(ValueError, match="head_start: expected 'random' for no classifier"):
        optim(head_start="probe").expect_no_head()
    with pytest.raises(ValueError, match="encoder_rate: expected 1 for kind 'muon'"):
        optim(kind="muon", encoder_rate=0.1)
