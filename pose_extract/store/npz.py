"""The cache of skeleton sequences: one ``.npz`` per clip, the border to everything after it.

An entry is valid while the video's content and everything that shaped the skeletons are what they
were; both stand in the entry's ``config`` field as JSON, and :func:`why_stale` tells what changed.
Nothing is pickled, and a write is whole or absent.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ... import SkelactError
from ..common.files import atomic_write
from ..skeleton import SkeletonSequence

# 2: presentation times, and keypoints in square pixels with the pixel aspect.
FORMAT_VERSION = 2

# The directory of an entry takes about 1 KiB: twelve names with their places and checksums.
_DIGEST_BYTES = 4096

# How much of a value :func:`why_stale` prints, and how many of the settings that changed.
_MAX_VALUE_CHARS = 40
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
        with Path(path).open("rb") as stream:
            num_bytes = stream.seek(0, os.SEEK_END)
            stream.seek(-min(num_bytes, _DIGEST_BYTES), os.SEEK_END)
            tail = stream.read()
    except (OSError, ValueError):  # ValueError: a name that holds a NUL
        return None
    return f"{num_bytes}-{hashlib.sha256(tail).hexdigest()[:16]}"


@contextmanager
def _open_entry(path: str | Path) -> Iterator[Any]:
    try:
        with np.load(path, allow_pickle=False) as entry:
            version = int(entry["format_version"])
            if version != FORMAT_VERSION:
                raise FormatVersionError(Path(path), version)
            yield entry
    except FileNotFoundError:
        raise CacheError(f"no skeleton file at {path}; run `skelact extract` first") from None
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, OSError, EOFError) as error:
        raise CacheError(
            f"{path}: expected a skeleton file written by `skelact extract`, got {error}; "
            "delete it and extract the video again"
        ) from error


def load_sequence(path: str | Path) -> SkeletonSequence:
    """Read one entry.

    Raises:
        CacheError: if the file is missing, damaged or of another format version.
    """
    with _open_entry(path) as entry:
        numerator, denominator = entry["fps"].tolist()
        height, width = entry["img_shape"].tolist()
        return SkeletonSequence(
            keypoints=entry["keypoints"],
            keypoint_scores=entry["keypoint_scores"],
            bboxes=entry["bboxes"],
            track_ids=entry["track_ids"],
            frame_inds=entry["frame_inds"],
            img_shape=(height, width),
            fps=Fraction(numerator, denominator),
            layout=str(entry["layout"]),
            video_id=str(entry["video_id"]),
            pts_seconds=entry["pts_seconds"],
            pixel_aspect=Fraction(*entry["pixel_aspect"].tolist()),
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
    changes = [
        # The settings are what a reader knows; where they stand in the config is not.
        change.removeprefix("extraction.")
        for change in _changes(known, expected)
    ]
    if not changes:
        return None
    if any(change.startswith("video_sha256 ") for change in changes):
        return "made from another version of the video"
    more = len(changes) - _MAX_CHANGES
    named = "; ".join(changes[:_MAX_CHANGES]) + (f"; and {more} more" if more > 0 else "")
    return f"made with other settings: {named}"


def _load_config(path: str | Path) -> dict[str, Any]:
    with _open_entry(path) as entry:
        config = json.loads(str(entry["config"]))
        if not isinstance(config, dict):
            raise ValueError(f"a config of type {type(config).__name__}")
        return config


def _changes(before: Any, now: Any, name: str = "") -> Iterator[str]:
    """Yield a few words per value in which two nested dictionaries differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*now, *(key for key in before if key not in now)]:
            inner = f"{name}.{key}" if name else key
            if key not in before:
                yield f"{inner} is new"
            elif key not in now:
                yield f"{inner} is gone"
            else:
                yield from _changes(before[key], now[key], inner)
    elif before != now:
        yield f"{name} was {_short(before)}, is now {_short(now)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_VALUE_CHARS else f"{text[: _MAX_VALUE_CHARS - 3]}..."
