"""How well networks agree with the labels of held-out sources, at twelve angles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...pose_extract.common.geometry import keypoint_similarity, pairwise_iou
from .detector_samples import DetectorSamples, DetectorSampling
from .image_augment import normalised
from .pose_samples import PoseSamples, PoseSampling
from .warp import SEEN_SCORE

ANGLES = range(0, 360, 30)
_BATCH_SIZE = 32
# Area of a person's outline over the area of the box, as MMPose takes it where a data set has no
# outlines; COCO's OKS is defined over the outline.
_AREA_SHARE = 0.53
# Shortest side of a person in pixels, so that the OKS of a single keypoint is defined.
_MIN_SIDE = 8.0
# A person is found by a detection with this score and, as in COCO, this IoU.
_SCORE_THR, _MATCH_IOU = 0.3, 0.5
# An axis within this angle of the labels' counts as right; no benchmark chose it.
_AXIS_DEGREES = 30


def _figures(
    name: str,
    count: int,
    angles: Sequence[int],
    measure: Callable[[Tensor, float], np.ndarray],
) -> dict[str, float]:
    """Return the mean at 0 degrees, the mean over all angles, and the mean of the worst angle.

    Args:
        name: What is measured; the figures are called ``name_upright``, ``name_all_angles`` and
            ``name_least``.
        count: Number of samples.
        angles: Degrees, 0 among them.
        measure: Takes rows of samples (N,) and an angle in degrees, returns a figure per person.
    """
    means = []
    for degrees in angles:
        with torch.inference_mode():
            batches = torch.arange(count).split(_BATCH_SIZE)
            values = np.concatenate([measure(inds, float(degrees)) for inds in batches])
        means.append(float(values.mean()) if len(values) else 0.0)
    upright = means[list(angles).index(0)]
    return {
        f"{name}_upright": round(upright, 4),
        f"{name}_all_angles": round(float(np.mean(means)), 4),
        f"{name}_least": round(min(means), 4),
    }


def measure_pose(
    net: Any, samples: PoseSamples, input_wh: tuple[int, int], angles: Sequence[int] = ANGLES
) -> dict[str, float]:
    """Return the OKS between an MMPose network's keypoints and the labels', see ``_figures``.

    The OKS is over the keypoints that the teachers see, in boxes around the rotated people.

    Args:
        net: Pose model with a backbone and a heatmap head, on the CPU.
        samples: People.
        input_wh: Width and height of its input.
        angles: Degrees by which the people are rotated, 0 among them.
    """

    def oks(inds: Tensor, degrees: float) -> np.ndarray:
        images, keypoints, peaks, weights = samples.batch(
            inds, input_wh, PoseSampling(), torch.Generator(), degrees
        )
        heatmaps = net.head(net.extract_feat(normalised(images))).numpy()
        decoded = [net.head.decoder.decode(heatmap)[0][0] for heatmap in heatmaps]
        truth = keypoints.numpy()
        is_seen = ((peaks > SEEN_SCORE) & (weights > 0)).numpy()
        low = np.where(is_seen[..., None], truth, 1e6).min(axis=1)
        high = np.where(is_seen[..., None], truth, -1e6).max(axis=1)
        areas = _AREA_SHARE * np.maximum(high - low, _MIN_SIDE).prod(axis=1)
        squared = ((np.stack(decoded) - truth) ** 2).sum(axis=-1)
        total = (keypoint_similarity(squared, areas) * is_seen).sum(axis=1)
        return np.asarray(total / np.maximum(is_seen.sum(axis=1), 1))

    return _figures("oks", len(samples), angles, oks)


def measure_detector(
    net: Any, samples: DetectorSamples, input_wh: tuple[int, int], angles: Sequence[int] = ANGLES
) -> dict[str, float]:
    """Return the recall of the labels' people at IoU .5 from score .3, see ``_figures``.

    Args:
        net: Detector with the output of ``RTMDetNano``, on the CPU.
        samples: Frames.
        input_wh: Width and height of its input.
        angles: Degrees by which the frames are rotated, 0 among them.
    """

    def is_found(inds: Tensor, degrees: float) -> np.ndarray:
        images, people, _ = samples.batch(
            inds, input_wh[0], DetectorSampling(), torch.Generator(), degrees
        )
        bboxes, scores = net.people(net(normalised(images)))
        hits = []
        for frame_bboxes, frame_scores, truth in zip(
            bboxes.numpy(), scores.numpy(), people.numpy()
        ):
            confident = frame_bboxes[frame_scores >= _SCORE_THR]
            overlap = pairwise_iou(truth[truth.any(axis=-1)], confident)
            hits.append(overlap.max(axis=1, initial=0.0) >= _MATCH_IOU)
        return np.concatenate(hits)

    return _figures("recall", len(samples), angles, is_found)


def measure_aligner(
    net: Any, samples: PoseSamples, input_wh: tuple[int, int], angles: Sequence[int] = ANGLES
) -> dict[str, float]:
    """Return how often an axis is within 30 degrees of the labels', see ``_figures``.

    Args:
        net: An ``AlignerNet``, on the CPU.
        samples: People.
        input_wh: Width and height of its input.
        angles: Degrees by which the people are rotated, 0 among them.
    """

    def is_near(inds: Tensor, degrees: float) -> np.ndarray:
        images, target = samples.aligner_batch(
            inds, input_wh[0], PoseSampling(), torch.Generator(), degrees
        )
        out = net(normalised(images))
        is_known = ~target.isnan().any(dim=1)
        cosine = torch.cosine_similarity(out[is_known, :2], target[is_known, :2])
        return (cosine > np.cos(np.deg2rad(_AXIS_DEGREES))).numpy()

    return _figures("axis", len(samples), angles, is_near)
