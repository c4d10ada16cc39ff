"""What a body does in each frame of a clip: phases, and how far it has rotated and twisted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ...pose_extract.layout import COCO_17
from ...pose_extract.skeleton import SkeletonSequence
from .counted import CountedFlight
from .counter import FLIGHT, LANDING, OTHER, SUPPORT
from .followed import FollowedBody, follow_body
from .recognise import RecognisedElement, count_person
from .twist import twist_path

__all__ = ["PHASE_NAMES", "BodyCourse", "body_course"]

PHASE_NAMES = {
    OTHER: "other",
    SUPPORT: "before take-off",
    FLIGHT: "flight",
    LANDING: "entry or landing",
}


@dataclass(frozen=True, eq=False)
class BodyCourse:
    """The course of one body over T frames.

    Attributes:
        phases: (T,) int8, keys of ``PHASE_NAMES``; of flights that are elements alone, since what
            rolls or is lost for a while looks like one to the counter.
        trunk_degrees: (T,) float64, the trunk's angle in the image with the camera's motion taken
            out: clockwise from upright, unwrapped, so that a somersault adds 360 or -360; NaN where
            the trunk is not seen.
        twist_degrees: (T,) float64, twist since the take-off; NaN outside these flights, and in
            those whose twists cannot be told.
    """

    phases: np.ndarray
    trunk_degrees: np.ndarray
    twist_degrees: np.ndarray


def body_course(
    sequence: SkeletonSequence, person: int, elements: Iterable[RecognisedElement]
) -> BodyCourse:
    """Return the course of a person.

    Args:
        sequence: Skeletons of COCO-17; nothing is known of those of another layout.
        person: Index of the person.
        elements: What is recognised in the clip; see ``recognise_elements``.
    """
    unknown = np.full(sequence.num_frames, np.nan)
    phases = np.full(sequence.num_frames, OTHER, np.int8)
    if sequence.layout != COCO_17.name or sequence.num_frames == 0:
        return BodyCourse(phases, unknown, unknown.copy())
    counted = count_person(sequence, person)
    starts = {found.start_seconds for found in elements if found.person == person}
    flights = [
        flight
        for flight in counted.clip.flights
        if float(sequence.pts_seconds[flight.first_frame]) in starts
    ]
    trunk, twist = unknown.copy(), unknown.copy()
    bounds = [0, *(np.flatnonzero(np.diff(sequence.scene_ids)) + 1).tolist(), sequence.num_frames]
    for start, stop in pairwise(bounds):
        part = slice(start, stop)
        seconds = counted.seconds[part]
        followed = follow_body(
            sequence.keypoints[person, part], sequence.keypoint_scores[person, part], seconds,
            sequence.camera_maps[part], counted.held[part],
        )  # fmt: skip
        if followed is None:
            continue
        trunk[part] = np.where(followed.agreement > 0, np.degrees(followed.path), np.nan)
        for flight in flights:
            if start <= flight.first_frame < stop and flight.half_twists.believed:
                first, twisted = _twist(flight, start, followed, seconds)
                twist[first : first + len(twisted)] = np.degrees(twisted)
    return BodyCourse(_phases(counted.clip.phases, flights), trunk, twist)


def _phases(phases: np.ndarray, flights: Sequence[CountedFlight]) -> np.ndarray:
    """Return the phases (T,) int8 around some of the flights."""
    kept = np.full_like(phases, OTHER)
    for flight in flights:
        first, stop = flight.first_frame, flight.last_frame + 1
        while first > 0 and phases[first - 1] == SUPPORT:
            first -= 1
        while stop < len(phases) and phases[stop] == LANDING:
            stop += 1
        kept[first:stop] = phases[first:stop]
    return kept


def _twist(
    flight: CountedFlight,
    scene_start: int,
    followed: FollowedBody,
    seconds: np.ndarray,
) -> tuple[int, np.ndarray]:
    """Return the first frame of a flight's twist, counted from the clip's start, and its course."""
    # From the frame before the flight, as its twists were counted.
    first = max(flight.first_frame - scene_start - 1, 0)
    end = flight.last_frame - scene_start + 1
    half_twists = int(flight.half_twists.value)
    return scene_start + first, twist_path(
        followed.body, followed.path, first, end, seconds, half_twists
    )
