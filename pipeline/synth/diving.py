"""Simulated dives: 17 joints of a body in flight, by the rules that name a dive.

A dive is a take-off, a number of half somersaults, a number of half twists and a position; the 48
classes of Diving48 (Li et al., ECCV 2018) are such tuples. Here a tuple becomes motion in three
dimensions: the centre of mass flies freely, the angular momentum stays while the position changes
how fast the body turns, and the somersaults add up to those of the dive. Twist and tilt are
prescribed, not integrated; the water is a plane.

World axes: x away from the board, y up, z to the right of a diver who faces the water; metres,
seconds. The body's own axes: x to the chest, y to the head, z to its right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ... import SkelactError
from ...pose_extract.layout import COCO_17

TakeOff = Literal["Forward", "Back", "Reverse", "Inward", "Armstand"]
Position = Literal["STR", "PIKE", "TUCK", "FREE"]

GRAVITY = 9.81

# The numbers that make a posture, in degrees; 0 is standing with the arms at the sides.
_ANGLES = ("hip", "knee", "neck", "lift_l", "lift_r", "out_l", "out_r", "elbow_l", "elbow_r")
_STAND = (0, 0, 0, 0, 0, 8, 8, 5, 5)
_DIP = (55, 75, 5, -30, -30, 10, 10, 10, 10)
_REACH = (0, 0, 0, 176, 176, 8, 8, 0, 0)
_PIKE = (125, 4, 25, 95, 95, 5, 5, 10, 10)
_OPEN_PIKE = (120, 2, 20, 60, 60, 85, 85, 0, 0)
_TUCK = (122, 135, 25, 62, 62, 5, 5, 45, 45)
_BENT = (45, 0, 15, 120, 120, 10, 10, 10, 10)
_WRAP_LEFT = (3, 0, 5, 170, 60, 5, -20, 70, 110)
_WRAP_RIGHT = (3, 0, 5, 60, 170, -20, 5, 110, 70)

# Segment: joints at its ends (body points below), share of the body's mass (Winter 2009, Tab. 4.1).
_SEGMENTS = (
    ("shoulder", "hip", 0.497),
    ("shoulder", "head", 0.081),
    ("shoulder_l", "elbow_l", 0.028),
    ("shoulder_r", "elbow_r", 0.028),
    ("elbow_l", "wrist_l", 0.022),
    ("elbow_r", "wrist_r", 0.022),
    ("hip", "knee", 0.2),
    ("knee", "ankle", 0.122),
)


@dataclass(frozen=True)
class Dive:
    """What makes a dive.

    Attributes:
        take_off: "Forward" and "Reverse" face the water, "Back" and "Inward" the board; "Forward"
            and "Inward" turn towards the chest, "Back" and "Reverse" towards the back. "Armstand"
            starts on the hands, back to the water, and turns towards the back.
        half_somersaults: Half turns about the lateral axis; a plain dive has 1.
        half_twists: Half turns about the body's long axis.
        position: "STR", "PIKE", "TUCK", or "FREE", a choice of the others in dives with twists.
    """

    take_off: TakeOff
    half_somersaults: int
    half_twists: int
    position: Position

    def __post_init__(self) -> None:
        for name, choices in (("take_off", get_args(TakeOff)), ("position", get_args(Position))):
            if getattr(self, name) not in choices:
                raise SkelactError(
                    f"dive: {name}: expected one of {', '.join(choices)}, "
                    f"got {getattr(self, name)!r}"
                )
        if not 1 <= self.half_somersaults <= 9:
            raise SkelactError(
                f"dive: expected 1 to 9 half somersaults, got {self.half_somersaults}"
            )
        if not 0 <= self.half_twists <= 9:
            raise SkelactError(f"dive: expected 0 to 9 half twists, got {self.half_twists}")

    @classmethod
    def parse(cls, name: str) -> Dive:
        """Read a name as Diving48 writes it, such as "Back 15som 05Twis FREE".

        Raises:
            SkelactError: if it is not of that form.
        """
        form = r"(\w+) (?:(\d+)som|Dive) (?:(\d+)Twis|NoTwis) (\w+)"
        found = re.fullmatch(form, name)
        if not found:
            raise SkelactError(
                f"dive {name!r}: expected take-off, somersaults, twists and position, such as "
                "'Forward 25som 1Twis PIKE' or 'Inward Dive NoTwis PIKE'"
            )
        take_off, somersaults, twists, position = found.groups()
        # "15" is one and a half, "05" a half, "2" two.
        halves = _halves(somersaults) if somersaults else 1
        return cls(take_off, halves, _halves(twists or "0"), position)  # type: ignore[arg-type]

    @property
    def turns_forward(self) -> bool:
        """Whether the body turns towards its chest."""
        return self.take_off in ("Forward", "Inward")

    @property
    def faces_water(self) -> bool:
        """Whether the diver faces the water before the take-off."""
        return self.take_off in ("Forward", "Reverse")

    @property
    def enters_head_first(self) -> bool:
        """Whether the head meets the water before the feet."""
        return (self.half_somersaults + (self.take_off == "Armstand")) % 2 == 1


def _halves(digits: str) -> int:
    return 2 * int(digits[:-1] or 0) + 1 if digits.endswith("5") else 2 * int(digits)


@dataclass(frozen=True, eq=False)
class DiveMotion:
    """Dives in three dimensions, N at once.

    Attributes:
        times: (N, T) float32 seconds since the take-off, evenly spaced, negative before it.
        joints: (N, T, 17, 3) float32 metres, world axes, COCO-17 order.
        center: (N, T, 3) float32 metres, the centre of mass.
        somersault: (N, T) float32 degrees turned about the lateral axis, towards the chest positive
            as seen before any twist.
        twist: (N, T) float32 degrees turned about the long axis.
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


@dataclass(frozen=True, eq=False)
class _Plan:
    """Postures over time: (N, K) key times in shares of the flight and (N, K, 9) angles; twists."""

    key_times: np.ndarray
    postures: np.ndarray
    twist_window: np.ndarray
    twist_total: np.ndarray


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
        num_frames: T, frames of each.
        lead_seconds: (N,) seconds shown before the take-off.
        rng: Random state.
    """
    count = len(dives)
    times = (np.arange(num_frames) / fps[:, None] - lead_seconds[:, None]).astype(np.float32)
    body = _Body(count, rng)
    armstand = np.array([dive.take_off == "Armstand" for dive in dives])
    halves = np.array([dive.half_somersaults for dive in dives])
    # Many somersaults need time: such dives are done from high boards or with strong jumps.
    board = np.where((rng.random(count) < 0.5) & ~armstand, 3.0, rng.choice([7.5, 10.0], count))
    jump = np.where(board == 3, rng.uniform(4.0, 5.5, count), rng.uniform(2.0, 3.2, count))
    jump = np.where(armstand, rng.uniform(0.5, 1.5, count), jump + 0.1 * (halves - 3))
    fall = board + 0.1 * body.height
    flight = ((jump + np.sqrt(jump**2 + 2 * GRAVITY * fall)) / GRAVITY).astype(np.float32)

    plan = _make_plan(dives, flight, rng)
    share = times / flight[:, None]
    postures = _postures(plan, share)
    points = body.pose(postures)
    somersault, twist = _turning(dives, plan, body, flight, share, rng)
    turned = somersault + 180.0 * armstand[:, None]

    bump = np.clip((share - plan.twist_window[:, :1]) / np.ptp(plan.twist_window, 1)[:, None], 0, 1)
    tilt = np.sign(plan.twist_total)[:, None] * np.sin(np.pi * bump) * np.radians(12)
    axes = _rotations(np.radians(turned), tilt, np.radians(twist))
    facing = np.array([1.0 if dive.faces_water else -1.0 for dive in dives], np.float32)
    # Facing the board is half a turn about the vertical: x and z change sign.
    flip = np.stack([facing, np.ones_like(facing), facing], -1)[:, None, None]
    axes = (axes * flip.swapaxes(2, 3)).swapaxes(2, 3)
    joints = body.coco(points) @ axes
    center = (body.center(points)[:, :, None] @ axes)[:, :, 0]
    place = _fly(times, center, joints, armstand, board, jump, flight, rng)
    offset = (place - center)[:, :, None]
    return DiveMotion(
        times.astype(np.float32),
        (joints + offset).astype(np.float32),
        place.astype(np.float32),
        somersault.astype(np.float32),
        twist.astype(np.float32),
        flight.astype(np.float32),
        body.height.astype(np.float32),
    )


class _Body:
    """Bodies of N divers: lengths in metres, drawn about Winter's shares of the height."""

    def __init__(self, count: int, rng: np.random.Generator) -> None:
        self.height = rng.uniform(1.48, 1.85, count).astype(np.float32)

        def part(share: float) -> np.ndarray:
            varied = share * rng.normal(1, 0.05, count).clip(0.85, 1.15)
            return (varied * self.height).astype(np.float32)[:, None]

        self.trunk, self.neck = part(0.288), part(0.105)
        self.upper_arm, self.forearm = part(0.186), part(0.146)
        self.thigh, self.shank = part(0.245), part(0.246)
        self.shoulder, self.hip = part(0.115), part(0.058)
        self.head = part(0.07)

    def pose(self, postures: np.ndarray) -> dict[str, np.ndarray]:
        """Return body points, each (N, T, 3) in body axes with the hips' middle at the origin."""
        angle = {name: np.radians(postures[..., i]) for i, name in enumerate(_ANGLES)}
        zero = np.zeros_like(angle["hip"])
        points = {
            "hip": np.stack([zero, zero, zero], -1),
            "shoulder": np.stack([zero, zero + self.trunk, zero], -1),
        }
        thigh, shank = angle["hip"], angle["hip"] - angle["knee"]
        points["knee"] = _swing(thigh, self.thigh)
        points["ankle"] = points["knee"] + _swing(shank, self.shank)
        nod = np.pi - angle["neck"]
        points["head"] = points["shoulder"] + _swing(nod, self.neck)
        points["face"] = points["head"] + _swing(np.pi / 2 - angle["neck"], self.head)
        for side, sign in (("l", -1.0), ("r", 1.0)):
            lift, out = angle[f"lift_{side}"], sign * angle[f"out_{side}"]
            shoulder = points["shoulder"] + np.stack([zero, zero, zero + sign * self.shoulder], -1)
            elbow = shoulder + _swing(lift, self.upper_arm, out)
            bend = angle[f"elbow_{side}"]
            # A bent arm closes towards the chest, one over the head towards the other side.
            wrist = elbow + _swing(
                lift + bend * np.cos(lift), self.forearm, out - sign * 0.3 * bend
            )
            points |= {f"shoulder_{side}": shoulder, f"elbow_{side}": elbow, f"wrist_{side}": wrist}
        return points

    def center(self, points: dict[str, np.ndarray]) -> np.ndarray:
        """Return the centre of mass (N, T, 3)."""
        total: np.ndarray = sum(
            mass * (points[one] + points[two]) / 2 for one, two, mass in _SEGMENTS
        )
        return total

    def coco(self, points: dict[str, np.ndarray]) -> np.ndarray:
        """Return the 17 joints (N, T, 17, 3)."""
        right = np.zeros((*points["hip"].shape[:2], 3), np.float32)
        right[..., 2] = self.hip
        forward = points["face"] - points["head"]
        nod = np.stack([-forward[..., 1], forward[..., 0], forward[..., 2]], -1)
        wide = right / self.hip[..., None] * self.head[..., None]
        eye, ear = points["head"] + 0.85 * forward + 0.3 * nod, points["head"] + 0.2 * nod
        named = {
            "nose": points["face"],
            "left_eye": eye - 0.45 * wide,
            "right_eye": eye + 0.45 * wide,
            "left_ear": ear - wide,
            "right_ear": ear + wide,
        }
        for side, sign in (("left", -1.0), ("right", 1.0)):
            for joint in ("shoulder", "elbow", "wrist"):
                named[f"{side}_{joint}"] = points[f"{joint}_{side[0]}"]
            for joint in ("hip", "knee", "ankle"):
                named[f"{side}_{joint}"] = points[joint] + sign * right
        return np.stack([named[name] for name in COCO_17.keypoint_names], axis=2)


def _swing(angle: np.ndarray, length: np.ndarray, out: np.ndarray | float = 0.0) -> np.ndarray:
    """Return a limb (N, T, 3): hanging at angle 0, to the chest at 90 degrees, ``out`` sideways."""
    near = length * np.cos(out)
    limb = np.empty((*angle.shape, 3), np.float32)
    limb[..., 0] = near * np.sin(angle)
    limb[..., 1] = -near * np.cos(angle)
    limb[..., 2] = length * np.sin(out)
    return limb


def _make_plan(dives: Sequence[Dive], flight: np.ndarray, rng: np.random.Generator) -> _Plan:
    rows, windows, totals = [], [], []
    for dive, seconds in zip(dives, flight):
        keys, window, total = _keys(dive, float(seconds), rng)
        rows.append(keys)
        windows.append(window)
        totals.append(total)
    longest = max(map(len, rows))
    times = np.full((len(rows), longest), 9.0, np.float32)
    postures = np.zeros((len(rows), longest, len(_ANGLES)), np.float32)
    for i, keys in enumerate(rows):
        times[i, : len(keys)] = [key[0] for key in keys]
        postures[i, : len(keys)] = [key[1] for key in keys]
        postures[i, len(keys) :] = keys[-1][1]
    # No two people hold a position alike.
    postures *= rng.normal(1, 0.06, (len(rows), 1, len(_ANGLES))).clip(0.85, 1.1)
    return _Plan(times, postures, np.array(windows, np.float32), np.array(totals, np.float32))


def _keys(
    dive: Dive, flight: float, rng: np.random.Generator
) -> tuple[list[tuple[float, Sequence[float]]], tuple[float, float], float]:
    """Return key postures (share of the flight, angles), the twist's window and its degrees."""
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
    elif dive.turns_forward:
        # Pike, twist on opening, pike again where somersaults are left.
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


def _postures(plan: _Plan, share: np.ndarray) -> np.ndarray:
    """Return the angles (N, T, 9) at shares of the flight (N, T)."""
    out = np.repeat(plan.postures[:, :1], share.shape[1], axis=1)
    for k in range(plan.key_times.shape[1] - 1):
        since = share - plan.key_times[:, k, None]
        span = np.maximum(plan.key_times[:, k + 1] - plan.key_times[:, k], 1e-3)[:, None]
        change = (plan.postures[:, k + 1] - plan.postures[:, k])[:, None]
        out += _smooth(since / span)[..., None] * change
    return out


def _smooth(u: np.ndarray) -> np.ndarray:
    """Rise from 0 to 1 without a jerk at either end; float32."""
    u = u.clip(0, 1).astype(np.float32)
    return u * u * (3 - 2 * u)


def _turning(
    dives: Sequence[Dive],
    plan: _Plan,
    body: _Body,
    flight: np.ndarray,
    share: np.ndarray,
    rng: np.random.Generator,
    num_steps: int = 48,
) -> tuple[np.ndarray, np.ndarray]:
    """Return somersault and twist (N, T) in degrees.

    In the plane of the somersault the angular momentum is L = I w + h: I the moment of inertia of
    the posture, h the momentum of the limbs' own motion. L is constant from take-off to entry, and
    of the size that makes the somersaults of the dive.
    """
    forward = np.array([1.0 if dive.turns_forward else -1.0 for dive in dives])
    lean = rng.uniform(4, 12, len(dives))
    total = 180.0 * np.array([dive.half_somersaults for dive in dives]) - lean

    grid = np.broadcast_to(np.linspace(0, 1, num_steps, dtype=np.float32), (len(dives), num_steps))
    points = body.pose(_postures(plan, grid))
    center = body.center(points)
    step = flight[:, None] / (num_steps - 1)
    inertia = np.full(grid.shape, 1e-3)
    inner = np.zeros(grid.shape)
    for one, two, mass in _SEGMENTS:
        ends = [(points[name] - center)[..., :2] for name in (one, two)]
        middle = (ends[0] + ends[1]) / 2
        # About its own middle a rod has a twelfth of mass times length squared.
        rod = ((ends[0] - ends[1]) ** 2).sum(-1) / 12
        inertia += mass * ((middle**2).sum(-1) + rod)
        rate = np.gradient(middle, axis=1) / step[..., None]
        # The body's z axis points along the positive sense of rotation (x to y).
        inner += mass * (middle[..., 0] * rate[..., 1] - middle[..., 1] * rate[..., 0])
    twist_grid = _twist(plan, grid)
    # Turning towards the chest is negative about z; a half twist turns the body's z axis round.
    inner *= -np.cos(np.radians(twist_grid))
    turns_per_momentum = _integral(1 / inertia, step)
    turns_of_limbs = _integral(inner / inertia, step)
    wanted = np.radians(forward * total)
    momentum = (wanted + turns_of_limbs[:, -1]) / turns_per_momentum[:, -1]
    turned = np.degrees(momentum[:, None] * turns_per_momentum - turns_of_limbs)

    # The lean grows before the take-off; after the entry the body goes on straight.
    rising = _smooth(1 + share * flight[:, None] / 0.25)
    lean = (forward * lean)[:, None]
    somersault = np.where(share < 0, lean * rising, _look_up(turned, share) + lean)
    return somersault, _twist(plan, share)


def _twist(plan: _Plan, share: np.ndarray) -> np.ndarray:
    first, last = plan.twist_window[:, :1], plan.twist_window[:, 1:]
    return _smooth((share - first) / (last - first)) * plan.twist_total[:, None]


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
    # Towards the chest, from y to x, is the negative sense about z.
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
    # On the board the support stays where it is.
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
    # Under water the speed is lost; 6 per second stops a diver within some 2.5 m.
    speed = GRAVITY * flight - jump
    under = (fall - air) * 6
    place[..., 1] -= speed[:, None] * (1 - np.exp(-under)) / 6
    return place
