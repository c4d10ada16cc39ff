"""What a turn heels over head looks like: what holds the body up, and how its limbs lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .signals import BodySignals
from .turns import BodyTurn

_SHOULDERS, _WRISTS, _ANKLES = np.array([5, 6]), np.array([9, 10]), np.array([15, 16])
# Radians from upside down within which a body stands on its hands or back, or flies; those within
# which its legs are looked at; and from upright within which it stands on its feet.
_INVERTED, _TURNING, _STANDING = np.radians((45, 120, 80))
# Seconds before and after a turn in which the feet are on the ground.
_GROUND_SECONDS = 0.5
# Joints of a lower score are taken for missing.
_SEEN = 0.2
# Heights of a body that stands, used where none is seen to: its centre lies some .56 of its height
# above the ground, and a trunk is .288 of it long (Winter 2009, Fig. 4.1).
_CENTER = 0.56 / 0.288
# Less than this of the mean agreement with the trunk's path, and the trunk is not followed; who is
# upside down in one frame alone is so by an error of the pose.
_MIN_AGREEMENT, _MIN_INVERTED = 0.5, 2
# Torso lengths, wide enough for errors of poses: of the lowest joint and the centre of a body on
# the ground; of the centre of one that rolls, which in a deep crouch is 1.2; and of hands that hold
# it up, which are within a forearm, .5, of the ground, and an arm, 1.15, beyond the shoulders.
_MIN_LOWEST, _MAX_LOWEST, _MIN_CENTER, _MAX_ROLL_HEIGHT = -0.5, 0.7, 0.3, 1.2
_MAX_WRIST_HEIGHT, _MIN_WRIST_REACH = 0.8, 0.2
# Limits of what bodies do: beyond them an error of joints is no evidence.
_LIMITS = {
    "center_height": (0.0, 3.5), "lowest_height": (-0.5, 2.0), "wrist_height": (-0.5, 3.0),
    "wrist_reach": (-1.2, 1.3), "leg_spread": (0.0, 3.0), "log_seconds": (-1.2, 1.2),
    "log_seconds_inverted": (-3.0, 0.5), "curvature": (-0.2, 0.5), "highest": (-0.2, 2.0),
    "sideways": (0.0, 1.0), "rise": (-1.5, 1.5), "front": (-1.0, 1.0),
    "front_standing": (-1.0, 1.0),
}  # fmt: skip


@dataclass(frozen=True)
class TurnFeatures:
    """Measurements of one turn; lengths are in torso lengths, heights above the ground.

    Attributes:
        center_height, lowest_height, wrist_height: Of the centre of mass, the lowest joint and the
            wrists upside down.
        wrist_reach: From shoulders to wrists along the trunk, upside down; positive overhead.
        leg_spread: Distance of the ankles.
        log_seconds, log_seconds_inverted: Log of the time of all of it, and upside down.
        curvature: By how much the centre falls away from its top, over the squared radians turned.
        highest: Of the lowest joint, the most: how far the body leaves the ground.
        sideways: How much right minus left turns with the trunk, in breadths: 1 for a body that
            turns sideways and is seen from the front, 0 for one that turns towards chest or back.
        rise: Of the centre of mass upside down, over where it is while one stands.
        agreement: -1 to 1, of the frames with the trunk's path, in the mean.
        inverted_frames: How many frames are upside down.
        front, front_standing: How far the front of the body lies where the trunk turns to: in the
            turn, and while one stands before and after it.
    """

    center_height: float
    lowest_height: float
    wrist_height: float
    wrist_reach: float
    leg_spread: float
    log_seconds: float
    log_seconds_inverted: float
    curvature: float
    highest: float
    sideways: float
    rise: float
    agreement: float
    inverted_frames: int
    front: float
    front_standing: float

    @property
    def on_back(self) -> bool:
        """Whether the back may hold the body: the centre is lower than in a deep crouch."""
        return self._is_inverted and self.center_height < _MAX_ROLL_HEIGHT

    @property
    def on_hands(self) -> bool:
        """Whether the hands may hold the body: they are near the ground, and overhead."""
        overhead = self.wrist_reach > _MIN_WRIST_REACH
        return self._is_inverted and overhead and self.wrist_height < _MAX_WRIST_HEIGHT

    @property
    def on_ground(self) -> bool:
        """Whether something may hold the body: it is followed, and not high in the air."""
        followed = self.agreement >= _MIN_AGREEMENT
        is_low = _MIN_LOWEST < self.lowest_height < _MAX_LOWEST
        return followed and is_low and self.center_height > _MIN_CENTER

    @property
    def _is_inverted(self) -> bool:
        return self.on_ground and self.inverted_frames >= _MIN_INVERTED

    def pick(self, names: tuple[str, ...]) -> np.ndarray:
        """Return some of them, (F,) float64, within what bodies do."""
        return np.array([np.clip(getattr(self, name), *_LIMITS[name]) for name in names])


def measure_turn(
    turn: BodyTurn,
    body: BodySignals,
    points: np.ndarray,
    scores: np.ndarray,
    path: np.ndarray,
    agreement: np.ndarray,
    seconds: np.ndarray,
) -> TurnFeatures:
    """Measure a turn.

    Args:
        turn: Which frames.
        body: Measurements of the body, T frames.
        points: (T, 17, 2) keypoints in torso lengths, the camera's motion taken out.
        scores: (T, 17) float.
        path: (T,) radians, unwrapped angle of the trunk.
        agreement: (T,) -1 to 1, how well each frame agrees with it.
        seconds: (T,) seconds, increasing.
    """
    frames = np.arange(turn.start, turn.end)
    away = np.abs(path[frames] - turn.inverted)
    inverted, turning = frames[away <= _INVERTED], frames[away <= _TURNING]
    if not len(inverted):
        inverted = frames[[away.argmin()]]
    seen = scores > _SEEN
    standing = _standing(turn, path, seconds)
    ground = _ground(turn, standing, points, seen, seconds)
    height = np.where(seen, ground[:, None] - points[..., 1], np.nan)
    lowest = np.nan_to_num(height, nan=np.inf).min(axis=1)
    center = np.where(body.center_weight > 0, ground - body.center[:, 1], np.nan)
    along = np.stack([np.sin(path), -np.cos(path)], -1)
    reach = (points[:, _WRISTS] - points[:, _SHOULDERS]) @ along[..., None]
    reach = np.where(seen[:, _WRISTS] & seen[:, _SHOULDERS], reach[..., 0], np.nan)
    spread = np.linalg.norm(points[:, _ANKLES[0]] - points[:, _ANKLES[1]], axis=-1)
    spread = np.where(seen[:, _ANKLES].all(axis=1), spread, np.nan)
    middle = _quantile(center[inverted], 0.5, 1.5)
    step = float(np.median(np.diff(seconds)))
    front = turn.sense * body.front
    return TurnFeatures(
        center_height=middle,
        lowest_height=_quantile(lowest[inverted], 0.5, 0.0),
        wrist_height=_quantile(height[inverted][:, _WRISTS], 0.5, 1.0),
        wrist_reach=_quantile(reach[inverted], 0.5, 0.5),
        leg_spread=_quantile(spread[turning], 0.5, 0.5),
        log_seconds=float(np.log(seconds[turn.end - 1] - seconds[turn.start] + step)),
        log_seconds_inverted=float(np.log(seconds[inverted[-1]] - seconds[inverted[0]] + step)),
        curvature=_curvature(path[frames] - turn.inverted, center[frames]),
        highest=_quantile(lowest[frames], 0.9, 0.0),
        sideways=_sideways(turn, body, path),
        rise=middle - _quantile(center[standing], 0.5, _CENTER),
        agreement=float(agreement[slice(*turn.core)].mean()),
        inverted_frames=len(inverted),
        front=_mean(front[frames], body.front_weight[frames]),
        front_standing=_mean(front[standing], body.front_weight[standing]),
    )


def _standing(turn: BodyTurn, path: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Return the frames just before and after a turn in which the trunk is upright."""
    first, last = turn.core
    near = seconds >= seconds[first] - _GROUND_SECONDS
    near &= seconds <= seconds[last - 1] + _GROUND_SECONDS
    near[first:last] = False
    away = np.abs(path - 2 * np.pi * np.round(path / (2 * np.pi)))
    return np.flatnonzero(near & (away <= _STANDING))


def _ground(
    turn: BodyTurn, standing: np.ndarray, points: np.ndarray, seen: np.ndarray, seconds: np.ndarray
) -> np.ndarray:
    """Return the ordinate of the ground (T,): that of the feet before and after, between them."""
    feet = np.where(seen[:, _ANKLES], points[:, _ANKLES, 1], -np.inf).max(axis=1)
    standing = standing[np.isfinite(feet[standing])]
    sides = (standing[standing < turn.core[0]], standing[standing >= turn.core[1]])
    # A foot is in the air now and then, and an error of a pose lies below the ground.
    levels = [(seconds[side].mean(), np.quantile(feet[side], 0.8)) for side in sides if len(side)]
    if not levels:
        lowest = np.where(seen, points[..., 1], -np.inf).max(axis=1)[turn.start : turn.end]
        levels = [(0.0, _quantile(lowest, 0.9, 0.0))]
    times, heights = zip(*levels)
    return np.interp(seconds, times, heights)


def _sideways(turn: BodyTurn, body: BodySignals, path: np.ndarray) -> float:
    """Fit u = s (cos a, sin a) + (c, d) to right minus left, and return the size of s."""
    part = slice(turn.start, turn.end)
    weight = np.sqrt(body.across_weight[part].clip(0, 1))
    if (weight > 0).sum() < 3:
        return 0.0
    angle = path[part]
    zero, one = np.zeros_like(angle), np.ones_like(angle)
    x, y = np.stack([np.cos(angle), one, zero], -1), np.stack([np.sin(angle), zero, one], -1)
    both = np.concatenate([weight, weight])
    # No body is seen broader than it is but by an error.
    across = np.concatenate([body.across[part, 0], body.across[part, 1]]).clip(-1.5, 1.5)
    fit, *_ = np.linalg.lstsq(np.concatenate([x, y]) * both[:, None], across * both, rcond=None)
    return float(abs(fit[0]))


def _curvature(angle: np.ndarray, center: np.ndarray) -> float:
    """Fit the height of the centre by the squared angle of the trunk from upside down.

    Over the angle, not over time: in slow motion it is the same.
    """
    known = np.isfinite(center)
    if known.sum() < 4:
        return 0.0
    rows = np.stack([np.ones(known.sum()), angle[known], angle[known] ** 2], -1)
    fit, *_ = np.linalg.lstsq(rows, center[known], rcond=None)
    return -float(fit[2])


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    total = float(weights.sum())
    return float((values * weights).sum() / total) if total > 0 else 0.0


def _quantile(values: np.ndarray, share: float, default: float) -> float:
    known = values[np.isfinite(values)]
    return float(np.quantile(known, share)) if known.size else default
