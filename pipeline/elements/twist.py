"""Twists: the rotation of a body about its long axis, from how its sides lie in the image.

Right minus left, of shoulders and hips, is a vector across the body. At a twist of phi

    right - left = cos(phi) * c + sin(phi) * n

where c is what a camera that does not look exactly along the axis of the somersault sees of it, the
same in all frames, and n lies across the trunk. The front of the body lies at cos(phi) across the
trunk: thighs bend to it. phi grows steadily from 0 to a multiple of 180 degrees. The best way to
each multiple is found (dynamic programming), for each of some c, both senses of the twist and both
sides on which the front can be at the take-off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .signals import BodySignals

# Bins of phi, 15 degrees each, and the fastest twist, degrees per second: about twice the fastest
# mean of dives with three and a half twists.
_NUM_BINS = 24
_FASTEST = 3000.0
_MAX_STEP = 8
# Shares of the breadth that c may have along the image; cameras are nearly level.
_OFFSETS = np.array([-0.8, -0.4, 0.0, 0.4, 0.8])
# Set by hand: error of right minus left in breadths, the greatest cost of
# a frame, what the front's side and changes of speed count, and what twisting costs per bin.
_ACROSS_ERROR, _MAX_COST, _NOISE_SHARE = 0.4, 2.0, 1.5
_FRONT_WEIGHT, _FRONT_SCALE = 0.8, 0.4
_ACCELERATION_COST, _SPEED_COST, _START_COST = 0.35, 0.02, 1.5
_IMPOSSIBLE = -1e6


# Half twists that are told apart: none to nine, see ``Element``.
MAX_HALF_TWISTS = 9
_HALF = _NUM_BINS // 2
# A path ends turning slowly: speeds below this, in bins per frame.
_ENDS = 3


@dataclass(frozen=True, eq=False)
class TwistCount:
    """Twists of a flight.

    Attributes:
        values: (10,) float64: how well 0 to 9 half twists explain what is seen, less what turning
            costs; log likelihoods but for a factor.
        front: 1 if the front is clockwise of the trunk at the take-off, -1 if on the other side.
        front_margin: By how much the best path is better than any with the front on the other side.
        cost: Mean cost of a frame, 0 to 2.
    """

    values: np.ndarray
    front: int
    front_margin: float
    cost: float


def count_twists(
    body: BodySignals, path: np.ndarray, start: int, end: int, seconds: np.ndarray
) -> TwistCount:
    """Tell how well each number of half twists between two frames explains what is seen.

    Args:
        body: Measurements of the body.
        path: (T,) radians, unwrapped angle of the trunk.
        start, end: First frame and the frame after the last.
        seconds: (T,) seconds.
    """
    cost, hypotheses = _costs(body, path[start:end], start, end)
    values = _search(cost, _fastest(seconds))
    best = float(values.max())
    hypothesis = int(values.max(axis=1).argmax())
    fronts = hypotheses[:, 2]
    return TwistCount(
        values=values.max(axis=0),
        front=int(fronts[hypothesis]),
        front_margin=best - float(values[fronts != fronts[hypothesis]].max()),
        cost=float(np.minimum(-best / max(len(cost), 1), _MAX_COST)),
    )


def twist_path(
    body: BodySignals,
    path: np.ndarray,
    start: int,
    end: int,
    seconds: np.ndarray,
    half_twists: int,
) -> np.ndarray:
    """Return how far a body has twisted in each frame of a flight, given how far it does in all.

    That is the best of the ways that ``count_twists`` compares.

    Args:
        body, path, start, end, seconds: See ``count_twists``.
        half_twists: Half twists of the flight, 0 to 9.

    Returns:
        (end - start,) float64 radians from the take-off, never falling, in steps of 15 degrees.
    """
    cost, _ = _costs(body, path[start:end], start, end)
    fastest = _fastest(seconds)
    best = int(_search(cost, fastest)[:, half_twists].argmax())
    values = [value[0] for value in _values(cost[:, best : best + 1], fastest)]
    before, penalty = _steps(fastest)
    place = half_twists * _HALF
    speed = int(values[-1][:_ENDS, place].argmax())
    places = [place]
    for value in values[-2::-1]:
        place -= speed
        options = value[before[speed].clip(0, fastest), max(place, 0)] - penalty[speed]
        speed = int(before[speed][options.argmax()])
        places.append(place)
    return np.array(places[::-1], np.float64) * (2 * np.pi / _NUM_BINS)


def _fastest(seconds: np.ndarray) -> int:
    """Return the fastest twist in bins per frame."""
    step = float(np.median(np.diff(seconds)))
    return int(np.clip(np.ceil(_FASTEST * step / (360 / _NUM_BINS)), 2, _MAX_STEP))


def _costs(
    body: BodySignals, angle: np.ndarray, start: int, end: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return costs (T, H, bins) of phi and the hypotheses (H, 3): offset, sense, front."""
    offsets, senses, fronts = (
        grid.ravel() for grid in np.meshgrid(_OFFSETS, (1.0, -1.0), (1.0, -1.0), indexing="ij")
    )
    phi = np.arange(_NUM_BINS) * 2 * np.pi / _NUM_BINS
    across, weight = body.across[start:end], body.across_weight[start:end]
    normal = np.stack([np.cos(angle), np.sin(angle)], -1)
    # (H, bins) times what is known per frame: |u - cos c - s sin n|^2.
    x = np.cos(phi) * offsets[:, None]
    y = np.sin(phi) * senses[:, None]
    along_n = (across * normal).sum(-1)
    square = (across**2).sum(-1)
    error = (
        square[:, None, None]
        - 2 * across[:, 0, None, None] * x
        - 2 * along_n[:, None, None] * y
        + x**2
        + y**2
        + 2 * normal[:, 0, None, None] * x * y
    )
    spread = _NOISE_SHARE * _noise(across, weight)
    deviation = max(_ACROSS_ERROR, spread)
    cost = np.minimum(error / (2 * deviation**2), _MAX_COST) * weight.clip(0, 1)[:, None, None]
    side = (body.front[start:end] / _FRONT_SCALE).clip(-1, 1) * body.front_weight[start:end]
    agrees = side[:, None, None] * fronts[:, None] * np.cos(phi)
    return cost + _FRONT_WEIGHT * (1 - agrees) / 2, np.stack([offsets, senses, fronts], 1)


def _noise(across: np.ndarray, weight: np.ndarray) -> float:
    """Return the standard deviation of what shakes from frame to frame, robustly."""
    seen = across[weight > 0]
    if len(seen) < 5:
        return 0.0
    # Second differences of independent errors have a variance of 6 times theirs; 1.48 is the ratio
    # of standard deviation and median absolute deviation of a normal distribution.
    shaking = np.abs(np.diff(seen, 2, axis=0))
    return float(1.48 * np.median(shaking) / np.sqrt(6))


def _search(cost: np.ndarray, fastest: int) -> np.ndarray:
    """Return the values (H, 10) of the best paths of each hypothesis to 0 to 9 half twists."""
    value = np.empty(0)
    for value in _values(cost, fastest):  # noqa: B007 - the last one is what is asked for
        pass
    ends: np.ndarray = value[:, :_ENDS, ::_HALF].max(axis=1)
    return ends


def _values(cost: np.ndarray, fastest: int) -> Iterator[np.ndarray]:
    """Yield the values (H, speeds, bins) of the best paths to each state, frame by frame.

    The state is the unwrapped phi and its speed, in bins; phi never falls.
    """
    frames, hypotheses, _ = cost.shape
    bins = np.arange(MAX_HALF_TWISTS * _HALF + 1)
    speeds = np.arange(fastest + 1)
    value = np.full((hypotheses, len(speeds), len(bins)), _IMPOSSIBLE)
    value[:, :2, 0] = 0.0
    value -= cost[0][:, None, bins % _NUM_BINS]
    yield value
    before, penalty = _steps(fastest)
    clipped = before.clip(0, fastest)
    for t in range(1, frames):
        arrived = np.full_like(value, _IMPOSSIBLE)
        for speed in speeds:
            options = value[:, clipped[speed]] - penalty[speed][None, :, None]
            arrived[:, speed, speed:] = options.max(axis=1)[:, : len(bins) - speed]
        value = arrived - _SPEED_COST * speeds[:, None] - cost[t][:, None, bins % _NUM_BINS]
        yield value


def _steps(fastest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the speeds (speeds, 5) that each speed may come from, and what each change costs."""
    # A path at speed v comes from v - 2 to v + 2, and lies v bins before.
    speeds = np.arange(fastest + 1)
    before = speeds[:, None] + np.arange(-2, 3)[None, :]
    allowed = (before >= 0) & (before <= fastest)
    change = _ACCELERATION_COST * np.maximum(np.abs(np.arange(-2, 3)) - 0.5, 0)
    starts = _START_COST * ((before == 0) & (speeds[:, None] > 0))
    return before, np.where(allowed, change + starts, -_IMPOSSIBLE)
