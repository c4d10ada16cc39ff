"""A window that follows the athlete through a clip."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ...pose_extract.skeleton import SkeletonSequence

# The window holds the athlete's box in nineteen of twenty frames, with a margin for its motion.
_BOX_PERCENTILE, _MARGIN = 95, 1.4
# Standard deviation of the smoothing of its path: shorter shakes, longer lets a diver leave it.
_SMOOTHING_SECONDS = 0.15


@dataclass(frozen=True, eq=False)
class Window:
    """Where a window of one size lies in each frame of a clip.

    Attributes:
        corners: (T, 2) int64, x and y of its left upper corner in pixels, within the frame.
        size_wh: (width, height) in pixels.
    """

    corners: np.ndarray
    size_wh: tuple[int, int]

    def cut(self, frame: np.ndarray, step: int) -> np.ndarray:
        """Return the window's part of a frame (H, W, 3), at a step of the sequence."""
        x, y = self.corners[step]
        width, height = self.size_wh
        return frame[y : y + height, x : x + width]

    def moved(self, sequence: SkeletonSequence) -> SkeletonSequence:
        """Return the people in pixels of the window."""
        shift = self.corners.astype(np.float32)
        width, height = self.size_wh
        return replace(
            sequence,
            keypoints=sequence.keypoints - shift[None, :, None],
            bboxes=sequence.bboxes - np.tile(shift, 2)[None],
            img_shape=(height, width),
        )


def athlete_window(sequence: SkeletonSequence) -> Window:
    """Return a square window that follows person 0, smaller where a frame is.

    It stays within the frame. Where the athlete is not seen, it goes straight from where they were
    to where they are next. Without an athlete it is the whole frame.
    """
    height, width = sequence.img_shape
    present = np.asarray(sequence.is_present()[:1].any(axis=0))
    steps = np.flatnonzero(present)
    if not len(steps):
        return Window(np.zeros((sequence.num_frames, 2), np.int64), (width, height))
    boxes = sequence.bboxes[0, steps].astype(np.float64)
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    # Even: an odd one would lose its last row in the video.
    side = 2 * max(round(_MARGIN * float(np.percentile(sides, _BOX_PERCENTILE)) / 2), 1)
    size_wh = min(side, width), min(side, height)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    every = np.arange(sequence.num_frames)
    path = np.stack([np.interp(every, steps, axis) for axis in centres.T], axis=1)
    sigma = _SMOOTHING_SECONDS * float(sequence.fps)
    for scene in np.unique(sequence.scene_ids):
        of_scene = sequence.scene_ids == scene
        path[of_scene] = gaussian_filter1d(path[of_scene], sigma, axis=0, mode="nearest")
    corners = np.rint(path - np.array(size_wh) / 2).astype(np.int64)
    return Window(corners.clip(0, [width - size_wh[0], height - size_wh[1]]), size_wh)
