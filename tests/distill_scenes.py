"""Scenes of distillation: drawn people with known keypoints, and small trainings."""

from __future__ import annotations

import cv2
import numpy as np

from skelact.pipeline.config import load_config
from skelact.pipeline.distill.labelled_frames import LabelBuilder
from skelact.pipeline.distill.modules import DistillConfig

TINY = (
    "network.width=4", "network.blocks=1", "network.modules=[1,1,1]", "network.bottleneck=4",
    "optim.epochs=2", "optim.warmup_epochs=0", "optim.batch_size=4",
)  # fmt: skip
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


def load(name, *overrides):
    """Return a shipped config of distillation with KEY=VALUE overrides."""
    return load_config(DistillConfig, name, "distill", overrides)
