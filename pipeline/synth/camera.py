"""A camera beside the board that pans after the diver."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from .noise import red_noise

# Where the camera stands and how it sways, set by hand; angles in degrees, distances in metres.
_SIDES, _SIDE_SPREAD = (-90.0, 90.0), 22
_DISTANCES = 9, 25
_MAX_SWAY = 0.12


def film(
    joints: np.ndarray,
    center: np.ndarray,
    height: np.ndarray,
    img_shapes: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Project joints to the image of a camera that stands beside the board.

    It pans after the diver with a lag and some sway.

    Args:
        joints: (N, T, 17, 3) float32 metres, world axes; see ``motion.py``.
        center: (N, T, 3) float32 metres, the centre of mass, which the camera follows.
        height: (N,) float32 metres, of the divers.
        img_shapes: (N, 2) int, (height, width) of the images in pixels.
        rng: Random state.

    Returns:
        Keypoints (N, T, 17, 2) float32 in pixels, and their depth (N, T, 17) float32 in metres.
    """
    count, steps = center.shape[:2]
    side = rng.choice(_SIDES, count)
    azimuth = np.radians(side + rng.normal(0, _SIDE_SPREAD, count))
    distance = rng.uniform(*_DISTANCES, count)
    camera = np.stack(
        [
            distance * np.cos(azimuth),
            rng.uniform(0.5, 1.0, count) * center[:, 0, 1],
            distance * np.sin(azimuth),
        ],
        -1,
    )[:, None].astype(np.float32)
    lagging = _low_pass(center, 0.5)
    sway = red_noise((count, steps, 3), 0.95, rng) * rng.uniform(0, _MAX_SWAY, (count, 1, 1))
    look = (lagging + sway - camera).astype(np.float32)
    look /= np.linalg.norm(look, axis=-1, keepdims=True)
    right = np.cross(look, np.array([0, 1, 0], np.float32))
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    down = np.cross(look, right)
    # (N, T, 17, 3) @ (N, T, 3, 3): x along the image, y down it, z away from the camera.
    rotated = (joints - camera[:, :, None]) @ np.stack([right, down, look], axis=-1)
    plane, depth = rotated[..., :2], rotated[..., 2]
    # A diver fills a quarter to a half of the image's height.
    share = rng.uniform(0.25, 0.5, count)
    focal = (share * img_shapes[:, 0] * distance / height).astype(np.float32)
    pixels = plane * (focal[:, None, None] / depth)[..., None]
    return pixels + (img_shapes[:, None, None, ::-1] / 2).astype(np.float32), depth


def _low_pass(values: np.ndarray, rate: float) -> np.ndarray:
    """Return (N, T, C) values smoothed over time by a first-order lag."""
    start = values[:, :1] * (1 - rate)
    out: np.ndarray = lfilter([rate], [1, rate - 1], values, axis=1, zi=start)[0]
    return out
