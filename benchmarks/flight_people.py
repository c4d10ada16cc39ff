"""Annotated people in flight: their labels, their boxes, and the poses that a model gives them.

Boxes are given, so that a pose model is measured and no detector: the extent of a person's
annotated joints, widened on each side by 12 % of its longer side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from skelact.pipeline.pose_training.people import (
    AnnotatedPeople,
    Corrections,
    corrected,
)
from skelact.pipeline.pose_training.people_files import read_people
from skelact.pose_extract.common.geometry import body_angles, torso_lengths
from skelact.pose_extract.effort import EFFORTS
from skelact.pose_extract.layout import COCO_17
from skelact.pose_extract.pose.crops import Crops
from skelact.pose_extract.pose.estimator import PoseEstimator
from skelact.pose_extract.pose.orientation import OrientationConfig, estimate_oriented

Numbers = Literal["dev", "check", "train", "all"]
Way = Literal["one-look", "fast", "balanced", "thorough"]

# COCO-17 without the face, which neither set of people in flight has labels of.
JOINTS = np.arange(5, 17)
TORSO = np.array([COCO_17.index(f"{side}_{part}") for part in ("shoulder", "hip")
                  for side in ("left", "right")])  # fmt: skip
ARMS, LEGS = np.arange(5, 11), np.arange(11, 17)
# A shorter torso is seen end-on, or its person is too small: .2 of it would be under 3 pixels,
# about as far as two annotators differ.
MIN_TORSO = 15.0
# People whose decoded images are in memory at the same time.
_BLOCK = 256


def scored(people: AnnotatedPeople) -> AnnotatedPeople:
    """Return the people who can be scored: all four torso joints annotated, and 15 pixels long."""
    complete = people.visible[:, TORSO].all(axis=1)
    return people.take(np.flatnonzero(complete & (torsos(people) >= MIN_TORSO)))


def torsos(people: AnnotatedPeople) -> np.ndarray:
    """Return (P,) pixels from the middle of the shoulders to the middle of the hips."""
    return torso_lengths(people.keypoints.astype(float), COCO_17)


def tilts(people: AnnotatedPeople) -> np.ndarray:
    """Return (P,) degrees, 0 to 180, of the torso from head up, 180 being upside down."""
    angles: np.ndarray = np.abs(body_angles(people.keypoints, COCO_17))
    return angles


def sizes(people: AnnotatedPeople) -> np.ndarray:
    """Return (P,) pixels, the longer sides of the extents of the annotated joints."""
    shown = people.visible[..., None]
    low = np.where(shown, people.keypoints, np.inf).min(axis=1)
    high = np.where(shown, people.keypoints, -np.inf).max(axis=1)
    longer: np.ndarray = (high - low).max(axis=1).astype(float)
    return longer


def choose_numbers(numbers: np.ndarray, which: Numbers) -> np.ndarray:
    """Return (P,) bool, which numbers (P,) of the Leeds set are in a part of it.

    "dev" is kept out of all training and used to choose between models; "check" is for the last
    check of what was chosen, once; "train" is the rest.
    """
    dev, check = numbers % 20 == 3, numbers % 5 == 4
    chosen: np.ndarray = {
        "dev": dev, "check": check, "train": ~dev & ~check, "all": np.ones(len(numbers), bool),
    }[which]  # fmt: skip
    return chosen


def load_lspet(shared: Path, which: Numbers, corrections: Corrections) -> AnnotatedPeople:
    """Return people of the Leeds Sports Pose Extended set, with their labels corrected."""
    people = read_people(shared / "data" / "lspet" / "lspet_train.npz")
    return corrected(
        people.take(np.flatnonzero(choose_numbers(people.numbers, which))), corrections
    )


def load_divers(shared: Path) -> AnnotatedPeople:
    """Return the frames of one platform dive, a person in each."""
    return read_people(shared / "data" / "divers" / "diver1.npz")


@dataclass(frozen=True, eq=False)
class Poses:
    """What a pose model finds of P people.

    Attributes:
        keypoints: (P, 17, 2) float32, pixels, x then y.
        scores: (P, 17) float32, the model's own.
        num_crops: How many crops went through it.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    num_crops: int


def estimate(
    pose: PoseEstimator,
    people: AnnotatedPeople,
    way: Way,
    batch_size: int,
    on_people: Callable[[int], None] | None = None,
) -> Poses:
    """Estimate the poses of people in their boxes.

    Args:
        pose: The pose model.
        people: Who is looked for.
        way: An effort of ``skelact extract``, in frames in which it tries rotated views; "fast"
            tries none, but crops people once more along an axis that is off by more than 20
            degrees. "one-look" is one crop of each, whatever is found in it.
        batch_size: At most this many crops per batch.
        on_people: Called with how many people are done.
    """
    parts = []
    for start in range(0, len(people), _BLOCK):
        some = people.take(np.arange(start, min(start + _BLOCK, len(people))))
        images = [some.image(row) for row in range(len(some))]
        parts.append(_estimate_block(pose, images, some.bboxes(), way, batch_size))
        if on_people:
            on_people(start + len(some))
    return Poses(
        np.concatenate([part.keypoints for part in parts] or [np.zeros((0, 17, 2), np.float32)]),
        np.concatenate([part.scores for part in parts] or [np.zeros((0, 17), np.float32)]),
        sum(part.num_crops for part in parts),
    )


def _estimate_block(
    pose: PoseEstimator, images: list[np.ndarray], boxes: np.ndarray, way: Way, batch_size: int
) -> Poses:
    if way != "one-look":
        config = OrientationConfig(view_thr=EFFORTS[way].athlete_view_thr)
        return Poses(*estimate_oriented(pose, images, boxes, batch_size, config))
    found = []
    for start in range(0, len(images), batch_size):
        rows = slice(start, start + batch_size)
        parts = [pose.crop(image, box[None]) for image, box in zip(images[rows], boxes[rows])]
        found.append(pose.predict(Crops.concatenate(parts)))
    keypoints, scores = (np.concatenate(part) for part in zip(*found))
    return Poses(keypoints, scores, len(images))


WAYS: tuple[Way, ...] = get_args(Way)
