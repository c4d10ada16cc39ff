"""Rotation in free flight: the angular momentum vector is constant, all else follows from it.

With the orientation R, the moment of inertia I of the posture and the inner angular momentum h of
the
limbs' motion, L = R (I w + h) (Yeadon, Atha and Hales 1990, J. Biomech. 23(1), 85-89). Two of its
three
equations give the rates of somersault and twist: a tilted body that somersaults twists, the faster
the
thinner it is (Frohlich 1979, Am. J. Phys. 47; Yeadon 1993, J. Biomech. 26, 187-225). The third,
about the
axis of the tilt, ties the tilt to its cause, arms that become asymmetric. Three numbers are solved
for: the
size of L gives the somersaults, the tilt gives the twists, and the asymmetry of the arms gives the
tilt.

Between its rise and its fall the tilt is held, which leaves out its small nutation: what that does
to
the momentum is measured by ``benchmarks/simulator.py``.

World axes: x away from the board, y up, z to the right of who faces x. R is twist about the
pelvis's
long axis y, then tilt about x, then pitch about z, positive where the head moves to x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .body import Body
from .posture import minimum_jerk, postures_at

_MAX_ROUNDS, _ARM_ROUNDS, _DAMPING = 22, 10, 0.6
# Radians by which pitch and twist may miss, and the share by which the asymmetry may.
_TOLERANCE, _ASYMMETRY_TOLERANCE = 0.005, 0.02
# No judge counts another half twist for so few radians.
_TWIST_MISSED = 0.21
# Arms reach no further than overhead and to the thighs; a body tilts up to some 30 degrees (Yeadon
# 1993, Part I).
MAX_ASYMMETRY, MAX_TILT_DEGREES = 1.0, 32.0


@dataclass(frozen=True, eq=False)
class FlightPlan:
    """M flights to be solved: postures over time, and what the rotation has to be.

    Attributes:
        seconds: (M,) from take-off to landing.
        key_times: (M, K) seconds since the take-off, ascending.
        keys: (M, K, A) degrees, postures without asymmetry.
        asymmetry: (M, K, A) degrees, what an asymmetry of 1 adds to the keys.
        start: (M, 2) degrees: pitch and twist at the take-off.
        pitch: (M,) degrees of pitch from take-off to landing.
        twist: (M,) degrees of twist from take-off to landing.
        tilt_times: (M, 4) seconds since the take-off: the tilt rises from the first to the second
        and
            falls from the third to the fourth.
    """

    seconds: np.ndarray
    key_times: np.ndarray
    keys: np.ndarray
    asymmetry: np.ndarray
    start: np.ndarray
    pitch: np.ndarray
    twist: np.ndarray
    tilt_times: np.ndarray


@dataclass(frozen=True, eq=False)
class Flight:
    """M flights as they come out.

    Attributes:
        times: (M, G) float64 seconds since the take-off, 0 to the landing.
        angles: (M, G, 3) float64 degrees, unwrapped: pitch, tilt and twist.
        asymmetry: (M,) float64, 0 to ``MAX_ASYMMETRY``: how much of the plan's asymmetry it took.
        momentum: (M,) float64, size of the angular momentum per kilogram of the body, m^2/s,
            negative where the head moves to -x.
        solved: (M,) bool, whether pitch and twist came out as planned.
    """

    times: np.ndarray
    angles: np.ndarray
    asymmetry: np.ndarray
    momentum: np.ndarray
    solved: np.ndarray


def solve_flights(plan: FlightPlan, body: Body, num_steps: int = 96) -> Flight:
    """Solve for the momentum, the tilt and the asymmetry that give each flight its rotation.

    Args:
        plan: The M flights.
        body: The M bodies.
        num_steps: Steps of the integration.
    """
    count = len(plan.seconds)
    times = np.linspace(0, 1, num_steps + 1) * plan.seconds[:, None]
    search = _Search(plan, times)
    angles = np.zeros((count, num_steps + 1, 3))
    rows = np.arange(count)
    for number in range(_MAX_ROUNDS):
        inertia, inner = _mechanics(plan, body, times, search.asymmetry, rows)
        if number == 0:
            search.start(inertia, inner)
        angles[rows], torque = search.integrate(rows, inertia, inner)
        rows = search.improve(rows, angles[rows], torque, arms=number < _ARM_ROUNDS)
        if not len(rows):
            break
    solved = np.ones(count, bool)
    solved[rows[~search.close_enough(rows, angles[rows])]] = False
    return Flight(times, np.degrees(angles), search.asymmetry, search.momentum, solved)


def _mechanics(
    plan: FlightPlan, body: Body, times: np.ndarray, asymmetry: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the inertia (M, G, 3, 3) and the inner momentum (M, G, 3) of flights."""
    keys = plan.keys[rows] + asymmetry[rows, None, None] * plan.asymmetry[rows]
    bodies = body.select(rows)
    points = bodies.points(postures_at(plan.key_times[rows], keys, times[rows]))
    return bodies.inertia(points, times[rows, 1])


class _Search:
    """Improves the momentum, the tilt and the asymmetry of M flights at once.

    Each hardly changes what the others give, so that all three are improved in the same round.
    """

    def __init__(self, plan: FlightPlan, times: np.ndarray) -> None:
        self.plan = plan
        self.step = times[:, 1]
        self.pitch, self.twist = np.radians(plan.pitch), np.radians(plan.twist)
        self.twisting = plan.twist != 0
        rise, fall = (
            minimum_jerk((times - first[:, None]) / np.maximum(last - first, 1e-6)[:, None])
            for first, last in (plan.tilt_times.T[:2], plan.tilt_times.T[2:])
        )
        self.shape = (rise - fall).astype(np.float64)
        self.slope = np.gradient(self.shape, axis=1) / self.step[:, None]
        self.rising = (rise > 0) & (times <= plan.tilt_times[:, 1:2] + 1e-9)
        # Which way a tilted body twists depends on the sense of its somersault.
        halves = np.abs(self.twist) / np.pi
        first = np.radians(4 + 3 * halves).clip(0, np.radians(24))
        self.tilt = np.where(self.twisting, -first * np.sign(self.twist * self.pitch), 0)
        self.asymmetry = np.where(self.twisting, 0.3 + 0.04 * halves, 0.0)
        self.momentum, self.gain = np.zeros(len(times)), np.ones(len(times))

    def start(self, inertia: np.ndarray, inner: np.ndarray) -> None:
        """Set the momentum by the somersault without tilt: L = (pitch + int h / I) / int 1 / I."""
        twist = np.radians(self.plan.start[:, 1])[:, None]
        cw, sw = np.cos(twist), np.sin(twist)
        about_z = 1 / (cw**2 * inertia[..., 2, 2] + sw**2 * inertia[..., 0, 0])
        limbs = about_z * (cw * inner[..., 2] - sw * inner[..., 0])
        self.gain = _integral(about_z, self.step)
        self.momentum = (self.pitch - _integral(limbs, self.step)) / self.gain

    def integrate(
        self, rows: np.ndarray, inertia: np.ndarray, inner: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return angles (M, G, 3), radians, by Heun's method, and what tilts the body (M, G, 2).

        The latter are the momenta about the axis of the tilt of the body and of its limbs' motion,
        which have to cancel, m^2/s.
        """
        size = self.tilt[rows, None]
        tilts, slopes = size * self.shape[rows], size * self.slope[rows]
        momentum, step = self.momentum[rows], self.step[rows, None]
        angles = np.empty((*tilts.shape, 3))
        causes = np.empty((*tilts.shape, 2))
        angles[..., 1] = tilts
        now = np.radians(self.plan.start[rows])
        rate = np.zeros_like(now)
        for k in range(tilts.shape[1]):
            if k:
                state = (inertia[:, k], inner[:, k], momentum, tilts[:, k], slopes[:, k])
                ahead, _ = _rates((now + step * rate)[:, 1], *state)
                now = now + step / 2 * (rate + ahead)
            angles[:, k, [0, 2]] = now
            rate, causes[:, k] = _rates(
                now[:, 1], inertia[:, k], inner[:, k], momentum, tilts[:, k], slopes[:, k]
            )
        return angles, causes

    def close_enough(self, rows: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """Return whether flights (M,) rotated as planned; untwisted ones may twist a little."""
        moved = angles[:, -1] - angles[:, 0]
        good = np.abs(moved[:, 0] - self.pitch[rows]) < 5 * _TOLERANCE
        missed = np.abs(moved[:, 2] - self.twist[rows])
        return np.asarray(good & ((missed < _TWIST_MISSED) | ~self.twisting[rows]))

    def improve(
        self, rows: np.ndarray, angles: np.ndarray, causes: np.ndarray, arms: bool
    ) -> np.ndarray:
        """Improve the flights ``rows``; returns those that missed."""
        moved = angles[:, -1] - angles[:, 0]
        body, limbs = (np.where(self.rising[rows], causes[..., i], 0).sum(axis=1) for i in (0, 1))
        asymmetry = self.asymmetry[rows]
        needed = np.divide(
            -body * asymmetry, limbs, out=asymmetry.copy(), where=np.abs(limbs) > 1e-6
        )
        needed = np.where(needed > 0, needed, 0.5 * asymmetry).clip(0.5 * asymmetry, 2 * asymmetry)
        needed = needed.clip(0.02, MAX_ASYMMETRY)
        twisting = self.twisting[rows]
        miss = np.abs(moved[:, 0] - self.pitch[rows]) > _TOLERANCE
        miss |= twisting & (np.abs(moved[:, 2] - self.twist[rows]) > _TOLERANCE)
        miss |= twisting & (np.abs(needed - asymmetry) > _ASYMMETRY_TOLERANCE) & np.bool_(arms)
        self._step_tilt(rows[miss], moved[miss, 2])
        changed = miss & twisting & np.bool_(arms)
        self.asymmetry[rows[changed]] += (_DAMPING * (needed - asymmetry))[changed]
        step = _DAMPING * (self.pitch[rows] - moved[:, 0]) / self.gain[rows]
        # Without twists the somersault is in proportion to the momentum, and one step is all.
        self.momentum[rows[miss]] += np.where(twisting, step, step / _DAMPING)[miss]
        return rows[miss]

    def _step_tilt(self, rows: np.ndarray, twist: np.ndarray) -> None:
        # Twists are nearly in proportion to the tilt.
        wanted = np.where(self.twisting[rows], self.twist[rows], 1.0)
        share = wanted / np.where(np.abs(twist) > 0.2, twist, wanted)
        share = np.where(share > 0, share, 2.0).clip(0.6, 1.7)
        most = np.radians(MAX_TILT_DEGREES)
        self.tilt[rows] = np.where(self.twisting[rows], self.tilt[rows] * share**0.7, 0).clip(
            -most, most
        )


def _rates(
    twist: np.ndarray,
    inertia: np.ndarray,
    inner: np.ndarray,
    momentum: np.ndarray,
    tilt: np.ndarray,
    tilt_rate: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rates of pitch and twist (M, 2), rad/s, and the causes of the tilt (M, 2).

    All is seen in axes that pitch and tilt with the body but do not twist with it.
    """
    cw, sw, ct, st = np.cos(twist), np.sin(twist), np.cos(tilt), np.sin(tilt)
    xx, xy, xz = inertia[:, 0, 0], inertia[:, 0, 1], inertia[:, 0, 2]
    yy, yz, zz = inertia[:, 1, 1], inertia[:, 1, 2], inertia[:, 2, 2]
    i_xx = cw * cw * xx + 2 * cw * sw * xz + sw * sw * zz
    i_zz = sw * sw * xx - 2 * cw * sw * xz + cw * cw * zz
    i_xz = cw * sw * (zz - xx) + (cw * cw - sw * sw) * xz
    i_xy, i_yz = cw * xy + sw * yz, cw * yz - sw * xy
    h_x, h_z = cw * inner[:, 0] + sw * inner[:, 2], cw * inner[:, 2] - sw * inner[:, 0]
    # The head moves to x where L points to -z.
    about_y = -momentum * st - inner[:, 1] - i_xy * tilt_rate
    about_z = -momentum * ct - h_z - i_xz * tilt_rate
    determinant = yy * i_zz - i_yz**2
    spin_y = (i_zz * about_y - i_yz * about_z) / determinant
    spin_z = (yy * about_z - i_yz * about_y) / determinant
    rates = np.stack([-spin_z / ct, spin_y - spin_z * st / ct], -1)
    return rates, np.stack([i_xx * tilt_rate + i_xy * spin_y + i_xz * spin_z, h_x], -1)


def _integral(values: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return the integral (M,) of (M, G) over steps of (M,) by the trapezoid rule."""
    out: np.ndarray = ((values[:, 1:] + values[:, :-1]) / 2).sum(axis=1) * step
    return out


def rotations(angles: np.ndarray) -> np.ndarray:
    """Return R (..., 3, 3) float32 of pitch, tilt and twist (..., 3) in degrees.

    ``R @ v`` takes a vector from the axes of the pelvis to the world's.
    """
    pitch, tilt, twist = np.moveaxis(np.radians(angles), -1, 0)
    c, s, ct, st, cw, sw = (f(a) for a in (-pitch, tilt, twist) for f in (np.cos, np.sin))
    rows = [
        [c * cw - s * st * sw, -s * ct, c * sw + s * st * cw],
        [s * cw + c * st * sw, c * ct, s * sw - c * st * cw],
        [-ct * sw, st, ct * cw],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2).astype(np.float32)
