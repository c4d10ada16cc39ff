"""The cache of skeleton sequences: one ``.npz`` per clip, the border to everything after it.

An entry is valid while the video's content and everything that shaped the skeletons are what they
were; both stand in the entry's ``config`` field as JSON, and :func:`why_stale` tells what changed.
Nothing is pickled, and a write is whole or absent.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ... import SkelactError
from ..common.files import atomic_write
from ..common.plain import MAX_TEXT_BYTES, changes, parse_json
from ..common.text import one_line
from ..skeleton import SkeletonSequence

# 2: presentation times, and keypoints in square pixels with the pixel aspect.
FORMAT_VERSION = 2

# The directory of an entry takes about 1 KiB: twelve names with their places and checksums.
_DIGEST_BYTES = 4096

# The arrays of an entry: type and number of axes; "U" is text.
_FIELDS = {
    "keypoints": ("f4", 4),
    "keypoint_scores": ("f4", 3),
    "bboxes": ("f4", 3),
    "track_ids": ("i8", 1),
    "frame_inds": ("i8", 1),
    "img_shape": ("i8", 1),
    "fps": ("i8", 1),
    "pts_seconds": ("f8", 1),
    "pixel_aspect": ("i8", 1),
    "layout": ("U", 0),
    "video_id": ("U", 0),
    "format_version": ("i8", 0),
    "config": ("U", 0),
}
# What a file may announce before its arrays are read. A frame of 16 people takes 3.5 kB: 4 GiB are
# more than ten hours of them at 30 fps. Frames have sides of at most 2^15 pixels in all codecs that
# decord and PyAV read, but for those of still images.
_MAX_BYTES = 4 << 30
_MAX_SIDE = 1 << 15
# The settings of a run take some kilobytes; numpy's text has four bytes per letter.
_MAX_TEXT_BYTES = 4 * MAX_TEXT_BYTES
# numpy writes headers of 118 bytes for such arrays.
_MAX_HEADER_BYTES = 1000

# How many of the settings that changed :func:`why_stale` names.
_MAX_CHANGES = 2


class CacheError(SkelactError):
    """A cache entry that cannot be read."""


class FormatVersionError(CacheError):
    """A cache entry that another version of skelact wrote.

    Attributes:
        version: The entry's format version.
    """

    def __init__(self, path: Path, version: int) -> None:
        super().__init__(
            f"{path}: expected format_version {FORMAT_VERSION}, got {version}; "
            "extract the video again with this version of skelact"
        )
        self.version = version


def cache_path(root: str | Path, clip_id: str) -> Path:
    """Return where the entry of a clip lies: its relative path under ``root``, plus ``.npz``.

    The video's own suffix stays, so that ``a.mp4`` and ``a.avi`` are two entries.
    """
    return Path(root) / f"{clip_id}.npz"


def save_sequence(path: str | Path, sequence: SkeletonSequence, config: dict[str, Any]) -> None:
    """Write one entry, whole or not at all; equal input gives equal bytes.

    Args:
        path: Target, ending in ``.npz``; missing folders are made.
        sequence: The skeletons.
        config: JSON-able; everything that shaped the skeletons, compared by :func:`why_stale`.
    """
    # In memory first: a disk that is full then is one plain OSError, not what an archive makes of
    # it. An entry holds some 220 bytes per person and frame.
    archive = io.BytesIO()
    np.savez_compressed(
        archive,
        keypoints=sequence.keypoints,
        keypoint_scores=sequence.keypoint_scores,
        bboxes=sequence.bboxes,
        track_ids=sequence.track_ids,
        frame_inds=sequence.frame_inds,
        img_shape=np.array(sequence.img_shape, dtype=np.int64),
        fps=np.array(sequence.fps.as_integer_ratio(), dtype=np.int64),
        pts_seconds=sequence.pts_seconds,
        pixel_aspect=np.array(sequence.pixel_aspect.as_integer_ratio(), dtype=np.int64),
        layout=np.array(sequence.layout),
        video_id=np.array(sequence.video_id),
        format_version=np.array(FORMAT_VERSION, dtype=np.int64),
        config=np.array(json.dumps(config, sort_keys=True)),
    )
    with atomic_write(path) as temporary:
        temporary.write_bytes(archive.getbuffer())


def entry_digest(path: str | Path) -> str | None:
    """Return the size and the hash of the end of an entry; None where there is no file.

    The archive's directory, with the checksums of all arrays, lies in its last bytes: an entry that
    was cut off or exchanged is told by it without being read whole.
    """
    try:
        if not Path(path).is_file():
            return None  # a pipe would never end
        with Path(path).open("rb") as stream:
            num_bytes = stream.seek(0, os.SEEK_END)
            stream.seek(-min(num_bytes, _DIGEST_BYTES), os.SEEK_END)
            tail = stream.read()
    except (OSError, ValueError):  # ValueError: a name that holds a NUL
        return None
    return f"{num_bytes}-{hashlib.sha256(tail).hexdigest()[:16]}"


class _Entry:
    """The arrays of an entry, read one by one; sizes are checked before memory is taken."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def check_shapes(self) -> None:
        """Check that the arrays fit each other, from their headers alone.

        Raises:
            ValueError: if one has another type or size.
        """
        shapes = {name: self._read_shape(name) for name in _FIELDS}
        people, steps, num_keypoints = shapes["keypoints"][:3]
        for name, expected in {
            "keypoints": (people, steps, num_keypoints, 2),
            "keypoint_scores": (people, steps, num_keypoints),
            "bboxes": (people, steps, 4),
            "track_ids": (people,),
            "frame_inds": (steps,),
            "pts_seconds": (steps,),
            "img_shape": (2,),
            "fps": (2,),
            "pixel_aspect": (2,),
        }.items():
            if shapes[name] != expected:
                raise ValueError(f"{name} of shape {shapes[name]}, not {expected}")
        num_bytes = sum(self._archive.getinfo(f"{name}.npy").file_size for name in _FIELDS)
        if num_bytes > _MAX_BYTES:
            raise ValueError(f"arrays of {num_bytes} bytes, above {_MAX_BYTES}")

    def _read_shape(self, name: str) -> tuple[int, ...]:
        kind, num_axes = _FIELDS[name]
        with self._archive.open(f"{name}.npy") as stream:
            if np.lib.format.read_magic(stream) != (1, 0):
                raise ValueError(f"{name}: another version of numpy's format")
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream, _MAX_HEADER_BYTES)
            header_bytes = stream.tell()
        is_right = dtype.kind == "U" if kind == "U" else dtype == np.dtype(kind)
        if not is_right or len(shape) != num_axes or any(size < 0 for size in shape):
            raise ValueError(f"{name}: an array of {dtype} {shape}")
        announced = self._archive.getinfo(f"{name}.npy").file_size
        too_long = kind == "U" and announced > _MAX_TEXT_BYTES
        if too_long or announced != header_bytes + math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{name}: {announced} bytes for {dtype} {shape}")
        return tuple(shape)

    def __getitem__(self, name: str) -> np.ndarray:
        self._read_shape(name)
        with self._archive.open(f"{name}.npy") as stream:
            array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
        return array

    def text(self, name: str) -> str:
        return str(self[name])

    def fraction(self, name: str) -> Fraction:
        numerator, denominator = self[name].tolist()
        return Fraction(numerator, denominator)


@contextmanager
def _open_entry(path: str | Path) -> Iterator[_Entry]:
    try:
        with zipfile.ZipFile(path) as archive:
            entry = _Entry(archive)
            version = int(entry["format_version"])
            if version != FORMAT_VERSION:
                raise FormatVersionError(Path(path), version)
            yield entry
    except FileNotFoundError:
        raise CacheError(f"no skeleton file at {path}; run `skelact extract` first") from None
    except CacheError:
        raise
    # Damaged bytes raise what they meet first: errors of zipfile, zlib, lzma, numpy's tokeniser,
    # or of the checks of SkeletonSequence.
    except Exception as error:
        raise CacheError(
            f"{path}: expected a skeleton file written by `skelact extract`, got "
            f"{one_line(error) or type(error).__name__}; delete it and extract the video again"
        ) from error


def load_sequence(path: str | Path) -> SkeletonSequence:
    """Read one entry.

    Raises:
        CacheError: if the file is missing, damaged or of another format version.
    """
    with _open_entry(path) as entry:
        entry.check_shapes()
        height, width = entry["img_shape"].tolist()
        if not (0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
            raise ValueError(f"img_shape: frames of {height}x{width} pixels")
        return SkeletonSequence(
            keypoints=entry["keypoints"],
            keypoint_scores=entry["keypoint_scores"],
            bboxes=entry["bboxes"],
            track_ids=entry["track_ids"],
            frame_inds=entry["frame_inds"],
            img_shape=(height, width),
            fps=entry.fraction("fps"),
            layout=entry.text("layout"),
            video_id=entry.text("video_id"),
            pts_seconds=entry["pts_seconds"],
            pixel_aspect=entry.fraction("pixel_aspect"),
        )


def read_config(path: str | Path) -> dict[str, Any] | None:
    """Return the config an entry was written with, or None where there is no readable entry."""
    try:
        return _load_config(path)
    except CacheError:
        return None


def why_stale(path: str | Path, expected_config: Mapping[str, Any]) -> str | None:
    """Return in a few words why an entry has to be made again, or None where it is valid.

    Args:
        path: The entry.
        expected_config: JSON-able; what the entry would be written with now. Keys at the top level
            of the entry's config that are not expected are results, and not compared.

    Returns:
        "missing", "damaged", "made by format version 0", "made from another version of the video",
        or "made with other settings: detector.name was 'a', is now 'b'".
    """
    try:
        config = _load_config(path)
    except FormatVersionError as error:
        return f"made by format version {error.version}"
    except CacheError:
        return "damaged" if Path(path).exists() else "missing"
    # As it would come back from the file: tuples are lists there, and keys are strings.
    expected: dict[str, Any] = json.loads(json.dumps(expected_config))
    known = {name: value for name, value in config.items() if name in expected}
    named_changes = [
        # The settings are what a reader knows; where they stand in the config is not.
        change.removeprefix("extraction.")
        for change in changes(known, expected)
    ]
    if not named_changes:
        return None
    if any(change.startswith("video_sha256 ") for change in named_changes):
        return "made from another version of the video"
    more = len(named_changes) - _MAX_CHANGES
    named = "; ".join(named_changes[:_MAX_CHANGES]) + (f"; and {more} more" if more > 0 else "")
    return f"made with other settings: {named}"


def _load_config(path: str | Path) -> dict[str, Any]:
    with _open_entry(path) as entry:
        return parse_json(entry.text("config"), "config")
