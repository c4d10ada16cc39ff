"""The curves of a report: somersault and twist as the counter sees them, and joint angles."""

from __future__ import annotations

import numpy as np

from ...pose_extract.skeleton import SkeletonSequence
from ..angles import ANGLES, angle_names, measure_angles
from ..elements.course import BodyCourse

# As in the overlay: what is measured of joints with a lower score is not shown.
_LEAST_SCORE = 0.3
_TURNS = {
    "somersault": "angle of the trunk, clockwise from upright and on over full turns; the camera's "
    "motion is taken out",
    "twist": "since the take-off of a flight",
}
_ZERO = {
    "straight": "0 where it is straight",
    "folded": "0 along the trunk, 180 overhead",
}


def curve_kinds() -> list[dict[str, str | None]]:
    """Return the curves, C of them, all in degrees: what they are called and how they are shown.

    ``key`` is their name; ``row``, the one or two that are shown together; ``side``, "left",
    "right" or None; ``title`` and ``note``, the row's title and what its angle is.
    """
    kinds = [_kind(name, name, None, note) for name, note in _TURNS.items()]
    for name in angle_names():
        side, _, joint = name.rpartition("_")
        if name in ANGLES:
            note = f"angle of the joint in the image, {_ZERO[ANGLES[name].zero]}"
        else:
            note = "angle of the trunk in the image, clockwise from upright"
        kinds.append(_kind(name, joint, side or None, note))
    return kinds


def _kind(key: str, row: str, side: str | None, note: str) -> dict[str, str | None]:
    return {"key": key, "row": row, "side": side, "title": row.capitalize(), "note": note}


def clip_curves(sequence: SkeletonSequence, courses: list[BodyCourse]) -> np.ndarray:
    """Return the curves (M, T, C) float32 of all people, degrees, NaN where not known.

    Args:
        sequence: The clip's people.
        courses: The course of each.
    """
    degrees, scores = measure_angles(sequence)
    shown = np.where(scores >= _LEAST_SCORE, degrees, np.nan)
    turns = [(course.trunk_degrees, course.twist_degrees) for course in courses]
    shape = (sequence.num_person, 2, sequence.num_frames)
    rotations = np.array(turns, np.float32).reshape(shape).transpose(0, 2, 1)
    return np.concatenate([rotations, shown], axis=2, dtype=np.float32)
