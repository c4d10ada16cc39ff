"""A person who walks, seen from the side."""

from __future__ import annotations

import numpy as np


def walk(num_frames=40):
    """Return a person seen from the side, whose legs and arms cross twice a second."""
    time = np.arange(num_frames) / 25 * 2 * np.pi
    points = np.zeros((num_frames, 17, 2), np.float32)
    points[:, :5] = [0, -60]
    for side, joints in ((1, (5, 7, 9, 11, 13, 15)), (-1, (6, 8, 10, 12, 14, 16))):
        reach = dict(zip(joints, (1, 8, 16, 1, 14, 26)))
        height = dict(zip(joints, (-45, -25, -5, 0, 25, 50)))
        for joint in joints:
            points[:, joint, 0] = side * reach[joint] * np.sin(time)
            points[:, joint, 1] = height[joint]
    points[..., 0] += 3 * np.arange(num_frames)[:, None]
    return points, np.full((num_frames, 17), 0.9, np.float32)
