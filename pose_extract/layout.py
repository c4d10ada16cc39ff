"""Keypoint layouts: names, bones, mirror pairs and body parts of a skeleton."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .. import SkelactError


@dataclass(frozen=True)
class KeypointLayout:
    """How the V keypoints of a skeleton are named, joined, mirrored and grouped.

    Attributes:
        name: Key of the layout, as stored in caches and checkpoints.
        keypoint_names: V names, in array order.
        edges: Physical bones as pairs of keypoint indices (undirected, each once).
        swap_pairs: Left/right pairs of keypoint indices, exchanged when an image is mirrored.
        parts: Body parts, name to keypoint indices; a partition of the keypoints.
    """

    name: str
    keypoint_names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    swap_pairs: tuple[tuple[int, int], ...]
    parts: Mapping[str, tuple[int, ...]]

    def __post_init__(self) -> None:
        covered = sorted(i for part in self.parts.values() for i in part)
        if covered != list(range(self.num_keypoints)):
            raise ValueError(
                f"layout {self.name}: expected parts that cover each of {self.num_keypoints} "
                f"keypoints once, got {covered}"
            )

    @property
    def num_keypoints(self) -> int:
        """V, the number of keypoints."""
        return len(self.keypoint_names)

    def adjacency(self) -> np.ndarray:
        """Return A of shape (V, V), float32 in {0, 1}, symmetric, with a zero diagonal."""
        matrix = np.zeros((self.num_keypoints, self.num_keypoints), dtype=np.float32)
        for i, j in self.edges:
            matrix[i, j] = matrix[j, i] = 1.0
        return matrix

    def parents(self) -> np.ndarray:
        """Return each keypoint's parent (V,) int64 on the way from keypoint 0; 0 is its own."""
        found = np.zeros(self.num_keypoints, dtype=np.int64)
        seen, ring = {0}, [0]
        while ring:
            joint = ring.pop(0)
            for edge in self.edges:
                for child in set(edge) - {joint} if joint in edge else ():
                    if child not in seen:
                        seen.add(child)
                        ring.append(child)
                        found[child] = joint
        return found

    def flip_inds(self) -> np.ndarray:
        """Return the order (V,) int64 that swaps left and right in ``keypoints[..., inds, :]``."""
        inds = np.arange(self.num_keypoints)
        for left, right in self.swap_pairs:
            inds[left], inds[right] = right, left
        return inds

    def index(self, keypoint_name: str) -> int:
        """Return the index of a keypoint by name.

        Raises:
            SkelactError: if the layout has no such keypoint.
        """
        try:
            return self.keypoint_names.index(keypoint_name)
        except ValueError:
            raise SkelactError(
                f"layout {self.name} has no keypoint {keypoint_name!r}; it has: "
                f"{', '.join(self.keypoint_names)}"
            ) from None


# The bones are those of PYSKL's 'coco' graph; the parts are SkeletonMAE's V0..V5 (Yan et al. 2023).
COCO_17 = KeypointLayout(
    name="coco_17",
    keypoint_names=(
        "nose",
        "left_eye",
        "right_eye",
        "left_ear",
        "right_ear",
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_hip",
        "right_hip",
        "left_knee",
        "right_knee",
        "left_ankle",
        "right_ankle",
    ),
    edges=(
        (0, 1), (0, 2), (1, 3), (2, 4), (0, 5), (0, 6), (5, 7), (7, 9), (6, 8), (8, 10),
        (5, 11), (6, 12), (11, 13), (13, 15), (12, 14), (14, 16),
    ),
    swap_pairs=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    parts={
        "head": (0, 1, 2, 3, 4),
        "torso": (5, 6, 11, 12),
        "left_arm": (7, 9),
        "right_arm": (8, 10),
        "left_leg": (13, 15),
        "right_leg": (14, 16),
    },
)  # fmt: skip

LAYOUTS = {COCO_17.name: COCO_17}


def get_layout(name: str) -> KeypointLayout:
    """Return the layout called ``name``.

    Raises:
        SkelactError: if there is none; the message lists the known ones.
    """
    if name not in LAYOUTS:
        raise SkelactError(f"unknown keypoint layout {name!r}; known: {', '.join(sorted(LAYOUTS))}")
    return LAYOUTS[name]
