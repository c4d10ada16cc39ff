"""Batch normalisation folded into convolutions for training, and taken out again.

A network that is fine-tuned with the statistics of its normalisation fixed computes the same with
them folded into its kernels, with less work.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _SubsampledConv2d(nn.Conv2d):
    """A grouped convolution with a stride, computed at stride 1 and subsampled.

    The same in value. On the CPU PyTorch takes several times as long for the gradient of a strided
    depthwise convolution as for that of a plain one on the same image.
    """

    def forward(self, x: Tensor) -> Tensor:
        plain = nn.functional.conv2d(
            x, self.weight, self.bias, 1, self.padding, self.dilation, self.groups
        )
        steps = self.stride
        return plain[:, :, :: steps[0], :: steps[1]].contiguous(memory_format=torch.channels_last)


def folded(net: nn.Module) -> Any:
    """Return a copy of a network whose normalisation is folded into the convolutions before it.

    Its grouped convolutions with a stride become such that train faster on the CPU.
    """
    from mmcv.cnn.utils import fuse_conv_bn

    copied = fuse_conv_bn(copy.deepcopy(net).eval())
    for module in copied.modules():
        if type(module) is nn.Conv2d and module.groups > 1 and max(module.stride) > 1:
            module.__class__ = _SubsampledConv2d
    return copied


@torch.no_grad()
def load_folded(net: nn.Module, source: nn.Module) -> None:
    """Give a network the weights of its folded copy; normalisation then only adds the biases.

    Args:
        net: A network as ``build_pose_model`` gives it, with any weights.
        source: What :func:`folded` made of such a network.
    """
    convolution: tuple[nn.Conv2d, nn.Conv2d] | None = None
    for (name, child), theirs in zip(net.named_children(), source.children(), strict=True):
        if isinstance(child, _BatchNorm) and isinstance(theirs, nn.Identity):
            assert convolution is not None, f"{name} was folded into a convolution before it"
            _load_norm(child, convolution[1])
            if convolution[0].bias is not None:
                convolution[0].bias.zero_()
        elif isinstance(child, nn.Conv2d):
            assert isinstance(theirs, nn.Conv2d)
            child.weight.copy_(theirs.weight)
            if child.bias is not None and theirs.bias is not None:
                child.bias.copy_(theirs.bias)
            convolution = child, theirs
        elif any(True for _ in child.children()):
            load_folded(child, theirs)
        elif child.state_dict():
            child.load_state_dict(theirs.state_dict())


def _load_norm(norm: _BatchNorm, convolution: nn.Conv2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert convolution.bias is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)
    norm.weight.fill_(1.0)
    norm.bias.copy_(convolution.bias)
