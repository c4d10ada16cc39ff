"""Cameras beside, behind and before the athlete that pan, zoom and cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .noise import red_noise
from .script import Scene

# Azimuths in degrees, 90 beside the board, 0 before it: side, oblique, end-on, behind; their shares
# as broadcasts of dives and meets show them, set by eye, and the spread within each.
_AZIMUTHS = np.array([90.0, -90.0, 50.0, -50.0, 130.0, -130.0, 0.0, 180.0])
_SHARES = np.array([0.28, 0.28, 0.09, 0.09, 0.07, 0.07, 0.07, 0.05])
_SPREAD = 14.0
_DISTANCES = 8.0, 25.0
_MAX_SWAY, _MAX_ZOOM = 0.12, 0.25
_STILL, _ZOOMS = 0.12, 0.4
# Natural frequency, rad/s, and damping of a camera operator's pan: a lag of 2 z / w seconds, and
# below a damping of 1 an overshoot.
_FREQUENCIES, _DAMPINGS = (5.0, 14.0), (0.5, 1.0)


@dataclass(frozen=True, eq=False)
class Film:
    """What cameras see of N clips.

    Attributes:
        keypoints: (N, T, 17, 2) float32 pixels.
        depth: (N, T, 17) float32 metres from the camera.
        board: (N, T, 2, 2) float32 pixels: the middle of the edge of the board or apparatus, and a
            point of its surface 2 m from there, on the athlete's side before a dive; NaN behind the
            camera.
        water: (N, T, 2, 2) float32 pixels, two points of the water's surface, or of the floor, 3 m
            on either side of the athlete along the board; NaN behind the camera.
        camera_motion: (N, T, 4) float32: where the background moved to since the frame before,
            right and down in pixels, log of its growth, and rotation in radians (0 for these level
            cameras); 0 in first frames and at cuts.
        is_cut: (N, T) bool, the first frame of another camera.
    """

    keypoints: np.ndarray
    depth: np.ndarray
    board: np.ndarray
    water: np.ndarray
    camera_motion: np.ndarray
    is_cut: np.ndarray


def film(
    joints: np.ndarray,
    center: np.ndarray,
    step_seconds: np.ndarray,
    height: np.ndarray,
    scenes: Sequence[Scene],
    img_shapes: np.ndarray,
    lengths: np.ndarray,
    cut_chance: float,
    rng: np.random.Generator,
) -> Film:
    """Film clips.

    Args:
        joints: (N, T, 17, 3) metres, world axes; see ``motion.py``.
        center: (N, T, 3) metres, the centre of mass, which the cameras follow.
        step_seconds: (N,) seconds of the athlete's time between frames.
        height: (N,) metres, of the athletes.
        scenes: The N places.
        img_shapes: (N, 2) int, (height, width) of the images in pixels.
        lengths: (N,) int, frames of each clip; the rest is padding.
        cut_chance: Chance of a clip to be cut to another camera.
        rng: Random state.
    """
    count, steps = center.shape[:2]
    levels = np.array([scene.height for scene in scenes])
    edge = np.stack([np.zeros(count), levels, np.zeros(count)], -1)
    back = edge - (2.0, 0, 0)
    beside = np.repeat(center[:, :, None], 2, axis=2)
    beside[..., 1] = 0
    beside[..., 0] += (-3.0, 3.0)
    marks = np.stack([edge, back], 1)[:, None].repeat(steps, axis=1)
    points = np.concatenate([joints, marks, beside], axis=2)
    films = [_one_camera(points, center, step_seconds, height, img_shapes, rng) for _ in range(2)]
    switch = np.where(
        rng.random(count) < cut_chance, rng.integers(1, np.maximum(lengths, 2)), steps
    )
    second = np.arange(steps)[None] >= switch[:, None]
    pixels, depth, moved = (
        np.where(second.reshape(count, steps, *(1,) * (one.ndim - 2)), two, one)
        for one, two in zip(*films)
    )
    is_cut = np.arange(steps)[None] == switch[:, None]
    moved = np.where(is_cut[..., None], 0, moved)
    seen = np.where(depth[..., None] > 0.3, pixels, np.nan)
    return Film(
        pixels[:, :, :17], depth[:, :, :17], seen[:, :, 17:19], seen[:, :, 19:21], moved, is_cut
    )


def _one_camera(
    points: np.ndarray,
    center: np.ndarray,
    step_seconds: np.ndarray,
    height: np.ndarray,
    img_shapes: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels (N, T, P, 2), depth (N, T, P) and camera motion (N, T, 4), float32."""
    count, steps = center.shape[:2]
    azimuth = np.radians(rng.choice(_AZIMUTHS, count, p=_SHARES) + rng.normal(0, _SPREAD, count))
    distance = rng.uniform(*_DISTANCES, count)
    camera = np.stack([distance * np.cos(azimuth),
                       1.0 + rng.uniform(0, 1, count) * center[..., 1].max(axis=1),
                       distance * np.sin(azimuth)], -1)  # fmt: skip
    target = _follow(center, step_seconds, rng)
    still = np.asarray(rng.random(count) < _STILL)
    target = np.where(still[:, None, None], center.mean(axis=1, keepdims=True), target)
    sway = red_noise((count, steps, 3), 0.95, rng) * rng.uniform(0, _MAX_SWAY, (count, 1, 1))
    look = target + sway * ~still[:, None, None] - camera[:, None]
    look /= np.linalg.norm(look, axis=-1, keepdims=True)
    right = np.cross(look, (0.0, 1.0, 0.0))
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    axes = np.stack([right, np.cross(look, right), look], axis=-1)
    # A body fills a fifth to a half of the image's height; a still camera has to hold all of its
    # path.
    share = np.asarray(rng.uniform(0.2, 0.5, count))
    extent = np.ptp(center, axis=1).max(axis=-1)
    share = np.where(still, np.minimum(share, 0.8 * height / (height + extent)), share)
    zoom = red_noise((count, 2, 1), 0.0, rng).clip(-1.5, 1.5) * _MAX_ZOOM
    ramp = np.linspace(0, 1, steps)[None, :, None]
    zoom = np.where(
        np.asarray(rng.random(count) < _ZOOMS)[:, None, None],
        zoom[:, :1] + ramp * np.diff(zoom, axis=1),
        0,
    )
    focal = (share * img_shapes[:, 0] * distance / height)[:, None] * np.exp(zoom[..., 0])
    middle = img_shapes[:, None, None, ::-1] / 2

    seen = (points - camera[:, None, None]) @ axes
    depth = seen[..., 2]
    pixels = seen[..., :2] * (focal[..., None] / np.maximum(depth, 0.3))[..., None] + middle
    # The background that was in the middle of the image before.
    before = np.concatenate([look[:, :1], look[:, :-1]], axis=1)
    ahead = (before[:, :, None] @ axes)[:, :, 0]
    moved = np.zeros((count, steps, 4))
    moved[..., :2] = ahead[..., :2] / np.maximum(ahead[..., 2:], 0.1) * focal[..., None]
    moved[:, 1:, 2] = np.diff(np.log(focal), axis=1)
    return pixels.astype(np.float32), depth.astype(np.float32), moved.astype(np.float32)


def camera_maps(motion: np.ndarray, img_shape: tuple[int, int]) -> np.ndarray:
    """Return the camera's path as ``SkeletonSequence`` has it, (T, 2, 3) float32.

    Args:
        motion: (T, 4), see :class:`Film`; frames in which it is 0, as at cuts, stay where they are.
        img_shape: (height, width) in pixels.
    """
    middle = np.array(img_shape[::-1], float) / 2
    maps = np.tile(np.eye(2, 3), (len(motion), 1, 1))
    scale, offset = 1.0, np.zeros(2)
    for step, (right, down, growth, _) in enumerate(np.asarray(motion, float)):
        # Where a pixel was in the frame before: (p - middle - moved) / growth + middle.
        shrink = np.exp(-growth)
        offset = offset + scale * (middle - shrink * (middle + np.array([right, down])))
        scale *= shrink
        maps[step, 0, 0] = maps[step, 1, 1] = scale
        maps[step, :, 2] = offset
    return maps.astype(np.float32)


def _follow(center: np.ndarray, step_seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return where cameras aim (N, T, 3): they follow with a lag, and overshoot."""
    count = len(center)
    frequency = rng.uniform(*_FREQUENCIES, count)[:, None]
    damping = rng.uniform(*_DAMPINGS, count)[:, None]
    out = center.copy()
    speed = (center[:, 1] - center[:, 0]) if center.shape[1] > 1 else np.zeros_like(center[:, 0])
    speed = speed / step_seconds[:, None]
    place = center[:, 0]
    substeps = 3  # keeps the steps of a stiff operator at 24 fps stable
    step = step_seconds[:, None] / substeps
    for k in range(1, center.shape[1]):
        for _ in range(substeps):
            pull = frequency**2 * (center[:, k] - place) - 2 * damping * frequency * speed
            speed = speed + step * pull
            place = place + step * speed
        out[:, k] = place
    return out
