"""What the network of flights sees: a flight with what comes before and after it, resampled.

    FollowedBody, first and last frame -> joints (64, 17, 8) and facts (6,)

The centre of the body, its length, the camera's motion and the rotation of the trunk are taken out,
and put beside it, so that each can be read alone. A body that turns counter-clockwise is mirrored:
no factor changes by that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...pose_extract.layout import COCO_17
from .flights import FlightSpan
from .followed import FollowedBody
from .signals import BodySignals

# Steps of a window, and channels of each joint: two along and across the trunk, the score, two
# in the image, two of the body's centre, and how far the trunk turns in a step.
WINDOW_STEPS, CHANNELS, NUM_FACTS = 64, 8, 6
# Share of the flight that is seen before and after it, too: spans are not exact, and often end when
# a body opens before it comes down.
_MARGIN = 0.25
# Torso lengths at which joints are put that lie further from the centre: those of other people.
_FAR = 4.0
# A centre moves several torso lengths, the joints one.
_CENTER_SCALE = 0.2
_FLIP = COCO_17.flip_inds()
_TORSO = np.array([5, 6, 11, 12])


@dataclass(frozen=True, eq=False)
class FlightWindow:
    """A flight as the network sees it.

    Attributes:
        joints: (64, 17, 8) float32; see ``CHANNELS``. All zero where a joint is missing.
        facts: (6,) float32, what resampling hides: log of the seconds and of the frames in flight,
            whether it begins and ends in view, whether it is cut, and how freely it falls.
    """

    joints: np.ndarray
    facts: np.ndarray


def flight_window(followed: FollowedBody, span: FlightSpan, seconds: np.ndarray) -> FlightWindow:
    """Return what the network sees of a flight.

    Args:
        followed: The body.
        span: Its flight.
        seconds: (T,) float, times of the frames.
    """
    body, frames = followed.body, span.end - span.start
    before = _MARGIN * frames
    at = np.linspace(span.start - before, span.end - 1 + before, WINDOW_STEPS)
    points, scores = _resampled(body.points, body.scores, at)
    angle = _along(followed.path, at)
    mirrored = span.sense < 0
    if mirrored:
        points, scores, angle = points[:, _FLIP] * (-1, 1), scores[:, _FLIP], -angle
    center = _center(body, at) * ((-1 if mirrored else 1), 1)
    joints = np.zeros((WINDOW_STEPS, len(_FLIP), CHANNELS), np.float32)
    seen = scores > 0
    away = (points - _middle(points, scores)[:, None]).clip(-_FAR, _FAR)
    # Turned back by the trunk's angle, clockwise in the image: upright bodies.
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    joints[..., 0] = cos * away[..., 0] + sin * away[..., 1]
    joints[..., 1] = cos * away[..., 1] - sin * away[..., 0]
    joints[..., 2] = scores
    joints[..., 3:5] = away
    joints[..., 5:7] = _CENTER_SCALE * center[:, None]
    joints[..., 7] = np.diff(angle, prepend=2 * angle[0] - angle[1])[:, None]
    joints[~seen] = 0
    duration = seconds[span.end - 1] - seconds[span.start]
    facts = (
        np.log(max(duration, 1e-3)), np.log(frames) - 3,
        span.begins, span.ends, span.is_cut, span.ballistic,
    )  # fmt: skip
    return FlightWindow(joints, np.array(facts, np.float32))


def _resampled(
    points: np.ndarray, scores: np.ndarray, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return points and scores between frames; scores are 0 before the first and after the last."""
    low = np.floor(at).astype(int)
    share = (at - low)[:, None]
    inside = [((i >= 0) & (i < len(points)))[:, None] for i in (low, low + 1)]
    one, two = (i.clip(0, len(points) - 1) for i in (low, low + 1))
    weights = (1 - share) * inside[0] * (scores[one] > 0), share * inside[1] * (scores[two] > 0)
    total = weights[0] + weights[1]
    mean = weights[0][..., None] * points[one] + weights[1][..., None] * points[two]
    # A joint that only the frame further away shows is missing.
    seen = total >= 0.5
    between = weights[0] * scores[one] + weights[1] * scores[two]
    return mean / np.maximum(total, 1e-6)[..., None], np.where(seen, between, 0.0)


def _along(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    return np.interp(at, np.arange(len(values)), values)


def _center(body: BodySignals, at: np.ndarray) -> np.ndarray:
    """Return the centre of mass (64, 2) about its mean, where it is not seen as between."""
    seen = np.flatnonzero(body.center_weight > 0)
    if not len(seen):
        return np.zeros((len(at), 2))
    center = np.stack([np.interp(at, seen, body.center[seen, axis]) for axis in (0, 1)], 1)
    out: np.ndarray = center - center.mean(axis=0)
    return out


def _middle(points: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the mean (64, 2) of the torso's joints, or of all if none of those is seen."""
    weights = scores.copy()
    others = np.ones(scores.shape[1], bool)
    others[_TORSO] = False
    weights[np.ix_(scores[:, _TORSO].any(axis=1), others)] = 0
    total = np.maximum(weights.sum(axis=1), 1e-6)[:, None]
    out: np.ndarray = (points * weights[..., None]).sum(axis=1) / total
    return out
