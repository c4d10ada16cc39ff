"""Put joints that a pose model lost for some frames where their neighbours in time say they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..common.geometry import torso_lengths
from ..layout import KeypointLayout


@dataclass(frozen=True)
class OutlierConfig:
    """Which joints are replaced.

    Chosen on the parkour clips of ``benchmarks/flight.py clips``, whose joints were measured,
    while scores were heatmap peaks, and carried over to chances.

    Attributes:
        low_score: Joints with at least this score are never moved.
        confident_score: The neighbours in time have at least this one.
        max_gap: Each neighbour is at most this many frames away.
        min_distance: Joints nearer than this to where the neighbours put them stay, torso lengths.
        max_motion: The neighbours are at most this far apart, torso lengths.
    """

    low_score: float = 0.43
    confident_score: float = 0.55
    max_gap: int = 6
    min_distance: float = 0.5
    max_motion: float = 0.5


def replace_outliers(
    keypoints: np.ndarray,
    keypoint_scores: np.ndarray,
    layout: KeypointLayout,
    config: OutlierConfig | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Replace outliers of one person's sequence by the line between their neighbours in time.

    Shoulders to ankles alone; their scores stay as low as they are.

    Args:
        keypoints: (T, V, 2) float32, pixels.
        keypoint_scores: (T, V) float32; 0 for all keypoints where the person is not seen.
        layout: Names the keypoints.
        config: Which joints are replaced.

    Returns:
        A repaired copy of the keypoints, and (T, V) bool, which were replaced.
    """
    config = config or OutlierConfig()
    points = keypoints.copy()
    replaced = np.zeros(keypoint_scores.shape, bool)
    present = (keypoint_scores > 0).any(axis=1)
    if not present.any():
        return points, replaced
    torso = max(float(np.median(torso_lengths(keypoints[present], layout))), 1.0)
    for joint in range(layout.num_keypoints):
        if joint in layout.parts["head"]:
            continue
        scores, track = keypoint_scores[:, joint], keypoints[:, joint]
        confident = np.flatnonzero(scores >= config.confident_score)
        steps = np.flatnonzero((scores < config.low_score) & present)
        places = np.searchsorted(confident, steps)
        inside = (places > 0) & (places < len(confident))
        steps, places = steps[inside], places[inside]
        before, after = confident[places - 1], confident[places]
        near = np.maximum(steps - before, after - steps) <= config.max_gap
        motion = track[after] - track[before]
        near &= np.linalg.norm(motion, axis=1) <= config.max_motion * torso
        share = (steps - before) / np.maximum(after - before, 1)
        expected = track[before] + share[:, None] * motion
        off = np.linalg.norm(expected - track[steps], axis=1)
        chosen = near & (off >= config.min_distance * torso)
        points[steps[chosen], joint] = expected[chosen]
        replaced[steps[chosen], joint] = True
    return points, replaced
