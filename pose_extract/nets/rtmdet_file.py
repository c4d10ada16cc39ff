"""Read RTMDet-nano's ONNX file as a network of ours, to learn from it or to run it on a GPU."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from ... import SkelactError
from ..common.text import one_line
from .rtmdet import RTMDetNano
from .shapes import RTMDetShape

# Side of the image that tells in which order convolutions run; a multiple of the coarsest stride.
_TRACED_SIDE = 64


def read_rtmdet(path: Path) -> RTMDetNano:
    """Return RTMDet-nano with the weights of an ONNX file, normalisation folded in.

    Only the convolutions are read, in the order in which they run: other activations or another
    non-maximum suppression than those of the published file go unseen. The network takes BGR.

    Args:
        path: A file as OpenMMLab exports it, for one class.

    Raises:
        SkelactError: if it is another network, or the package onnx is missing.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except Exception:  # some releases of onnx and protobuf fail on import
        raise SkelactError("an ONNX file's weights are read with: pip install onnx") from None
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
        stored = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:  # of equal weights exporters keep one, and refer to it
            if node.op_type == "Identity" and node.input[0] in stored:
                stored[node.output[0]] = stored[node.input[0]]
        kernels = [
            [torch.tensor(numpy_helper.to_array(stored[name])) for name in node.input[1:]]
            for node in graph.node
            if node.op_type == "Conv"
        ]
    except Exception as error:  # protobuf's own, and of many kinds for what is damaged
        raise SkelactError(f"{path}: expected RTMDet-nano as ONNX: {one_line(error)}") from None
    net = RTMDetNano(RTMDetShape()).eval()
    layers = convolutions_in_order(net)
    if len(layers) != len(kernels):
        raise SkelactError(f"{path}: expected RTMDet-nano, got {len(kernels)} convolutions")
    for (parent, conv), values in zip(layers, kernels):
        shapes = [tuple(value.shape) for value in values]
        if shapes != [tuple(conv.weight.shape), (len(conv.weight),)]:
            raise SkelactError(f"{path}: expected RTMDet-nano, got other convolutions")
        conv.weight = nn.Parameter(values[0])
        conv.bias = nn.Parameter(values[1])
        if isinstance(parent, nn.Sequential):
            parent[1] = nn.Identity()
    return net


def convolutions_in_order(net: RTMDetNano) -> list[tuple[nn.Module, nn.Conv2d]]:
    """Return a network's convolutions with the modules that hold them, as they are computed."""
    found: list[tuple[nn.Module, nn.Conv2d]] = []
    hooks = []
    for parent in net.modules():
        for child in parent.children():
            if isinstance(child, nn.Conv2d):
                hooks.append(
                    child.register_forward_hook(
                        lambda conv, *_, parent=parent: found.append((parent, conv))
                    )
                )
    with torch.no_grad():
        net(torch.zeros(1, 3, _TRACED_SIDE, _TRACED_SIDE))
    for hook in hooks:
        hook.remove()
    return found
