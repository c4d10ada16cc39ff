"""Labelled frames: frames with people on whose poses the teachers agree, the training set.

A set is a folder of ``.npz`` files, one per video or group of images. Frames are stored as JPEG, so
that thousands of them fit in tens of megabytes. Nothing is pickled.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ... import SkelactError
from ...pose_extract.common.files import atomic_write

TEACHERS_FILE = "teachers.json"
# Set by hand for files of that size; no benchmark chose it.
_JPEG_QUALITY = 84


@dataclass(frozen=True, eq=False)
class LabelledFrames:
    """Frames, the people in them, and boxes that are neither person nor background.

    Attributes:
        jpegs: Concatenated JPEG files, uint8.
        jpeg_ends: (F,) int64, where each file ends.
        names: (F,) origin of each frame: "path#frame number", or the path of an image.
        person_frames: (P,) int64, frame of each person.
        bboxes: (P, 4) float32 xyxy, pixels of the stored frame.
        keypoints: (P, 17, 2) float32, pixels of the stored frame, x then y.
        peaks: (P, 17) float32, heatmap peaks of the teachers, their keypoint scores from 0 to 1;
            0 where no teacher sees a keypoint.
        weights: (P, 17) float32, 0 where the teachers disagree, else 1.
        ignored_frames: (K,) int64, frame of each box that may hold a person.
        ignored: (K, 4) float32 xyxy, pixels of the stored frame.
    """

    jpegs: np.ndarray
    jpeg_ends: np.ndarray
    names: np.ndarray
    person_frames: np.ndarray
    bboxes: np.ndarray
    keypoints: np.ndarray
    peaks: np.ndarray
    weights: np.ndarray
    ignored_frames: np.ndarray
    ignored: np.ndarray

    def __len__(self) -> int:
        return len(self.jpeg_ends)

    def frame(self, index: int) -> np.ndarray:
        """Return a frame (H, W, 3) uint8 RGB."""
        start = self.jpeg_ends[index - 1] if index else 0
        image = cv2.imdecode(self.jpegs[start : self.jpeg_ends[index]], cv2.IMREAD_COLOR)
        assert image is not None  # it was written by LabelBuilder
        return np.ascontiguousarray(image[..., ::-1])

    def save(self, path: str | Path) -> None:
        """Write one ``.npz`` file, whole or not at all."""
        with atomic_write(Path(path)) as temporary:
            np.savez(temporary, **{f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, source: str | Path) -> LabelledFrames:
        """Read a file, or all files of a folder as one set.

        Raises:
            SkelactError: if there is none, or one does not hold labelled frames.
        """
        source = Path(source)
        paths = sorted(source.glob("**/*.npz")) if source.is_dir() else [source]
        paths = [path for path in paths if not path.name.startswith(".")]
        if not paths:
            raise SkelactError(
                f"{source}: no labelled frames; make them with `skelact distill label`"
            )
        return cls.concatenate([cls._load_file(path) for path in paths])

    @classmethod
    def _load_file(cls, path: Path) -> LabelledFrames:
        try:
            with np.load(path, allow_pickle=False) as data:
                return cls(**{f.name: data[f.name] for f in fields(cls)})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise SkelactError(
                f"{path}: expected labelled frames written by `skelact distill label`, got {error}"
            ) from None

    @classmethod
    def concatenate(cls, parts: Sequence[LabelledFrames]) -> LabelledFrames:
        """Return all parts as one set."""
        frames = np.cumsum([0, *(len(part) for part in parts)])
        sizes = np.cumsum([0, *(len(part.jpegs) for part in parts)])
        shifted = {
            "jpeg_ends": [part.jpeg_ends + size for part, size in zip(parts, sizes)],
            "person_frames": [part.person_frames + first for part, first in zip(parts, frames)],
            "ignored_frames": [part.ignored_frames + first for part, first in zip(parts, frames)],
        }
        return cls(
            **{
                f.name: np.concatenate(
                    shifted.get(f.name) or [getattr(part, f.name) for part in parts]
                )
                for f in fields(cls)
            }
        )


def read_teachers(folder: str | Path) -> dict[str, Any] | None:
    """Return the record of the teachers that labelled a folder; None where there is no record.

    Raises:
        SkelactError: if the record cannot be read.
    """
    path = Path(folder) / TEACHERS_FILE
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise SkelactError(
            f"{path}: expected what `skelact distill label` wrote, got {error}"
        ) from None


class LabelBuilder:
    """Collects frames and people into a :class:`LabelledFrames`.

    Args:
        max_side: Frames whose longer side exceeds this many pixels are downscaled to it.
    """

    def __init__(self, max_side: int) -> None:
        self._max_side = max_side
        self._jpegs: list[np.ndarray] = []
        self._names: list[str] = []
        self._people: list[tuple[np.ndarray, ...]] = []
        self._ignored: list[tuple[int, np.ndarray]] = []

    def add(
        self,
        name: str,
        frame: np.ndarray,
        people: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]],
        ignored: np.ndarray,
    ) -> None:
        """Add a frame.

        Args:
            name: Origin of the frame, see ``LabelledFrames.names``.
            frame: (H, W, 3) uint8 RGB.
            people: Per person the box (4,) xyxy, keypoints (17, 2), peaks (17,) and weights (17,),
                as in ``LabelledFrames`` but in pixels of ``frame``.
            ignored: (K, 4) xyxy boxes that may hold a person, pixels of ``frame``.
        """
        factor = min(1.0, self._max_side / max(frame.shape[:2]))
        if factor < 1:
            frame = cv2.resize(frame, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        _, jpeg = cv2.imencode(
            ".jpg",
            np.ascontiguousarray(frame[..., ::-1]),
            [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY],
        )
        index = len(self._jpegs)
        self._jpegs.append(jpeg.reshape(-1))
        self._names.append(name)
        for box, keypoints, peaks, weights in people:
            self._people.append(
                (np.int64(index), box * factor, keypoints * factor, peaks, weights)  # type: ignore[arg-type]
            )
        self._ignored += [(index, box * factor) for box in ignored]

    def build(self) -> LabelledFrames:
        """Return all added frames."""
        frames, bboxes, keypoints, peaks, weights = (
            [np.asarray(person[i]) for person in self._people] for i in range(5)
        )
        return LabelledFrames(
            jpegs=np.concatenate([np.zeros(0, np.uint8), *self._jpegs]),
            jpeg_ends=np.cumsum([len(jpeg) for jpeg in self._jpegs], dtype=np.int64),
            names=np.array(self._names, dtype=np.str_),
            person_frames=np.array(frames, np.int64),
            bboxes=np.array(bboxes, np.float32).reshape(-1, 4),
            keypoints=np.array(keypoints, np.float32).reshape(-1, 17, 2),
            peaks=np.array(peaks, np.float32).reshape(-1, 17),
            weights=np.array(weights, np.float32).reshape(-1, 17),
            ignored_frames=np.array([index for index, _ in self._ignored], np.int64),
            ignored=np.array([box for _, box in self._ignored], np.float32).reshape(-1, 4),
        )
