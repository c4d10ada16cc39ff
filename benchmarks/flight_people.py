"""Annotated people in flight: their labels, their boxes, and the poses that a model gives them.

Boxes are given, so that a pose model is measured and no detector: the extent of a person's
annotated joints, widened on each side by 12 % of its longer side.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np

from skelact import SkelactError
from skelact.pipeline.yaml_file import read_yaml
from skelact.pose_extract.common.geometry import body_angles
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
# Joints lie inside a body: a box drawn by hand reaches beyond them by about this share.
BOX_MARGIN = 0.12
EXCHANGES = Path(__file__).parents[1] / "configs" / "labels" / "lspet_exchanged.yaml"
# People whose images are in memory at the same time.
_BLOCK = 256


@dataclass(frozen=True, eq=False)
class People:
    """P people, each annotated in an image of an archive.

    Attributes:
        archive: The zip file with the images.
        files: Their P names in it.
        keypoints: (P, 17, 2) float64, pixels, x then y.
        visible: (P, 17) bool, which of them are annotated.
    """

    archive: Path
    files: tuple[str, ...]
    keypoints: np.ndarray
    visible: np.ndarray

    def __post_init__(self) -> None:
        num_people = len(self.files)
        shapes = self.keypoints.shape, self.visible.shape
        if shapes != ((num_people, 17, 2), (num_people, 17)):
            raise ValueError(
                f"{self.archive}: expected keypoints {(num_people, 17, 2)} and visible "
                f"{(num_people, 17)} of {num_people} files, got {shapes[0]} and {shapes[1]}"
            )

    def __len__(self) -> int:
        return len(self.files)

    def take(self, rows: np.ndarray) -> People:
        """Return some of the people, by their indices."""
        files = tuple(self.files[i] for i in rows)
        return People(self.archive, files, self.keypoints[rows], self.visible[rows])

    def scored(self) -> People:
        """Return the people who can be scored: all four torso joints annotated, and 15 pixels."""
        complete = self.visible[:, TORSO].all(axis=1)
        return self.take(np.flatnonzero(complete & (self.torsos() >= MIN_TORSO)))

    def torsos(self) -> np.ndarray:
        """Return (P,) pixels from the middle of the shoulders to the middle of the hips."""
        corners = self.keypoints[:, TORSO]
        lengths: np.ndarray = np.linalg.norm(
            corners[:, :2].mean(axis=1) - corners[:, 2:].mean(axis=1), axis=-1
        )
        return lengths

    def tilts(self) -> np.ndarray:
        """Return (P,) degrees, 0 to 180, of the torso from head up, 180 being upside down."""
        tilts: np.ndarray = np.abs(body_angles(self.keypoints, COCO_17))
        return tilts

    def extents(self) -> np.ndarray:
        """Return (P, 4) xyxy pixels, the extents of the annotated joints."""
        shown = self.visible[..., None]
        low = np.where(shown, self.keypoints, np.inf).min(axis=1)
        high = np.where(shown, self.keypoints, -np.inf).max(axis=1)
        return np.concatenate([low, high], axis=1)

    def sizes(self) -> np.ndarray:
        """Return (P,) pixels, the longer sides of the extents."""
        extents = self.extents()
        sizes: np.ndarray = (extents[:, 2:] - extents[:, :2]).max(axis=1)
        return sizes

    def boxes(self) -> np.ndarray:
        """Return (P, 4) float32 xyxy pixels: the extents, widened on each side."""
        reach = BOX_MARGIN * self.sizes()[:, None] * np.array([-1.0, -1.0, 1.0, 1.0])
        return (self.extents() + reach).astype(np.float32)

    def images(self) -> Iterator[np.ndarray]:
        """Read the people's images (H, W, 3) uint8 RGB, one after the other."""
        with zipfile.ZipFile(self.archive) as archive:
            for name in self.files:
                image = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_COLOR)
                if image is None:
                    raise SkelactError(f"{self.archive}: {name} is no image that can be read")
                yield np.ascontiguousarray(image[..., ::-1])


@dataclass(frozen=True)
class Mending:
    """Which labels of the Leeds Sports Pose Extended set are wrong, by the people's numbers.

    Attributes:
        exchanged: Left and right are exchanged in the whole body.
        arms: They are exchanged from the shoulders to the wrists alone.
        legs: They are exchanged from the hips to the ankles alone.
        unusable: The joints are not those of the person; left out.
    """

    exchanged: frozenset[int] = frozenset()
    arms: frozenset[int] = frozenset()
    legs: frozenset[int] = frozenset()
    unusable: frozenset[int] = frozenset()

    def mended(self, people: People, numbers: np.ndarray) -> People:
        """Return the people with their labels put right, without the unusable ones.

        Args:
            people: The P people as published.
            numbers: (P,) their numbers in the set.
        """
        keypoints, visible = people.keypoints.copy(), people.visible.copy()
        for which, joints in ((self.exchanged, JOINTS), (self.arms, ARMS), (self.legs, LEGS)):
            rows = np.flatnonzero(np.isin(numbers, list(which)))[:, None]
            order = COCO_17.flip_inds()[joints]
            keypoints[rows, joints] = keypoints[rows, order]
            visible[rows, joints] = visible[rows, order]
        usable = np.flatnonzero(~np.isin(numbers, list(self.unusable)))
        return replace(people, keypoints=keypoints, visible=visible).take(usable)


def read_mending(path: Path) -> Mending:
    """Return the wrong labels that a YAML file lists.

    Raises:
        SkelactError: for another key, a value that is no list of numbers, or a number twice.
    """
    values = read_yaml(path)
    known = list(Mending.__dataclass_fields__)
    if unknown := sorted(set(values) - set(known)):
        raise SkelactError(f"{path}: expected the keys {', '.join(known)}, got {unknown[0]!r}")
    seen: set[int] = set()
    lists = {}
    for key, numbers in values.items():
        if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
            raise SkelactError(f"{path}: {key}: expected a list of numbers")
        lists[key] = frozenset(numbers)
        if len(lists[key]) < len(numbers) or seen & lists[key]:
            raise SkelactError(f"{path}: {key}: a person's number stands in the file twice")
        seen |= lists[key]
    return Mending(**lists)


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


def load_lspet(shared: Path, which: Numbers, mending: Mending) -> People:
    """Return people of the Leeds Sports Pose Extended set, with their labels mended."""
    folder = shared / "data" / "lspet"
    with np.load(folder / "lspet_train.npz") as labels:
        numbers = labels["numbers"]
        files = tuple(f"im{number:05d}.jpg" for number in numbers)
        keypoints = labels["keypoints"].astype(float)
        people = People(folder / "lspet_train.zip", files, keypoints, labels["visible"])
    chosen = np.flatnonzero(choose_numbers(numbers, which))
    return mending.mended(people.take(chosen), numbers[chosen])


def load_divers(shared: Path) -> People:
    """Return the frames of one platform dive, a person in each."""
    folder = shared / "data" / "divers"
    with np.load(folder / "diver1.npz") as labels:
        files = tuple(map(str, labels["files"]))
        keypoints = labels["keypoints"].astype(float)
        return People(folder / "diver1.zip", files, keypoints, labels["visible"])


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
    people: People,
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
        parts.append(_estimate_block(pose, list(some.images()), some.boxes(), way, batch_size))
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
