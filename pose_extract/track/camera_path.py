"""The camera's path over a clip: where each frame lies in the picture of its scene."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .candidates import FrameCandidates, scene_ranges


def camera_path(
    candidates: Sequence[FrameCandidates], every: int, num_frames: int
) -> tuple[np.ndarray, np.ndarray]:
    """Join the camera's motion between candidate frames to maps of all frames.

    Frames between two candidate frames of a scene are interpolated linearly; those after the last
    one have its map.

    Args:
        candidates: Those of every n-th frame, from frame 0.
        every: n.
        num_frames: T, frames of the clip.

    Returns:
        (T, 2, 3) float32, the affine map from each frame's pixels to those of the first frame of
        its scene; and (T,) int64, the number of each frame's scene, from 0.
    """
    maps = np.tile(np.eye(2, 3, dtype=np.float32), (num_frames, 1, 1))
    scene_ids = np.zeros(num_frames, np.int64)
    for number, keys in enumerate(scene_ranges(candidates)):
        steps = np.arange(keys.start * every, min(keys.stop * every, num_frames))
        scene_ids[steps] = number
        maps[steps] = _interpolated(steps / every - keys.start, _joined(candidates, keys))
    return maps, scene_ids


def _joined(candidates: Sequence[FrameCandidates], keys: range) -> np.ndarray:
    """Return (K, 2, 3) maps from the candidate frames of a scene to the first of them."""
    joined = [np.eye(3)]
    for key in keys[1:]:
        step = np.vstack([candidates[key].from_previous, (0.0, 0.0, 1.0)])
        can_be_undone = abs(np.linalg.det(step)) > 1e-6
        joined.append(joined[-1] @ np.linalg.inv(step) if can_be_undone else joined[-1])
    return np.stack(joined)[:, :2]


def _interpolated(places: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Return maps (N, 2, 3) at places (N,) between the rows of ``maps``, which hold at the end."""
    places = places.clip(0, len(maps) - 1)
    before = places.astype(int)
    after = np.minimum(before + 1, len(maps) - 1)
    share = (places - before)[:, None, None]
    result: np.ndarray = (1 - share) * maps[before] + share * maps[after]
    return result
