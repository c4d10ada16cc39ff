"""Counts what a body does in the air, from its skeleton alone and by kinematics.

Learned are only the chances that answers are right, and positions (``calibration.py``). A network
may read the flights, too (``flight_reader.py``).

Skeleton -> signals -> unwrapped angle of the trunk -> flights -> half somersaults, sense, twists,
position, each with a confidence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ... import SkelactError
from .counted import CountedFlight
from .flight_answers import answers_about
from .flight_reader import FlightReading, ReadFlights
from .flight_window import flight_window
from .flights import FlightSpan
from .followed import FollowedBody, follow_body, spans_to_read

# Phases of a frame.
OTHER, SUPPORT, FLIGHT, LANDING = range(4)
# Seconds before a flight that count as on the board or apparatus, and after it as entry or landing.
_SUPPORT_SECONDS, _LANDING_SECONDS = 1.0, 0.4


@dataclass(frozen=True, eq=False)
class CountedClip:
    """Flights of one person in a clip.

    Attributes:
        phases: (T,) int8, per frame: 0 other, 1 on the board or apparatus, 2 flight, 3 entry or
            landing.
        flights: In the order of time.
    """

    phases: np.ndarray
    flights: tuple[CountedFlight, ...]


def count_flights(
    keypoints: np.ndarray,
    scores: np.ndarray,
    seconds: np.ndarray,
    camera_maps: np.ndarray | None = None,
    scene_ids: np.ndarray | None = None,
    held: np.ndarray | None = None,
    read: ReadFlights | None = None,
) -> CountedClip:
    """Find the flights of a person and count somersaults and twists in them.

    Args:
        keypoints: (T, 17, 2) float, square pixels, x then y, COCO-17 order.
        scores: (T, 17) float, the chance of each joint to lie within .2 torso lengths of its place;
            0 where not seen.
        seconds: (T,) float, increasing times of the frames. Slow motion need not be known.
        camera_maps: (T, 2, 3) float, affine maps from each frame's pixels to those of its scene,
            as ``SkeletonSequence`` has them; None if the camera's motion is not known.
        scene_ids: (T,) int, number of each frame's scene; None if the picture is never cut. A
            flight does not go on over a cut.
        held: (T,) bool, frames in which hands or back are known to hold the body: no flight goes on
            over them. None if it is not known of any.
        read: The network that reads flights, whose chances are put together with the counter's and
            which tells parts of one flight; None for what the counter says alone.

    Raises:
        SkelactError: for arrays of other shapes, or times that do not increase.
    """
    if scene_ids is None:
        scene_ids = np.zeros(len(seconds), np.int64)
    if held is None:
        held = np.zeros(len(seconds), bool)
    _check(keypoints, scores, seconds, camera_maps, scene_ids, held)
    bounds = [0, *(np.flatnonzero(np.diff(scene_ids)) + 1).tolist(), len(seconds)]
    scenes = []
    for start, stop in pairwise(bounds):
        part = slice(start, stop)
        maps = None if camera_maps is None else camera_maps[part]
        followed = follow_body(keypoints[part], scores[part], seconds[part], maps, held[part])
        scenes.append(_count_scene(followed, seconds[part], start, read))
    return CountedClip(
        np.concatenate([scene.phases for scene in scenes]),
        tuple(flight for scene in scenes for flight in scene.flights),
    )


def _count_scene(
    followed: FollowedBody | None,
    seconds: np.ndarray,
    first_frame: int,
    read: ReadFlights | None,
) -> CountedClip:
    """Count the flights of frames that show one scene; ``first_frame`` is their number."""
    phases = np.zeros(len(seconds), np.int8)
    if followed is None:
        return CountedClip(phases, ())
    body, path, agreement = followed.body, followed.path, followed.agreement
    seen = agreement > 0
    readings = _readings(followed, seconds, read)
    for span, _ in readings:
        before = (seconds >= seconds[span.start] - _SUPPORT_SECONDS) & (phases == OTHER) & seen
        phases[: span.start][before[: span.start]] = SUPPORT
        phases[span.start : span.end] = FLIGHT
        after = seconds <= seconds[span.end - 1] + _LANDING_SECONDS
        phases[span.end :][after[span.end :]] = LANDING
    counted = [
        answers_about(
            span,
            body,
            path,
            agreement,
            seconds,
            knows_camera=followed.knows_camera,
            reading=reading,
        )
        for span, reading in readings
    ]
    moved = [
        replace(
            flight,
            first_frame=flight.first_frame + first_frame,
            last_frame=flight.last_frame + first_frame,
        )
        for flight in counted
    ]
    return CountedClip(phases, tuple(moved))


def _readings(
    followed: FollowedBody, seconds: np.ndarray, read: ReadFlights | None
) -> list[tuple[FlightSpan, FlightReading | None]]:
    """Return the flights with what the network says of them, parts of one flight as one."""
    if read is None or not followed.spans:
        return [(span, None) for span in followed.spans]
    spans = spans_to_read(followed, seconds)
    readings = read([flight_window(followed, span, seconds) for span in spans])
    # Of windows that overlap the one that most probably shows a whole flight is kept.
    kept: list[tuple[FlightSpan, FlightReading | None]] = []
    for i in sorted(range(len(spans)), key=lambda i: -readings[i].whole):
        if all(spans[i].end <= span.start or span.end <= spans[i].start for span, _ in kept):
            kept.append((spans[i], readings[i]))
    return sorted(kept, key=lambda one: one[0].start)


def _check(
    keypoints: np.ndarray,
    scores: np.ndarray,
    seconds: np.ndarray,
    camera_maps: np.ndarray | None,
    scene_ids: np.ndarray,
    held: np.ndarray,
) -> None:
    frames = len(seconds) if np.ndim(seconds) == 1 else -1
    shapes = [
        ("keypoints", keypoints, (frames, 17, 2)),
        ("scores", scores, (frames, 17)),
        ("scene_ids", scene_ids, (frames,)),
        ("held", held, (frames,)),
    ]
    if camera_maps is not None:
        shapes.append(("camera_maps", camera_maps, (frames, 2, 3)))
    for name, array, shape in shapes:
        if np.shape(array) != shape:
            raise SkelactError(
                f"counter: {name}: expected the shape {shape} for seconds of the shape "
                f"{np.shape(seconds)}, got {np.shape(array)}"
            )
    if not (np.isfinite(seconds).all() and (np.diff(seconds) > 0).all()):
        raise SkelactError("counter: seconds: expected times that increase")
    seen = scores > 0
    if not (np.isfinite(scores).all() and np.isfinite(keypoints[seen]).all()):
        raise SkelactError("counter: expected finite scores, and keypoints where they are above 0")
