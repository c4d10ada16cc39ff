"""From a skeleton sequence to its elements, with their times.

    SkeletonSequence -> slow_motion.py, per person: real times of the frames
        -> supported.py: turns that hands or back hold up
        -> counter.py: what flies between them -> which flights are elements, and of which kind
        -> handstands.py: what is held upside down
        -> RecognisedElement: start, end, person, Element, confidence, alternatives

Only what can be told by kinematics is named. A flight counts as an element where the body is seen,
its centre falls freely and it turns at least once; half a turn counts where the fall ends far below
its start, as a dive's does. What bends, rolls or is lost on the ground has no such flight.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...pose_extract.layout import COCO_17
from ...pose_extract.skeleton import SkeletonSequence
from .counted import Answer, CountedFlight
from .counter import CountedClip, count_flights
from .dive_counts import half_somersault_shares
from .element import Element
from .flight_reader import read_flights
from .handstands import find_handstands
from .slow_motion import real_seconds
from .supported import Supported, find_supported

__all__ = ["RecognisedElement", "recognise_elements"]

# Below these a flight is no element. Chosen on `../shared/videos/aerial` and Penn Action's dev_val
# (`benchmarks/dives.py`).
_MIN_SEEN, _MIN_BALLISTIC, _MIN_SECONDS = 0.25, 0.3, 0.25
# What the network takes for no flight. 95 % of captured saltos have .62 and more
# (`benchmarks/turns.py limits`).
_MIN_WHOLE = 0.13
# Who somersaults is upside down on the way: with twice the measured errors 95 % of simulated saltos
# and dives have .63 and more, 95 % of captured spins with the trunk level .16 and less
# (`benchmarks/turns.py limits`).
_MIN_INVERTED = 0.3
# Torso lengths, half a metre each, by which the centre of a diver falls at least: from the lowest
# board, 1 m, to the water.
_DIVE_DROP = 2.0
# Twice of what a gymnast falls who lets go of the high bar, 2.8 m, and lands on the feet, 1 m under
# the centre: it is a dive, also where a body seems to stand after it.
_DEEP_DROP = 8.0
_MAX_ALTERNATIVES = 3
# Seconds for which a handstand is held that is an element beside the walkover that it is a part of.
# Set by hand: one that is passed through is upside down for less.
_HELD_SECONDS = 1.0
# An element of which less is sure is none: it would name the clip.
_MIN_CONFIDENCE = 0.1


@dataclass(frozen=True)
class RecognisedElement:
    """An element in a clip.

    Attributes:
        start_seconds, end_seconds: From the first frame of the source file.
        person: Index of the person in the sequence; 0 is the athlete.
        element: What it is, with None for what cannot be said.
        confidence: 0 to 1, the chance that all that is said of it is right.
        alternatives: Other elements that it may be, most probable first; without their own.
    """

    start_seconds: float
    end_seconds: float
    person: int
    element: Element
    confidence: float
    alternatives: tuple[RecognisedElement, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values as `docs/elements.schema.json` describes them."""
        element = self.element
        return {
            "start_seconds": round(self.start_seconds, 3),
            "end_seconds": round(self.end_seconds, 3),
            "person": self.person,
            "kind": element.kind,
            "takeoff": element.takeoff,
            "half_somersaults": element.half_somersaults,
            "half_twists": element.half_twists,
            "position": element.position,
            "code": element.code,
            "diving48_class": element.diving48_class,
            "confidence": round(self.confidence, 4),
            "alternatives": [other.to_dict() for other in self.alternatives],
        }


def recognise_elements(sequence: SkeletonSequence) -> tuple[RecognisedElement, ...]:
    """Return the elements of all people in a clip, in the order of time.

    Args:
        sequence: Skeletons of COCO-17; those of another layout have no elements.
    """
    if sequence.layout != COCO_17.name:
        return ()
    found: list[RecognisedElement] = []
    for person in range(sequence.num_person):
        found += _elements_of(sequence, person)
    return tuple(sorted(found, key=lambda one: (one.start_seconds, one.person)))


@dataclass(frozen=True, eq=False)
class CountedPerson:
    """What one person does over T frames.

    Attributes:
        seconds: (T,) float64, real times of the frames, whatever the clip's slow motion.
        supported: What is done on the ground, in the order of time.
        held: (T,) bool, frames of it.
        clip: The flights.
    """

    seconds: np.ndarray
    supported: list[Supported]
    held: np.ndarray
    clip: CountedClip


def count_person(sequence: SkeletonSequence, person: int) -> CountedPerson:
    """Return what a person of a sequence of COCO-17 does on the ground and in the air."""
    keypoints, scores = sequence.keypoints[person], sequence.keypoint_scores[person]
    scene = sequence.camera_maps, sequence.scene_ids
    seconds = real_seconds(keypoints, scores, sequence.pts_seconds, *scene)
    clip = keypoints, scores, seconds, *scene
    supported = find_supported(*clip)
    held = np.zeros(sequence.num_frames, bool)
    for first, last, _, _ in supported:
        held[first : last + 1] = True
    return CountedPerson(seconds, supported, held, count_flights(*clip, held, read_flights))


def _elements_of(sequence: SkeletonSequence, person: int) -> Iterator[RecognisedElement]:
    shown = sequence.pts_seconds
    counted = count_person(sequence, person)
    seconds = counted.seconds
    for first, last, element, confidence in counted.supported:
        if element is not None:
            yield RecognisedElement(
                float(shown[first]), float(shown[last]), person, element, confidence
            )
    in_flight = np.zeros(len(seconds), bool)
    for flight in counted.clip.flights:
        first, last = flight.first_frame, flight.last_frame
        if seconds[last] - seconds[first] >= _MIN_SECONDS and _is_element(flight):
            found = _recognised(flight, float(shown[first]), float(shown[last]), person)
            if found.confidence >= _MIN_CONFIDENCE:
                in_flight[first : last + 1] = True
                yield found
    handstands = find_handstands(
        sequence.keypoints[person], sequence.keypoint_scores[person], seconds, in_flight,
        sequence.scene_ids,
    )  # fmt: skip
    for first, last, confidence in handstands:
        is_short = seconds[last] - seconds[first] < _HELD_SECONDS
        if counted.held[first : last + 1].any() and is_short:
            continue
        yield RecognisedElement(
            float(shown[first]), float(shown[last]), person, Element("handstand"), confidence
        )


def _is_element(flight: CountedFlight) -> bool:
    halves = int(flight.half_somersaults.value)
    if flight.seen < _MIN_SEEN or flight.ballistic < _MIN_BALLISTIC or flight.whole < _MIN_WHOLE:
        return False
    if flight.inverted is not None and flight.inverted < _MIN_INVERTED:
        return False
    return halves >= 2 or (halves == 1 and _is_dive(flight))


def _is_dive(flight: CountedFlight) -> bool:
    """Return whether a flight ends in water: head first or far below, and no person stands there.

    Saltos land on the feet, and who lands stays in sight.
    """
    if flight.drop is not None and flight.drop >= _DEEP_DROP:
        return True
    if flight.lands_upright:
        return False
    falls_far = flight.drop is not None and flight.drop >= _DIVE_DROP
    return falls_far or int(flight.half_somersaults.value) >= 3


def _recognised(flight: CountedFlight, start: float, end: float, person: int) -> RecognisedElement:
    is_dive = _is_dive(flight)
    if is_dive:
        usual = half_somersault_shares(flight.from_hands)
        flight = replace(flight, half_somersaults=_weighed(flight.half_somersaults, usual))
    best, *others = _readings(flight, is_dive)
    alternatives = sorted(others, key=lambda reading: -reading[1])[:_MAX_ALTERNATIVES]
    return RecognisedElement(
        start,
        end,
        person,
        best[0],
        best[1],
        tuple(RecognisedElement(start, end, person, *reading) for reading in alternatives),
    )


def _weighed(answer: Answer, shares: np.ndarray) -> Answer:
    """Return a number as probable as it is after all that is known of how common each is."""
    if not answer.believed:
        return answer
    numbers = [int(answer.value), int(answer.other)]
    chances = np.array([answer.confidence, answer.other_confidence])
    weighed = chances * shares[numbers]
    rest = (1 - chances.sum()) * shares.mean()
    order = (-weighed).argsort()
    sure = weighed[order] / (weighed.sum() + rest)
    first, second = (numbers[i] for i in order)
    return Answer(first, float(sure[0]), second, float(sure[1]))


def _readings(flight: CountedFlight, is_dive: bool) -> list[tuple[Element, float]]:
    """Return the element as it was counted, and with each doubtful answer exchanged; with chances.

    The answers are taken as independent.
    """
    answers = {
        "half_somersaults": flight.half_somersaults,
        "half_twists": flight.half_twists,
        "rotates_forward": flight.rotates_forward,
        "rotates_with_travel": flight.rotates_with_travel,
        "position": flight.position,
    }
    best = _element(flight, is_dive)
    if best.position is None:
        answers["position"] = None  # one that is not said, such as that of a salto that is free
    others: list[tuple[Element, Answer]] = []
    for name, answer in answers.items():
        if answer is not None and answer.believed:
            exchanged: dict[str, Any] = {name: answer.instead}
            other = _element(replace(flight, **exchanged), is_dive)
            # What changes nothing is not said.
            if other != best:
                others.append((other, answer))
    # Of an element of which nothing can be said, nothing is known.
    chance = float(np.prod([answer.confidence for _, answer in others])) if others else 0.0
    readings = [(best, chance)]
    for other, answer in others:
        if other.half_somersaults != 0 and all(other != reading for reading, _ in readings):
            readings.append((other, chance / answer.confidence * answer.other_confidence))
    return readings


def _element(flight: CountedFlight, is_dive: bool) -> Element:
    element = flight.as_dive() if is_dive else flight.as_salto()
    # Only dives with twists are free.
    if element.position == "free" and element.half_twists == 0:
        return replace(element, position=None)
    return element
