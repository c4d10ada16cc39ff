"""How near networks come to labels of sources that they did not learn from, at twelve angles."""

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

ANGLES = range(0, 360, 30)
_BATCH = 32


def _figures(
    name: str,
    count: int,
    angles: Sequence[int],
    measure: Callable[[Tensor, float], np.ndarray],
) -> dict[str, float]:
    """Return means upright and over all angles, and the least of all angles.

    Args:
        name: What is measured.
        count: Number of samples.
        angles: Degrees, 0 among them.
        measure: Takes numbers of samples and an angle, gives a figure per person.
    """
    means = []
    for degrees in angles:
        with torch.inference_mode():
            values = [measure(inds, float(degrees)) for inds in torch.arange(count).split(_BATCH)]
        together = np.concatenate(values)
        means.append(float(together.mean()) if len(together) else 0.0)
    upright = means[list(angles).index(0)]
    return {
        f"{name}_upright": round(upright, 4),
        f"{name}_all_angles": round(float(np.mean(means)), 4),
        f"{name}_least": round(min(means), 4),
    }


def measure_pose(
    net: Any, samples: PoseSamples, input_wh: tuple[int, int], angles: Sequence[int] = ANGLES
) -> dict[str, float]:
    """Return how near MMPose's net comes to the labels' keypoints: OKS upright and turned.

    OKS is over the keypoints that the teachers see, in boxes around the turned people.
    """

    def likeness(inds: Tensor, degrees: float) -> np.ndarray:
        pictures, keypoints, peaks, weights = samples.batch(
            inds, input_wh, PoseSampling(), torch.Generator(), degrees
        )
        heatmaps = net.head(net.extract_feat(normalised(pictures))).numpy()
        decoded = [net.head.decoder.decode(heatmap)[0][0] for heatmap in heatmaps]
        truth = keypoints.numpy()
        seen = ((peaks > 0.25) & (weights > 0)).numpy()
        low = np.where(seen[..., None], truth, 1e6).min(axis=1)
        high = np.where(seen[..., None], truth, -1e6).max(axis=1)
        # COCO's area is that of the outline: about half of the box.
        areas = 0.53 * np.maximum(high - low, 8.0).prod(axis=1)
        squared = ((np.stack(decoded) - truth) ** 2).sum(axis=-1)
        total = (keypoint_similarity(squared, areas) * seen).sum(axis=1)
        return np.asarray(total / np.maximum(seen.sum(axis=1), 1))

    return _figures("oks", len(samples), angles, likeness)


def measure_detector(
    net: Any, samples: DetectorSamples, input_wh: tuple[int, int], angles: Sequence[int] = ANGLES
) -> dict[str, float]:
    """Return the share of the labels' people found (IoU .5, score .3), upright and turned."""

    def found(inds: Tensor, degrees: float) -> np.ndarray:
        pictures, people, _ = samples.batch(
            inds, input_wh[0], DetectorSampling(), torch.Generator(), degrees
        )
        boxes, scores = net.people(net(normalised(pictures)))
        hits = []
        for mine, sure, truth in zip(boxes.numpy(), scores.numpy(), people.numpy()):
            overlap = pairwise_iou(truth[truth.any(axis=-1)], mine[sure >= 0.3])
            hits.append(overlap.max(axis=1, initial=0.0) >= 0.5)
        return np.concatenate(hits)

    return _figures("recall", len(samples), angles, found)


def measure_aligner(
    net: Any, samples: PoseSamples, input_wh: tuple[int, int], angles: Sequence[int] = ANGLES
) -> dict[str, float]:
    """Return how often an axis is within 30 degrees of the labels', upright and turned."""

    def near(inds: Tensor, degrees: float) -> np.ndarray:
        pictures, target = samples.aligner_batch(
            inds, input_wh[0], PoseSampling(), torch.Generator(), degrees
        )
        out = net(normalised(pictures))
        known = ~target.isnan().any(dim=1)
        likeness = torch.cosine_similarity(out[known, :2], target[known, :2])
        return (likeness > np.cos(np.deg2rad(30))).numpy()

    return _figures("axis", len(samples), angles, near)
