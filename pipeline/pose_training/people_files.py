"""Files of people annotated by hand: NumPy archives and COCO-style JSON, with their images."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from ... import SkelactError
from ...pose_extract.common.plain import shown
from ...pose_extract.layout import COCO_17
from ..training.log import LOG
from .people import AnnotatedPeople

# What damaged archives, arrays and JSON, and values of other types, raise when they are read.
_FAULTS = (
    OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, EOFError,
    RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def read_people(path: str | Path) -> AnnotatedPeople:
    """Read annotated people; those without usable joints are left out, and a warning says so.

    Args:
        path: Either a ``.npz`` with ``keypoints`` (N, 17, 2) in pixels, ``visible`` (N, 17) and
            ``files`` (N,) names or ``numbers`` (N,), for files called ``im00001.jpg``; the images
            lie in a ``.zip`` or a folder beside it, of the same name. Or a COCO-style ``.json``
            with 17 keypoints per person, whose ``file_name`` are relative to its folder, or to
            ``images/`` in it; crowds and categories other than ``person`` are not read.

    Returns:
        The people; crowds and other categories are passed over, and a warning says so. Without
        ``numbers``, the people of one image share the image's position among
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


def _flags(visible: np.ndarray) -> np.ndarray:
    """Return flags as bool; scores or other numbers are no flags."""
    if not np.isin(visible, (0, 1)).all():
        wrong = visible[~np.isin(visible, (0, 1))].flat[0]
        raise ValueError(f"{wrong} in visible, which is to be False or True (or 0 or 1)")
    return visible.astype(bool)


def _read_npz(path: Path) -> _People:
    if not zipfile.is_zipfile(path):
        size = path.stat().st_size
        raise SkelactError(
            f"{path}: expected an archive of numpy.savez, got "
            f"{'an empty file' if not size else f'{size} bytes of something else'}"
        )
    try:
        with np.load(path, allow_pickle=False) as data, np.errstate(all="ignore"):
            keypoints = np.asarray(data["keypoints"], np.float32)
            visible = _flags(data["visible"])
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
        problem = str(error)
        if "Object arrays" in problem:
            problem = "an array of Python objects; save names as numpy.array(names, dtype=str)"
        raise SkelactError(
            f"{path}: expected keypoints, visible and files or numbers, got {problem}"
        ) from None
    expected = (count, COCO_17.num_keypoints)
    shapes = (keypoints.shape, visible.shape, numbers.shape, (len(names),))
    if shapes != ((*expected, 2), expected, (count,), (count,)):
        raise SkelactError(
            f"{path}: expected keypoints {(*expected, 2)}, visible {expected} and {count} files or "
            f"numbers, got keypoints {shapes[0]}, visible {shapes[1]}, "
            f"{min(len(names), len(numbers))} files or numbers"
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
    if not folder.is_dir():
        raise SkelactError(f"{path}: expected its images in {archive.name} or {folder.name}/")
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
            is_missing = isinstance(error, (FileNotFoundError, KeyError))
            problem = "it is not there" if is_missing else str(error)
            raise SkelactError(
                f"{place}: the image {shown(name)} cannot be read: {problem}"
            ) from None
    return [images[name] for name in names]


def _reason(error: Exception) -> str:
    """Say in words why JSON holds something else."""
    if isinstance(error, json.JSONDecodeError):
        return "an empty file" if not error.doc.strip() else f"no JSON: {error}"
    if isinstance(error, KeyError):
        return f"no {error.args[0]!r}"
    if isinstance(error, ValueError):
        return str(error)
    return f"values of other types ({error})"


def _read_coco(path: Path) -> _People:
    length = 3 * COCO_17.num_keypoints
    try:
        values = json.loads(path.read_bytes())
        files = {image["id"]: (i, image["file_name"]) for i, image in enumerate(values["images"])}
        others = {c["id"] for c in values.get("categories") or [] if c["name"] != "person"}
        everyone: list[dict[str, Any]] = values["annotations"]
        people = [
            person
            for person in everyone
            if not person.get("iscrowd") and person.get("category_id") not in others
        ]
        if len(people) < len(everyone):
            LOG.warning(
                "%s: %d of %d annotations passed over: crowds, and other categories than person",
                path,
                len(everyone) - len(people),
                len(everyone),
            )
        if people and not any("keypoints" in person for person in people):
            raise ValueError("no annotation with keypoints")
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
        if not np.isin(table[..., 2], (0, 1, 2)).all():
            wrong = table[..., 2][~np.isin(table[..., 2], (0, 1, 2))].flat[0]
            raise ValueError(f"a visibility of {wrong:g}, which is to be 0, 1 or 2")
        places = [files[person["image_id"]] for person in people]
        if not all(isinstance(name, str) for _, name in places):
            raise TypeError("a file_name that is no text")
    except _FAULTS as error:
        raise SkelactError(
            f"{path}: expected COCO keypoint annotations with {COCO_17.num_keypoints} keypoints "
            f"per person, got {_reason(error)}"
        ) from None
    numbers = np.array([number for number, _ in places], np.int64)
    keypoints = np.ascontiguousarray(table[..., :2])
    return [name for _, name in places], numbers, keypoints, table[..., 2] > 0
