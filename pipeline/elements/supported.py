"""Elements that turn on the ground or about a bar: flic-flac, walkover, cartwheel, roll, giant.

A turn heels over head (``turns.py``) is one of them where the body is held up while it is upside
down: by its back, low above the ground, or by its hands under it. Which one follows from what is
measured of the turn (``turn_features.py``) in three steps, each a logistic regression on simulated
clips (``turn_calibration.py``): flight or support; back or hands; and how it goes over the hands.
A giant is a turn about hands that stay where they are, from a handstand by way of the hang.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TypeAlias

import numpy as np

from .counted import MIN_CONFIDENCE
from .element import Element, Kind, Takeoff
from .giants import find_giants
from .signals import BodySignals, measure_body
from .trunk_angle import trunk_path
from .turn_calibration import forward_chance, held_chance, kind_chances
from .turn_features import TurnFeatures, measure_turn
from .turns import BodyTurn, find_turns

__all__ = ["Supported", "find_supported"]

# First and last frame, the element, and the chance that it is right; see ``find_supported``.
Supported: TypeAlias = tuple[int, int, "Element | None", float]

_KINDS: tuple[Kind, ...] = ("flic_flac", "walkover", "cartwheel", "roll")
# A turn without a name, such as a round-off, is as probably held up as this, or may be a flight.
_SURELY_HELD = 0.9


def find_supported(
    keypoints: np.ndarray,
    scores: np.ndarray,
    seconds: np.ndarray,
    camera_maps: np.ndarray,
    scene_ids: np.ndarray,
) -> list[Supported]:
    """Return first and last frame, element and confidence, 0 to 1, of each, in the order of time.

    The confidence is the chance that kind and direction are right. The element is None where the
    body is held up, but what it does has no name here or cannot be told.

    Args:
        keypoints: (T, 17, 2) float32, square pixels.
        scores: (T, 17) float32.
        seconds: (T,) float64, increasing.
        camera_maps: (T, 2, 3) float32, as ``SkeletonSequence`` has them.
        scene_ids: (T,) int64, number of each frame's scene; nothing goes on over a cut.
    """
    bounds = [0, *(np.flatnonzero(np.diff(scene_ids)) + 1).tolist(), len(seconds)]
    found: list[Supported] = []
    for start, stop in pairwise(bounds):
        part = slice(start, stop)
        scene = _find_in_scene(keypoints[part], scores[part], seconds[part], camera_maps[part])
        found += [
            (first + start, last + start, element, confidence)
            for first, last, element, confidence in scene
        ]
    return found


def _find_in_scene(
    keypoints: np.ndarray, scores: np.ndarray, seconds: np.ndarray, camera_maps: np.ndarray
) -> list[tuple[int, int, Element | None, float]]:
    body = measure_body(keypoints, scores, camera_maps) if len(seconds) > 3 else None
    if body is None:
        return []
    path, agreement = trunk_path(body.axes, body.axis_weight)
    scores = scores.astype(np.float64)
    points = in_scene(keypoints, camera_maps) / body.torso
    giants = find_giants(body, points, scores, path, agreement, seconds)
    found: list[tuple[int, int, Element | None, float]] = [*giants]
    for turn in find_turns(path, seconds):
        # Between two giants a body is upright for the trunk: it hangs.
        if any(first < turn.core[1] and turn.core[0] <= last for first, last, *_ in giants):
            continue
        named = _name(turn, body, points, scores, path, agreement, seconds)
        if named is not None:
            found.append((turn.start, turn.end - 1, *named))
    return sorted(found, key=lambda one: one[0])


def in_scene(keypoints: np.ndarray, camera_maps: np.ndarray) -> np.ndarray:
    """Return keypoints (T, V, 2) float64 in pixels of the scene, by maps (T, 2, 3)."""
    maps = camera_maps.astype(np.float64)
    out: np.ndarray = np.einsum("tij,tvj->tvi", maps[:, :, :2], keypoints.astype(np.float64))
    return out + maps[:, None, :, 2]


def _name(
    turn: BodyTurn,
    body: BodySignals,
    points: np.ndarray,
    scores: np.ndarray,
    path: np.ndarray,
    agreement: np.ndarray,
    seconds: np.ndarray,
) -> tuple[Element | None, float] | None:
    """Return the element that a turn is, and the chance of it; None where it may be a flight."""
    features = measure_turn(turn, body, points, scores, path, agreement, seconds)
    chances = kind_chances(features)
    kind = max(_KINDS, key=lambda name: chances[name])
    is_held = features.on_ground and held_chance(features) >= _SURELY_HELD
    unnamed = (None, held_chance(features)) if is_held else None
    if chances["none"] > chances[kind]:
        return unnamed
    if not (features.on_back if kind == "roll" else features.on_hands):
        return unnamed
    takeoff, chance = _direction(kind, features)
    if kind != "flic_flac" and chances[kind] * chance < MIN_CONFIDENCE:
        # Which way is not sure; what it is may be.
        takeoff, chance = None, 1.0
    confidence = chances[kind] * chance
    return (Element(kind, takeoff), confidence) if confidence >= MIN_CONFIDENCE else unnamed


def _direction(kind: Kind, features: TurnFeatures) -> tuple[Takeoff | None, float]:
    """Return the direction of an element and the chance of it.

    A flic-flac is done backwards; who does the same forwards does a handspring.
    """
    if kind == "cartwheel":
        return "sideways", 1.0
    forward = forward_chance(features)
    if kind == "flic_flac":
        return "back", 1 - forward
    return ("forward", forward) if forward >= 0.5 else ("back", 1 - forward)
