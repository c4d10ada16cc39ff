"""Postures during a dive: key postures by the rules of the dive, and their interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .dive import Dive

# The angles of a posture in degrees; 0 is standing with the arms at the sides. Values and
# the times below are set by hand.
ANGLES = ("hip", "knee", "neck", "lift_l", "lift_r", "out_l", "out_r", "elbow_l", "elbow_r")
_STAND = (0, 0, 0, 0, 0, 8, 8, 5, 5)
_DIP = (55, 75, 5, -30, -30, 10, 10, 10, 10)
_REACH = (0, 0, 0, 176, 176, 8, 8, 0, 0)
_PIKE = (125, 4, 25, 95, 95, 5, 5, 10, 10)
_OPEN_PIKE = (120, 2, 20, 60, 60, 85, 85, 0, 0)
_TUCK = (122, 135, 25, 62, 62, 5, 5, 45, 45)
_BENT = (45, 0, 15, 120, 120, 10, 10, 10, 10)
_WRAP_LEFT = (3, 0, 5, 170, 60, 5, -20, 70, 110)
_WRAP_RIGHT = (3, 0, 5, 60, 170, -20, 5, 110, 70)


@dataclass(frozen=True, eq=False)
class Plan:
    """Postures and twists of N dives over time.

    Attributes:
        key_times: (N, K) float32, times of the key postures as shares of the flight.
        postures: (N, K, 9) float32, their angles in degrees.
        twist_window: (N, 2) float32, start and end of the twist as shares of the flight.
        twist_total: (N,) float32, degrees of the twist; positive to the left.
    """

    key_times: np.ndarray
    postures: np.ndarray
    twist_window: np.ndarray
    twist_total: np.ndarray


def make_plan(dives: Sequence[Dive], flight: np.ndarray, rng: np.random.Generator) -> Plan:
    """Draw the postures of dives whose flights last ``flight`` (N,) seconds."""
    rows, windows, totals = [], [], []
    for dive, seconds in zip(dives, flight):
        keys, window, total = _keys(dive, float(seconds), rng)
        rows.append(keys)
        windows.append(window)
        totals.append(total)
    longest = max(map(len, rows))
    times = np.full((len(rows), longest), 9.0, np.float32)
    postures = np.zeros((len(rows), longest, len(ANGLES)), np.float32)
    for i, keys in enumerate(rows):
        times[i, : len(keys)] = [key[0] for key in keys]
        postures[i, : len(keys)] = [key[1] for key in keys]
        postures[i, len(keys) :] = keys[-1][1]
    # People differ in how they hold a position.
    postures *= rng.normal(1, 0.06, (len(rows), 1, len(ANGLES))).clip(0.85, 1.1)
    return Plan(times, postures, np.array(windows, np.float32), np.array(totals, np.float32))


def _keys(
    dive: Dive, flight: float, rng: np.random.Generator
) -> tuple[list[tuple[float, Sequence[float]]], tuple[float, float], float]:
    """Return the key postures of one dive (share of the flight, angles), and its twist.

    The twist is its window, as shares of the flight, and its degrees.
    """
    shake = rng.uniform(-0.03, 0.03, 6)
    keys: list[tuple[float, Sequence[float]]]
    if dive.take_off == "Armstand":
        keys = [(-0.5, _REACH), (0.0, _REACH)]
    else:
        arms = _REACH if rng.random() < 0.5 else _STAND
        keys = [(-0.45 / flight, arms), (-0.22 / flight, _DIP), (0.02, _REACH)]
    sign = rng.choice([-1.0, 1.0])
    window = (0.4, 0.6)
    if dive.position == "TUCK":
        shape: Sequence[float] = _TUCK
    elif dive.position == "PIKE" or (dive.position == "FREE" and rng.random() < 0.5):
        shape = _OPEN_PIKE if dive.half_somersaults == 1 or rng.random() < 0.3 else _PIKE
    else:
        shape = _REACH if dive.half_twists else _STAND
    wrap = _WRAP_LEFT if sign > 0 else _WRAP_RIGHT
    opened = 0.84 + shake[3] - (0.12 if dive.half_somersaults == 1 else 0.0)
    if not dive.half_twists:
        closed = (0.3 if dive.half_somersaults == 1 else 0.2) + shake[0]
        keys += [(closed, shape), (opened - 0.16, shape), (opened, _BENT), (0.95, _REACH)]
    elif dive.rotates_forward:
        # Pike, twist on opening, and pike again if somersaults remain.
        window = (0.24 + shake[0], (0.62 if dive.half_somersaults > 3 else 0.8) + shake[1])
        keys += [(0.13 + shake[2] / 2, _PIKE), (window[0] + 0.06, wrap), (window[1] - 0.06, wrap)]
    else:
        window = (0.1 + shake[0] / 2, (0.5 if dive.half_somersaults > 3 else 0.72) + shake[1])
        keys += [(window[0] + 0.06, wrap), (window[1] - 0.06, wrap)]
    if dive.half_twists:
        if dive.half_somersaults > 3 and dive.position == "PIKE":
            keys += [(window[1] + 0.06, _PIKE), (0.82, _PIKE), (0.9, _BENT)]
        else:
            keys += [(min(window[1] + 0.07, 0.9), _BENT)]
        keys.append((0.97, _REACH))
    end = _REACH if dive.enters_head_first else _STAND
    keys[-1] = (keys[-1][0], end)
    return keys, window, sign * 180.0 * dive.half_twists


def postures_at(plan: Plan, share: np.ndarray) -> np.ndarray:
    """Return the angles (N, T, 9) at shares of the flight (N, T)."""
    out = np.repeat(plan.postures[:, :1], share.shape[1], axis=1)
    for k in range(plan.key_times.shape[1] - 1):
        since = share - plan.key_times[:, k, None]
        span = np.maximum(plan.key_times[:, k + 1] - plan.key_times[:, k], 1e-3)[:, None]
        change = (plan.postures[:, k + 1] - plan.postures[:, k])[:, None]
        out += smooth_step(since / span)[..., None] * change
    return out


def twist_at(plan: Plan, share: np.ndarray) -> np.ndarray:
    """Return the twist (N, T) in degrees at shares of the flight (N, T)."""
    first, last = plan.twist_window[:, :1], plan.twist_window[:, 1:]
    return smooth_step((share - first) / (last - first)) * plan.twist_total[:, None]


def smooth_step(u: np.ndarray) -> np.ndarray:
    """Rise from 0 to 1 with zero slope at both ends (cubic Hermite); float32."""
    u = u.clip(0, 1).astype(np.float32)
    return u * u * (3 - 2 * u)
