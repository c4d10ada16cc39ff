"""Motion captures of people who turn over, as joints, filmed as simulated clips are.

The form is that of DeepMimic (Peng et al., SIGGRAPH 2018): per frame its seconds, the place of the
hips, and the rotations of joints as quaternions (w, x, y, z) or, of knees and elbows, an angle.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from ... import SkelactError
from ...pose_extract.layout import COCO_17
from .camera import film
from .pose_errors import add_pose_errors
from .script import Scene

# Joints of DeepMimic's humanoid in the order of a frame: name, parent, metres from there (x to the
# front, y up, z to the right), and how many numbers its rotation has.
_HUMANOID = (
    ("chest", "root", (0.0, 0.236151, 0.0), 4),
    ("neck", "chest", (0.0, 0.223894, 0.0), 4),
    ("right_hip", "root", (0.0, 0.0, 0.084887), 4),
    ("right_knee", "right_hip", (0.0, -0.421546, 0.0), 1),
    ("right_ankle", "right_knee", (0.0, -0.40987, 0.0), 4),
    ("right_shoulder", "chest", (-0.02405, 0.2435, 0.18311), 4),
    ("right_elbow", "right_shoulder", (0.0, -0.274788, 0.0), 1),
    ("left_hip", "root", (0.0, 0.0, -0.084887), 4),
    ("left_knee", "left_hip", (0.0, -0.421546, 0.0), 1),
    ("left_ankle", "left_knee", (0.0, -0.40987, 0.0), 4),
    ("left_shoulder", "chest", (-0.02405, 0.2435, -0.18311), 4),
    ("left_elbow", "left_shoulder", (0.0, -0.274788, 0.0), 1),
)
# Ends of limbs and the face from the joint that moves them, metres; the face is set by hand.
_ENDS = (
    ("right_wrist", "right_elbow", (0.0, -0.258947, 0.0)),
    ("left_wrist", "left_elbow", (0.0, -0.258947, 0.0)),
    ("nose", "neck", (0.11, 0.17, 0.0)),
    ("right_eye", "neck", (0.09, 0.2, 0.03)),
    ("left_eye", "neck", (0.09, 0.2, -0.03)),
    ("right_ear", "neck", (0.0, 0.18, 0.07)),
    ("left_ear", "neck", (0.0, 0.18, -0.07)),
)
_WIDTH = 8 + sum(count for *_, count in _HUMANOID)
_HEIGHT = 1.62


def read_capture(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Return joints (T, 17, 3) float32 in metres, x, y up, z, and seconds (T,) float64.

    Args:
        path: Text file of one motion as DeepMimic writes it.

    Raises:
        SkelactError: for a file that is not of that form.
    """
    try:
        frames = np.array(json.loads(Path(path).read_text(encoding="utf-8"))["Frames"], float)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SkelactError(f"{path}: expected a motion of DeepMimic: {error}") from error
    if frames.ndim != 2 or frames.shape[1] != _WIDTH:
        raise SkelactError(f"{path}: expected {_WIDTH} numbers per frame, got {frames.shape[1:]}")
    places = {"root": frames[:, 1:4]}
    turns = {"root": _rotation(frames[:, 4:8])}
    column = 8
    for name, parent, offset, count in _HUMANOID:
        places[name] = places[parent] + turns[parent].apply(offset)
        turns[name] = turns[parent] * _rotation(frames[:, column : column + count])
        column += count
    for name, parent, offset in _ENDS:
        places[name] = places[parent] + turns[parent].apply(offset)
    joints = np.stack([places[name] for name in COCO_17.keypoint_names], axis=1)
    seconds = np.concatenate([[0.0], frames[:-1, 0].cumsum()])
    return joints.astype(np.float32), seconds


def film_capture(
    joints: np.ndarray,
    seconds: np.ndarray,
    rng: np.random.Generator,
    *,
    count: int,
    noise: float,
    fps: float = 30.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Film a motion by cameras drawn as those of simulated clips: mostly from beside its way.

    Args:
        joints, seconds: As of :func:`read_capture`.
        rng: Random state.
        count: N, how many cameras.
        noise: Size and rate of the errors of the poses; see ``ClipConfig``.
        fps: Frames per second.

    Returns:
        Keypoints (N, T, 17, 2) float32 pixels, scores (N, T, 17) float32, camera motion (N, T, 4)
        float32 as :class:`camera.Film` has it, and seconds (T,) float64.
    """  # fmt: skip
    times = np.arange(0, seconds[-1], 1 / fps)
    at = np.interp(times, seconds, np.arange(len(seconds)))
    low = at.astype(int).clip(0, len(seconds) - 2)
    share = (at - low)[:, None, None]
    moved = _along_x((1 - share) * joints[low] + share * joints[low + 1])
    moved = np.repeat(moved[None], count, axis=0)
    shapes = np.repeat([[720, 1280]], count, axis=0)
    seen = film(
        moved,
        moved.mean(axis=2),
        np.full(count, 1 / fps),
        np.full(count, _HEIGHT),
        [Scene("floor", 0.0)] * count,
        shapes,
        np.full(count, len(times)),
        0.0,
        rng,
    )
    keypoints, scores = add_pose_errors(
        seen.keypoints, np.ones(seen.depth.shape, np.float32), seen.depth, np.full(count, fps),
        noise, rng,
    )  # fmt: skip
    return keypoints, scores, seen.camera_motion, times


def _along_x(joints: np.ndarray) -> np.ndarray:
    """Rotate (T, V, 3) about the vertical, so that the body goes along x."""
    way = joints.mean(axis=1)[:, [0, 2]]
    _, _, axes = np.linalg.svd(way - way.mean(axis=0), full_matrices=False)
    angle = np.arctan2(axes[0, 1], axes[0, 0])
    out: np.ndarray = joints @ Rotation.from_euler("y", angle).as_matrix().T
    return out


def _rotation(values: np.ndarray) -> Rotation:
    """Return rotations of (T, 4) quaternions, w first, or (T, 1) angles about z."""
    if values.shape[1] == 1:
        return Rotation.from_rotvec(np.pad(values, ((0, 0), (2, 0))))
    return Rotation.from_quat(np.roll(values, -1, axis=1))
