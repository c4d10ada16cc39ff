"""Scripts and solved flights become postures and angles over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from .body import Body
from .flight import Flight, FlightPlan, solve_flights
from .posture import postures_at
from .rotation import rotations
from .script import PlannedFlight, Script

# Half the seconds over which speeds are measured.
_INSTANT = 0.002


@dataclass(frozen=True, eq=False)
class Curves:
    """How N bodies move about their centres of mass.

    Attributes:
        key_times: (N, K) seconds of the script, ascending.
        keys: (N, K, A) degrees, postures.
        nodes: N arrays (K, 4): seconds, and degrees of pitch, tilt and twist.
        solved: (N,) bool, whether all flights came out as planned.
        exact: (N,) bool, whether in none of them a tilt was prescribed.
        momentum: (N, 2) float64 m^2/s, of the last flight; see :class:`flight.Flight`.
    """

    key_times: np.ndarray
    keys: np.ndarray
    nodes: Sequence[np.ndarray]
    solved: np.ndarray
    exact: np.ndarray
    momentum: np.ndarray

    def postures(self, times: np.ndarray) -> np.ndarray:
        """Return the postures (N, T, A) float32, degrees, at seconds (N, T)."""
        return postures_at(self.key_times, self.keys, times)

    def angles(self, times: np.ndarray) -> np.ndarray:
        """Return pitch, tilt and twist (N, T, 3), degrees, unwrapped, at seconds (N, T)."""
        return np.stack([self.angles_of(i, own) for i, own in enumerate(times)])

    def momentum_at(self, i: int, body: Body, times: np.ndarray) -> np.ndarray:
        """Return the angular momentum of clip ``i`` (T, 3) m^2/s per kilogram, world axes.

        It is computed anew from postures and rotations, as a check of the flights.

        Args:
            i: Number of the clip.
            body: The N bodies.
            times: (T,) seconds.
        """
        one = body.select(np.array([i]))
        angles = self.angles_of(i, np.stack([times - _INSTANT, times, times + _INSTANT]))
        row = np.array([i])
        before, points, after = (
            one.points(postures_at(self.key_times[row], self.keys[row], when[None]))
            for when in (times - _INSTANT, times, times + _INSTANT)
        )
        inertia, inner = one.inertia(points, (after - before) / np.float32(2 * _INSTANT))
        earlier, axes, later = rotations(angles).astype(float)
        moved = np.swapaxes(axes, 1, 2) @ (later - earlier) / (2 * _INSTANT)
        rate = np.stack([moved[:, 2, 1], moved[:, 0, 2], moved[:, 1, 0]], -1)
        own = (inertia[0] @ rate[..., None])[..., 0] + inner[0]
        out: np.ndarray = (axes @ own[..., None])[..., 0]
        return out

    def angles_of(self, i: int, times: np.ndarray) -> np.ndarray:
        """Return pitch, tilt and twist (..., 3), degrees, of one clip at seconds (...)."""
        rows = self.nodes[i]
        out: np.ndarray = PchipInterpolator(rows[:, 0], rows[:, 1:])(times.clip(0, rows[-1, 0]))
        return out


def make_curves(scripts: Sequence[Script], body: Body) -> Curves:
    """Solve the flights of N scripts for N bodies, and join them with the rest."""
    solved, exact = np.ones(len(scripts), bool), np.ones(len(scripts), bool)
    momentum = np.zeros((len(scripts), 2))
    keys = [list(script.keys) for script in scripts]
    nodes = [_nodes(script) for script in scripts]
    owners = [(i, flight) for i, script in enumerate(scripts) for flight in script.flights]
    flights = _solve(owners, body) if owners else None
    for row, (i, planned) in enumerate(owners):
        assert flights is not None
        solved[i] &= flights.solved[row]
        exact[i] &= flights.exact[row]
        momentum[i] = flights.momentum[row]
        arms = np.tensordot(flights.asymmetry[row], planned.keys.asymmetry, axes=1)
        shapes = planned.keys.keys + arms
        keys[i] += [(planned.start + t, s) for t, s in zip(planned.keys.times, shapes)]
        end = planned.start + planned.seconds
        nodes[i] = [n for n in nodes[i] if not planned.start - 1e-6 <= n[0] <= end + 1e-6]
        when = planned.start + flights.times[row]
        nodes[i] += [(t, *angles) for t, angles in zip(when, flights.angles[row])]
    rows = []
    for own in keys:
        own.sort(key=lambda key: key[0])
        rows.append((np.array([k[0] for k in own]), np.stack([k[1] for k in own])))
    key_times, postures = padded_rows(rows, grow=True)
    return Curves(key_times, postures, [_ascending(n) for n in nodes], solved, exact, momentum)


def _nodes(script: Script) -> list[tuple[float, ...]]:
    when, twist = np.array(script.twists).T
    return [(t, pitch, 0.0, float(np.interp(t, when, twist))) for t, pitch in script.pitches]


def _ascending(nodes: list[tuple[float, ...]]) -> np.ndarray:
    table = np.array(sorted(nodes))
    out: np.ndarray = table[np.concatenate([[True], np.diff(table[:, 0]) > 1e-6])]
    return out


def _solve(owners: Sequence[tuple[int, PlannedFlight]], body: Body) -> Flight:
    flights = [flight for _, flight in owners]
    times, keys, *asymmetry = padded_rows(
        [(np.array(f.keys.times), f.keys.keys, *f.keys.asymmetry) for f in flights], grow=True
    )
    plan = FlightPlan(
        seconds=np.array([f.seconds for f in flights]),
        key_times=times,
        keys=keys,
        asymmetry=np.stack(asymmetry, axis=1),
        start=np.array([(f.pitch_start, f.twist_start) for f in flights]),
        pitch=np.array([f.pitch for f in flights]),
        twist=np.array([f.twist for f in flights]),
        tilt_times=np.array([f.keys.tilt_times for f in flights]),
        contact=np.array([f.keys.contact for f in flights]),
    )
    return solve_flights(plan, body.select(np.array([i for i, _ in owners])))


def padded_rows(rows: Sequence[tuple[np.ndarray, ...]], grow: bool = False) -> list[np.ndarray]:
    """Stack arrays of different lengths, each padded by its last.

    Args:
        rows: For each clip, arrays that are as long as each other.
        grow: Whether the first array of a clip, its times, goes on by whole seconds instead.
    """
    longest = max(len(row[0]) for row in rows)
    out = []
    for part in range(len(rows[0])):
        arrays = [np.asarray(row[part], float) for row in rows]
        padded = [np.concatenate([a, np.repeat(a[-1:], longest - len(a), axis=0)]) for a in arrays]
        if grow and part == 0:
            for values, array in zip(padded, arrays):
                values[len(array) :] += 1 + np.arange(longest - len(array))
        out.append(np.stack(padded))
    return out
