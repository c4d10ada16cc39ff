"""Handstands: a body upside down that does not turn, its hands under it and its feet in the air."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .signals import measure_body
from .trunk_angle import trunk_path

# Degrees of the trunk from upside down, degrees per second, and seconds that it is held at least.
# Set by hand: a cartwheel or a flic-flac passes a handstand at 200 degrees per second and more.
_MAX_TILT, _MAX_RATE, _MIN_SECONDS = 45.0, 90.0, 0.4
# Seconds over which the trunk's rate is taken, and gaps that are bridged.
_RATE_SECONDS, _BRIDGED_SECONDS = 0.2, 0.15
# Torso lengths by which the hands lie below the shoulders at least, and below the feet: in a bridge
# and a push-up both are on the ground. Hands that are further apart hold a push-up that is filmed
# from before the head: in a handstand they are below the shoulders, which are .9 apart.
_HANDS_BELOW, _FEET_ABOVE, _MAX_APART = 0.3, 0.5, 1.4
_SHOULDERS, _WRISTS, _ANKLES = np.array([5, 6]), np.array([9, 10]), np.array([15, 16])
_MIN_SCORE = 0.3


def find_handstands(
    keypoints: np.ndarray,
    scores: np.ndarray,
    seconds: np.ndarray,
    in_flight: np.ndarray,
    scene_ids: np.ndarray,
) -> list[tuple[int, int, float]]:
    """Return first and last frame and confidence, 0 to 1, of each handstand.

    The confidence is the mean score of shoulders and wrists: the chance that they are where they
    seem to be.

    Args:
        keypoints: (T, 17, 2) float32, square pixels.
        scores: (T, 17) float32.
        seconds: (T,) float64, increasing.
        in_flight: (T,) bool, frames that belong to a flight.
        scene_ids: (T,) int64, number of each frame's scene; no handstand goes on over a cut.
    """
    body = measure_body(keypoints, scores, None) if len(seconds) > 3 else None
    if body is None:
        return []
    path, agreement = trunk_path(body.axes, body.axis_weight)
    step = float(np.median(np.diff(seconds)))
    reach = max(round(_RATE_SECONDS / step / 2), 1)
    ahead = np.minimum(np.arange(len(path)) + reach, len(path) - 1)
    behind = np.maximum(np.arange(len(path)) - reach, 0)
    rate = np.degrees(path[ahead] - path[behind]) / np.maximum(
        seconds[ahead] - seconds[behind], 1e-9
    )
    upside_down = -np.cos(path) > np.cos(np.radians(_MAX_TILT))
    joints = np.concatenate([_SHOULDERS, _WRISTS])
    seen = np.partition(scores[:, joints], 1, axis=1)[:, 1:].mean(axis=1)
    hands = _height(keypoints, scores, _WRISTS)
    below = hands - _height(keypoints, scores, _SHOULDERS)
    feet = hands - _height(keypoints, scores, _ANKLES)
    held = upside_down & (np.abs(rate) < _MAX_RATE) & (agreement > 0.5) & ~in_flight
    held &= (np.nan_to_num(below, nan=-1.0) > _HANDS_BELOW * body.torso) & (seen > _MIN_SCORE)
    # Feet that are not seen are out of the picture, above it.
    held &= np.nan_to_num(feet, nan=np.inf) > _FEET_ABOVE * body.torso
    # Along the ground: a hand that is taken for a foot is far above the other.
    apart = np.abs(keypoints[:, 9, 0] - keypoints[:, 10, 0]) / body.torso
    apart = np.where((scores[:, _WRISTS] > _MIN_SCORE).all(axis=1), apart, np.nan)
    gap = max(round(_BRIDGED_SECONDS / step), 1)
    return [
        (first, last, min(float(scores[first : last + 1, joints].mean()), 1.0))
        for scene in np.unique(scene_ids)
        for first, last in _runs(held & (scene_ids == scene), gap)
        if seconds[last] - seconds[first] >= _MIN_SECONDS
        and not _median(apart[first : last + 1]) > _MAX_APART
    ]


def _median(values: np.ndarray) -> float:
    """Return the median of what is known; NaN if nothing is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _height(keypoints: np.ndarray, scores: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Return the mean y (T,) of those of some joints that are seen; NaN where none is."""
    seen = scores[:, joints] > 0
    total = np.where(seen, keypoints[:, joints, 1], 0).sum(axis=1)
    return np.asarray(np.where(seen.any(axis=1), total / np.maximum(seen.sum(axis=1), 1), np.nan))


def _runs(held: np.ndarray, gap: int) -> list[tuple[int, int]]:
    """Return first and last frame of each run; gaps of up to ``gap`` frames are bridged."""
    frames = np.flatnonzero(held).tolist()
    if not frames:
        return []
    breaks = [(a, b) for a, b in pairwise(frames) if b - a > gap + 1]
    firsts = [frames[0], *(b for _, b in breaks)]
    lasts = [*(a for a, _ in breaks), frames[-1]]
    return list(zip(firsts, lasts))
