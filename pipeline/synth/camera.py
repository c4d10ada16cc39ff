"""A camera beside the board that pans after the diver."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from .noise import red_noise


def film(
    joints: np.ndarray,
    center: np.ndarray,
    height: np.ndarray,
    img_shapes: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Project (N, T, 17, 3) joints; return pixels (N, T, 17, 2) and the depth (N, T, 17) in m.

    The camera stands to one side of the board and pans after the diver, late and not steadily.
    """
    count, steps = center.shape[:2]
    side = rng.choice([-90.0, 90.0], count)
    azimuth = np.radians(side + rng.normal(0, 22, count))
    distance = rng.uniform(9, 25, count)
    eye = np.stack(
        [
            distance * np.cos(azimuth),
            rng.uniform(0.5, 1.0, count) * center[:, 0, 1],
            distance * np.sin(azimuth),
        ],
        -1,
    )[:, None].astype(np.float32)
    late = _follow(center, 0.5)
    sway = red_noise((count, steps, 3), 0.95, rng) * rng.uniform(0, 0.12, (count, 1, 1))
    look = (late + sway - eye).astype(np.float32)
    look /= np.linalg.norm(look, axis=-1, keepdims=True)
    right = np.cross(look, np.array([0, 1, 0], np.float32))
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    down = np.cross(look, right)
    # (N, T, 17, 3) @ (N, T, 3, 3): along the picture, down it, and away from the camera.
    seen = (joints - eye[:, :, None]) @ np.stack([right, down, look], axis=-1)
    plane, depth = seen[..., :2], seen[..., 2]
    # A diver fills a quarter to a half of the picture's height.
    share = rng.uniform(0.25, 0.5, count)
    focal = (share * img_shapes[:, 0] * distance / height).astype(np.float32)
    pixels = plane * (focal[:, None, None] / depth)[..., None]
    return pixels + (img_shapes[:, None, None, ::-1] / 2).astype(np.float32), depth


def _follow(values: np.ndarray, rate: float) -> np.ndarray:
    """Return (N, T, C) values smoothed over time by a first-order lag."""
    start = values[:, :1] * (1 - rate)
    out: np.ndarray = lfilter([rate], [1, rate - 1], values, axis=1, zi=start)[0]
    return out
