"""Rotation of a body that changes its posture in free flight.

World axes: x away from the board, y up, z to the right of who faces x. An orientation is twist
about the pelvis's long axis y, then tilt about x, then pitch about z, positive where the head moves
to x.
"""

from __future__ import annotations

import numpy as np


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


def about_pitch(
    inertia: np.ndarray, inner: np.ndarray, twist: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the moment of inertia and the inner momentum (M, G) about the axis of pitch.

    Args:
        inertia: (M, G, 3, 3) m^2.
        inner: (M, G, 3) m^2/s.
        twist: (M,) radians, of a body without tilt.
    """
    cw, sw = np.cos(twist)[:, None], np.sin(twist)[:, None]
    moment = cw**2 * inertia[..., 2, 2] - 2 * cw * sw * inertia[..., 0, 2]
    moment += sw**2 * inertia[..., 0, 0]
    return moment, cw * inner[..., 2] - sw * inner[..., 0]


def integrate(
    inertia: np.ndarray,
    inner: np.ndarray,
    momentum: np.ndarray,
    start: np.ndarray,
    step: np.ndarray,
    guide: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Integrate the rotation by the method of Adams, Bashforth and Moulton of order 4.

    Args:
        inertia: (M, G, 3, 3) m^2 per kilogram of the body, in the axes of the pelvis.
        inner: (M, G, 3) m^2/s, momentum of the limbs' motion relative to the pelvis.
        momentum: (2, M) m^2/s, of the body about -z and about y of the world.
        start: (M, 2) radians: pitch and twist of the first step; its tilt is 0.
        step: (M,) seconds.
        guide: Fall (M, G), 0 to 1, and first step (M,) int of a tilt that is taken away as
            prescribed instead; none without it.

    Returns:
        Angles (M, G, 3), radians: pitch, tilt, twist; and the rates of the tilt (M, G), rad/s, that
        the momentum asks for.
    """
    count = inertia.shape[1]
    six = np.stack([inertia[..., i, j] for i in range(3) for j in range(i, 3)], axis=0)
    six = np.ascontiguousarray(np.moveaxis(six, 2, 0), np.float64)
    inner = np.ascontiguousarray(np.transpose(inner, (1, 2, 0)), np.float64)
    out = np.zeros((count, 3, momentum.shape[1]))
    out[0, 0], out[0, 2] = start.T
    rates = np.zeros_like(out)
    rates[0] = _rates(out[0], six[0], inner[0], momentum)

    def guided(k: int, now: np.ndarray) -> np.ndarray:
        if guide is not None:
            fall, first = guide
            held = out[np.minimum(first, k - 1), 1, np.arange(momentum.shape[1])]
            now[1] = np.where(k > first, held * (1 - fall[:, k]), now[1])
        return now

    for k in range(1, count):
        one = rates[k - 1]
        if k < 4:
            ahead = out[k - 1] + step * one
        else:
            two, three, four = rates[k - 2], rates[k - 3], rates[k - 4]
            ahead = out[k - 1] + step / 24 * (55 * one - 59 * two + 37 * three - 9 * four)
        rates[k] = rate = _rates(guided(k, ahead), six[k], inner[k], momentum)
        if k < 4:
            out[k] = guided(k, out[k - 1] + step / 2 * (rate + one))
        else:
            out[k] = guided(k, out[k - 1] + step / 24 * (9 * rate + 19 * one - 5 * two + three))
    return np.moveaxis(out, 2, 0), rates[:, 1].T


def _rates(
    angles: np.ndarray, inertia: np.ndarray, inner: np.ndarray, momentum: np.ndarray
) -> np.ndarray:
    """Return the rates of pitch, tilt and twist (3, M), rad/s: I w = L - h, in other axes.

    These pitch and tilt with the body but do not twist with it, so that their angular velocity is
    the rates' own.

    Args:
        angles: (3, M) radians: pitch, tilt, twist.
        inertia: (6, M) m^2: xx, xy, xz, yy, yz, zz.
        inner: (3, M) m^2/s.
        momentum: (2, M) m^2/s.
    """
    pitch, tilt, twist = angles
    main, lateral = momentum
    cw, sw, ct, st = np.cos(twist), np.sin(twist), np.cos(tilt), np.sin(tilt)
    xx, xy, xz, yy, yz, zz = inertia
    squared, mixed = cw * cw, cw * sw
    i_xx = squared * xx + 2 * mixed * xz + (1 - squared) * zz
    i_zz = xx + zz - i_xx
    i_xz = mixed * (zz - xx) + (2 * squared - 1) * xz
    i_xy, i_yz = cw * xy + sw * yz, cw * yz - sw * xy
    # The head moves to x where L points to -z.
    upright = lateral * np.cos(pitch)
    x = -lateral * np.sin(pitch) - (cw * inner[0] + sw * inner[2])
    y = upright * ct - main * st - inner[1]
    z = -upright * st - main * ct - (cw * inner[2] - sw * inner[0])
    # The adjugate of the symmetric matrix.
    a, b, c = yy * i_zz - i_yz * i_yz, i_yz * i_xz - i_xy * i_zz, i_xy * i_yz - yy * i_xz
    d, e, f = i_xx * i_zz - i_xz * i_xz, i_xy * i_xz - i_xx * i_yz, i_xx * yy - i_xy * i_xy
    determinant = i_xx * a + i_xy * b + i_xz * c
    pitching = -(c * x + e * y + f * z) / determinant / ct
    tilting = (a * x + b * y + c * z) / determinant
    return np.stack([pitching, tilting, (b * x + d * y + e * z) / determinant + pitching * st])
