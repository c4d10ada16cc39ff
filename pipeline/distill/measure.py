"""How near students come to their teachers, on sources that they did not learn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ...pose_extract.boxes import keypoint_likeness, pairwise_iou
from ...pose_extract.finder import find_peaks
from .samples import FinderSamples, PoseSamples
from .students import AlignerStudent, FinderStudent, PoseStudent

_BATCH = 32


def measure_pose(
    student: PoseStudent, samples: PoseSamples, angles: Sequence[int] = range(0, 360, 30)
) -> dict[str, float]:
    """Return how near a student comes to its teachers: OKS upright, and the mean over angles.

    OKS is over the keypoints that the teachers see, in boxes around the turned people.
    """
    width, height = student.config.input_wh
    figures = []
    for degrees in angles:
        values = []
        for start in range(0, len(samples), _BATCH):
            inds = torch.arange(start, min(start + _BATCH, len(samples)))
            pictures, keypoints, peaks, weights = samples.batch(
                inds, (width, height), student.config.pose, torch.Generator(), float(degrees)
            )
            with torch.inference_mode():
                heatmaps = student.heatmaps(pictures).numpy()
            decoded = [student.net.head.decoder.decode(heatmap)[0][0] for heatmap in heatmaps]
            truth = keypoints.numpy()
            seen = ((peaks > 0.25) & (weights > 0)).numpy()
            low = np.where(seen[..., None], truth, 1e6).min(axis=1)
            high = np.where(seen[..., None], truth, -1e6).max(axis=1)
            # COCO's area is that of the outline: about half of the box.
            areas = 0.53 * np.maximum(high - low, 8.0).prod(axis=1)
            squared = ((np.stack(decoded) - truth) ** 2).sum(axis=-1)
            likeness = keypoint_likeness(squared, areas)
            values.append((likeness * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1))
        figures.append(float(np.concatenate(values).mean()))
    upright = figures[list(angles).index(0)]
    return {"oks_upright": round(upright, 4), "oks_all_angles": round(float(np.mean(figures)), 4)}


def measure_finder(
    student: FinderStudent, samples: FinderSamples, angles: Sequence[int] = range(0, 360, 30)
) -> dict[str, float]:
    """Return the share of the teachers' people found (IoU .5, score .3), upright and turned."""
    figures = []
    for degrees in angles:
        found = total = 0
        for start in range(0, len(samples), _BATCH):
            inds = torch.arange(start, min(start + _BATCH, len(samples)))
            pictures, people, _ = samples.batch(
                inds,
                student.config.input_wh[0],
                student.config.finder,
                torch.Generator(),
                float(degrees),
            )
            with torch.inference_mode():
                boxes, scores = find_peaks(*student.net(student.normalised(pictures)))
            for mine, sure, truth in zip(boxes.numpy(), scores.numpy(), people.numpy()):
                truth = truth[truth.any(axis=-1)]
                overlap = pairwise_iou(truth, mine[sure >= 0.3])
                found += int((overlap.max(axis=1, initial=0.0) >= 0.5).sum())
                total += len(truth)
        figures.append(found / max(total, 1))
    upright = figures[list(angles).index(0)]
    return {
        "recall_upright": round(upright, 4),
        "recall_all_angles": round(float(np.mean(figures)), 4),
    }


def measure_aligner(
    student: AlignerStudent, samples: PoseSamples, angles: Sequence[int] = range(0, 360, 30)
) -> dict[str, float]:
    """Return how often an axis is within 30 degrees of the teachers', upright and turned."""
    figures = []
    for degrees in angles:
        near = []
        for start in range(0, len(samples), _BATCH):
            inds = torch.arange(start, min(start + _BATCH, len(samples)))
            pictures, target = samples.aligner_batch(
                inds,
                student.config.input_wh[0],
                student.config.pose,
                torch.Generator(),
                float(degrees),
            )
            with torch.inference_mode():
                out = student.net(student.normalised(pictures))
            known = ~target.isnan().any(dim=1)
            likeness = torch.cosine_similarity(out[known, :2], target[known, :2])
            near.append((likeness > np.cos(np.deg2rad(30))).float())
        figures.append(float(torch.cat(near).mean()))
    upright = figures[list(angles).index(0)]
    return {
        "axis_upright": round(upright, 4),
        "axis_all_angles": round(float(np.mean(figures)), 4),
    }
