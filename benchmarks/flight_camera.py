"""A static camera and the time of a clip, fitted to measured 3D joints and extracted 2D ones.

The clips of the LAAS Parkour dataset come with joints measured in metres, and with neither a camera
nor the times of their images. :func:`fit_camera` finds both from the poses of some of the frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

# A residual above this many trunk lengths counts as an outlier's, in RANSAC; a tenth is where the
# soft L1 loss begins to grow linearly instead of squared.
_INLIER_THR, _SOFT_THR = 0.2, 0.1
# Six points give the eight numbers of an affine camera with four to spare, so that a sample from
# one plane is rare; of 60 samples one has no outlier among half of outliers with 61 % per offset,
# and offsets are tried one by one.
_SAMPLE, _NUM_SAMPLES = 6, 60
# Inverse distance of the camera, 1/m: none of a whole body is nearer than 2 m; it starts at 10 m.
_MAX_INVERSE_DEPTH, _START_INVERSE_DEPTH = 0.5, 0.1
# Frames by which images may come before the first measured step.
_MAX_EARLY = 2
# About what each unknown changes by: rotation, position, log scale, offset, rate, inverse depth.
_UNITS = np.array([0.1, 0.1, 0.1, 10, 10, 0.1, 1, 0.01, 0.1])
# A fit of fewer points than this says nothing, nor one whose typical residual is an outlier's.
_MIN_POINTS = 40


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera without distortion, its principal point in the middle of the image.

    Distances are measured along the optical axis from ``centre``, so that ``inverse_depth`` 0 is
    the weak-perspective camera.

    Attributes:
        rotation: (3,) rotation vector from world to camera axes: x right, y down, z away; radians.
        position: (2,) image of ``centre``, pixels.
        scale: Pixels per metre at the distance of ``centre``.
        inverse_depth: One over the distance of ``centre``, 1/m.
        centre: (3,) a point of the world amid the joints, metres.
        img_shape: (height, width) of the image in pixels.
    """

    rotation: np.ndarray
    position: np.ndarray
    scale: float
    inverse_depth: float
    centre: np.ndarray
    img_shape: tuple[int, int]

    @property
    def focal(self) -> float:
        """Focal length in pixels, infinite for the weak-perspective camera."""
        return self.scale / self.inverse_depth if self.inverse_depth else float("inf")

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return the images (..., 2) in pixels of points (..., 3) in metres."""
        height, width = self.img_shape
        middle = np.array([width / 2, height / 2])
        local = (points - self.centre) @ Rotation.from_rotvec(self.rotation).as_matrix().T
        offset = self.scale * local[..., :2] + self.position - middle
        return middle + offset / np.maximum(1 + self.inverse_depth * local[..., 2:], 1e-3)


@dataclass(frozen=True, eq=False)
class CameraFit:
    """A camera and the times of a clip's frames.

    Attributes:
        camera: The camera.
        offset: Step of the measured joints at frame 0.
        rate: Steps of the measured joints per frame, about 1.
        residual: Median residual of the joints fitted to, in trunk lengths.
        inliers: Share of them with a residual below .2 trunk lengths.
    """

    camera: Camera
    offset: float
    rate: float
    residual: float
    inliers: float

    @property
    def has_failed(self) -> bool:
        """Whether less than half of the joints fitted to are explained."""
        return self.inliers < 0.5

    def project(self, joints: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Return (T, V, 2) pixels of measured joints (S, V, 3) in metres at frames (T,).

        NaN for frames before the first measured step and after the last one.
        """
        steps = self.offset + self.rate * frames
        images = self.camera.project(at_steps(joints, steps))
        images[(steps < 0) | (steps > len(joints) - 1)] = np.nan
        return images


def at_steps(joints: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return measured joints (S, V, 3) at fractional steps (T,), between neighbours linearly."""
    steps = np.clip(steps, 0, len(joints) - 1)
    before = np.minimum(steps.astype(int), len(joints) - 2)
    weight = (steps - before)[:, None, None]
    return (1 - weight) * joints[before] + weight * joints[before + 1]


@dataclass(frozen=True, eq=False)
class Views:
    """Joints of one clip, measured and extracted.

    Attributes:
        keypoints: (T, V, 2) pixels, NaN where a joint was not found.
        frames: (T,) their frame numbers; a frame may stand for several poses.
        joints: (S, V, 3) the measured ones, metres.
        num_frames: Frames of the whole clip, which may be fewer than S.
        img_shape: (height, width) of the image in pixels.
        trunk_length: A typical one, pixels: the unit of residuals.
    """

    keypoints: np.ndarray
    frames: np.ndarray
    joints: np.ndarray
    num_frames: int
    img_shape: tuple[int, int]
    trunk_length: float

    @property
    def found(self) -> np.ndarray:
        """(T, V) bool, which joints were found."""
        return np.asarray(np.isfinite(self.keypoints).all(axis=-1))

    @property
    def num_missing(self) -> int:
        """How many steps more were measured than the clip has frames."""
        return max(len(self.joints) - self.num_frames, 0)

    def camera(self, values: np.ndarray, inverse_depth: float) -> Camera:
        """Return the camera of rotation, position and log scale (6,)."""
        scale, centre = float(np.exp(values[5])), self.joints.mean(axis=(0, 1))
        return Camera(values[:3], values[3:5], scale, inverse_depth, centre, self.img_shape)

    def residuals(self, camera: Camera, offset: float, rate: float) -> np.ndarray:
        """Return (K, 2) residuals of the K joints that were found, in trunk lengths."""
        points = at_steps(self.joints, offset + rate * self.frames)[self.found]
        return np.asarray((camera.project(points) - self.keypoints[self.found]) / self.trunk_length)


def fit_camera(views: Views, focal: float | None = None, seed: int = 0) -> CameraFit | None:
    """Fit a camera and the times of frames to extracted joints.

    For each whole offset a weak-perspective camera is found by RANSAC and refined with a soft L1
    loss; from the best one the pinhole camera, the offset and the rate are refined together.

    Args:
        views: What is fitted to.
        focal: Focal length in pixels; None fits it, too.
        seed: Of RANSAC's samples.

    Returns:
        The fit, or None where too few joints were found.
    """
    if views.found.sum() < _MIN_POINTS:
        return None
    offsets = range(-_MAX_EARLY, views.num_missing + 1)
    tried = [_weak_fit(views, float(offset), np.random.default_rng(seed)) for offset in offsets]
    fitted = [fit for fit in tried if fit is not None]
    if not fitted:
        return None
    _, weak, offset = min(fitted, key=lambda fit: fit[0])
    # A clip cannot drift by more than the frames that it lacks, give or take one.
    drift = (views.num_missing + 1) / views.num_frames
    low = np.array([*np.full(6, -np.inf), -_MAX_EARLY - 1, 1 - drift, 0])
    high = np.array([*np.full(6, np.inf), views.num_missing + 1, 1 + drift, _MAX_INVERSE_DEPTH])
    start = np.array([*weak, offset, 1.0, _START_INVERSE_DEPTH])
    num_free = 9 if focal is None else 8

    def camera_of(values: np.ndarray) -> Camera:
        inverse_depth = values[8] if focal is None else np.exp(values[5]) / focal
        return views.camera(values, float(inverse_depth))

    full = least_squares(
        lambda values: views.residuals(camera_of(values), values[6], values[7]).ravel(),
        start[:num_free],
        bounds=(low[:num_free], high[:num_free]),
        loss="soft_l1",
        f_scale=_SOFT_THR,
        x_scale=_UNITS[:num_free],
    )
    camera, offset, rate = camera_of(full.x), float(full.x[6]), float(full.x[7])
    errors = np.linalg.norm(views.residuals(camera, offset, rate), axis=-1)
    inliers = float((errors < _INLIER_THR).mean())
    return CameraFit(camera, offset, rate, float(np.median(errors)), inliers)


def _weak_fit(
    views: Views, offset: float, rng: np.random.Generator
) -> tuple[float, np.ndarray, float] | None:
    """Return cost, rotation, position and log scale (6,), and offset of a weak-perspective fit."""
    points = at_steps(views.joints, offset + views.frames)[views.found]
    points = points - views.joints.mean(axis=(0, 1))
    threshold = _INLIER_THR * views.trunk_length
    start = _ransac_start(points, views.keypoints[views.found], threshold, rng)
    if start is None:
        return None
    fit = least_squares(
        lambda values: views.residuals(views.camera(values, 0.0), offset, 1.0).ravel(),
        start,
        loss="soft_l1",
        f_scale=_SOFT_THR,
        x_scale=_UNITS[:6],
    )
    return float(fit.cost), fit.x, offset


def fit_cameras(
    clips: Mapping[str, Views], seed: int = 0
) -> tuple[dict[str, CameraFit | None], float]:
    """Fit a camera per clip, all with one focal length: clips are of one camera and zoom.

    The joints of one clip fill a small part of the room, from which the focal length is told badly:
    it is the median over the fits of single clips that have not failed.

    Returns:
        The fits by clip, None for failures, and the focal length in pixels, NaN if all failed.
    """
    alone = {name: fit_camera(views, seed=seed) for name, views in clips.items()}
    good = [fit.camera.focal for fit in alone.values() if fit is not None and not fit.has_failed]
    if not good:
        return dict.fromkeys(clips), float("nan")
    focal = float(np.median(good))
    fits = {name: fit_camera(views, focal, seed) for name, views in clips.items()}
    return {n: None if fit is None or fit.has_failed else fit for n, fit in fits.items()}, focal


def _ransac_start(
    points: np.ndarray, target: np.ndarray, threshold: float, rng: np.random.Generator
) -> np.ndarray | None:
    """Return rotation, position and log scale (6,) of the weak-perspective camera most agree with.

    Args:
        points: (K, 3) metres about the centre.
        target: (K, 2) their images, pixels.
        threshold: Largest distance at which a point agrees, pixels.
        rng: Draws the samples.
    """
    columns = np.column_stack([points, np.ones(len(points))])
    best, most = None, 0
    for _ in range(_NUM_SAMPLES):
        chosen = rng.choice(len(points), _SAMPLE, replace=False)
        weak = _weak_perspective(columns[chosen], target[chosen])
        if weak is None:
            continue
        agree = _distances(weak, points, target) < threshold
        if agree.sum() > most:
            again = _weak_perspective(columns[agree], target[agree]) if agree.sum() >= 6 else None
            best, most = weak if again is None else again, int(agree.sum())
    return best


def _weak_perspective(columns: np.ndarray, target: np.ndarray) -> np.ndarray | None:
    """Return the weak-perspective camera (6,) nearest to the affine one; None for degenerate."""
    affine, _, rank, _ = np.linalg.lstsq(columns, target, rcond=None)
    if rank < 4:
        return None
    left, sizes, right = np.linalg.svd(affine[:3].T, full_matrices=False)
    if sizes[1] < 1e-6:
        return None
    rows = left @ right
    matrix = np.stack([*rows, np.cross(*rows)])
    return np.concatenate(
        [Rotation.from_matrix(matrix).as_rotvec(), affine[3], [np.log(sizes.mean())]]
    )


def _distances(weak: np.ndarray, points: np.ndarray, target: np.ndarray) -> np.ndarray:
    rows = Rotation.from_rotvec(weak[:3]).as_matrix()[:2]
    images = np.exp(weak[5]) * points @ rows.T + weak[3:5]
    return np.asarray(np.linalg.norm(images - target, axis=-1))
