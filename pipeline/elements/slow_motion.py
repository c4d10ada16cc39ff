"""Slow motion: what turns in the air falls as fast as gravity has it.

A replay shows a flight over several times its real duration. How fast a body falls, in torso
lengths, tells by how many: all that takes its time on the ground and in the air, such as rolls,
contacts and landings, is then measured in real seconds.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .followed import follow_body

# Torso lengths per second squared: a torso of half a metre.
_GRAVITY = 9.81 / 0.5
# Flights that tell it: those that fall this freely and turn this far, radians. Fewer times slower
# than the least cannot be told from a body or a camera that is seen at an angle; more than the most
# is not filmed in sports. Chosen on simulated clips (`benchmarks/turns.py slow-motion`).
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
    followed = follow_body(keypoints, scores, seconds, camera_maps)
    flights = [] if followed is None else followed.spans
    telling = [
        flight
        for flight in flights
        if flight.ballistic >= _MIN_BALLISTIC
        and flight.gravity > 0
        and abs(flight.turn) >= _MIN_TURN
    ]
    if not telling:
        return 1.0
    gravity = max(telling, key=lambda flight: abs(flight.turn)).gravity
    slower = float(np.sqrt(_GRAVITY / gravity))
    return min(slower, _MOST_SLOWER) if slower >= _LEAST_SLOWER else 1.0
