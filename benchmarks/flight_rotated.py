"""Annotated people on the ground, rotated as by ``rotation.py``: what a model must not lose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rotation import ANGLES, Person, load_coco, load_youtube, measure

from skelact.pose_extract.effort import DEFAULT_EFFORT
from skelact.pose_extract.pose.estimator import PoseEstimator

# The metric of each set.
ROTATED_SETS = {"coco": "OKS", "youtube": "PCK"}


@dataclass(frozen=True)
class RotatedFigures:
    """The mean figure of people at 0 to 330 degrees.

    Attributes:
        num_people: How many people.
        one_look: (12,) with one crop of each, by angle.
        oriented: (12,) with the crops of the default effort, by angle.
        crops_per_person: Crops of the default effort, over all angles.
    """

    num_people: int
    one_look: tuple[float, ...]
    oriented: tuple[float, ...]
    crops_per_person: float

    def __post_init__(self) -> None:
        if not len(self.one_look) == len(self.oriented) == len(ANGLES):
            raise ValueError(
                f"expected figures at {len(ANGLES)} angles, got {len(self.one_look)} and "
                f"{len(self.oriented)}"
            )

    def summary(self) -> dict[str, float]:
        """Return the figures of a table."""
        one_look, oriented = "one look", DEFAULT_EFFORT
        return {
            f"upright, {one_look}": self.one_look[0],
            f"upright, {oriented}": self.oriented[0],
            f"mean of 12 angles, {one_look}": float(np.mean(self.one_look)),
            f"mean of 12 angles, {oriented}": float(np.mean(self.oriented)),
            f"least of 12 angles, {oriented}": min(self.oriented),
            f"crops per person, {oriented}": self.crops_per_person,
        }


def load_rotated(shared: Path, name: str, limit: int | None) -> list[Person]:
    """Return the people of a set: annotated COCO images, or one frame of each YouTube video."""
    if name == "coco":
        return load_coco(shared / "data" / "pose_gt" / "coco")[:limit]
    return load_youtube(shared / "videos" / "youtube_pose_frames")[:limit]


def measure_rotated(people: Sequence[Person], pose: PoseEstimator) -> RotatedFigures:
    """Return the figures of people at all angles."""
    figures, num_crops = measure(list(people), pose, (DEFAULT_EFFORT,))
    return RotatedFigures(
        len(people),
        tuple(figures["stock"]),
        tuple(figures[DEFAULT_EFFORT]),
        num_crops[DEFAULT_EFFORT],
    )
