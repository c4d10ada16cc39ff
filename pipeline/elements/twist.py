"""Twists: the rotation of a body about its long axis, from how its sides lie in the image.

Right minus left, of shoulders and hips, is a vector across the body. At a twist of phi

    right - left = cos(phi) * c + sin(phi) * n

where c is what a camera that does not look exactly along the axis of the somersault sees of it, the
same in all frames, and n lies across the trunk. The front of the body lies at cos(phi) across the
trunk: thighs bend to it. phi grows steadily from 0 to a multiple of 180 degrees (Viterbi), for each
of some c, both senses of the twist and both sides on which the front can be at the take-off.
"""

from __future__ import annotations

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


@dataclass(frozen=True)
class TwistCount:
    """Twists of a flight.

    Attributes:
        half_twists: Half twists.
        front: 1 if the front is clockwise of the trunk at the take-off, -1 if on the other side.
        parity_margin: By how much the best path is better than any with another parity.
        still_margin: By how much it is better than none that twists; 0 if it does not.
        front_margin: By how much it is better than any with the front on the other side.
        cost: Mean cost of a frame, 0 to 2.
        weight: Sum of the weights of the frames.
    """

    half_twists: int
    front: int
    parity_margin: float
    still_margin: float
    front_margin: float
    cost: float
    weight: float


def count_twists(
    body: BodySignals, path: np.ndarray, start: int, end: int, seconds: np.ndarray
) -> TwistCount:
    """Count the half twists between two frames.

    Args:
        body: Measurements of the body.
        path: (T,) radians, unwrapped angle of the trunk.
        start, end: First frame and the frame after the last.
        seconds: (T,) seconds.
    """
    cost, hypotheses = _costs(body, path[start:end], start, end)
    step = float(np.median(np.diff(seconds)))
    fastest = int(np.clip(np.ceil(_FASTEST * step / (360 / _NUM_BINS)), 2, _MAX_STEP))
    final, back = _search(cost, fastest)
    # A half twist more or less: it ends at phi = 0 or 180.
    values = np.stack([final[:, :3, 0].max(axis=1), final[:, :3, _NUM_BINS // 2].max(axis=1)], 1)
    best, parity = np.unravel_index(int(values.argmax()), values.shape)
    place = 0 if parity == 0 else _NUM_BINS // 2
    speed = int(final[best, :3, place].argmax())
    total = _trace(back[:, best], speed, place)
    still = -cost[:, :, 0].sum(axis=0)
    value = float(values[best, parity])
    fronts = hypotheses[:, 2]
    return TwistCount(
        half_twists=round(total / (_NUM_BINS // 2)),
        front=int(fronts[best]),
        parity_margin=value - float(values[:, 1 - parity].max()),
        still_margin=value - float(still.max()),
        front_margin=value - float(values[fronts != fronts[best]].max()),
        cost=float(np.minimum(-value / max(len(cost), 1), _MAX_COST)),
        weight=float(body.across_weight[start:end].sum()),
    )


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


def _search(cost: np.ndarray, fastest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return values (H, speeds, bins) of the best paths and back-pointers (T, H, speeds, bins)."""
    frames, hypotheses, _ = cost.shape
    speeds = np.arange(fastest + 1)
    value = np.full((hypotheses, len(speeds), _NUM_BINS), -1e6)
    value[:, :2, 0] = 0.0
    value -= cost[0][:, None]
    back = np.zeros((frames, hypotheses, len(speeds), _NUM_BINS), np.int8)
    # A path at speed v comes from v - 2 to v + 2, and lies v bins before.
    before = speeds[:, None] + np.arange(-2, 3)[None, :]
    allowed = (before >= 0) & (before < len(speeds))
    change = _ACCELERATION_COST * np.maximum(np.abs(np.arange(-2, 3)) - 0.5, 0)
    source = (np.arange(_NUM_BINS)[None, :] - speeds[:, None]) % _NUM_BINS
    rows, clipped = speeds[:, None], before.clip(0, len(speeds) - 1)
    starts = _START_COST * ((before == 0) & (speeds[:, None] > 0))
    penalty = np.where(allowed, change + starts, 1e6)[None, :, :, None]
    for t in range(1, frames):
        options = value[:, clipped] - penalty  # (H, speeds, 5, bins)
        taken = options.argmax(axis=2)
        arrived = np.take_along_axis(options, taken[:, :, None], axis=2)[:, :, 0]
        value = arrived[:, rows, source] - _SPEED_COST * speeds[:, None] - cost[t][:, None]
        back[t] = np.take_along_axis(
            np.broadcast_to(clipped[None, :, :, None], options.shape), taken[:, :, None], axis=2
        )[:, :, 0][:, rows, source]
    return value, back


def _trace(back: np.ndarray, speed: int, place: int) -> int:
    """Return the bins that the path (T, speeds, bins) passes from its start."""
    total = 0
    for t in range(len(back) - 1, 0, -1):
        total += speed
        speed, place = int(back[t, speed, place]), (place - speed) % _NUM_BINS
    return total
