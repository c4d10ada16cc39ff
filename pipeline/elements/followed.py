"""A body followed through one scene: its signals, the angle of its trunk, and where it flies."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .flights import FlightSpan, find_flights
from .signals import BodySignals, measure_body
from .trunk_angle import one_way_path, trunk_path

# Between flights that turn opposite ways a body is supported for longer than this, seconds:
# contacts of tumbling last about a tenth of a second.
_SUPPORTED_SECONDS = 0.08
# A flight that is lost in between goes on within so many seconds: as long as a body may be lost.
_GAP_SECONDS = 0.3
# Fewer frames have no second differences.
MIN_FRAMES = 4


@dataclass(frozen=True, eq=False)
class FollowedBody:
    """One body in T frames of one scene.

    Attributes:
        body: Measurements of each frame.
        path: (T,) float64 radians, unwrapped angle of the trunk.
        agreement: (T,) float64, -1 to 1, how well each frame agrees with it.
        held: (T,) bool, frames in which the body is known not to fly.
        knows_camera: Whether the camera's motion is taken out of ``body``.
        spans: Its flights, in the order of time.
    """

    body: BodySignals
    path: np.ndarray
    agreement: np.ndarray
    held: np.ndarray
    knows_camera: bool
    spans: tuple[FlightSpan, ...]


def follow_body(
    keypoints: np.ndarray,
    scores: np.ndarray,
    seconds: np.ndarray,
    camera_maps: np.ndarray | None,
    held: np.ndarray | None = None,
) -> FollowedBody | None:
    """Follow a body through one scene; None where its torso is never seen.

    Args:
        keypoints, scores, seconds, camera_maps, held: As ``count_flights`` takes them.
    """
    if held is None:
        held = np.zeros(len(seconds), bool)
    if len(seconds) < MIN_FRAMES:
        return None
    body = measure_body(keypoints, scores, camera_maps)
    if body is None:
        return None
    path, agreement = trunk_path(body.axes, body.axis_weight)
    knows_camera = camera_maps is not None

    def find() -> list[FlightSpan]:
        return find_flights(
            path, agreement, body.center, body.center_weight, seconds, held,
            fits_ballistics=knows_camera,
        )  # fmt: skip

    spans = find()
    if _join_opposite(spans, body, path, agreement, seconds):
        spans = find()
    return FollowedBody(body, path, agreement, held, knows_camera, tuple(spans))


def _join_opposite(
    spans: list[FlightSpan],
    body: BodySignals,
    path: np.ndarray,
    agreement: np.ndarray,
    seconds: np.ndarray,
) -> bool:
    """Make one of flights that follow each other at once and turn opposite ways; tell if any do.

    A body needs support to turn back: the sense was mistaken in one of them. ``path`` and
    ``agreement`` are changed in place.
    """
    joined = False
    for one, two in pairwise(spans):
        if one.sense == two.sense or seconds[two.start] - seconds[one.end - 1] > _SUPPORTED_SECONDS:
            continue
        part = slice(one.start, two.end)
        before = path[two.end - 1]
        angles, agreed = one_way_path(body.axes[part], body.axis_weight[part])
        # Angles are known but for full circles.
        path[part] = angles + _whole_circles(path[one.start] - angles[0])
        path[two.end :] += _whole_circles(path[two.end - 1] - before)
        agreement[part] = agreed
        joined = True
    return joined


def _whole_circles(angle: float) -> float:
    return float(2 * np.pi * np.round(angle / (2 * np.pi)))


def spans_to_read(followed: FollowedBody, seconds: np.ndarray) -> list[FlightSpan]:
    """Return the flights of a body, and those that follow each other at once as one."""
    joined = [
        _joined(one, two, followed.path)
        for one, two in pairwise(followed.spans)
        if seconds[two.start] - seconds[one.end - 1] <= _GAP_SECONDS
        and not followed.held[one.end : two.start].any()
    ]
    return [*followed.spans, *joined]


def _joined(one: FlightSpan, two: FlightSpan, path: np.ndarray) -> FlightSpan:
    """Return two flights, the second after the first, and what lies between them as one."""
    turn = float(path[two.end - 1] - path[one.start])
    return FlightSpan(
        start=one.start,
        end=two.end,
        sense=1 if turn > 0 else -1,
        turn=turn,
        ballistic=(one.ballistic + two.ballistic) / 2,
        gravity=(one.gravity + two.gravity) / 2,
        begins=one.begins,
        ends=two.ends,
        is_cut=one.is_cut or two.is_cut,
    )
