"""Small labelled skeleton sets whose actions are easy to tell apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skelact.pipeline.data import annotations
from skelact.pipeline.data.annotations import Annotation

_BODY = np.array(
    [[0, -9], [-0.3, -9.3], [0.3, -9.3], [-0.7, -9], [0.7, -9], [-2, -7], [2, -7], [-2.6, -5],
     [2.6, -5], [-3, -3], [3, -3], [-1.2, -3], [1.2, -3], [-1.4, 0], [1.4, 0], [-1.5, 3], [1.5, 3]],
    np.float32,
)  # fmt: skip
ACTIONS = ("wave", "turn", "jump")


def make_clip(action, seed, num_frames=40, num_person=1):
    """Return (M, T, 17, 2) float32, pixels: a person in a 320x240 image doing an action."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 2 * np.pi * rng.uniform(1.5, 2.5), num_frames) + rng.uniform(0, 6)
    body = np.repeat(_BODY[None], num_frames, axis=0)
    if action == 0:
        body[:, [9, 10], 1] += 5 * np.sin(time)[:, None]
    elif action == 1:
        cos, sin = np.cos(time), np.sin(time)
        turn = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)
        body = body @ turn
    else:
        body[..., 1] -= 6 * np.abs(np.sin(time))[:, None]
    body = body * rng.uniform(4, 7) + [160, 120] + rng.normal(0, 0.5, body.shape)
    clip = np.repeat(body[None], num_person, axis=0)
    clip[1:, ..., 0] += 60
    return clip.astype(np.float32)


def make_annotations(count, seed=0, num_person=1):
    """Return ``count`` clips of each action."""
    made = []
    for i in range(count * len(ACTIONS)):
        action = i % len(ACTIONS)
        keypoints = make_clip(action, 1000 * seed + i, 30 + i % 7, num_person)
        scores = np.full(keypoints.shape[:3], 0.9, np.float32)
        name = f"{ACTIONS[action]}_{seed}_{i}"
        made.append(Annotation(name, action, keypoints, scores, (240, 320)))
    return made


def write_annotations(path, train, val, **options):
    """Write two lists of clips as an annotation file with the splits "train" and "val"."""
    clips = [
        replace(
            clip,
            keypoints=clip.keypoints.astype(np.float16),
            keypoint_scores=clip.keypoint_scores.astype(np.float16),
        )
        for clip in [*train, *val]
    ]
    splits = {"train": [c.frame_dir for c in train], "val": [c.frame_dir for c in val]}
    annotations.write_annotations(path, clips, splits, **options)
    return path
