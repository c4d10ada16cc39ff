"""The answers about one flight, from its interval and the signals of the body."""

from __future__ import annotations

import numpy as np

from .calibration import POSITIONS, position_chances, right_chance, twist_chances
from .counted import Answer, CountedFlight
from .element import MAX_HALF_SOMERSAULTS
from .flight_reader import FlightReading
from .flights import FlightSpan
from .signals import HIPS, SHOULDERS, TRUNK, BodySignals
from .twist import TwistCount, count_twists

# Shares of a flight in which a position is held: opening and closing are outside.
_HELD = (0.2, 0.8)
# Seconds before a flight over which an athlete is seen to stand on the hands, and after it over
# which one is seen to stand; and the cosine of the trunk's angle from upright, 60 degrees.
_BEFORE_SECONDS, _AFTER_SECONDS, _STANDING = 0.25, 0.5, 0.5
# Who lands upright stays so, who enters water feet first sinks: share of all frames over those
# seconds. Set by hand on other clips than those of `benchmarks/turns.py simulated`, which shows
# what it does.
_STAYS = 0.5
# Mean score of shoulders and hips from which they show how the trunk lies.
_TRUNK_SCORE = 0.3
# Agreement of a frame with the trunk's path above which it is believed.
_AGREES = 0.5
# Twists of dives with more half somersaults than this are followed by a pike: 846 of 848 such dives
# of FineDiving and MTL-AQA are numbered B, and 341 of 350 with fewer are free, D
# (`benchmarks/counter.py priors`).
_PIKED_AFTER_TWISTS = 4.5
# The chance at most of a count of a flight that the clip begins or ends in: how much is missing
# nobody knows.
_CUT_CHANCE = 0.3


def answers_about(
    span: FlightSpan,
    body: BodySignals,
    path: np.ndarray,
    agreement: np.ndarray,
    seconds: np.ndarray,
    *,
    knows_camera: bool,
    reading: FlightReading | None = None,
) -> CountedFlight:
    """Return what is said of a flight.

    Args:
        span: Its frames and how far the trunk turns.
        body: Measurements of the body, T frames.
        path: (T,) radians, unwrapped angle of the trunk.
        agreement: (T,) -1 to 1, how well each frame agrees with it.
        seconds: (T,) seconds, increasing.
        knows_camera: Whether the camera's motion is taken out of ``body.center``.
        reading: What the network says of it; None for what the counter says alone.
    """

    def pooled(factor: str, chances: np.ndarray) -> np.ndarray:
        return chances if reading is None else reading.pooled(factor, chances)

    twist = count_twists(body, path, max(span.start - 1, 0), span.end, seconds)
    half_somersaults = _counted(
        pooled("half_somersaults", _turn_chances(span, agreement)),
        _CUT_CHANCE if span.is_cut else 1.0,
    )
    half_twists = _counted(
        pooled("half_twists", twist_chances(twist.values, int(half_somersaults.value)))
    )
    features = flight_features(span, body, agreement, twist, int(half_twists.value))
    forward = _towards(span.sense * twist.front > 0, right_chance("forward", features["forward"]))
    with_travel = None
    if knows_camera:
        with_travel = _yes_or_no(pooled("travel", _travel_chances(span, body, seconds)))
    flown = np.arange(span.start, span.end)[body.center_weight[span.start : span.end] > 0]
    drop = None
    if knows_camera and len(flown):
        drop = float(body.center[flown[-1], 1] - body.center[flown[0], 1])
    return CountedFlight(
        first_frame=span.start,
        last_frame=span.end - 1,
        clockwise=span.sense > 0,
        ballistic=span.ballistic,
        from_hands=_begins_on_hands(span, path, agreement, seconds),
        seen=float(body.seen[span.start : span.end].mean()),
        inverted=_inverted(span, body),
        drop=drop,
        lands_upright=_lands_upright(span, path, agreement, seconds),
        half_somersaults=half_somersaults,
        half_twists=half_twists,
        rotates_forward=_yes_or_no(pooled("forward", forward)),
        rotates_with_travel=with_travel,
        position=_position(
            pooled("position", position_chances(features["position"])),
            twists=bool(half_twists.value),
        ),
        whole=1.0 if reading is None else reading.whole,
    )


def _inverted(span: FlightSpan, body: BodySignals) -> float | None:
    """Return how far the shoulders are below the hips where they are most so, but for one frame."""
    flight = slice(span.start, span.end)
    points, seen = body.points[flight], body.scores[flight][:, TRUNK].mean(axis=1) >= _TRUNK_SCORE
    below = (points[:, SHOULDERS, 1].mean(axis=1) - points[:, HIPS, 1].mean(axis=1))[seen]
    return float(np.sort(below)[-2]) if len(below) > 1 else None


def _begins_on_hands(
    span: FlightSpan, path: np.ndarray, agreement: np.ndarray, seconds: np.ndarray
) -> bool:
    if not span.begins:
        return False
    before = (seconds >= seconds[span.start] - _BEFORE_SECONDS)[: span.start + 1]
    weight = agreement[: span.start + 1] * before
    upright = (np.cos(path[: span.start + 1]) * weight).sum() / max(weight.sum(), 1e-6)
    return bool(upright < -_STANDING)


def _lands_upright(
    span: FlightSpan, path: np.ndarray, agreement: np.ndarray, seconds: np.ndarray
) -> bool | None:
    """Return whether a body stands after a flight; None if it is not seen then."""
    after = np.flatnonzero((seconds <= seconds[span.end - 1] + _AFTER_SECONDS)[span.end :])
    seen = agreement[after + span.end] > _AGREES
    if seen.sum() < 2:
        return None
    upright = seen & (np.cos(path[after + span.end]) > _STANDING)
    return bool(upright.mean() > _STAYS)


def _turn_chances(span: FlightSpan, agreement: np.ndarray) -> np.ndarray:
    """Return the chances (12,) of half somersaults by how far the trunk turns."""
    halves = abs(span.turn) / np.pi
    most = MAX_HALF_SOMERSAULTS
    nearest = min(round(halves), most)
    # The other neighbour of the turn.
    other = min(max(nearest + 1 if halves >= nearest else nearest - 1, 0), most)
    chance = right_chance("half_somersaults", turn_features(span, agreement))
    if span.is_cut:
        chance = min(chance, _CUT_CHANCE)
    # All that is not right may be the other one, which is less probable; the rest is anything.
    second = min(1 - chance, 0.99 * chance)
    chances = np.full(most + 1, (1 - chance - second) / (most - 1))
    chances[[nearest, other]] = chance, second
    return chances


def _counted(chances: np.ndarray, most: float = 1.0) -> Answer:
    """Return the most probable number, no surer than ``most``."""
    second, best = (int(number) for number in chances.argsort()[-2:])
    sure = [min(float(chances[number]), most) for number in (best, second)]
    return Answer(best, sure[0], second, sure[1])


def _towards(value: bool, right: float) -> np.ndarray:
    """Return the chances (2,) of no and yes, of an answer that is right with some chance."""
    return np.array([1 - right, right] if value else [right, 1 - right])


def _yes_or_no(chances: np.ndarray) -> Answer:
    best = bool(chances[1] >= chances[0])
    return Answer(best, float(chances[int(best)]), not best, float(chances[int(not best)]))


def _travel_chances(span: FlightSpan, body: BodySignals, seconds: np.ndarray) -> np.ndarray:
    travel = flight_travel(span, body, seconds)
    chance = right_chance("travel", [abs(travel), span.ballistic])
    return _towards(span.sense * travel > 0, chance)


def _position(chances: np.ndarray, *, twists: bool) -> Answer:
    known = dict(zip(POSITIONS, chances.tolist()))
    if not twists:
        # Only dives with twists may be free.
        free = known.pop("free")
        known = {name: chance / (1 - free) for name, chance in known.items()}
    second, best = sorted(known, key=lambda name: known[name])[-2:]
    return Answer(best, known[best], second, known[second])


def flight_travel(span: FlightSpan, body: BodySignals, seconds: np.ndarray) -> float:
    """Return how far a body flies along the image, torso lengths, to the right."""
    frames = np.arange(span.start, span.end)
    frames = frames[body.center_weight[frames] > 0]
    if len(frames) < 4:
        return 0.0
    time = seconds[frames] - seconds[frames].mean()
    speed = (time * body.center[frames, 0]).sum() / max((time**2).sum(), 1e-9)
    return float(speed * (seconds[span.end - 1] - seconds[span.start]))


def turn_features(span: FlightSpan, agreement: np.ndarray) -> list[float]:
    """Return what the confidence of half somersaults depends on; the order is that of the fit."""
    halves = abs(span.turn) / np.pi
    agreed = float(agreement[span.start : span.end].mean())
    return [abs(halves - round(halves)), agreed, float(not span.begins) + float(not span.ends)]


def flight_features(
    span: FlightSpan,
    body: BodySignals,
    agreement: np.ndarray,
    twist: TwistCount,
    half_twists: int,
) -> dict[str, list[float]]:
    """Return what the sense and the position depend on; the order is that of the fits."""
    halves = abs(span.turn) / np.pi
    _, agreed, cut = turn_features(span, agreement)
    frames = span.end - span.start
    twisted = float(half_twists > 0)
    held = slice(*(span.start + int(share * frames) for share in _HELD))
    hip = _quantile(body.hip[held], body.hip_weight[held], 0.8)
    hip_middle = _quantile(body.hip[held], body.hip_weight[held], 0.5)
    bent = body.hip[held] >= 0.7 * hip
    knee = _quantile(body.knee[held], body.knee_weight[held] * bent, 0.5)
    return {
        "forward": [min(twist.front_margin, 10.0), agreed, cut],
        "position": [
            hip / 100, hip_middle / 100, knee / 100, twisted, min(twist.cost, 2.0),
            twisted * (halves > _PIKED_AFTER_TWISTS),
        ],
    }  # fmt: skip


def _quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """Return the quantile of values by their weights; 0 where there are none."""
    order = values.argsort(axis=None)
    values, running = values.ravel()[order], weights.ravel()[order].cumsum()
    if not len(values) or running[-1] <= 0:
        return 0.0
    return float(values[min(int(np.searchsorted(running, share * running[-1])), len(values) - 1)])
