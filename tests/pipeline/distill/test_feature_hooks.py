"""Forward hooks collect a network's features and feed it with another's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skelact.pipeline.distill.feature_hooks import feature_hooks


class Plus(nn.Module):
    def __init__(self, added):
        super().__init__()
        self.added = added

    def forward(self, x):
        return x + self.added


def test_outputs_are_collected_in_order_and_the_network_is_left_as_it_was():
    network = nn.Sequential(Plus(1.0), Plus(10.0), Plus(100.0))
    modules = dict(network.named_children())
    with feature_hooks(modules) as found:
        assert network(torch.zeros(1)).item() == 111
    assert [(name, value.item()) for name, value in found.items()] == [
        ("0", 1), ("1", 11), ("2", 111)
    ]  # fmt: skip
    network(torch.ones(1))
    assert found["2"].item() == 111
    assert not any(module._forward_hooks for module in network)


def test_each_module_receives_what_is_given_and_its_own_output_is_collected():
    network = nn.Sequential(Plus(1.0), Plus(10.0), Plus(100.0))
    given = {name: torch.tensor([value]) for name, value in (("0", 5.0), ("1", 7.0), ("2", 9.0))}
    with feature_hooks(dict(network.named_children()), given) as found:
        assert network(torch.zeros(1)).item() == 9
    assert [value.item() for value in found.values()] == [1, 15, 107]


def test_hooks_are_taken_away_after_an_error():
    network = nn.Sequential(nn.Linear(1, 1))
    with (
        pytest.raises(RuntimeError),
        feature_hooks(dict(network.named_children())),
    ):
        network(torch.zeros(1, 3))
    assert not network[0]._forward_hooks
