"""What errors a pose model makes: a table of measured shares, quantiles and correlations.

``benchmarks/pose_errors.py`` measures it on annotated people and writes ``pose_errors.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ... import SkelactError
from ...pose_extract.layout import COCO_17

TABLE_FILE = Path(__file__).with_name("pose_errors.json")

KINDS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
# Kind of each joint of COCO_17. No set of people in flight has labels of the face: its points are
# taken to have the errors of shoulders.
KIND = np.array([0] * 5 + [k for k in range(len(KINDS)) for _ in range(2)])
# Trunk, arms and legs: the groups in which what is rare is counted.
PARTS = ("trunk", "arms", "legs")
PART = np.array([0, 1, 1, 0, 2, 2])[KIND]
# Joints whose errors go together: face, trunk, and each arm and leg.
LIMB = np.array([0] * 5 + [1, 1, 2, 3, 2, 3, 1, 1, 4, 5, 4, 5])
# Upright, sideways, inverted: up to so many degrees of the trunk from head up.
TILT_BOUNDS = np.array([45.0, 135.0])
NUM_TILTS = len(TILT_BOUNDS) + 1
# Joints further than this from their place, in torsos, were taken for something else. Twice the
# distance of PCK@0.2: a head's width, more than limbs are wide.
WIDE_TORSOS = 0.4
# What a wide joint was put on: the other side's joint, another joint of the body, anything else.
TARGETS = ("mirror", "other", "off")
# Groups of joints whose left and right are exchanged together.
EXCHANGES = ("whole", "arms", "legs")
EXCHANGED_JOINTS = np.stack([
    np.ones(COCO_17.num_keypoints, bool), np.isin(KIND, (1, 2)), np.isin(KIND, (4, 5))
])  # fmt: skip
# Bounds in torsos of the errors that scores are counted by.
SCORE_BOUNDS = np.array([0.05, 0.1, 0.2, 0.4, 0.8])
# Quantiles are at equal steps from 0 to 1.
NUM_QUANTILES = 21
# Correlations over time are those of frames so far apart.
FRAMES_PER_SECOND = 25.0

_SHAPES = {
    "close": (NUM_TILTS, len(KINDS), NUM_QUANTILES),
    "wide": (NUM_TILTS, len(KINDS)),
    "moving_close": (NUM_TILTS, len(KINDS)),
    "moving_wide": (NUM_TILTS, len(KINDS)),
    "targets": (2, len(PARTS), len(TARGETS)),
    "other_joints": (2, len(PARTS), 2, len(KINDS)),
    "off_torsos": (len(PARTS), NUM_QUANTILES),
    "exchanged": (2, NUM_TILTS, len(EXCHANGES)),
    "scores": (2, len(PARTS), len(SCORE_BOUNDS) + 1, NUM_QUANTILES),
}
_SHARES = (
    "wide", "moving_wide", "targets", "other_joints", "exchanged", "scores", "lost", "other_person",
    "hidden_share", "body_correlation", "limb_correlation", "frame_correlation",
    "direction_correlation", "score_body_correlation", "score_frame_correlation",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class PoseErrorTable:
    """Errors of a pose model; lengths are in torsos, from mid-shoulder to mid-hip.

    Attributes:
        fitted_from: In words, from which people and which model.
        close: (3 tilts, 6 kinds, 21) float64 quantiles of errors up to ``WIDE_TORSOS``.
        wide: (3, 6) share of joints further off than that.
        moving_close: (3, 6) factor of ``close`` where the body rotates fast in a video.
        moving_wide: (3, 6) ``wide`` there.
        targets: (2, 3 parts, 3) what wide joints were put on; at rest and moving.
        other_joints: (2, 3, 2, 6) which other joint, on the same and on the other side.
        off_torsos: (3, 21) quantiles of the distance of wide joints that are on no joint.
        exchanged: (2, 3 tilts, 3) share of frames in which left and right of the whole body, the
            arms and the legs are exchanged; at rest and moving.
        scores: (2, 3 parts, 6, 21) quantiles of the score by error (``SCORE_BOUNDS``).
        lost: Share of frames without a skeleton.
        other_person: Share of frames with another person's.
        moving_speed: Angular speed of the trunk, radians per second, from which all frames are
            moving ones; below it a share in proportion.
        hidden_shift: How much larger the error of a hidden joint is, in standard deviations of
            its normal score.
        hidden_share: Share of joints that are hidden in the frames that this was measured in.
        body_correlation: Of the normal scores of the errors of two joints of a body.
        limb_correlation: What joints of one limb have more of it.
        frame_correlation: Of the error of a joint, as normal score, with that 1/25 s before: as
            wide joints stay wide.
        direction_correlation: The same of its direction.
        score_body_correlation: Of normal scores of two joints' scores given their errors.
        score_frame_correlation: The same of a joint 1/25 s before.
    """

    fitted_from: str
    close: np.ndarray
    wide: np.ndarray
    moving_close: np.ndarray
    moving_wide: np.ndarray
    targets: np.ndarray
    other_joints: np.ndarray
    off_torsos: np.ndarray
    exchanged: np.ndarray
    scores: np.ndarray
    lost: float
    other_person: float
    moving_speed: float
    hidden_shift: float
    hidden_share: float
    body_correlation: float
    limb_correlation: float
    frame_correlation: float
    direction_correlation: float
    score_body_correlation: float
    score_frame_correlation: float

    def __post_init__(self) -> None:
        for name, shape in _SHAPES.items():
            if (got := getattr(self, name).shape) != shape:
                raise SkelactError(f"errors of poses, {name}: expected shape {shape}, got {got}")
        for name in _SHARES:
            values = np.asarray(getattr(self, name))
            if not ((values >= 0) & (values <= 1)).all():
                raise SkelactError(f"errors of poses, {name}: expected 0 to 1")
        for name in ("close", "off_torsos", "scores"):
            if (np.diff(getattr(self, name), axis=-1) < 0).any():
                raise SkelactError(f"errors of poses, {name}: expected quantiles in order")
        if not self.moving_speed > 0:
            raise SkelactError(f"errors of poses, moving_speed: got {self.moving_speed}")
        if not self.body_correlation + self.limb_correlation <= 1:
            raise SkelactError("errors of poses: correlations of body and limb are above 1")

    def as_json(self) -> str:
        """Return the table as JSON, a field per line, numbers to four digits after the point."""
        lines = [f' "{name}": {json.dumps(_plain(value))}' for name, value in asdict(self).items()]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> PoseErrorTable:
        """Check what was read from JSON.

        Raises:
            SkelactError: if a field is missing, unknown or not what it should be.
        """
        names = [field.name for field in fields(PoseErrorTable)]
        if missing := sorted(set(names) ^ set(values)):
            raise SkelactError(f"errors of poses: missing or unknown {', '.join(missing)}")
        try:
            checked: dict[str, Any] = {
                name: np.array(value, float)
                if name in _SHAPES
                else (str if name == "fitted_from" else float)(value)
                for name, value in values.items()
            }
        except (TypeError, ValueError) as error:
            raise SkelactError(f"errors of poses: expected numbers: {error}") from error
        return PoseErrorTable(**checked)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return np.round(value, 4).tolist()
    return round(value, 4) if isinstance(value, float) else value


def read_table(path: Path = TABLE_FILE) -> PoseErrorTable:
    """Return a table from a file that ``benchmarks/pose_errors.py measure`` has written.

    Raises:
        SkelactError: if it cannot be read.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SkelactError(f"{path}: expected a table of pose errors: {error}") from error
    if not isinstance(values, dict):
        raise SkelactError(f"{path}: expected a table of pose errors, got {type(values).__name__}")
    return PoseErrorTable.from_json(values)


@lru_cache(maxsize=1)
def shipped_table() -> PoseErrorTable:
    """Return the table of the pose model that ships."""
    return read_table()
