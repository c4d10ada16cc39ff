"""How well detectors agree with the labels of held-out sources, at twelve angles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...pose_extract.common.geometry import pairwise_iou
from .detector_samples import DetectorSamples, DetectorSampling
from .image_augment import normalised

ANGLES = range(0, 360, 30)
_BATCH_SIZE = 32
# A person is found by a detection with this score and, as in COCO, this IoU.
_SCORE_THR, _MATCH_IOU = 0.3, 0.5


def measure_detector(
    net: Any, samples: DetectorSamples, input_wh: tuple[int, int], angles: Sequence[int] = ANGLES
) -> dict[str, float]:
    """Return the recall of the labels' people at IoU .5 from score .3.

    Args:
        net: Detector with the output of ``RTMDetNano``, on the CPU.
        samples: Frames.
        input_wh: Width and height of its input.
        angles: Degrees by which the frames are rotated, 0 among them.

    Returns:
        ``recall_upright`` at 0 degrees, ``recall_all_angles``, the mean over all angles, and
        ``recall_least``, that at the worst angle.
    """
    recalls = [_recall(net, samples, input_wh[0], float(degrees)) for degrees in angles]
    return {
        "recall_upright": round(recalls[list(angles).index(0)], 4),
        "recall_all_angles": round(float(np.mean(recalls)), 4),
        "recall_least": round(min(recalls), 4),
    }


@torch.inference_mode()
def _recall(net: Any, samples: DetectorSamples, side: int, degrees: float) -> float:
    """Return the share of people who are found in frames rotated by an angle."""
    hits = []
    for inds in torch.arange(len(samples)).split(_BATCH_SIZE):
        images, people, _ = samples.batch(
            inds, side, DetectorSampling(), torch.Generator(), degrees
        )
        bboxes, scores = net.people(net(normalised(images)))
        for frame_bboxes, frame_scores, truth in zip(
            bboxes.numpy(), scores.numpy(), people.numpy()
        ):
            confident = frame_bboxes[frame_scores >= _SCORE_THR]
            overlap = pairwise_iou(truth[truth.any(axis=-1)], confident)
            hits.append(overlap.max(axis=1, initial=0.0) >= _MATCH_IOU)
    found = np.concatenate(hits)
    return float(found.mean()) if len(found) else 0.0
