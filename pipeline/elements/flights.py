"""When a body is in flight: its centre falls freely and it turns one way.

The interval in which the trunk turns most is found first. Around its ends, intervals are compared
by how well a parabola in time fits the centre of mass, if the camera's motion is known: gravity in
pixels is free, since the scale and slow motion are not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

# Gravity in torso lengths per second squared is 9.81 m/s2 over .43 to .55 m, in slow motion less:
# eight times slower is a 64th of it. Zoom and tilt of the camera widen the range.
_MIN_GRAVITY, _MAX_GRAVITY = 0.25, 36.0
# Radians turned, squared, over gravity times the squared duration: the same in slow motion. Four
# and a half somersaults in 1.7 s have 14, three in 1 s 18 (torsos of .5 m). More is a body that
# rolls or sits up: it hardly falls.
_MAX_TURN_OVER_FALL = 25.0
# A body that turns less, radians per second at real speed or an eighth of the clip's fastest turn,
# does no somersault.
_STILL, _STILL_SHARE = np.radians(75), 0.125
# Least turn of a flight: the half somersault of a dive in pike turns the trunk by some 110 degrees.
_MIN_TURN = np.radians(80)
# Residual of a centre of mass in free fall, torso lengths: errors of joints, of the camera's motion
# and of perspective.
_RESIDUAL = 0.3
# How far the ends may move for a better parabola: seconds, or in slow motion a share of the
# interval; and frames tried within it.
_REACH_SECONDS, _REACH_SHARE, _TRIED = 0.16, 0.25, 9
# Beyond this turn from frame to frame (``trunk_angle.py`` follows 67 degrees) its sense is a guess.
_MAX_TURN_PER_FRAME = np.radians(60)
# Of a body that turns faster than can be followed every other frame contradicts the path. Set by
# hand to half of that share.
_MAX_CONTRADICTED = 0.25
# A body that turns at this share of its usual speed in the first or last frame is in flight there.
_FULL_SPEED = 0.5
# Frames of a clip before or after a free fall, seconds, that show that it begins or ends in the
# clip; and how freely a body falls, 0 to 1, for its fall to be known. Set by hand.
_SEEN_SECONDS, _FALLS = 0.1, 0.5
# A body in flight that turns slower than that for longer, seconds, has landed.
_PAUSE_SECONDS = 0.2
# A body is followed where frames agree with its path by this much, in the mean over so many
# seconds; shorter gaps are bridged. Chosen on dive_207C and a somersault off a rock
# (`benchmarks/dives.py`): in spray poses are found as well, which agree with nothing.
_MIN_AGREEMENT, _AGREEMENT_SECONDS, _BRIDGED_SECONDS = 0.25, 0.25, 0.15


@dataclass(frozen=True)
class FlightSpan:
    """Frames in flight.

    Attributes:
        start, end: First frame in flight and the frame after its last.
        sense: 1 if it turns clockwise in the image, -1 if counter-clockwise.
        turn: Radians by which the trunk turns from where it begins to turn to where it stops.
        ballistic: Mean share, 0 to 1, by which its centre falls freely; 0 where not known, or where
            it falls too little for its turn.
        gravity: Torso lengths per second squared by which its centre is accelerated downwards; 0
            where not known.
        begins, ends: Whether two frames or more before and after its turn are seen.
        is_cut: Whether the clip begins or ends, or the picture is cut, while it turns, or it turns
            too fast for the frame rate.
    """

    start: int
    end: int
    sense: int
    turn: float
    ballistic: float
    gravity: float
    begins: bool
    ends: bool
    is_cut: bool


def find_flights(
    path: np.ndarray,
    agreement: np.ndarray,
    center: np.ndarray,
    center_weight: np.ndarray,
    seconds: np.ndarray,
    held: np.ndarray | None = None,
    *,
    fits_ballistics: bool,
) -> list[FlightSpan]:
    """Return the flights of a body in which its trunk turns, in the order of time.

    Args:
        path: (T,) radians, unwrapped angle of the trunk.
        agreement: (T,) how far each frame supports it, 0 where not seen.
        center: (T, 2) centre of mass in torso lengths, without the camera's motion.
        center_weight: (T,) 0 to 1.
        seconds: (T,) seconds, increasing.
        held: (T,) bool, frames in which the body is known not to fly.
        fits_ballistics: Whether the centre is without the camera's motion.
    """
    step = float(np.median(np.diff(seconds)))
    free = _followed(agreement, step)
    seen = np.flatnonzero(free)
    if len(seen) < 4:
        return []
    rate = _smooth(np.gradient(path, seconds), step)
    steps = np.gradient(seconds)
    still = min(_STILL, _STILL_SHARE * float(np.abs(rate[free]).max()))
    followed = free.copy()
    if held is not None:
        free &= ~held
    flights: list[FlightSpan] = []
    pause = max(round(_PAUSE_SECONDS / step), 1)
    turns = {sense: _without_gaps(sense * rate > 0.5 * still, pause) for sense in (1, -1)}
    while True:
        gains = {
            sense: np.where(free & turns[sense], (sense * rate - still) * steps, -9.0)
            for sense in (1, -1)
        }
        found = max((_turning_interval(gain), sense) for sense, gain in gains.items())
        (gain, start, end), sense = found
        if gain < _MIN_TURN / 2:
            break
        begins = bool(followed[max(start - 2, 0) : start].sum() == 2)
        ends = bool(followed[end : end + 2].sum() == 2)
        turning, ballistic, gravity = slice(start, end), 0.0, 0.0
        if fits_ballistics:
            start, end, ballistic, gravity = _refine_ends(
                center, center_weight, seconds, free, start, end
            )
        # What turns before and after the fall, on the board and in the water, is no other flight.
        free[turning] = free[start:end] = False
        # A body that opens before it comes down turns slowly, and is in flight still.
        stop = max(end, turning.stop)
        if ballistic >= _FALLS and stop == len(path):
            # A body that has opened to land does not turn faster again: that is spray.
            last = min(stop, end + max(round(_SEEN_SECONDS / step), 1))
            stop = end
            while stop < last and abs(rate[stop]) <= abs(rate[stop - 1]):
                stop += 1
        turn = float(path[stop - 1] - path[min(start, turning.start)])
        fall = gravity * (seconds[end - 1] - seconds[start]) ** 2
        if turn**2 > _MAX_TURN_OVER_FALL * fall:
            ballistic = 0.0
        if sense * turn >= _MIN_TURN:
            is_cut = _is_cut(
                np.abs(rate), turning, (start, end) if ballistic >= _FALLS else None, step
            )
            is_cut |= bool((agreement[start:end] < 0).mean() > _MAX_CONTRADICTED)
            flights.append(
                FlightSpan(start, end, sense, turn, ballistic, gravity, begins, ends, is_cut)
            )
    return sorted(flights, key=lambda flight: flight.start)


def _followed(agreement: np.ndarray, step: float) -> np.ndarray:
    """Return in which frames (T,) a body is followed."""
    reach = max(round(_AGREEMENT_SECONDS / step / 2), 1)
    padded = np.pad(np.maximum(agreement, 0), reach, mode="edge")
    mean = np.convolve(padded, np.full(2 * reach + 1, 1 / (2 * reach + 1)), mode="valid")
    return _without_gaps(mean >= _MIN_AGREEMENT, max(round(_BRIDGED_SECONDS / step), 1))


def _is_cut(
    speed: np.ndarray, turning: slice, falling: tuple[int, int] | None, step: float
) -> bool:
    """Return whether the clip begins or ends while a body turns, or it turns too fast.

    Args:
        speed: (T,) radians per second.
        turning: Frames in which it turns.
        falling: First frame of its free fall and the frame after its last, where it is known.
        step: Seconds from frame to frame.
    """
    middle = float(np.median(speed[turning]))
    if middle * step > _MAX_TURN_PER_FRAME:
        return True
    # What turns at the end of a clip after it has stopped falling is spray, or rolls.
    rest = (0, 0) if falling is None else (falling[0], len(speed) - falling[1])
    margin = max(round(_SEEN_SECONDS / step), 1)
    return any(
        turning.start <= frame < turning.stop
        and speed[frame] > _FULL_SPEED * middle
        and seen < margin
        for frame, seen in zip((0, len(speed) - 1), rest)
    )


def _without_gaps(is_true: np.ndarray, longest: int) -> np.ndarray:
    """Return a copy of (T,) bool in which gaps of up to so many frames are closed."""
    closed = is_true.copy()
    for before, after in pairwise(np.flatnonzero(is_true).tolist()):
        if after - before - 1 <= longest:
            closed[before:after] = True
    return closed


def _smooth(values: np.ndarray, step: float) -> np.ndarray:
    """Smooth by a Gaussian of 60 ms."""
    sigma = max(0.06 / max(step, 1e-4), 0.5)
    reach = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(values, reach, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")


def _turning_interval(gain: np.ndarray) -> tuple[float, int, int]:
    """Return the greatest sum of an interval of ``gain`` (T,), its start and its end."""
    running = np.concatenate([[0.0], gain.cumsum()])
    lowest = np.minimum.accumulate(running[:-1])
    end = int((running[1:] - lowest).argmax()) + 1
    start = int(running[:end].argmin())
    return float(running[end] - running[start]), start, end


def _refine_ends(
    center: np.ndarray,
    weight: np.ndarray,
    seconds: np.ndarray,
    free: np.ndarray,
    start: int,
    end: int,
) -> tuple[int, int, float, float]:
    """Return the interval near another whose centre falls most freely, and how it falls.

    That is how freely, 0 to 1, and its gravity in torso lengths per second squared.

    y = y0 + v t + g t^2 / 2 with a gravity in the plausible range, and x = x0 + u t. An interval's
    score is its number of frames times 1 - residual / tolerance.
    """
    step = float(np.median(np.diff(seconds)))
    reach = max(_REACH_SECONDS, _REACH_SHARE * float(seconds[end - 1] - seconds[start]))
    stride = max(int(np.ceil(reach / step / (_TRIED // 2))), 1)
    moves = (np.arange(_TRIED) - _TRIED // 2) * stride
    starts, ends = (grid.ravel() for grid in np.meshgrid(start + moves, end + moves, indexing="ij"))
    inside = (starts >= 0) & (ends <= len(center)) & (ends - starts >= 4)
    inside[(_TRIED * _TRIED) // 2] = True
    starts, ends = starts[inside].clip(0), ends[inside].clip(None, len(center))
    taken = np.concatenate([[0], (~free).cumsum()])
    untouched = taken[ends] - taken[starts] == 0
    starts, ends = starts[untouched], ends[untouched]
    if not len(starts):
        return start, end, 0.0, 0.0
    # Sums near the interval alone: over a long clip little would be left of their differences.
    near = slice(int(starts.min()), int(ends.max()))
    time, weight = seconds[near] - seconds[start], weight[near]
    center = center[near] - center[start]
    starts, ends = starts - near.start, ends - near.start
    moments = _between(weight[:, None] * time[:, None] ** np.arange(5), starts, ends)
    sums_y = _between(
        (weight * center[:, 1])[:, None] * time[:, None] ** np.arange(3), starts, ends
    )
    sums_x = _between(
        (weight * center[:, 0])[:, None] * time[:, None] ** np.arange(2), starts, ends
    )
    squares = _between(weight[:, None] * center**2, starts, ends)
    gram = moments[:, np.add.outer(np.arange(3), np.arange(3))] + 1e-9 * np.eye(3)
    free_fit = np.linalg.solve(gram, sums_y[..., None])[..., 0]
    # Gravity is held within its range: the other two coefficients are fitted again with it.
    half = np.clip(free_fit[:, 2], _MIN_GRAVITY / 2, _MAX_GRAVITY / 2)
    line = gram[:, :2, :2]
    rest = np.linalg.solve(line, (sums_y[:, :2] - half[:, None] * moments[:, 2:4])[..., None])
    fit = np.concatenate([rest[..., 0], half[:, None]], axis=1)
    error = squares[:, 1] - 2 * (fit * sums_y).sum(1) + np.einsum("ni,nij,nj->n", fit, gram, fit)
    across = np.linalg.solve(line, sums_x[..., None])[..., 0]
    error = error + squares[:, 0] - (across * sums_x).sum(1)
    mass = np.maximum(moments[:, 0], 1e-6)
    fall = (1 - np.sqrt(np.maximum(error, 0) / mass) / _RESIDUAL).clip(0, 1)
    best = int((fall * mass).argmax())
    if fall[best] <= 0:
        return start, end, 0.0, 0.0
    start, end = int(starts[best]) + near.start, int(ends[best]) + near.start
    return start, end, float(fall[best]), float(2 * free_fit[best, 2])


def _between(values: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    running = np.concatenate([np.zeros((1, values.shape[1])), values.cumsum(axis=0)])
    out: np.ndarray = running[ends] - running[starts]
    return out
