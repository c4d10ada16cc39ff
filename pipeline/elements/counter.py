"""Counts what a body does in the air, from its skeleton alone and by kinematics.

Learned are only the chances that answers are right, and positions (``calibration.py``).

Skeleton -> signals -> unwrapped angle of the trunk -> flights -> half somersaults, sense, twists,
position, each with a confidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ... import SkelactError
from .calibration import position_chances, right_chance
from .element import Element, Position, Takeoff
from .flights import FlightSpan, find_flights
from .signals import BodySignals, measure_body
from .trunk_angle import one_way_path, trunk_path
from .twist import TwistCount, count_twists

# Phases of a frame.
OTHER, SUPPORT, FLIGHT, LANDING = range(4)
# Seconds before a flight that count as on the board or apparatus, and after it as entry or landing.
_SUPPORT_SECONDS, _LANDING_SECONDS = 1.0, 0.4
# Below it an answer is more often wrong than right, and is not given.
MIN_CONFIDENCE = 0.5
# Shares of a flight in which a position is held: opening and closing are outside.
_HELD = (0.2, 0.8)
# Between flights that turn opposite ways a body is supported for longer than this, seconds:
# contacts of tumbling last about a tenth of a second.
_SUPPORTED_SECONDS = 0.08
# Seconds before a flight over which an athlete is seen to stand on the hands.
_BEFORE_SECONDS = 0.25


@dataclass(frozen=True)
class Answer:
    """A value, also where it is doubtful, and the chance that it is right.

    Attributes:
        value: An int, bool or name.
        confidence: 0 to 1.
    """

    value: int | bool | str
    confidence: float

    @property
    def believed(self) -> bool:
        """Whether the answer is more probably right than wrong."""
        return self.confidence >= MIN_CONFIDENCE


@dataclass(frozen=True)
class CountedFlight:
    """A flight and what is done in it.

    Attributes:
        first_frame, last_frame: Frames in flight, both within it.
        clockwise: Whether the body rotates clockwise in the image.
        ballistic: 0 to 1, how freely its centre falls; 0 where the camera's motion is not known.
        from_hands: Whether it begins upside down: an armstand.
        half_somersaults, half_twists: int answers.
        rotates_forward: bool answer: towards the chest, or towards the back.
        rotates_with_travel: bool answer: whether the head, or in an armstand the feet, goes first
            to where the athlete flies. True for forward and back dives, False for reverse and
            inward ones; None without the camera's motion.
        position: Answer, one of "straight", "pike", "tuck", "free".
    """

    first_frame: int
    last_frame: int
    clockwise: bool
    ballistic: float
    from_hands: bool
    half_somersaults: Answer
    half_twists: Answer
    rotates_forward: Answer
    rotates_with_travel: Answer | None
    position: Answer

    def as_dive(self) -> Element:
        """Return the dive, with None for what cannot be said."""
        return Element("dive", self._takeoff(), *self._counts())

    def as_salto(self) -> Element:
        """Return the salto, with None for what cannot be said."""
        takeoff: Takeoff | None = None
        if self.rotates_forward.believed:
            takeoff = "forward" if self.rotates_forward.value else "back"
        return Element("salto", takeoff, *self._counts())

    def _counts(self) -> tuple[int | None, int | None, Position | None]:
        half_somersaults, half_twists, position = (
            answer.value if answer.believed else None
            for answer in (self.half_somersaults, self.half_twists, self.position)
        )
        return half_somersaults, half_twists, position  # type: ignore[return-value]

    def _takeoff(self) -> Takeoff | None:
        if not self.rotates_forward.believed:
            return None
        forward, travel = bool(self.rotates_forward.value), self.rotates_with_travel
        known = travel is not None and travel.believed
        along = known and bool(travel.value)  # type: ignore[union-attr]
        if self.from_hands:
            if forward:
                return "armstand_forward"
            return ("armstand_back" if along else "armstand_reverse") if known else None
        if forward:
            return ("forward" if along else "inward") if known else "forward_or_inward"
        return ("back" if along else "reverse") if known else "back_or_reverse"


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
    camera_motion: np.ndarray | None = None,
) -> CountedClip:
    """Find the flights of a person and count somersaults and twists in them.

    Args:
        keypoints: (T, 17, 2) float, square pixels, x then y, COCO-17 order.
        scores: (T, 17) float, the chance of each joint to lie within .2 torso lengths of its place;
            0 where not seen.
        seconds: (T,) float, increasing times of the frames. Slow motion need not be known.
        camera_motion: (T, 2) float, pixels by which the background moves in the image from the
            frame before; None if it is not known.

    Raises:
        SkelactError: for arrays of other shapes, or times that do not increase.
    """
    _check(keypoints, scores, seconds, camera_motion)
    phases = np.zeros(len(seconds), np.int8)
    body = measure_body(keypoints, scores, camera_motion) if len(seconds) > 3 else None
    if body is None:
        return CountedClip(phases, ())
    path, agreement = trunk_path(body.axes, body.axis_weight)

    def find() -> list[FlightSpan]:
        return find_flights(
            path, agreement, body.center, body.center_weight, seconds,
            fits_ballistics=camera_motion is not None,
        )  # fmt: skip

    spans = find()
    if _join_opposite(spans, body, path, agreement, seconds):
        spans = find()
    seen = agreement > 0
    for span in spans:
        before = (seconds >= seconds[span.start] - _SUPPORT_SECONDS) & (phases == OTHER) & seen
        phases[: span.start][before[: span.start]] = SUPPORT
        phases[span.start : span.end] = FLIGHT
        after = seconds <= seconds[span.end - 1] + _LANDING_SECONDS
        phases[span.end :][after[span.end :]] = LANDING
    counted = tuple(
        _count(span, body, path, agreement, seconds, camera_motion is not None) for span in spans
    )
    return CountedClip(phases, counted)


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


def _count(
    span: FlightSpan,
    body: BodySignals,
    path: np.ndarray,
    agreement: np.ndarray,
    seconds: np.ndarray,
    knows_camera: bool,
) -> CountedFlight:
    twist = count_twists(body, path, max(span.start - 1, 0), span.end, seconds)
    before = (seconds >= seconds[span.start] - _BEFORE_SECONDS)[: span.start + 1]
    weight = agreement[: span.start + 1] * before
    upright = float((np.cos(path[: span.start + 1]) * weight).sum() / max(weight.sum(), 1e-6))
    halves = abs(span.turn) / np.pi
    features = flight_features(span, body, agreement, twist)
    chances = position_chances(features["position"])
    best = max(chances, key=lambda name: chances[name])
    travel = None
    if knows_camera:
        travelled = flight_travel(span, body, seconds)
        travel = Answer(
            span.sense * travelled > 0, right_chance("travel", [abs(travelled), span.ballistic])
        )
    return CountedFlight(
        first_frame=span.start,
        last_frame=span.end - 1,
        clockwise=span.sense > 0,
        ballistic=span.ballistic,
        from_hands=upright < -0.5,
        half_somersaults=Answer(
            min(round(halves), 11), right_chance("half_somersaults", features["half_somersaults"])
        ),
        half_twists=Answer(
            min(twist.half_twists, 9), right_chance("half_twists", features["half_twists"])
        ),
        rotates_forward=Answer(
            span.sense * twist.front > 0, right_chance("forward", features["forward"])
        ),
        rotates_with_travel=travel,
        position=Answer(best, chances[best]),
    )


def flight_travel(span: FlightSpan, body: BodySignals, seconds: np.ndarray) -> float:
    """Return how far a body flies along the image, torso lengths, to the right."""
    frames = np.arange(span.start, span.end)
    frames = frames[body.center_weight[frames] > 0]
    if len(frames) < 4:
        return 0.0
    time = seconds[frames] - seconds[frames].mean()
    speed = (time * body.center[frames, 0]).sum() / max((time**2).sum(), 1e-9)
    return float(speed * (seconds[span.end - 1] - seconds[span.start]))


def flight_features(
    span: FlightSpan, body: BodySignals, agreement: np.ndarray, twist: TwistCount
) -> dict[str, list[float]]:
    """Return what the confidence of each answer depends on; the order is that of the fits."""
    halves = abs(span.turn) / np.pi
    off = abs(halves - round(halves))
    agreed = float(agreement[span.start : span.end].mean())
    cut = float(not span.begins) + float(not span.ends)
    frames = span.end - span.start
    twisted = float(twist.half_twists > 0)
    weight = twist.weight / max(frames, 1)
    held = slice(*(span.start + int(share * frames) for share in _HELD))
    hip = _quantile(body.hip[held], body.hip_weight[held], 0.8)
    hip_middle = _quantile(body.hip[held], body.hip_weight[held], 0.5)
    bent = body.hip[held] >= 0.7 * hip
    knee = _quantile(body.knee[held], body.knee_weight[held] * bent, 0.5)
    return {
        "half_somersaults": [off, agreed, cut],
        "half_twists": [
            min(twist.parity_margin, 10.0), min(twist.still_margin, 10.0) * twisted, twisted,
            twist.cost, weight, cut,
        ],
        "forward": [min(twist.front_margin, 10.0), agreed, cut],
        "position": [hip / 100, hip_middle / 100, knee / 100, twisted, min(twist.cost, 2.0)],
    }  # fmt: skip


def _quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """Return the quantile of values by their weights; 0 where there are none."""
    order = values.argsort(axis=None)
    values, running = values.ravel()[order], weights.ravel()[order].cumsum()
    if not len(values) or running[-1] <= 0:
        return 0.0
    return float(values[min(int(np.searchsorted(running, share * running[-1])), len(values) - 1)])


def _check(
    keypoints: np.ndarray,
    scores: np.ndarray,
    seconds: np.ndarray,
    camera_motion: np.ndarray | None,
) -> None:
    frames = len(seconds) if np.ndim(seconds) == 1 else -1
    shapes = [("keypoints", keypoints, (frames, 17, 2)), ("scores", scores, (frames, 17))]
    if camera_motion is not None:
        shapes.append(("camera_motion", camera_motion, (frames, 2)))
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
