"""Smooth keypoints over time, for drawings and measurements; training data is left as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..skeleton import SkeletonSequence

# Length of the filter's window, through which a parabola is fitted: half a stride of running.
_SECONDS = 0.25


def smooth_sequence(sequence: SkeletonSequence) -> SkeletonSequence:
    """Return a copy with each run of frames smoothed by a Savitzky-Golay filter.

    Frames in which a person is not seen end a run; runs shorter than the filter stay as they are.
    """
    # Here, since it takes longer to import than all of skelact, and few smooth.
    from scipy.signal import savgol_filter

    window = max(round(_SECONDS * float(sequence.fps)) // 2 * 2 + 1, 5)
    keypoints = sequence.keypoints.copy()
    for person, present in enumerate(sequence.is_present()):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], present.astype(int), [0]])))
        for start, stop in edges.reshape(-1, 2):
            if stop - start >= window:
                run = keypoints[person, start:stop]
                keypoints[person, start:stop] = savgol_filter(run, window, 2, axis=0)
    return replace(sequence, keypoints=keypoints)
