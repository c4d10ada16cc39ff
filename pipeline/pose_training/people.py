"""People annotated by hand: what is read from disk for the training of pose models."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePath
from typing import Any

import cv2
import numpy as np

from ... import SkelactError
from ...pose_extract.common.plain import build_config, shown
from ...pose_extract.layout import COCO_17
from ..config import shipped_corrections
from ..training.log import LOG
from ..yaml_file import read_yaml

# A box reaches beyond the annotated joints by this share of their longer side, at each side: what
# COCO's annotators show is .10 to .15 (median of 12 people).
BOX_MARGIN = 0.12
# What damaged archives, arrays and JSON, and values of other types, raise when they are read.
_FAULTS = (
    OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, EOFError,
    RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


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


def read_people(path: str | Path) -> AnnotatedPeople:
    """Read annotated people; those without usable joints are left out, and a warning says so.

    Args:
        path: Either a ``.npz`` with ``keypoints`` (N, 17, 2) in pixels, ``visible`` (N, 17) and
            ``files`` (N,) names or ``numbers`` (N,), for files called ``im00001.jpg``; the images
            lie in a ``.zip`` or a folder beside it, of the same name. Or a COCO-style ``.json``
            with 17 keypoints per person, whose ``file_name`` are relative to its folder, or to
            ``images/`` in it; crowds and categories other than ``person`` are not read.

    Returns:
        The people. Without ``numbers``, the people of one image share the image's position among
        ``images``, or in order of first appearance among ``files``, as their number.

    Raises:
        SkelactError: if it holds something else, or an image is missing.
    """
    path = Path(path)
    if path.is_dir():
        raise SkelactError(f"{path}: expected a file of annotated people, it is a folder")
    if not path.is_file():
        raise SkelactError(f"no file of annotated people at {path}")
    if path.suffix == ".npz":
        names, numbers, keypoints, visible = _read_npz(path)
        rows = _usable(path, keypoints, visible)
        images = _images_beside(path, [names[row] for row in rows])
    elif path.suffix == ".json":
        names, numbers, keypoints, visible = _read_coco(path)
        rows = _usable(path, keypoints, visible)
        inner = path.parent / "images"
        folder = inner if inner.is_dir() else path.parent
        images = _images_in(folder, [names[row] for row in rows])
    else:
        raise SkelactError(f"{path}: expected annotated people as .npz or COCO-style .json")
    names = [names[row] for row in rows]
    # Joints that are not annotated may hold anything; what comes after computes with them.
    keypoints = np.where(np.isfinite(keypoints), keypoints, np.float32(0.0))[rows]
    unknown = np.zeros(len(rows), bool)
    return AnnotatedPeople(images, names, numbers[rows], keypoints, visible[rows], unknown)


def _usable(path: Path, keypoints: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Return the rows of people with annotated joints, all of them finite; warn of the others."""
    empty = np.asarray(~visible.any(axis=1))
    broken = (visible & ~np.isfinite(keypoints).all(axis=2)).any(axis=1)
    left_out = (
        f"{int((empty | broken).sum())} of {len(empty)} people left out: {int(empty.sum())} "
        f"without annotated joints, {int(broken.sum())} with annotated joints that are not finite"
    )
    rows = np.flatnonzero(~empty & ~broken)
    if not len(rows):
        raise SkelactError(
            f"{path}: expected people with annotated joints, found none ({left_out})"
        )
    if len(rows) < len(empty):
        LOG.warning("%s: %s", path, left_out)
    return rows


# What is read of a file of people: names of their images, numbers, keypoints and visible.
_People = tuple[list[str], np.ndarray, np.ndarray, np.ndarray]


def _read_npz(path: Path) -> _People:
    try:
        with np.load(path, allow_pickle=False) as data, np.errstate(all="ignore"):
            keypoints = np.asarray(data["keypoints"], np.float32)
            visible = np.asarray(data["visible"], bool)
            count = len(keypoints)
            names = []
            if "files" in data:
                names = [n.decode() if isinstance(n, bytes) else str(n) for n in data["files"]]
            if "numbers" in data or "files" not in data:
                given = np.asarray(data["numbers"])
                numbers = given.astype(np.int64)
                if given.dtype.kind not in "iuf" or (numbers != given).any():
                    raise ValueError("numbers that are no whole numbers")
                names = names or [f"im{number:05d}.jpg" for number in numbers]
            else:
                places = {name: i for i, name in enumerate(dict.fromkeys(names))}
                numbers = np.array([places[name] for name in names], np.int64)
    except _FAULTS as error:
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
    return names, numbers, keypoints, visible


def _images_beside(path: Path, names: Sequence[str]) -> list[bytes]:
    archive, folder = path.with_suffix(".zip"), path.with_suffix("")
    if archive.is_file():
        try:
            files = zipfile.ZipFile(archive)
        except _FAULTS as error:
            if not folder.is_dir():
                raise SkelactError(f"{archive}: expected a zip of images, got {error}") from None
            LOG.warning("%s is no zip (%s): images are read from the folder", archive, error)
        else:
            with files:
                return _read_images(archive, names, files.read)
    return _images_in(folder, names)


def _images_in(folder: Path, names: Sequence[str]) -> list[bytes]:
    for name in names:
        if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
            raise SkelactError(f"{folder}: expected images inside the folder, got {shown(name)}")
    return _read_images(folder, names, lambda name: (folder / name).read_bytes())


def _read_images(place: Path, names: Sequence[str], read: Callable[[str], bytes]) -> list[bytes]:
    images: dict[str, bytes] = {}
    for name in names:
        try:
            images[name] = images[name] if name in images else read(name)
        except _FAULTS as error:
            raise SkelactError(
                f"{place}: the image {shown(name)} cannot be read: {error}"
            ) from None
    return [images[name] for name in names]


def _read_coco(path: Path) -> _People:
    length = 3 * COCO_17.num_keypoints
    try:
        values = json.loads(path.read_bytes())
        files = {image["id"]: (i, image["file_name"]) for i, image in enumerate(values["images"])}
        others = {c["id"] for c in values.get("categories") or [] if c["name"] != "person"}
        people: list[dict[str, Any]] = [
            person
            for person in values["annotations"]
            if not person.get("iscrowd") and person.get("category_id") not in others
        ]
        triples = [person.get("keypoints") or [0] * length for person in people]
        for person, triple in zip(people, triples, strict=True):
            where = f"{path}: annotation {shown(person.get('id'))}"
            if len(triple) != length:
                raise SkelactError(
                    f"{where}: expected {length} numbers, x, y and visibility of "
                    f"{COCO_17.num_keypoints} keypoints, got {len(triple)}"
                )
            if person["image_id"] not in files:
                raise SkelactError(
                    f"{where}: expected the id of one of the images, got image_id "
                    f"{shown(person['image_id'])}"
                )
        with np.errstate(over="ignore"):
            table = np.array(triples, np.float32).reshape(len(people), COCO_17.num_keypoints, 3)
        places = [files[person["image_id"]] for person in people]
        if not all(isinstance(name, str) for _, name in places):
            raise TypeError("a file_name that is no text")
    except _FAULTS as error:
        raise SkelactError(
            f"{path}: expected COCO keypoint annotations with {COCO_17.num_keypoints} keypoints "
            f"per person, got {error!r}"
        ) from None
    numbers = np.array([number for number, _ in places], np.int64)
    keypoints = np.ascontiguousarray(table[..., :2])
    return [name for _, name in places], numbers, keypoints, table[..., 2] > 0
