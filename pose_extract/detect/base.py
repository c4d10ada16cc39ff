"""Detect the people in each frame: the protocol of a detector, and the simple ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ... import SkelactError
from ..common.files import sha256_of
from ..common.safe_pickle import load_pickle
from ..decode.frames import FrameBatch


@dataclass(frozen=True, eq=False)
class Detections:
    """The people detected in one frame.

    Attributes:
        bboxes: (N, 4) float32, xyxy in pixels, inside the frame; best score first.
        scores: (N,) float32, in [0, 1].
    """

    bboxes: np.ndarray
    scores: np.ndarray

    @classmethod
    def clean(
        cls,
        bboxes: np.ndarray,
        scores: np.ndarray,
        img_shape: tuple[int, int],
        score_thr: float = 0.0,
        max_det: int | None = None,
    ) -> Detections:
        """Return boxes clipped to the frame, without narrow and low-scoring ones, best score first.

        Args:
            bboxes: (N, 4) xyxy in pixels.
            scores: (N,).
            img_shape: (height, width) of the frame in pixels.
            score_thr: Leave out boxes with a lower score; also left out are those that are narrower
                than a pixel inside the frame.
            max_det: At most this many boxes; None keeps all.
        """
        height, width = img_shape
        bboxes = np.asarray(bboxes, np.float32).reshape(-1, 4)
        scores = np.asarray(scores, np.float32).reshape(-1)
        bboxes = np.clip(bboxes, 0, np.array([width, height, width, height], np.float32))
        good = (bboxes[:, 2:] - bboxes[:, :2] >= 1).all(axis=1) & (scores >= score_thr)
        bboxes, scores = bboxes[good], scores[good]
        order = np.argsort(-scores, kind="stable")[:max_det]
        return cls(bboxes[order], scores[order])


class PersonDetector(Protocol):
    """What the chain asks of a detector; any object with these methods can be plugged in.

    One that fits any frame into a square may have an attribute ``input_side``, the square's side in
    pixels: larger frames come to it with their longer side that long already, from a bilinear
    ``cv2.resize``, so that they are made small once and not for each rotation.
    """

    def identity(self) -> dict[str, Any]:
        """Return all that shapes the boxes, JSON-able, without loading a network."""
        ...

    def load(self) -> None:
        """Load what is needed; called before the first clip, and free when called again."""
        ...

    def detect(self, batch: FrameBatch, clip_id: str) -> list[Detections]:
        """Return the people of each frame of the batch.

        Args:
            batch: Successive frames of a clip.
            clip_id: What the clip is called.
        """
        ...


class WholeFrame:
    """One person who fills the frame: for clips cut tightly around the athlete."""

    def identity(self) -> dict[str, Any]:
        """See :class:`PersonDetector`."""
        return {"name": "whole-frame"}

    def load(self) -> None:
        """Do nothing."""

    def detect(self, batch: FrameBatch, clip_id: str) -> list[Detections]:
        """Return the frame's outline for each frame."""
        height, width = batch.frames.shape[1:3]
        box = np.array([[0, 0, width, height]], np.float32)
        return [Detections(box, np.ones(1, np.float32)) for _ in batch.frames]


class BoxesFromFile:
    """Ground-truth boxes; frames for which the file has none are without people.

    Args:
        path: Either JSON, ``{clip: {frame: [[x1, y1, x2, y2, score?], ...]}}`` with frames counted
            from the file's start, or PYSKL's ``gym_gt_bboxes`` pickle, ``{clip: (T, 4) array}``,
            a box of zeros where the athlete is not seen. A clip is looked up by its id, then by its
            file name with and without suffix.

    Raises:
        SkelactError: if the file cannot be read or has another structure.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        data = self._read()
        if not isinstance(data, Mapping):
            raise SkelactError(f"{path}: expected a mapping of clips to boxes, got {type(data)}")
        self._clips = {str(name): self._frames(name, boxes) for name, boxes in data.items()}

    def _read(self) -> Any:
        if self._path.suffix.lower() in (".pkl", ".pickle"):
            return load_pickle(self._path)
        try:
            return json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise SkelactError(f"{self._path}: expected boxes as JSON, got {error}") from None

    def _frames(self, name: Any, boxes: Any) -> dict[int, np.ndarray]:
        try:
            if isinstance(boxes, Mapping):
                items = [(int(frame), found) for frame, found in boxes.items()]
            else:
                items = list(enumerate(boxes))
            frames = {}
            for frame, found in items:
                array = np.asarray(found, np.float32)
                array = array.reshape(-1, array.shape[-1] if array.size else 4)
                if array.shape[1] not in (4, 5):
                    raise ValueError(f"{array.shape[1]} numbers per box")
                frames[frame] = array
                corners = array[:, :4]
                is_box = (corners[:, 2:] > corners[:, :2]).all(axis=1)
                wrong = np.flatnonzero(~is_box & (corners != 0).any(axis=1))
                if len(wrong):
                    raise ValueError(
                        f"in frame {frame} {corners[wrong[0]].tolist()}, of which x2 is not right "
                        "of x1, or y2 not below y1 (boxes are corners, not sizes)"
                    )
        except (TypeError, ValueError, OverflowError) as error:
            raise SkelactError(
                f"{self._path}: clip {name!r}: expected boxes of 4 or 5 numbers per frame, got "
                f"{error}"
            ) from None
        return frames

    def identity(self) -> dict[str, Any]:
        """See :class:`PersonDetector`."""
        return {"name": "boxes", "sha256": sha256_of(self._path)}

    def load(self) -> None:
        """Do nothing."""

    def detect(self, batch: FrameBatch, clip_id: str) -> list[Detections]:
        """Return the file's boxes for each frame.

        Raises:
            SkelactError: if the file does not have the clip.
        """
        frames = self._clip(clip_id)
        shape: tuple[int, int] = batch.frames.shape[1:3]
        result = []
        for index in batch.frame_inds.tolist():
            found = frames.get(index, np.zeros((0, 4), np.float32))
            scores = found[:, 4] if found.shape[1] == 5 else np.ones(len(found), np.float32)
            result.append(Detections.clean(found[:, :4], scores, shape))
        return result

    def _clip(self, clip_id: str) -> dict[int, np.ndarray]:
        name = Path(clip_id.partition("@")[0]).name
        for key in (clip_id, clip_id.partition("@")[0], name, Path(name).stem):
            if key in self._clips:
                return self._clips[key]
        raise SkelactError(f"{self._path} has no boxes for clip {clip_id!r}")
