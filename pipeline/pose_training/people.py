"""People annotated by hand: what is read from disk for the training of pose models."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        numbers: (N,) int64 numbers by which people are chosen and corrected.
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
        image = cv2.imdecode(np.frombuffer(self.images[row], np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise SkelactError(f"{self.names[row]}: expected an image, it cannot be decoded")
        return np.ascontiguousarray(image[..., ::-1])

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
    """Known faults of hand labels, by the numbers of the people.

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
        SkelactError: if there is no such file, or it holds something else.
    """
    shipped = shipped_corrections()
    path = shipped.get(name, Path(name))
    if not path.is_file():
        raise SkelactError(
            f"no corrections {name!r}: expected a YAML file or one of {', '.join(shipped)}"
        )
    return build_config(Corrections, read_yaml(path), str(path))


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


def read_people(path: str | Path) -> AnnotatedPeople:
    """Read annotated people.

    Args:
        path: Either a ``.npz`` with ``keypoints`` (N, 17, 2) in pixels, ``visible`` (N, 17) and
            ``files`` (N,) names or ``numbers`` (N,), for files called ``im00001.jpg``; the images
            lie in a ``.zip`` or a folder beside it, of the same name. Or a COCO-style ``.json``
            with 17 keypoints per person, whose ``file_name`` are relative to its folder, or to
            ``images/`` in it.

    Raises:
        SkelactError: if it holds something else, or an image is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise SkelactError(f"no file of annotated people at {path}")
    if path.suffix == ".npz":
        people = _read_npz(path)
    elif path.suffix == ".json":
        people = _read_coco(path)
    else:
        raise SkelactError(f"{path}: expected annotated people as .npz or COCO-style .json")
    usable = people.visible.any(axis=1) & np.isfinite(people.keypoints).all(axis=(1, 2))
    if not usable.any():
        raise SkelactError(f"{path}: expected people with annotated joints, found none")
    return people.take(np.flatnonzero(usable))


def _read_npz(path: Path) -> AnnotatedPeople:
    try:
        with np.load(path, allow_pickle=False) as data:
            keypoints = np.asarray(data["keypoints"], np.float32)
            visible = np.asarray(data["visible"], bool)
            count = len(keypoints)
            numbers = np.arange(count, dtype=np.int64)
            if "numbers" in data:
                numbers = np.asarray(data["numbers"], np.int64)
            if "files" in data:
                names = [str(name) for name in data["files"]]
            else:
                names = [f"im{number:05d}.jpg" for number in numbers]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SkelactError(
            f"{path}: expected keypoints, visible and files or numbers, got {error}"
        ) from None
    expected = (count, COCO_17.num_keypoints)
    shapes = (keypoints.shape, visible.shape, numbers.shape, (len(names),))
    if shapes != ((*expected, 2), expected, (count,), (count,)):
        raise SkelactError(
            f"{path}: expected keypoints {(*expected, 2)}, visible {expected} and a file or number "
            f"per person, got shapes {shapes}"
        )
    images = list(_images_beside(path, names))
    unknown = np.zeros(count, bool)
    return AnnotatedPeople(images, names, numbers, keypoints, visible, unknown)


def _images_beside(path: Path, names: Sequence[str]) -> Iterator[bytes]:
    archive, folder = path.with_suffix(".zip"), path.with_suffix("")
    if archive.is_file():
        with zipfile.ZipFile(archive) as files:
            yield from _read_images(archive, names, files.read)
    else:
        yield from _read_images(folder, names, lambda name: (folder / name).read_bytes())


def _read_images(
    place: Path, names: Sequence[str], read: Callable[[str], bytes]
) -> Iterator[bytes]:
    for name in names:
        try:
            yield read(name)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise SkelactError(f"{place}: the image {name} cannot be read: {error}") from None


def _read_coco(path: Path) -> AnnotatedPeople:
    folder = path.parent / "images" if (path.parent / "images").is_dir() else path.parent
    try:
        values = json.loads(path.read_bytes())
        files = {image["id"]: str(image["file_name"]) for image in values["images"]}
        chosen: list[dict[str, Any]] = [
            person for person in values["annotations"] if any(person.get("keypoints", [])[2::3])
        ]
        table = np.array([person["keypoints"] for person in chosen], np.float32).reshape(
            len(chosen), COCO_17.num_keypoints, 3
        )
        names = [files[person["image_id"]] for person in chosen]
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise SkelactError(
            f"{path}: expected COCO keypoint annotations with {COCO_17.num_keypoints} keypoints "
            f"per person, got {error!r}"
        ) from None
    images = list(_read_images(folder, names, lambda name: (folder / name).read_bytes()))
    return AnnotatedPeople(
        images,
        names,
        np.arange(len(chosen), dtype=np.int64),
        np.ascontiguousarray(table[..., :2]),
        table[..., 2] > 0,
        np.zeros(len(chosen), bool),
    )
