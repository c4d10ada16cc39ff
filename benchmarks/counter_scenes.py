"""Simulated dives with all that is known of them, for `counter.py`."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np

from skelact.pipeline.elements.element import Element, diving48_elements
from skelact.pipeline.synth.camera import film
from skelact.pipeline.synth.dive import diving_labels
from skelact.pipeline.synth.motion import simulate_dives
from skelact.pipeline.synth.pose_errors import add_pose_errors

# The walls of a pool, metres behind the diver, on which corners are tracked.
_WALL_METRES = 12.0
# Error of an estimate of the camera's motion, pixels per frame.
_CAMERA_NOISE = 0.3
_RATES = np.array([24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60.0])
_IMG_SHAPES = np.array([(360, 640), (480, 640), (540, 960), (720, 1280)])


@dataclass(frozen=True, eq=False)
class Scene:
    """A filmed dive.

    Attributes:
        keypoints: (T, 17, 2) float32, pixels.
        scores: (T, 17) float32.
        seconds: (T,) float64.
        camera_motion: (T, 2) float64, pixels by which the background moves from the frame before.
        element: The dive.
        flight: First frame in flight, and the frame after its last.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    seconds: np.ndarray
    camera_motion: np.ndarray
    element: Element
    flight: tuple[int, int]


def make_scenes(
    count: int, *, noise: float, seed: int, lead: float = 0.5, tail: float = 0.5
) -> list[Scene]:
    """Film dives of the 48 classes of Diving48, equally often, at 24 to 60 fps.

    Args:
        count: Number of scenes.
        noise: Size of the errors of the poses; see ``add_pose_errors``.
        seed: Seed.
        lead: Seconds before the take-off.
        tail: Seconds after the entry.
    """
    rng = np.random.default_rng([seed, round(10 * noise), count])
    _, dives = diving_labels()
    _, elements = diving48_elements()
    labels = rng.permutation(np.arange(count) % len(dives))
    fps = rng.choice(_RATES, count)
    num_frames = int(np.ceil((lead + 2.2 + tail) * _RATES.max()))
    motion = simulate_dives([dives[i] for i in labels], fps, num_frames, np.full(count, lead), rng)
    img_shapes = _IMG_SHAPES[rng.integers(len(_IMG_SHAPES), size=count)]
    again = copy.deepcopy(rng)
    keypoints, depth = film(motion.joints, motion.center, motion.height, img_shapes, rng)
    # The same camera films a wall behind the diver, on the side that it looks to.
    side = np.sign(depth.mean(axis=(1, 2)) - _depth_at(motion, img_shapes, again, 1.0))
    wall = np.zeros_like(motion.joints[:, :, :1])
    wall[..., 1] = 4.0
    wall[..., 2] = (_WALL_METRES * -side)[:, None, None]
    background, _ = film(wall, motion.center, motion.height, img_shapes, again)
    moves = np.diff(background[:, :, 0], axis=1, prepend=background[:, :1, 0])
    moves = moves + rng.normal(0, _CAMERA_NOISE, moves.shape)
    scores = (motion.joints[..., 1] > 0).astype(np.float32)
    if noise:
        keypoints, scores = add_pose_errors(keypoints, scores, depth, fps, noise, rng)
    keypoints = np.where((scores > 0)[..., None], keypoints, 0).astype(np.float32)
    scenes = []
    for i, label in enumerate(labels):
        end = int(np.ceil((lead + motion.flight_seconds[i] + tail) * fps[i]))
        flight = (
            int(np.ceil(lead * fps[i])),
            int((lead + motion.flight_seconds[i]) * fps[i]) + 1,
        )
        scenes.append(
            Scene(
                keypoints[i, :end], scores[i, :end], np.arange(end) / fps[i], moves[i, :end],
                elements[label], flight,
            )
        )  # fmt: skip
    return scenes


def _depth_at(motion, img_shapes, rng, metres):
    """Return the mean depth (N,) of points that lie towards +z of the diver."""
    points = np.zeros_like(motion.joints[:, :, :1])
    points[..., 1] = motion.center[..., 1][..., None]
    points[..., 0] = motion.center[..., 0][..., None]
    points[..., 2] = metres
    _, depth = film(points, motion.center, motion.height, img_shapes, copy.deepcopy(rng))
    return depth.mean(axis=(1, 2))
