"""Scenes of distillation: drawn people with known keypoints, small trainings, and a teacher."""

from __future__ import annotations

import cv2
import numpy as np
import onnx
import torch

from skelact.pipeline.config import load_config
from skelact.pipeline.distill.labelled_frames import LabelBuilder
from skelact.pipeline.distill.modules import DistillConfig
from skelact.pose_extract.nets.rtmdet import RTMDetNano
from skelact.pose_extract.nets.rtmdet_file import convolutions_in_order
from skelact.pose_extract.nets.shapes import RTMDetShape

# Constant, so that a training of one epoch is the beginning of one of two.
TINY = ("input_wh=[64,64]", "optim.epochs=2", "optim.batch_size=4", "optim.schedule=constant")
# A body in a box of 60 x 120 whose keypoints all differ.
_rng = np.random.default_rng(0)
BODY = np.stack([_rng.uniform(5, 55, 17), np.linspace(5, 115, 17)], 1).astype(np.float32)


def person(x, y, factor=1.0):
    """Return a labelled person whose box begins at (x, y)."""
    box = np.array([x, y, x + 60 * factor, y + 120 * factor], np.float32)
    return box, BODY * factor + (x, y), np.full(17, 0.9, np.float32), np.ones(17, np.float32)


def frame_with(*people):
    """Return a black frame with a dot of its own colour at each keypoint."""
    frame = np.zeros((240, 320, 3), np.uint8)
    for _, keypoints, _, _ in people:
        for i, (x, y) in enumerate(keypoints):
            cv2.circle(frame, (round(float(x)), round(float(y))), 3, (255, 12 * i + 20, 60), -1)
    return frame


def labelled_frames(count=3):
    """Return frames with two people and an ignored box each, one per clip."""
    builder = LabelBuilder(max_side=512)
    for i in range(count):
        one, two = person(30 + 5 * i, 60), person(200, 20, 0.8)
        ignored = np.array([[100, 100, 130, 150]], np.float32)
        builder.add(f"clip_{i}.mp4#{i}", frame_with(one, two), [one, two], ignored)
    return builder.build()


def write_teacher(path):
    """Write RTMDet-nano with random weights as the published file has them, and return the path.

    The graph holds the convolutions alone, in order: nothing else of it is read.
    """
    torch.manual_seed(0)
    nodes, stored = [], []
    for number, (_, conv) in enumerate(convolutions_in_order(RTMDetNano(RTMDetShape()).eval())):
        kernel = torch.nn.init.kaiming_normal_(conv.weight.detach())
        bias = torch.zeros(len(kernel)) if conv.bias is None else conv.bias.detach()
        names = [f"{number}.weight", f"{number}.bias"]
        for name, value in zip(names, (kernel, bias)):
            stored.append(onnx.numpy_helper.from_array(value.numpy(), name))
        nodes.append(onnx.helper.make_node("Conv", [f"{number}", *names], [f"{number + 1}"]))
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "t", [], [], stored)), path)
    return path


def load(name, *overrides):
    """Return a shipped config of distillation with KEY=VALUE overrides."""
    return load_config(DistillConfig, name, "distill", overrides)
