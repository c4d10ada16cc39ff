"""People annotated by hand, and corrections of their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np

from ... import SkelactError
from ...pose_extract.common.plain import build_config
from ...pose_extract.layout import COCO_17
from ..config import shipped_corrections
from ..yaml_file import read_yaml

# A box reaches beyond the annotated joints by this share of their longer side, at each side: what
# COCO's annotators show is .10 to .15 (median of 12 people).
BOX_MARGIN = 0.12


@dataclass(frozen=True, eq=False)
class AnnotatedPeople:
    """People annotated by hand, one image each.

    Attributes:
        images: The encoded image files (JPEG, PNG).
        names: (N,) name of each person's image, for messages.
        numbers: (N,) int64 numbers by which people are chosen, held out and corrected.
        keypoints: (N, 17, 2) float32, pixels of the image, x then y.
        visible: (N, 17) bool, which of them are annotated.
        sides_unknown: (N,) bool, whose left and right may be exchanged as a whole.
    """

    images: list[bytes]
    names: list[str]
    numbers: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray
    sides_unknown: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def image(self, row: int) -> np.ndarray:
        """Return an image (H, W, 3) uint8 RGB.

        Raises:
            SkelactError: if it cannot be decoded.
        """
        data = np.frombuffer(self.images[row], np.uint8)
        try:
            image = cv2.imdecode(data, cv2.IMREAD_COLOR)
        except cv2.error:  # of no bytes, for one
            image = None
        if image is None:
            raise SkelactError(
                f"{self.names[row]}: expected an image, got {len(data)} bytes of something else"
            )
        return np.ascontiguousarray(image[..., ::-1])

    def joints_outside(self) -> np.ndarray:
        """Return (N, 17) bool, which annotated joints lie outside their images.

        Raises:
            SkelactError: if an image cannot be decoded.
        """
        sizes: dict[int, np.ndarray] = {}  # people of one image share its bytes
        for row, image in enumerate(self.images):
            if id(image) not in sizes:
                sizes[id(image)] = np.array(self.image(row).shape[1::-1])
        size_wh = np.array([sizes[id(image)] for image in self.images]).reshape(-1, 1, 2)
        is_outside = ((self.keypoints < -0.5) | (self.keypoints > size_wh - 0.5)).any(axis=2)
        outside: np.ndarray = is_outside & self.visible
        return outside

    def bboxes(self) -> np.ndarray:
        """Return boxes (N, 4) float32 xyxy around the annotated joints, with a margin."""
        shown = self.visible[..., None]
        low = np.where(shown, self.keypoints, np.inf).min(axis=1)
        high = np.where(shown, self.keypoints, -np.inf).max(axis=1)
        margin = BOX_MARGIN * (high - low).max(axis=1, keepdims=True)
        return np.concatenate([low - margin, high + margin], axis=1).astype(np.float32)

    def take(self, rows: np.ndarray) -> AnnotatedPeople:
        """Return some of the people."""
        return AnnotatedPeople(
            [self.images[row] for row in rows],
            [self.names[row] for row in rows],
            self.numbers[rows],
            self.keypoints[rows],
            self.visible[rows],
            self.sides_unknown[rows],
        )

    @staticmethod
    def concatenate(parts: Sequence[AnnotatedPeople]) -> AnnotatedPeople:
        """Return the people of all parts as one."""
        return AnnotatedPeople(
            [image for part in parts for image in part.images],
            [name for part in parts for name in part.names],
            np.concatenate([part.numbers for part in parts]),
            np.concatenate([part.keypoints for part in parts]),
            np.concatenate([part.visible for part in parts]),
            np.concatenate([part.sides_unknown for part in parts]),
        )


@dataclass(frozen=True)
class Corrections:
    """Known faults of hand labels, by the numbers of the people; each is in one list at most.

    Attributes:
        exchanged: People whose left and right are exchanged as a whole.
        exchanged_arms: People whose arms are.
        exchanged_legs: People whose legs are.
        sides_unknown: People whose left and right may be exchanged as a whole.
        unusable: People to leave out.
    """

    exchanged: tuple[int, ...] = ()
    exchanged_arms: tuple[int, ...] = ()
    exchanged_legs: tuple[int, ...] = ()
    sides_unknown: tuple[int, ...] = ()
    unusable: tuple[int, ...] = ()


def read_corrections(name: str) -> Corrections:
    """Read corrections by shipped name (``configs/people``) or the path of a YAML file.

    Raises:
        SkelactError: if there is no such file, it holds something else, or a number is in more
            than one list.
    """
    shipped = shipped_corrections()
    path = shipped.get(name, Path(name))
    if not path.is_file():
        raise SkelactError(
            f"no corrections {name!r}: expected a YAML file or one of {', '.join(shipped)}"
        )
    corrections = build_config(Corrections, read_yaml(path), str(path))
    lists: dict[int, str] = {}
    for field in fields(corrections):
        for number in getattr(corrections, field.name):
            if lists.setdefault(number, field.name) != field.name:
                raise SkelactError(
                    f"{path}: expected each number in one list, got {number} in {lists[number]} "
                    f"and {field.name}"
                )
    return corrections


def corrected(people: AnnotatedPeople, corrections: Corrections) -> AnnotatedPeople:
    """Return people with their labels corrected, those that are unusable left out."""
    flip = COCO_17.flip_inds()
    is_leg = np.array([name.endswith(("hip", "knee", "ankle")) for name in COCO_17.keypoint_names])
    order = np.tile(np.arange(len(flip)), (len(people), 1))
    for wrong, joints in (
        (corrections.exchanged, np.ones(len(flip), bool)),
        (corrections.exchanged_arms, ~is_leg),
        (corrections.exchanged_legs, is_leg),
    ):
        chosen = np.isin(people.numbers, wrong)
        order[chosen] = np.where(joints, order[chosen][:, flip], order[chosen])
    rows = np.arange(len(people))[:, None]
    mended = AnnotatedPeople(
        people.images,
        people.names,
        people.numbers,
        people.keypoints[rows, order],
        people.visible[rows, order],
        people.sides_unknown | np.isin(people.numbers, corrections.sides_unknown),
    )
    return mended.take(np.flatnonzero(~np.isin(people.numbers, corrections.unusable)))
