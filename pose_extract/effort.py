"""The efforts: how much of the one chain from clip to skeletons is done, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Effort = Literal["fast", "balanced", "thorough"]


@dataclass(frozen=True)
class EffortConfig:
    """What an effort changes in the chain; everything else is the same for all of them.

    The numbers of "balanced" and "thorough" were chosen with ``benchmarks/athlete.py`` and
    ``benchmarks/rotation.py``; their figures stand in docs/design.md.

    Attributes:
        rotations: Rotations of the frame, in degrees counter-clockwise, at which the detector
            looks for people; multiples of 90.
        detector_scales: Sizes of the detector's input, over its own.
        candidates_per_second: Candidates are detected in about as many frames a second; boxes of
            the frames in between are interpolated.
        detector_view_thr: A frame's further views are not looked at where the first one has a box
            of what moves most with at least this score. Infinity looks at all.
        views_per_second: Rotated crops of a person are tried in about as many frames a second; in
            the frames in between one crop along the body's last axis is taken.
        athlete_view_thr: A crop of the athlete is accepted if its mean keypoint score is at least
            this; below it crops rotated by quarters are tried. 0 takes the first one, infinity
            tries all.
        others_view_thr: The same for the people after the athlete.
    """

    rotations: tuple[int, ...]
    detector_scales: tuple[float, ...]
    candidates_per_second: float
    detector_view_thr: float
    views_per_second: float
    athlete_view_thr: float
    others_view_thr: float


_ALL = (0, 90, 180, 270)
_EVERY = float("inf")

EFFORTS: dict[Effort, EffortConfig] = {
    "fast": EffortConfig((0,), (1.0,), 12.5, 0.0, 12.5, 0.0, 0.0),
    "balanced": EffortConfig(_ALL, (1.0,), 12.5, 0.2, 12.5, 0.7, 0.0),
    "thorough": EffortConfig(_ALL, (1.0, 1.5), 12.5, _EVERY, _EVERY, _EVERY, 0.78),
}
DEFAULT_EFFORT: Effort = "balanced"


def effort_table() -> list[tuple[str, ...]]:
    """Return the efforts as a table of text: a header row, then a row per setting."""
    rows: list[tuple[str, ...]] = [("setting", *EFFORTS)]
    for name in EffortConfig.__dataclass_fields__:
        rows.append((name, *(_text(getattr(config, name)) for config in EFFORTS.values())))
    return rows


def _text(value: float | tuple[float, ...]) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{item:g}" for item in value)
    return "all" if value == _EVERY else f"{value:g}"
