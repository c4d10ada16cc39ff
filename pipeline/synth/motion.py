"""Dives as motion in three dimensions.

The centre of mass flies freely; the angular momentum is constant while the posture changes how
fast the body rotates, and the somersaults add up to those of the dive. Twist and tilt are
prescribed, not integrated; the water is a plane.

World axes: x away from the board, y up, z to the right of a diver who faces the water; metres,
seconds. The axes of the body are those of ``body.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .body import SEGMENTS, Body
from .dive import Dive
from .postures import Plan, make_plan, postures_at, smooth_step, twist_at

GRAVITY = 9.81


@dataclass(frozen=True, eq=False)
class DiveMotion:
    """Dives in three dimensions, N at once.

    Attributes:
        times: (N, T) float32 seconds since the take-off, evenly spaced, negative before it.
        joints: (N, T, 17, 3) float32 metres, world axes, COCO-17 order.
        center: (N, T, 3) float32 metres, the centre of mass.
        somersault: (N, T) float32 degrees of rotation about the lateral axis, positive towards the
            chest before any twist.
        twist: (N, T) float32 degrees of rotation about the long axis.
        flight_seconds: (N,) float32 from take-off to entry.
        height: (N,) float32 metres, of the body.
    """

    times: np.ndarray
    joints: np.ndarray
    center: np.ndarray
    somersault: np.ndarray
    twist: np.ndarray
    flight_seconds: np.ndarray
    height: np.ndarray


def simulate_dives(
    dives: Sequence[Dive],
    fps: np.ndarray,
    num_frames: int,
    lead_seconds: np.ndarray,
    rng: np.random.Generator,
) -> DiveMotion:
    """Simulate dives by bodies of random proportions, from random boards.

    Args:
        dives: The N dives.
        fps: (N,) frames per second.
        num_frames: T.
        lead_seconds: (N,) seconds before the take-off at frame 0.
        rng: Random state.
    """
    count = len(dives)
    times = (np.arange(num_frames) / fps[:, None] - lead_seconds[:, None]).astype(np.float32)
    body = Body(count, rng)
    armstand = np.array([dive.take_off == "Armstand" for dive in dives])
    halves = np.array([dive.half_somersaults for dive in dives])
    # Heights of boards and speeds of jumps in m/s; many somersaults need a strong jump.
    board = np.where((rng.random(count) < 0.5) & ~armstand, 3.0, rng.choice([7.5, 10.0], count))
    jump = np.where(board == 3, rng.uniform(4.0, 5.5, count), rng.uniform(2.0, 3.2, count))
    jump = np.where(armstand, rng.uniform(0.5, 1.5, count), jump + 0.1 * (halves - 3))
    fall = board + 0.1 * body.height
    flight = ((jump + np.sqrt(jump**2 + 2 * GRAVITY * fall)) / GRAVITY).astype(np.float32)

    plan = make_plan(dives, flight, rng)
    share = times / flight[:, None]
    postures = postures_at(plan, share)
    points = body.pose(postures)
    somersault, twist = _somersault_and_twist(dives, plan, body, flight, share, rng)

    bump = np.clip((share - plan.twist_window[:, :1]) / np.ptp(plan.twist_window, 1)[:, None], 0, 1)
    tilt = np.sign(plan.twist_total)[:, None] * np.sin(np.pi * bump) * np.radians(12)
    axes = _rotations(np.radians(somersault + 180.0 * armstand[:, None]), tilt, np.radians(twist))
    facing = np.array([1.0 if dive.faces_water else -1.0 for dive in dives], np.float32)
    # Facing the board is a rotation by 180 degrees about the vertical: x and z change sign.
    flip = np.stack([facing, np.ones_like(facing), facing], -1)[:, None, None]
    axes = (axes * flip.swapaxes(2, 3)).swapaxes(2, 3)
    joints = body.coco(points) @ axes
    center = (body.center(points)[:, :, None] @ axes)[:, :, 0]
    position = _fly(times, center, joints, armstand, board, jump, flight, rng)
    offset = (position - center)[:, :, None]
    return DiveMotion(
        times.astype(np.float32),
        (joints + offset).astype(np.float32),
        position.astype(np.float32),
        somersault.astype(np.float32),
        twist.astype(np.float32),
        flight.astype(np.float32),
        body.height.astype(np.float32),
    )


def _somersault_and_twist(
    dives: Sequence[Dive],
    plan: Plan,
    body: Body,
    flight: np.ndarray,
    share: np.ndarray,
    rng: np.random.Generator,
    num_steps: int = 48,
) -> tuple[np.ndarray, np.ndarray]:
    """Return somersault and twist (N, T) in degrees.

    In the plane of the somersault the angular momentum is L = I w + h, with the moment of inertia I
    of the posture and the angular momentum h of the limbs' motion relative to the body. L is
    constant from take-off to entry; its size gives the somersaults of the dive.
    """
    forward = np.array([1.0 if dive.rotates_forward else -1.0 for dive in dives])
    lean = rng.uniform(4, 12, len(dives))
    total = 180.0 * np.array([dive.half_somersaults for dive in dives]) - lean

    grid = np.broadcast_to(np.linspace(0, 1, num_steps, dtype=np.float32), (len(dives), num_steps))
    points = body.pose(postures_at(plan, grid))
    center = body.center(points)
    step = flight[:, None] / (num_steps - 1)
    inertia = np.full(grid.shape, 1e-3)
    inner = np.zeros(grid.shape)
    for one, two, mass in SEGMENTS:
        ends = [(points[name] - center)[..., :2] for name in (one, two)]
        middle = (ends[0] + ends[1]) / 2
        # The moment of inertia of a rod about its middle is m l^2 / 12.
        rod = ((ends[0] - ends[1]) ** 2).sum(-1) / 12
        inertia += mass * ((middle**2).sum(-1) + rod)
        rate = np.gradient(middle, axis=1) / step[..., None]
        # Rotation from x to y is positive about the body's z axis.
        inner += mass * (middle[..., 0] * rate[..., 1] - middle[..., 1] * rate[..., 0])
    twist_grid = twist_at(plan, grid)
    # Rotation towards the chest is negative about z; a half twist reverses the body's z axis.
    inner *= -np.cos(np.radians(twist_grid))
    angle_per_momentum = _integral(1 / inertia, step)
    angle_of_limbs = _integral(inner / inertia, step)
    target = np.radians(forward * total)
    momentum = (target + angle_of_limbs[:, -1]) / angle_per_momentum[:, -1]
    angle = np.degrees(momentum[:, None] * angle_per_momentum - angle_of_limbs)

    # The lean grows before the take-off; after the entry the angle stays.
    rising = smooth_step(1 + share * flight[:, None] / 0.25)
    lean = (forward * lean)[:, None]
    somersault = np.where(share < 0, lean * rising, _look_up(angle, share) + lean)
    return somersault, twist_at(plan, share)


def _integral(values: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return the running integral (N, G) by the trapezoid rule."""
    middle = (values[:, 1:] + values[:, :-1]) / 2 * step
    return np.concatenate([np.zeros((len(values), 1)), middle.cumsum(axis=1)], axis=1)


def _look_up(grid: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Read (N, G) values over shares 0 to 1 at (N, T) shares, linearly, held at both ends."""
    place = share.clip(0, 1) * (grid.shape[1] - 1)
    low = np.minimum(place.astype(np.int64), grid.shape[1] - 2)
    left = np.take_along_axis(grid, low, axis=1)
    return left + (np.take_along_axis(grid, low + 1, axis=1) - left) * (place - low)


def _rotations(somersault: np.ndarray, tilt: np.ndarray, twist: np.ndarray) -> np.ndarray:
    """Return (N, T, 3, 3): twist about the long axis y, then tilt about x, then somersault."""
    # Rotation towards the chest, from y to x, is negative about z.
    c, s = np.cos(-somersault), np.sin(-somersault)
    ct, st = np.cos(tilt), np.sin(tilt)
    cw, sw = np.cos(twist), np.sin(twist)
    zero, one = np.zeros_like(c), np.ones_like(c)

    def matrix(*rows: np.ndarray) -> np.ndarray:
        return np.stack(rows, -1).reshape(*c.shape, 3, 3).astype(np.float32)

    about_z = matrix(c, -s, zero, s, c, zero, zero, zero, one)
    about_x = matrix(one, zero, zero, zero, ct, -st, zero, st, ct)
    about_y = matrix(cw, zero, sw, zero, one, zero, -sw, zero, cw)
    out: np.ndarray = about_z @ about_x @ about_y
    return out


def _fly(
    times: np.ndarray,
    center: np.ndarray,
    joints: np.ndarray,
    armstand: np.ndarray,
    board: np.ndarray,
    jump: np.ndarray,
    flight: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return where the centre of mass is (N, T, 3): on the board, in flight, in the water."""
    ankles = joints[:, :, [15, 16]].mean(axis=2)
    wrists = joints[:, :, [9, 10]].mean(axis=2)
    support = np.where(armstand[:, None, None], wrists, ankles)
    # On the board the support, feet or hands, does not move.
    standing = center - support
    standing[..., 1] += board[:, None] + 0.07
    last = np.maximum((times <= 0).sum(axis=1) - 1, 0)
    start = np.take_along_axis(standing, last[:, None, None], axis=1)
    drift = rng.uniform(0.6, 1.2, len(times))[:, None]
    fall = times.clip(0, None)
    air = np.minimum(fall, flight[:, None])
    place = np.where((times < 0)[..., None], standing, start)
    place[..., 0] += drift * air
    place[..., 1] += jump[:, None] * air - GRAVITY / 2 * air**2
    # Under water the speed decays at 6 per second, which stops a diver within some 2.5 m.
    speed = GRAVITY * flight - jump
    under = (fall - air) * 6
    place[..., 1] -= speed[:, None] * (1 - np.exp(-under)) / 6
    return place
