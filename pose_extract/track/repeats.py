"""Frames that show again what the one before them shows, as slow motion and pulldown make them.

Nothing moves in them: to a tracker the athlete stands still, and every other frame seems to be
stale. They are told while a file is read, and left out until the skeletons are written.
"""

from __future__ import annotations

import cv2
import numpy as np

# Side of the blocks that are compared, over the shorter side of the frame; each has so many pixels
# a side. In what moves, if it is no more than a head, some block changes.
_BLOCKS, _BLOCK_PIXELS = 60, 4
# Mean change of a block, levels of 255, up to which it is the same: an encoder's noise. Chosen with
# `benchmarks/repeated_frames.py`.
SAME = 5.0
# Mean change of the whole frame up to which it is the same, in levels: an encoder's noise has none,
# and a fade some.
_SAME_MEAN = 0.5


class RepeatDetector:
    """Tells which frames of a video repeat the one before, frame by frame in their order.

    Args:
        threshold: Mean change of a block, levels of 255, up to which it is the same.
    """

    def __init__(self, threshold: float = SAME) -> None:
        self._threshold = threshold
        self._before: np.ndarray | None = None
        self._mean_before = 0.0

    def add(self, frame: np.ndarray) -> bool:
        """Take a frame (H, W, 3) uint8; return whether it repeats the last one that does not."""
        stride = max(min(frame.shape[:2]) // (_BLOCKS * _BLOCK_PIXELS), 1)
        thinned = frame
        if stride > 1:
            # Colour by colour: twice as fast as numpy's copy of pixels that lie apart.
            thinned = cv2.merge([frame[::stride, ::stride, color] for color in range(3)])
        mean = sum(cv2.sumElems(thinned)) / thinned.size
        before, mean_before = self._before, self._mean_before
        if (
            before is not None
            and before.shape == thinned.shape
            and abs(mean - mean_before) <= _SAME_MEAN
            and _change(before, thinned) <= self._threshold
        ):
            # The next one is compared with what is new: what changes little by little is new in
            # time.
            return True
        self._before, self._mean_before = thinned, mean
        return False


def _change(before: np.ndarray, after: np.ndarray) -> float:
    """Return the mean change of that block of two images (h, w, 3) uint8 which changes most."""
    change = cv2.absdiff(before, after)
    size = [max(side // _BLOCK_PIXELS, 1) for side in change.shape[1::-1]]
    blocks = cv2.resize(change.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return float(blocks.mean(axis=-1).max())
