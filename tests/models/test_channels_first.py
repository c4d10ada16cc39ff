"""Layers with the channels first against PyTorch's own, values and gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from skelact.models.channels_first import ChannelNorm, TimeConv, linear, mix_joints, time_max


def features(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


def same(ours, theirs, *leaves):
    """Compare two results, and the gradients that a sum with unequal weights sends to leaves."""
    torch.testing.assert_close(ours, theirs)
    weights = torch.linspace(-1, 2, ours.numel(), dtype=ours.dtype).view(ours.shape)
    for one, two in zip(
        *(torch.autograd.grad((x * weights).sum(), leaves) for x in (ours, theirs))
    ):
        torch.testing.assert_close(one, two)


def test_linear():
    h, weight, bias = features(4, 3, 2, 5), features(6, 4), features(6)
    theirs = F.linear(h.movedim(0, -1), weight, bias).movedim(-1, 0)
    same(linear(h, weight, bias), theirs, h, weight, bias)


def test_each_matrix_mixes_the_joints_of_its_channels():
    h, weight = features(6, 3, 2, 5), features(2, 5, 5)
    heads = h.unflatten(0, (2, 3))
    theirs = torch.einsum("kvu,kdtbu->kdtbv", weight, heads).flatten(0, 1)
    same(mix_joints(h, weight), theirs, h, weight)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (5, 1), (5, 2)])
def test_convolution_over_time(stride, kernel_size, dilation):
    torch.manual_seed(0)
    conv = TimeConv(3, 5, kernel_size, stride=stride, dilation=dilation).double()
    h = features(3, 9, 2, 4)
    clips = h.permute(2, 3, 0, 1).flatten(0, 1)  # (BV, D, T)
    padding = kernel_size // 2 * dilation
    weight = conv.weight.squeeze(-1)
    theirs = F.conv1d(clips, weight, conv.bias, stride, padding, dilation)
    theirs = theirs.unflatten(0, (2, 4)).permute(2, 3, 0, 1)
    same(conv(h), theirs, h, conv.weight, conv.bias)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("num_frames", [1, 7, 8])
def test_greatest_of_three_frames_with_ties(stride, num_frames):
    h = (features(3, num_frames, 2, 4).detach() * 2).round().requires_grad_()
    theirs = F.max_pool2d(h.permute(2, 0, 1, 3), (3, 1), (stride, 1), (1, 0)).permute(1, 2, 0, 3)
    same(time_max(h, stride), theirs, h)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("with_residual", [True, False])
def test_norm_residual_and_relu(training, with_residual):
    torch.manual_seed(0)
    ours, theirs = ChannelNorm(4).double(), nn.BatchNorm1d(4).double()
    for norm in (ours, theirs):
        nn.init.constant_(norm.weight, 1.5)
        nn.init.constant_(norm.bias, 0.1)
        norm.running_mean.fill_(0.3)
        norm.train(training)
    h, residual = features(4, 3, 2, 5), features(4, 3, 2, 5, seed=1)
    expected = theirs(h.flatten(1).T).T.unflatten(1, h.shape[1:])
    leaves = [h]
    if with_residual:
        expected = expected + residual
        leaves.append(residual)
    got = ours(h, residual if with_residual else None, relu=True)
    same(got, expected.relu(), *leaves)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)
