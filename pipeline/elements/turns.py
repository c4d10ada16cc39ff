"""Turns of a body heels over head: from upright by way of upside down to upright again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# A trunk within this of upright is upright: who begins a roll in a crouch leans by less.
_UPRIGHT = np.radians(80)
# A turn begins and ends within this of upright, or where the trunk turns slower than that, radians
# per second, but not longer than so many seconds from where the trunk is upright. Set by hand.
_ERECT, _STILL, _REACH_SECONDS = np.radians(20), np.radians(40), 0.6


@dataclass(frozen=True)
class BodyTurn:
    """A turn of the trunk by a full circle, or nearly so.

    Attributes:
        start, end: First frame and the frame after the last.
        core: First frame and the frame after the last in which the trunk is not upright.
        inverted: Radians, odd multiple of pi: the angle of the trunk's path upside down.
        sense: 1 if it turns clockwise in the image, -1 if counter-clockwise.
    """

    start: int
    end: int
    core: tuple[int, int]
    inverted: float
    sense: int


def find_turns(path: np.ndarray, seconds: np.ndarray) -> list[BodyTurn]:
    """Return turns by way of upside down, in the order of time.

    A handstand from which the feet come down again where they came from is none.

    Args:
        path: (T,) radians, unwrapped angle of the trunk.
        seconds: (T,) seconds, increasing.
    """
    circles = np.round(path / (2 * np.pi))
    away = np.abs(path - 2 * np.pi * circles)
    upright = np.flatnonzero(away <= _UPRIGHT)
    steps = np.diff(circles[upright])
    rate = np.gradient(path, seconds) if len(path) > 1 else np.zeros(len(path))
    turns = []
    for place in np.flatnonzero(np.abs(steps) == 1):
        sense = int(steps[place])
        first, last = int(upright[place]) + 1, int(upright[place + 1])
        if first >= last:
            continue
        moving = sense * rate > _STILL
        turns.append(
            BodyTurn(
                start=_reach(first, -1, away, moving, seconds),
                end=_reach(last - 1, 1, away, moving, seconds) + 1,
                core=(first, last),
                inverted=float(np.pi * (2 * circles[first - 1] + sense)),
                sense=sense,
            )
        )
    return turns


def _reach(frame: int, step: int, away: np.ndarray, moving: np.ndarray, seconds: np.ndarray) -> int:
    """Return the last frame from ``frame`` on, forwards or backwards, that belongs to the turn."""
    begun = frame
    while (
        0 <= frame + step < len(away)
        and away[frame] > _ERECT
        and (moving[frame + step] or away[frame] > _UPRIGHT)
        and abs(seconds[frame + step] - seconds[begun]) <= _REACH_SECONDS
    ):
        frame += step
    return frame
