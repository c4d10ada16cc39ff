"""Clips of one person seen twice: as a pose model sees them, and as they are.

A file of pairs is an ``.npz`` without pickles. All frames of all clips lie one after another.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ... import SkelactError
from ...pose_extract.common.files import atomic_write
from ...pose_extract.common.text import one_line

# Shape behind the number of frames, and dtype, of each array; the last two have a row per clip.
_ARRAYS: dict[str, tuple[tuple[int, ...], str]] = {
    "keypoints": ((17, 2), "float32"),
    "scores": ((17,), "float32"),
    "exact": ((17, 2), "float32"),
    "shown": ((17,), "bool"),
    "depth": ((17,), "float32"),
    "phase": ((), "int8"),
    "lengths": ((), "int64"),
    "img_shapes": ((2,), "int64"),
}
_PER_CLIP = ("lengths", "img_shapes")
_NUM_PHASES = 4


@dataclass(frozen=True, eq=False)
class ClipPairs:
    """N clips with F frames in all, COCO-17.

    Attributes:
        keypoints: (F, 17, 2) float32 pixels, with the errors of a pose model.
        scores: (F, 17) float32, 0 where a joint is missing.
        exact: (F, 17, 2) float32 pixels.
        shown: (F, 17) bool, exact joints that are in the image.
        depth: (F, 17) float32 metres behind the middle of the hips.
        phase: (F,) int8: 0 other, 1 on the board or apparatus, 2 flight, 3 entry or landing.
        lengths: (N,) int64 frames of each clip.
        img_shapes: (N, 2) int64 height and width.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    exact: np.ndarray
    shown: np.ndarray
    depth: np.ndarray
    phase: np.ndarray
    lengths: np.ndarray
    img_shapes: np.ndarray

    def __post_init__(self) -> None:
        counts = {"frames": len(self.keypoints), "clips": len(self.lengths)}
        for name, (shape, dtype) in _ARRAYS.items():
            values: np.ndarray = getattr(self, name)
            rows = counts["clips" if name in _PER_CLIP else "frames"]
            if values.shape != (rows, *shape) or values.dtype != dtype:
                raise ValueError(
                    f"{name}: expected {dtype} {(rows, *shape)}, got {values.dtype} {values.shape}"
                )
            if not np.isfinite(values).all():
                raise ValueError(f"{name}: expected finite numbers")
        if (
            not len(self.lengths)
            or self.lengths.min() < 1
            or self.lengths.sum() != len(self.scores)
        ):
            raise ValueError(f"lengths: expected those of {len(self.scores)} frames")
        if not 0 <= self.phase.min() <= self.phase.max() < _NUM_PHASES:
            raise ValueError(f"phase: expected 0 to {_NUM_PHASES - 1}")

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""
        with atomic_write(Path(path)) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **vars(self))

    @classmethod
    def load(cls, path: str | Path) -> ClipPairs:
        """Read a file of pairs.

        Raises:
            SkelactError: if it is missing or holds something else.
        """
        try:
            with np.load(path, allow_pickle=False) as found:
                return cls(**{field.name: found[field.name] for field in fields(cls)})
        except FileNotFoundError:
            raise SkelactError(
                f"no file of pairs at {path}; `skelact synth pairs --out {path}` makes one"
            ) from None
        except Exception as error:  # damaged files raise errors of many kinds
            raise SkelactError(
                f"{path}: expected a file of `skelact synth pairs`, got: {one_line(error)}"
            ) from None
