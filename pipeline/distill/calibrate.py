"""Scores of a finder that mean what its teacher's mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...pose_extract.common.geometry import pairwise_iou
from ...pose_extract.detect.torch_detector import suppress
from ...pose_extract.nets.rtmdet import RTMDetNano
from .detector_samples import DetectorSamples, DetectorSampling
from .image_augment import normalised

# From this score on a box counts, unless told otherwise.
_SCORE = 0.3
_LEAST_SCORE = 0.01
_SAME_IOU = 0.5
_FRAMES = 600
_BATCH = 32


def calibrate_scores(net: RTMDetNano, teacher: Any, samples: DetectorSamples, side: int) -> float:
    """Lower a finder's logits until no more of its boxes are nobody's than of its teacher's.

    Taught to be sure of turned people, it is surer of everything. Counted are boxes from score .3
    on around nobody whom the labels hold, in upright frames.

    Args:
        net: The finder, on the CPU, shifted in place.
        teacher: Network with the answers of one; comes to the CPU, as do the samples.
        samples: Frames that it learned from.
        side: Pixels of a side of its input.

    Returns:
        What was added to the logits, at most 0.
    """
    teacher.cpu()
    samples.to(torch.device("cpu"))
    allowed = int((_nobody_scores(teacher, samples, side) >= _SCORE).sum())
    scores = np.sort(_nobody_scores(net, samples, side))[::-1]
    if len(scores) <= allowed:
        return 0.0
    # Between the last that counts and the first that does not.
    limit = float(scores[max(allowed - 1, 0) : allowed + 1].mean())
    shift = min(0.0, float(np.log(_SCORE / (1 - _SCORE)) - np.log(limit / (1 - limit))))
    heads: Any = net.heads
    with torch.no_grad():
        for head in heads:
            head.cls.bias += shift
    return shift


@torch.inference_mode()
def _nobody_scores(net: Any, samples: DetectorSamples, side: int) -> np.ndarray:
    """Return the scores of boxes that are around nobody, of upright frames evenly chosen."""
    found: list[np.ndarray] = []
    chosen = torch.linspace(0, len(samples) - 1, min(_FRAMES, len(samples))).round().long()
    for inds in chosen.split(_BATCH):
        pictures, people, ignored = samples.batch(
            inds, side, DetectorSampling(), torch.Generator(), 0.0
        )
        boxes, scores = RTMDetNano.people(net(normalised(pictures)))
        known = torch.cat([people, ignored], dim=1)
        for mine, sure, truth in zip(boxes.numpy(), scores.numpy(), known.numpy()):
            keep = suppress(mine, sure, _LEAST_SCORE)
            overlap = pairwise_iou(truth[truth.any(axis=-1)], mine[keep])
            found.append(sure[keep][overlap.max(axis=0, initial=0.0) < _SAME_IOU])
    return np.concatenate(found)
