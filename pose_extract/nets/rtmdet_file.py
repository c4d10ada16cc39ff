"""Read the published RTMDet-nano, an ONNX file, as a network of ours, which runs on a GPU."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .rtmdet import RTMDetNano
from .shapes import RTMDetShape

# Pixels of the image that tells in which order convolutions run; a multiple of the coarsest stride.
_TRACED = 64


def read_rtmdet_nano(path: Path) -> RTMDetNano | None:
    """Return the network of a file of RTMDet-nano for people; None for any other file.

    It takes what the file takes: BGR, normalised. Without the package onnx no file can be read.

    Args:
        path: ONNX file, as OpenMMLab exports it: batch norms are part of the convolutions.
    """
    if importlib.util.find_spec("onnx") is None:
        return None
    import onnx
    from mmcv.cnn.utils import fuse_conv_bn

    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except Exception:  # protobuf's own, which ONNX Runtime will tell more of
        return None
    values = {value.name: value for value in graph.initializer}
    for node in graph.node:  # of equal weights exporters keep one, and refer to it
        if node.op_type == "Identity" and node.input[0] in values:
            values[node.output[0]] = values[node.input[0]]
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    network: RTMDetNano = fuse_conv_bn(RTMDetNano(RTMDetShape()).eval())
    layers = _in_order(network)
    if len(layers) != len(convolutions):
        return None
    for layer, node in zip(layers, convolutions):
        weights = [_array(values.get(name)) for name in node.input[1:]]
        expected = [layer.weight, layer.bias]
        if [array.shape for array in weights] != [tuple(own.shape) for own in expected]:
            return None
        if _settings(node) != (layer.stride[0], layer.padding[0], layer.groups):
            return None
        with torch.no_grad():
            for own, array in zip(expected, weights):
                own.copy_(torch.from_numpy(array))
    return network


def _in_order(network: nn.Module) -> list[Any]:
    """Return the convolutions of a network in the order in which they run."""
    order: list[Any] = []
    hooks = [
        layer.register_forward_hook(lambda layer, *_: order.append(layer))
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    with torch.inference_mode():
        network(torch.zeros(1, 3, _TRACED, _TRACED))
    for hook in hooks:
        hook.remove()
    return order


def _array(value: Any) -> np.ndarray:
    """Return the values of an initializer; none for what is no float32 of the file itself."""
    from onnx import TensorProto, numpy_helper

    if value is None or value.data_type != TensorProto.FLOAT or value.external_data:
        return np.zeros(0, np.float32)
    return np.array(numpy_helper.to_array(value))


def _settings(node: Any) -> tuple[int, int, int]:
    """Return stride, padding and groups of a convolution of a file."""
    found = {attribute.name: attribute for attribute in node.attribute}
    stride, padding = (
        found[name].ints[0] if name in found and found[name].ints else default
        for name, default in (("strides", 1), ("pads", 0))
    )
    return stride, padding, found["group"].i if "group" in found else 1
