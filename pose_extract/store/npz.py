"""The cache of skeleton sequences: one ``.npz`` per clip, the border to everything after it.

An entry is valid while the video's content and everything that shaped the skeletons are what they
were; both stand in the entry's ``config`` field as JSON. Nothing is pickled, and a write is whole
or absent.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ... import SkelactError
from ..common.files import atomic_write
from ..skeleton import SkeletonSequence

FORMAT_VERSION = 1


class CacheError(SkelactError):
    """A cache entry that cannot be read."""


def cache_path(root: Path, clip_id: str) -> Path:
    """Return where the entry of a clip lies: its relative path under ``root``, plus ``.npz``.

    The video's own suffix stays, so that ``a.mp4`` and ``a.avi`` are two entries.
    """
    return root / f"{clip_id}.npz"


def save_sequence(path: Path, sequence: SkeletonSequence, config: dict[str, Any]) -> None:
    """Write one entry, whole or not at all; equal input gives equal bytes.

    Args:
        path: Target, ending in ``.npz``; missing folders are made.
        sequence: The skeletons.
        config: JSON-able; everything that shaped the skeletons, compared by :func:`read_config`.
    """
    with atomic_write(path) as temporary:
        np.savez_compressed(
            temporary,
            keypoints=sequence.keypoints,
            keypoint_scores=sequence.keypoint_scores,
            bboxes=sequence.bboxes,
            track_ids=sequence.track_ids,
            frame_inds=sequence.frame_inds,
            img_shape=np.array(sequence.img_shape, dtype=np.int64),
            fps=np.array([sequence.fps.numerator, sequence.fps.denominator], dtype=np.int64),
            layout=np.array(sequence.layout),
            video_id=np.array(sequence.video_id),
            format_version=np.array(FORMAT_VERSION, dtype=np.int64),
            config=np.array(json.dumps(config, sort_keys=True)),
        )


@contextmanager
def _open_entry(path: Path) -> Iterator[Any]:
    try:
        with np.load(path, allow_pickle=False) as entry:
            version = int(entry["format_version"])
            if version != FORMAT_VERSION:
                raise CacheError(
                    f"{path}: expected format_version {FORMAT_VERSION}, got {version}; "
                    "extract the video again with this version of skelact"
                )
            yield entry
    except FileNotFoundError:
        raise CacheError(f"no skeleton file at {path}; run `skelact extract` first") from None
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, EOFError) as error:
        raise CacheError(
            f"{path}: expected a skeleton file written by `skelact extract`, got {error}; "
            "delete it and extract the video again"
        ) from error


def load_sequence(path: Path) -> SkeletonSequence:
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
        )


def read_config(path: Path) -> dict[str, Any] | None:
    """Return the config an entry was written with, or None where there is no readable entry."""
    try:
        with _open_entry(path) as entry:
            config: dict[str, Any] = json.loads(str(entry["config"]))
            return config
    except CacheError:
        return None
