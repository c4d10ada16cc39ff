"""Slow motion: what turns in the air falls as fast as gravity has it.

A replay shows a flight over several times its real duration. How fast a body falls, in torso
lengths, tells by how many: all that takes its time on the ground and in the air, such as rolls,
contacts and landings, is then measured in real seconds.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .flights import find_flights
from .followed import MIN_FRAMES
from .signals import measure_body
from .trunk_angle import trunk_path

# Torso lengths per second squared: a torso of half a metre.
_GRAVITY = 9.81 / 0.5
# How many times slower a scene is taken to be in turn: what is looked for lasts fractions of a
# second, and in slow motion longer.
_TRIED = (1.0, 2.0, 4.0, 8.0)
# Flights that tell it: those that fall this freely and turn this far, radians. Fewer times slower
# than the least cannot be told from a body or a camera that is seen at an angle, and more than the
# most is not simulated. Set with a look at simulated clips (`benchmarks/turns.py slow-motion`).
_MIN_BALLISTIC, _MIN_TURN = 0.5, 1.25 * np.pi
_LEAST_SLOWER, _MOST_SLOWER = 1.7, 8.0


def real_seconds(
    keypoints: np.ndarray,
    scores: np.ndarray,
    seconds: np.ndarray,
    camera_maps: np.ndarray,
    scene_ids: np.ndarray,
) -> np.ndarray:
    """Return the times (T,) float64 at which a clip was filmed, in seconds from its first frame.

    Args:
        keypoints: (T, 17, 2) float32, square pixels.
        scores: (T, 17) float32.
        seconds: (T,) float64, increasing times at which the frames are shown.
        camera_maps: (T, 2, 3) float32, as ``SkeletonSequence`` has them.
        scene_ids: (T,) int64, number of each frame's scene; each may be slower than the others.
    """
    steps = np.diff(seconds, prepend=0.0)
    bounds = [0, *(np.flatnonzero(np.diff(scene_ids)) + 1).tolist(), len(seconds)]
    for start, stop in pairwise(bounds):
        part = slice(start, stop)
        steps[part] /= times_slower(keypoints[part], scores[part], seconds[part], camera_maps[part])
    return np.asarray(steps.cumsum())


def times_slower(
    keypoints: np.ndarray, scores: np.ndarray, seconds: np.ndarray, camera_maps: np.ndarray
) -> float:
    """Return how many times slower than real a scene is shown, 1 to 8; 1 where nothing tells.

    Args:
        keypoints, scores, seconds, camera_maps: Of the frames of one scene, see ``real_seconds``.
    """
    body = measure_body(keypoints, scores, camera_maps) if len(seconds) >= MIN_FRAMES else None
    if body is None:
        return 1.0
    path, agreement = trunk_path(body.axes, body.axis_weight)
    told: list[tuple[float, float]] = []
    for tried in _TRIED:
        for flight in find_flights(
            path, agreement, body.center, body.center_weight, seconds / tried, fits_ballistics=True
        ):
            if flight.ballistic < _MIN_BALLISTIC or abs(flight.turn) < _MIN_TURN:
                continue
            left = float(np.sqrt(_GRAVITY / flight.gravity))
            # Else it is found, and found better, where another pace is tried.
            if 1 / _LEAST_SLOWER < left < _LEAST_SLOWER:
                frames = flight.end - flight.start
                told.append((flight.ballistic * frames, tried * left))
    slower = max(told)[1] if told else 1.0
    return min(slower, _MOST_SLOWER) if slower >= _LEAST_SLOWER else 1.0
