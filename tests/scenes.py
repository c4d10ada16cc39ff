"""Small scenes that several test files build on."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from skelact.pose_extract.skeleton import SkeletonSequence


def make_sequence(num_person=2, num_frames=3, **changes):
    """Return two people over three frames; keyword arguments replace fields."""
    rng = np.random.default_rng(0)
    fields = {
        "keypoints": rng.uniform(0, 100, (num_person, num_frames, 17, 2)).astype(np.float32),
        "keypoint_scores": rng.uniform(0.1, 1, (num_person, num_frames, 17)).astype(np.float32),
        "bboxes": rng.uniform(0, 100, (num_person, num_frames, 4)).astype(np.float32),
        "track_ids": np.arange(num_person, dtype=np.int64),
        "frame_inds": np.arange(num_frames, dtype=np.int64) * 2,
        "img_shape": (240, 320),
        "fps": Fraction(30000, 1001),
        "layout": "coco_17",
        "video_id": "a/b.c.mp4",
    }
    return SkeletonSequence(**(fields | changes))
