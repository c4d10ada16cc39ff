"""Graph layers against their formulas."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skelact.models.gnn import GATLayer, GCNLayer, GINLayer, GraphStack, _PReLU
from skelact.pose_extract.layout import COCO_17

LEFT_WRIST, LEFT_ELBOW, LEFT_SHOULDER = 9, 7, 5


def test_gin_adds_the_neighbours_to_itself():
    layer = GINLayer(COCO_17, 1, 4)
    layer.mlp = torch.nn.Identity()
    with torch.no_grad():
        layer.eps.fill_(0.5)
    h = torch.arange(17.0).view(1, 1, 17)
    out = layer(h)
    # The wrist hangs on the elbow alone; the elbow on shoulder and wrist.
    assert out[0, 0, LEFT_WRIST] == 1.5 * 9 + 7
    assert out[0, 0, LEFT_ELBOW] == 1.5 * 7 + 5 + 9


def test_gcn_divides_by_the_degrees():
    layer = GCNLayer(COCO_17, 1, 1)
    with torch.no_grad():
        layer.linear.weight.fill_(1)
        layer.linear.bias.fill_(0)
    h = torch.zeros(1, 1, 17)
    h[..., LEFT_ELBOW] = 1
    # Degrees with the joint itself: wrist 2, elbow 3.
    assert layer(h)[0, 0, LEFT_WRIST].item() == pytest.approx((2 * 3) ** -0.5)


def test_attention_weights_sum_to_one_over_bones():
    layer = GATLayer(COCO_17, 1, 4)
    with torch.no_grad():
        layer.linear.weight.fill_(0)
        layer.linear.bias.fill_(3)
    assert torch.allclose(layer(torch.randn(1, 2, 17)), torch.tensor(3.0))


@pytest.mark.parametrize("gnn", ["gin", "gcn", "gat"])
@pytest.mark.parametrize("depth", [1, 2])
def test_what_is_further_away_than_the_depth_is_not_seen(gnn, depth):
    torch.manual_seed(0)
    stack = GraphStack(COCO_17, 3, 8, 8, depth, gnn).eval()
    x = torch.randn(3, 1, 17)
    moved = x.clone()
    moved[..., LEFT_WRIST] += 1
    changed = (stack(x) - stack(moved)).abs().sum(dim=0)[0] > 1e-6
    expected = {LEFT_WRIST, LEFT_ELBOW} | ({LEFT_SHOULDER} if depth == 2 else set())
    assert set(changed.nonzero().flatten().tolist()) == expected


@pytest.mark.parametrize(
    ("arguments", "message"), [({"gnn": "gun"}, "gin, gcn, gat"), ({"depth": 0}, "at least 1")]
)
def test_stacks_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        GraphStack(COCO_17, 3, 8, 8, **({"depth": 1} | arguments))


def test_heads_must_share_the_width():
    with pytest.raises(ValueError, match="multiple of 4"):
        GATLayer(COCO_17, 3, 6)


def test_the_activation_of_training_is_prelu():
    torch.manual_seed(0)
    ours, theirs = _PReLU(), nn.PReLU()
    x = torch.randn(6, 17, 8)
    grads = []
    for layer in (ours, theirs):
        leaf = x.clone().requires_grad_()
        out = layer(leaf)
        (out * torch.arange(8.0)).sum().backward()
        grads.append((out.detach(), leaf.grad, layer.weight.grad))
    for one, two in zip(*grads):
        torch.testing.assert_close(one, two)
    assert torch.equal(ours.eval()(x), theirs(x))
