"""Flights: the angular momentum vector is constant, all else follows from it.

With the orientation R, the moment of inertia I of the posture and the inner angular momentum h of
the limbs' motion, L = R (I w + h) gives the angular velocity w at every instant (Yeadon, Atha and
Hales, The simulation of aerial movement IV, J. Biomech. 1990). Arms that become asymmetric tilt the
body, a tilted body that somersaults twists, and arms that go back take the tilt away (Yeadon, The
biomechanics of twisting somersaults, parts I to III, 1993). Three numbers are solved for: the size
of L gives the somersaults, the asymmetry of the arms that begins the twist gives its number, and
that of the arms that ends it leaves no tilt behind. Gymnasts take many twists from the floor
instead (part II): then L has a part along the body at the take-off, which takes the place of the
arms.

An athlete who twists corrects the arms in flight; two numbers cannot always do that. Where no pair
of them ends a twist, the last part of the tilt is taken away as prescribed, and L is constant but
for its part about the axis of the tilt in that time: ``Flight.exact`` is False, and
``benchmarks/simulator.py`` says how often and by how much. That is so for most dives that go on in
pike or twist more than once and a half: the root mean square of the difference over their flights
is 2 to 11 % of L. For exact ones it is the integration's 1 to 3 %; and 10 % for half a somersault
with half a twist (5211A), whose momentum is small, while bent arms that exchange their places turn
over within less than a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from .body import Body
from .posture import minimum_jerk, postures_at
from .roots import find_roots
from .rotation import about_pitch, integrate

_FIRST_ROUNDS, _GUIDED_ROUNDS, _EXACT_ROUNDS = 8, 6, 6
# Radians by which a guided flight may miss without guidance to be tried without it.
_NEAR = 0.5
# Radians: by how much pitch, twist and tilt may miss while they are solved for, and at the landing,
# where no judge sees it.
_TOLERANCE, _ACCEPTED, _ACCEPTED_ASIDE = 0.004, 0.12, 0.4
# Arms reach no further than overhead and to the thighs.
MAX_ASYMMETRY, _LEAST_ASYMMETRY = 1.0, 0.02
# The most that a round of the search changes: the momentum's share, and an asymmetry.
_MOST_MOMENTUM, _MOST_ASYMMETRY = 0.2, 0.15
# Seconds around an instant over which the limbs' speed is measured.
_INSTANT = 0.002


@dataclass(frozen=True, eq=False)
class FlightPlan:
    """M flights to be solved: postures over time, and what the rotation has to be.

    Attributes:
        seconds: (M,) from take-off to landing.
        key_times: (M, K) seconds since the take-off, ascending.
        keys: (M, K, A) degrees, postures without asymmetry.
        asymmetry: (M, 2, K, A) degrees, what asymmetries of 1 add to the keys: the one that begins
            a twist, and the one that ends it.
        start: (M, 2) degrees: pitch and twist at the take-off.
        pitch: (M,) degrees of pitch from take-off to landing.
        twist: (M,) degrees of twist from take-off to landing.
        tilt_times: (M, 5) seconds since the take-off: when arms begin to tilt the body and when
            they have, when they begin to take the tilt away and when they have, and when the body
            is symmetric again.
        contact: (M,) bool, whether the twist comes from the feet's push instead of the arms: L has
            a part along the upright body, and the landing has to end the twist.
    """

    seconds: np.ndarray
    key_times: np.ndarray
    keys: np.ndarray
    asymmetry: np.ndarray
    start: np.ndarray
    pitch: np.ndarray
    twist: np.ndarray
    tilt_times: np.ndarray
    contact: np.ndarray


@dataclass(frozen=True, eq=False)
class Flight:
    """M flights as they come out.

    Attributes:
        times: (M, G) float64 seconds since the take-off, 0 to the landing.
        angles: (M, G, 3) float64 degrees, unwrapped: pitch, tilt and twist.
        asymmetry: (M, 2) float64, 0 to ``MAX_ASYMMETRY``: how much of the plan's asymmetries.
        momentum: (M, 2) float64, the angular momentum per kilogram of the body about -z, which is
            negative where the head moves to -x, and about y, m^2/s.
        solved: (M,) bool, whether pitch and twist came out as planned, with no tilt at the end.
        exact: (M,) bool, whether no part of the tilt was prescribed.
    """

    times: np.ndarray
    angles: np.ndarray
    asymmetry: np.ndarray
    momentum: np.ndarray
    solved: np.ndarray
    exact: np.ndarray


def solve_flights(plan: FlightPlan, body: Body, num_steps: int = 96) -> Flight:
    """Solve for the momentum and the asymmetries that give each flight its rotation.

    Args:
        plan: The M flights.
        body: The M bodies.
        num_steps: Steps of the integration.
    """
    search = _Search(plan, body, num_steps)
    x, angles, solved, exact = search.run()
    lateral = np.where(search.pushed, x[:, 1], 0)
    arms = np.where(search.pushed[:, None], 0, x[:, 1:])
    momentum = np.stack([x[:, 0], lateral], -1)
    return Flight(search.times, np.degrees(angles), arms, momentum, solved, exact)


class _Search:
    """Solves all flights at once.

    Unknowns x (M, 3): momentum, and the two asymmetries, or the momentum along the body. Residuals
    (M, 3), radians: pitch at the landing, and twist and tilt where the body is symmetric again:
    without tilt and after whole half twists it only pitches from there, so that the pitch of the
    rest needs no integration.
    """

    def __init__(self, plan: FlightPlan, body: Body, num_steps: int) -> None:
        self.plan, self.body = plan, body
        self.times = np.linspace(0, 1, num_steps + 1) * plan.seconds[:, None]
        self.step = self.times[:, 1]
        self.twisting = plan.twist != 0
        self.pitch, self.twist, self.start = map(np.radians, (plan.pitch, plan.twist, plan.start))
        nodes = np.ceil(plan.tilt_times / self.step[:, None] - 1e-6).astype(int)
        # Sideways, no axis of a tuck lies to its front: only a push along the body ends the salto
        # without a twist.
        self.pushed = plan.contact | (np.abs(np.sin(self.start[:, 1])) > 0.5)
        self.twisting |= self.pushed
        self.arms = self.twisting & ~self.pushed
        self.nodes = np.where(self.arms[:, None], nodes.clip(0, num_steps), num_steps)
        self.rise, self.fall = (
            minimum_jerk((self.times - first) / np.maximum(last - first, 1e-6))
            for first, last in plan.tilt_times.T[:4].reshape(2, 2, -1, 1)
        )

    def run(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return x (M, 3), angles (M, G, 3) in radians, and whether solved and exact (M,)."""
        x, jacobian = self._begin()
        rows = np.arange(len(x))
        steps = np.full(x.shape, _MOST_ASYMMETRY)
        steps[:, 0] = _MOST_MOMENTUM * np.abs(x[:, 0])
        least, most = np.full(x.shape, _LEAST_ASYMMETRY), np.full(x.shape, MAX_ASYMMETRY)
        least[:, 0], most[:, 0] = -np.inf, np.inf
        least[~self.arms, 1:] = most[~self.arms, 1:] = 0
        push = self.pushed
        steps[push, 1] = _MOST_MOMENTUM * np.abs(x[push, :2]).max(axis=1) / 4
        least[push, 1], most[push, 1] = -np.inf, np.inf
        search = partial(find_roots, steps=steps, bounds=(least, most), tolerance=_TOLERANCE)
        guide, exact = partial(self._residual, True), partial(self._residual, False)
        x, miss = search(guide, rows, x, jacobian, rounds=_FIRST_ROUNDS)
        far = rows[np.abs(miss).max(axis=1) > _TOLERANCE]
        guided, _ = search(guide, far, x, None, rounds=_GUIDED_ROUNDS)
        near = np.flatnonzero(self.arms)
        miss = np.abs(exact(near, guided[near])).max(axis=1)
        near = near[(miss < _NEAR) & (miss > _TOLERANCE)]
        x, _ = search(exact, near, guided, None, rounds=_EXACT_ROUNDS)
        angles, _ = self._fly(rows, x, self._mechanics(rows, x), False)
        lands = self._lands(rows, angles)
        rest = np.flatnonzero(~lands)
        x[rest] = guided[rest]
        angles[rest], _ = self._fly(rest, x[rest], self._mechanics(rest, x[rest]), True)
        return x, angles, self._lands(rows, angles), lands

    def _lands(self, rows: np.ndarray, angles: np.ndarray) -> np.ndarray:
        moved = angles[:, -1] - angles[:, 0]
        miss = moved - np.stack([self.pitch, np.zeros(len(moved)), self.twist], -1)[rows]
        limits = np.full(miss.shape, _ACCEPTED)
        limits[self.pushed[rows], 1] = _ACCEPTED_ASIDE
        return np.asarray((np.abs(miss) < limits).all(axis=1))

    def _mechanics(self, rows: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the inertia (R, G, 3, 3) and the inner momentum (R, G, 3) of flights."""
        plan, bodies = self.plan, self.body.select(rows)
        keys = plan.keys[rows] + (x[:, 1:, None, None] * plan.asymmetry[rows]).sum(axis=1)
        before, after = (
            bodies.points(postures_at(plan.key_times[rows], keys, self.times[rows] + shift))
            for shift in (-_INSTANT / 2, _INSTANT / 2)
        )
        return bodies.inertia((before + after) / 2, (after - before) / np.float32(_INSTANT))

    def _fly(
        self,
        rows: np.ndarray,
        x: np.ndarray,
        mechanics: tuple[np.ndarray, np.ndarray],
        guided: bool,
    ) -> tuple[np.ndarray, np.ndarray]:
        guide = (self.fall[rows], self.nodes[rows, 2]) if guided else None
        momentum = np.stack([x[:, 0], np.where(self.pushed[rows], x[:, 1], 0)])
        return integrate(*mechanics, momentum, self.start[rows], self.step[rows], guide)

    def _residual(self, guided: bool, rows: np.ndarray, x: np.ndarray) -> np.ndarray:
        mechanics = self._mechanics(rows, x)
        angles, tilting = self._fly(rows, x, mechanics, guided)
        each, steps = np.arange(len(rows)), np.arange(angles.shape[1])
        fall, quiet = self.nodes[rows, 2], self.nodes[rows, 4]
        reached = angles[each, quiet]
        moment, limbs = about_pitch(*mechanics, (self.start[:, 1] + self.twist)[rows])
        rest = self._sum((x[:, :1] + limbs) / moment, rows, quiet, steps[-1])
        tilt = reached[:, 1]
        if guided:
            # What the arms would have done to the tilt, had it not been prescribed.
            tilt = angles[each, fall, 1] + self._sum(tilting, rows, fall, quiet)
        out = np.stack([reached[:, 0] + rest, reached[:, 2], tilt], -1)
        out[:, :2] -= self.start[rows] + np.stack([self.pitch, self.twist], -1)[rows]
        out[~self.twisting[rows], 1] = 0
        out[~self.arms[rows], 2] = 0
        return out

    def _sum(
        self, values: np.ndarray, rows: np.ndarray, first: np.ndarray, last: np.ndarray | int
    ) -> np.ndarray:
        """Return the integral (R,) of values (R, G) from one step to another, both (R,)."""
        total = np.zeros(values.shape)
        total[:, 1:] = np.cumsum((values[:, 1:] + values[:, :-1]) / 2, axis=1)
        each = np.arange(len(rows))
        out: np.ndarray = (total[each, last] - total[each, first]) * self.step[rows]
        return out

    def _begin(self) -> tuple[np.ndarray, np.ndarray]:
        """Return a first x (M, 3) and a first Jacobian, by formulas for small tilts.

        The momentum is that of a body without tilt; twist = int M tilt (1 / I_yy - 1 / I_zz) gives
        the tilt, and arms of half the asymmetry give how much of it the tilt needs.
        """
        count, steps = self.times.shape
        rows = np.arange(count)
        x = np.full((count, 3), 0.5)
        inertia, inner = self._mechanics(rows, x)
        moment, limbs = about_pitch(inertia, inner, self.start[:, 1])
        zero, end = np.zeros(count, int), steps - 1
        x[:, 0] = self.pitch - self._sum(limbs / moment, rows, zero, end)
        x[:, 0] /= self._sum(1 / moment, rows, zero, end)
        thin = 1 / inertia[..., 1, 1] - 1 / inertia[..., 2, 2]
        twists = x[:, 0] * self._sum((self.rise - self.fall) * thin, rows, zero, end)
        tilt = np.divide(-self.twist, twists, out=np.zeros(count), where=self.arms)
        arms = -inner[..., 0] / inertia[..., 0, 0]
        jacobian = np.tile(np.eye(3), (count, 1, 1))
        jacobian[:, 0, 0] = self.pitch / x[:, 0]
        for which, (first, last) in enumerate(((0, 1), (2, 3)), start=1):
            did = np.abs(self._sum(arms, rows, self.nodes[:, first], self.nodes[:, last]))
            x[:, which] = (0.5 * np.abs(tilt) / did.clip(1e-3)).clip(0.05, 0.95) * self.arms
        thin = self._sum(1 / inertia[..., 1, 1], rows, zero, end)
        push, on = self.pushed, self.arms
        x[push, 1] = (self.twist / thin)[push]
        jacobian[push, 1, 1] = thin[push]
        jacobian[on, 1, 0] = self.twist[on] / x[on, 0]
        jacobian[on, 1, 1] = self.twist[on] / x[on, 1]
        jacobian[on, 2, 1] = tilt[on] / x[on, 1]
        jacobian[on, 2, 2] = -tilt[on] / x[on, 2]
        return x, jacobian
