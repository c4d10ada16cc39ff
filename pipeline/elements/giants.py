"""Giants: turns about hands that hold a bar, from a handstand by way of the hang to a handstand."""

from __future__ import annotations

import numpy as np

from .element import Element, Takeoff
from .signals import BodySignals
from .turns import BodyTurn, find_turns

_SHOULDERS, _WRISTS = np.array([5, 6]), np.array([9, 10])
_SEEN = 0.2
# Set by hand. Torso lengths: the middle half of the places of the hands lies within the first; the
# centre of mass of a stretched body is an arm and half a trunk from them, 1.15 + .5, more than the
# second. Degrees by which the hips are bent at most, in the median: in a clear hip circle or a
# stalder they are by 90.
_MAX_HANDS, _MIN_RADIUS, _MAX_HIP = 0.5, 1.0, 40.0
# Least turn of the centre about the hands: a trunk is within 80 degrees of the handstand before and
# after it. Least agreement of the frames with the trunk's path.
_MIN_TURN, _MIN_AGREEMENT = np.radians(200), 0.5
_MIN_FRAMES = 4
# Mean front of the body, torso lengths, of which nothing follows. Set by hand.
_UNSURE_FRONT = 0.03


def find_giants(
    body: BodySignals,
    points: np.ndarray,
    scores: np.ndarray,
    path: np.ndarray,
    agreement: np.ndarray,
    seconds: np.ndarray,
) -> list[tuple[int, int, Element, float]]:
    """Return first and last frame, element and confidence, 0 to 1, of each giant.

    The confidence is the mean score of shoulders and wrists: the chance that they are where they
    seem to be.

    Args:
        body: Measurements of the body, T frames.
        points: (T, 17, 2) keypoints in torso lengths, the camera's motion taken out.
        scores: (T, 17) float.
        path: (T,) radians, unwrapped angle of the trunk.
        agreement: (T,) -1 to 1, how well each frame agrees with it.
        seconds: (T,) seconds, increasing.
    """
    found = []
    # What is upside down for the path is upright for a giant.
    for turn in find_turns(path - np.pi, seconds):
        part = slice(turn.start, turn.end)
        if agreement[part].mean() >= _MIN_AGREEMENT and _is_giant(turn, body, points, scores):
            joints = np.concatenate([_SHOULDERS, _WRISTS])
            chance = min(float(scores[part][:, joints].mean()), 1.0)
            found.append((turn.start, turn.end - 1, Element("giant", _takeoff(turn, body)), chance))
    return found


def _is_giant(turn: BodyTurn, body: BodySignals, points: np.ndarray, scores: np.ndarray) -> bool:
    part = slice(turn.start, turn.end)
    places = [points[part, wrist][scores[part, wrist] > _SEEN] for wrist in _WRISTS]
    places = [place for place in places if len(place) >= _MIN_FRAMES]
    known = body.center_weight[part] > 0
    if not places or known.sum() < _MIN_FRAMES:
        return False
    # Each hand for itself: from before the bar they are seen beside each other.
    ways = [np.hypot(*np.ptp(np.quantile(place, (0.25, 0.75), axis=0), axis=0)) for place in places]
    bar = np.mean([np.median(place, axis=0) for place in places], axis=0)
    arm = body.center[part][known] - bar
    about = np.unwrap(np.arctan2(arm[:, 0], -arm[:, 1]))
    hip = body.hip[part][body.hip_weight[part] > _SEEN]
    return bool(
        min(ways) <= _MAX_HANDS
        and np.quantile(np.hypot(*arm.T), 0.25) >= _MIN_RADIUS
        and turn.sense * (about[-1] - about[0]) >= _MIN_TURN
        and hip.size
        and np.median(hip) <= _MAX_HIP
    )


def _takeoff(turn: BodyTurn, body: BodySignals) -> Takeoff | None:
    """Return towards which side the body turns; None where the two are as probable."""
    part = slice(turn.start, turn.end)
    weight = body.front_weight[part]
    front = turn.sense * float((body.front[part] * weight).sum() / max(weight.sum(), 1e-6))
    if abs(front) < _UNSURE_FRONT:
        return None
    return "forward" if front > 0 else "back"
