"""Scores of a distilled detector that mean what its teacher's scores mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...pose_extract.common.geometry import pairwise_iou
from ...pose_extract.detect.suppression import suppress
from ...pose_extract.nets.rtmdet import RTMDetNano
from .detector_samples import DetectorSamples, DetectorSampling
from .image_augment import normalised

# Score from which a detection counts, here, in measure.py and in the benchmark of detectors.
_SCORE_THR = 0.3
# Detections below this score cannot reach the threshold and are not compared.
_MIN_SCORE = 0.01
# COCO's IoU from which a detection is that person.
_MATCH_IOU = 0.5
# Enough frames for a steady count of false positives; no benchmark chose the number.
_MAX_FRAMES = 600
_BATCH_SIZE = 32


def calibrate_scores(net: RTMDetNano, teacher: Any, samples: DetectorSamples, side: int) -> float:
    """Lower a detector's logits until it gives no more false positives than its teacher.

    A detector that learned to give rotated people a high score gives everything a higher one.
    A false positive is a detection with a score of at least .3 in an upright frame that overlaps
    neither a person of the labels nor a box to ignore.

    Args:
        net: The detector, on the CPU; the biases of its scores are changed in place.
        teacher: Network with the same output; it is moved to the CPU, as are the samples.
        samples: Frames that the detector learned from.
        side: Side of its input in pixels.

    Returns:
        What was added to the logits, at most 0.
    """
    teacher.cpu()
    samples.to(torch.device("cpu"))
    allowed = int((_false_positive_scores(teacher, samples, side) >= _SCORE_THR).sum())
    scores = np.sort(_false_positive_scores(net, samples, side))[::-1]
    if len(scores) <= allowed:
        return 0.0
    # Midway between the last false positive that is allowed and the first that is not.
    limit = float(scores[max(allowed - 1, 0) : allowed + 1].mean())
    shift = min(0.0, float(np.log(_SCORE_THR / (1 - _SCORE_THR)) - np.log(limit / (1 - limit))))
    heads: Any = net.heads
    with torch.no_grad():
        for head in heads:
            head.cls.bias += shift
    return shift


@torch.inference_mode()
def _false_positive_scores(net: Any, samples: DetectorSamples, side: int) -> np.ndarray:
    """Return the scores (K,) of false positives in upright frames, evenly chosen."""
    found: list[np.ndarray] = []
    count = min(_MAX_FRAMES, len(samples))
    chosen = torch.linspace(0, len(samples) - 1, count).round().long()
    for inds in chosen.split(_BATCH_SIZE):
        images, people, ignored = samples.batch(
            inds, side, DetectorSampling(), torch.Generator(), 0.0
        )
        bboxes, scores = RTMDetNano.people(net(normalised(images)))
        known = torch.cat([people, ignored], dim=1)
        for frame_bboxes, frame_scores, truth in zip(bboxes.numpy(), scores.numpy(), known.numpy()):
            keep = suppress(frame_bboxes, frame_scores, _MIN_SCORE)
            overlap = pairwise_iou(truth[truth.any(axis=-1)], frame_bboxes[keep])
            found.append(frame_scores[keep][overlap.max(axis=0, initial=0.0) < _MATCH_IOU])
    return np.concatenate(found)
