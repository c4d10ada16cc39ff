"""Postures: the angles of a body, those that the rules name, and motion from one to the next."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# The angles of a posture in degrees; 0 is standing with the arms at the sides. ``lift`` moves an
# arm to the front and ``out`` from there sideways, so that (lift 180, out 0) and (lift 0, out 180)
# are both an arm overhead, reached through the front or through the side.
ANGLES = (
    "hip_l", "hip_r", "knee_l", "knee_r", "spread_l", "spread_r", "spine", "side", "neck",
    "lift_l", "lift_r", "out_l", "out_r", "elbow_l", "elbow_r",
)  # fmt: skip
_PLACE = {name: i for i, name in enumerate(ANGLES)}
_SYMMETRIC = ("hip", "knee", "spread", "lift", "out", "elbow")
# Angles whose size differs between people.
_PERSONAL = [
    _PLACE[name]
    for name in ("hip_l", "hip_r", "knee_l", "knee_r", "spine", "neck", "elbow_l", "elbow_r")
]


def posture(**angles: float) -> np.ndarray:
    """Return a posture (15,) float64 degrees; "hip" sets both "hip_l" and "hip_r", and so on."""
    out = np.zeros(len(ANGLES))
    for name in _SYMMETRIC:
        if name in angles:
            out[_PLACE[f"{name}_l"]] = out[_PLACE[f"{name}_r"]] = angles.pop(name)
    for name, value in angles.items():
        out[_PLACE[name]] = value
    return out


def changed(base: np.ndarray, **angles: float) -> np.ndarray:
    """Return a posture with some angles set anew; names as in :func:`posture`."""
    out = base.copy()
    for name, value in angles.items():
        for place in (f"{name}_l", f"{name}_r") if name in _SYMMETRIC else (name,):
            out[_PLACE[place]] = value
    return out


def mirrored(base: np.ndarray) -> np.ndarray:
    """Return a posture with left and right exchanged."""
    out = base.copy()
    for name in _SYMMETRIC:
        left, right = _PLACE[f"{name}_l"], _PLACE[f"{name}_r"]
        out[left], out[right] = base[right], base[left]
    out[_PLACE["side"]] *= -1
    return out


def personal(base: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return a posture as one person holds it: ``scale`` (15,) times the angles that differ."""
    out = base.copy()
    out[_PERSONAL] *= scale[_PERSONAL]
    return out


# Set by hand. Hip and spine of pike and tuck are together some 150 degrees, as in the captured
# backflip of ``benchmarks/simulator.py``.
POSTURES: Mapping[str, np.ndarray] = {
    "stand": posture(out=8, elbow=8),
    "reach": posture(lift=176, out=6),
    "t": posture(lift=0, out=90),
    "y": posture(lift=0, out=140),
    "swing_back": posture(hip=30, knee=40, spine=10, lift=-45, out=10, elbow=8),
    "dip": posture(hip=50, knee=70, spine=12, lift=-25, out=10, elbow=10),
    "dip_arms_up": posture(hip=40, knee=65, spine=5, lift=150, out=15, elbow=10),
    "pike": posture(hip=112, knee=4, spine=42, neck=22, lift=82, out=6, elbow=18),
    "open_pike": posture(hip=110, knee=2, spine=25, neck=15, lift=60, out=80),
    "tuck": posture(hip=112, knee=134, spine=45, neck=25, lift=52, out=6, elbow=38),
    "open_tuck": posture(hip=75, knee=85, spine=25, neck=15, lift=50, out=25, elbow=40),
    "straight": posture(hip=-4, spine=-6, out=6, elbow=4),
    "straight_up": posture(hip=-5, spine=-6, lift=172, out=8),
    "bent": posture(hip=45, knee=8, spine=12, neck=12, lift=110, out=10, elbow=10),
    "land": posture(hip=60, knee=65, spine=14, neck=5, lift=65, out=20, elbow=10),
    "crouch": posture(hip=115, knee=140, spine=40, neck=10, lift=60, out=10, elbow=25),
    "sprawl": posture(hip=15, knee=20, lift=60, out=40, elbow=50),
    "arch": posture(hip=-28, knee=20, spine=-38, neck=-30, lift=180, out=10),
    "handstand": posture(hip=-2, spine=-3, neck=-22, lift=178, out=4),
    "handstand_arch": posture(hip=-18, spine=-22, neck=-35, lift=180, out=5),
    "hollow": posture(hip=14, spine=16, neck=15, lift=165, out=5),
    "tap_arch": posture(hip=-24, knee=8, spine=-20, neck=-5, lift=182, out=5),
    "split": posture(hip_l=80, hip_r=-55, spine=0, lift=175, out=6),
    "lunge": posture(hip_l=65, hip_r=-15, knee_l=55, spine=5, lift=165, out=8),
    "straddle": posture(spread=42, lift=172, out=15),
    "hip_down": posture(hip=100, knee=15, spine=25, lift=160, out=10),
    "box": posture(hip=90, knee=0, spine=10, lift=170, out=10),
}


def minimum_jerk(u: np.ndarray) -> np.ndarray:
    """Rise from 0 to 1 with the least jerk, as limbs move: 10 u^3 - 15 u^4 + 6 u^5; float32."""
    u = np.clip(u, 0, 1).astype(np.float32)
    out: np.ndarray = u**3 * (10 + u * (6 * u - 15))
    return out


def postures_at(key_times: np.ndarray, keys: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the postures (N, T, A) float32 at times (N, T), held before and after the keys.

    Args:
        key_times: (N, K) seconds, ascending.
        keys: (N, K, A) degrees, the postures at those times.
        times: (N, T) seconds.
    """
    last = (times[:, :, None] >= key_times[:, None, :]).sum(axis=2) - 1
    last = last.clip(0, key_times.shape[1] - 2)
    start = np.take_along_axis(key_times, last, axis=1)
    span = np.take_along_axis(key_times, last + 1, axis=1) - start
    weight = minimum_jerk((times - start) / np.maximum(span, 1e-6))[..., None]
    keys = keys.astype(np.float32)
    one = np.take_along_axis(keys, last[..., None], axis=1)
    two = np.take_along_axis(keys, last[..., None] + 1, axis=1)
    return one + weight * (two - one)
