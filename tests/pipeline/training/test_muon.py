"""Muon: directions are made orthogonal, states resume, and it learns."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from skelact.pipeline.training.muon import Muon, orthogonalised


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16)])
def test_singular_values_come_near_one_and_directions_stay(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = orthogonalised(matrix)
    assert found.dtype == matrix.dtype
    values = torch.linalg.svdvals(found)
    if shape[0] != shape[1]:
        assert values.min() > 0.6
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    aligned = left.T @ found @ right.T  # the same directions: nothing beside the diagonal
    assert (aligned - aligned.diag().diag()).abs().max() < 1e-3


def test_depthwise_kernels_are_no_matrices():
    depthwise, pointwise = nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1)
    optimizer = Muon([depthwise.weight, pointwise.weight], lr=0.1)
    groups = {group["orthogonal"]: group["params"] for group in optimizer.param_groups}
    assert groups[True] == [pointwise.weight]
    assert groups[False] == [depthwise.weight]


def net_and_data():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 5)
    )
    return net, torch.randn(32, 3, 4, 4), torch.randn(32, 5)


def learn(net, optimizer, x, y, steps):
    for _ in range(steps):
        loss = (net(x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def test_a_step_is_as_long_as_adamws():
    net, x, y = net_and_data()
    before = net[0].weight.detach().clone()
    learn(net, Muon(net.parameters(), lr=0.01), x, y, 1)
    length = (net[0].weight - before).square().mean().sqrt()
    assert 0.1 * 0.01 < length < 0.3 * 0.01  # AdamW's are about a fifth of the rate


def test_tensors_step_as_if_each_were_alone():
    torch.manual_seed(0)
    shapes = [(8, 5), (8, 5), (8, 5, 1, 1), (5, 8), (4, 1, 3, 3), (7,)]
    together = [torch.randn(shape, requires_grad=True) for shape in shapes]
    alone = [p.detach().clone().requires_grad_() for p in together]
    optimizers = [Muon(together, lr=0.1), *(Muon([p], lr=0.1) for p in alone)]
    for step in range(3):
        for number, (p, q) in enumerate(zip(together, alone)):
            p.grad = q.grad = None if (step, number) == (1, 0) else torch.randn(p.shape)
        for optimizer in optimizers:
            optimizer.step()
    for p, q in zip(together, alone):
        assert torch.allclose(p, q, atol=1e-6)


def test_it_learns_and_resumes_where_it_stopped():
    net, x, y = net_and_data()
    optimizer = Muon(net.parameters(), lr=0.02, weight_decay=0.01)
    first = learn(net, optimizer, x, y, 1)
    learn(net, optimizer, x, y, 10)
    other = copy.deepcopy(net)
    resumed = Muon(other.parameters(), lr=0.5)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    last = learn(net, optimizer, x, y, 60)
    assert last < 0.1 * first
    assert learn(other, resumed, x, y, 60) == last
