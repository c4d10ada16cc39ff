"""Find and mend limbs whose left and right a pose net has exchanged in some frames.

Whether a frame's labels are kept or exchanged is decided for all frames at once: the sequence of
choices under which the joints move most smoothly, with a price for each exchange, found exactly by
dynamic programming. Smoothness is second order, so that legs that cross while running are not
taken for an exchange.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from ..layout import KeypointLayout


@dataclass(frozen=True)
class LeftRightConfig:
    """What counts as an exchange.

    Attributes:
        price: Of a frame whose labels are exchanged, so that the net is right unless shown wrong.
        switch_price: Of each change between kept and exchanged frames.
        most: A joint's jerk beyond this many body sizes counts no more: a joint gone wild must not
            decide.
        max_gap: Frames without the person over which motion says nothing any more.
    """

    price: float = 0.002
    switch_price: float = 0.01
    most: float = 0.5
    max_gap: int = 3


def limb_groups(layout: KeypointLayout) -> list[list[tuple[int, int]]]:
    """Return the left/right pairs that are exchanged together: those of arms and those of legs."""
    legs = {"hip", "knee", "ankle"}
    groups: list[list[tuple[int, int]]] = [[], []]
    for left, right in layout.swap_pairs:
        part = layout.keypoint_names[left].removeprefix("left_")
        if part not in {"eye", "ear"}:
            groups[part in legs].append((left, right))
    return groups


def repair_left_right(
    keypoints: np.ndarray,
    keypoint_scores: np.ndarray,
    layout: KeypointLayout,
    config: LeftRightConfig | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Put left and right in order in one person's sequence.

    Args:
        keypoints: (T, V, 2) float32, pixels.
        keypoint_scores: (T, V) float32; 0 where not seen.
        layout: Names the pairs.
        config: What counts as an exchange.

    Returns:
        Mended copies of both, and (T, 2) bool: frames whose arms and whose legs were exchanged.
    """
    config = config or LeftRightConfig()
    points, scores = keypoints.copy(), keypoint_scores.copy()
    steps = np.flatnonzero((keypoint_scores > 0).any(axis=1))
    mended = np.zeros((len(keypoints), 2), bool)
    if len(steps) < 3:
        return points, scores, mended
    extents = np.ptp(keypoints[steps], axis=1)
    size = max(float(np.median(np.linalg.norm(extents, axis=1))), 1.0)
    for number, pairs in enumerate(limb_groups(layout)):
        lefts, rights = np.array(pairs).T
        states = (
            np.stack(
                [
                    np.concatenate(
                        [keypoints[steps][:, lefts], keypoints[steps][:, rights]], axis=1
                    ),
                    np.concatenate(
                        [keypoints[steps][:, rights], keypoints[steps][:, lefts]], axis=1
                    ),
                ]
            )
            / size
        )  # (2, S, 2 * pairs, 2): kept and exchanged
        # A pair of which one joint is missing tells nothing.
        sure = np.minimum(keypoint_scores[steps][:, lefts], keypoint_scores[steps][:, rights])
        exchanged = _smoothest(states, np.tile(sure, 2), np.diff(steps), config)
        rows = steps[exchanged]
        for array in (points, scores):
            array[np.ix_(rows, lefts)], array[np.ix_(rows, rights)] = (
                array[np.ix_(rows, rights)],
                array[np.ix_(rows, lefts)],
            )
        mended[rows, number] = True
    return points, scores, mended


def _smoothest(
    states: np.ndarray, sure: np.ndarray, gaps: np.ndarray, config: LeftRightConfig
) -> np.ndarray:
    """Return (S,) bool: which frames to exchange, for states (2, S, J, 2) in body sizes."""
    weights = np.stack([sure[i : len(sure) - 2 + i] for i in range(3)]).min(axis=0)  # (S - 2, J)
    count = states.shape[1]
    pairs = list(product((0, 1), repeat=2))  # (choice before, choice now)
    cost = np.array([config.price * (a + b) + config.switch_price * (a != b) for a, b in pairs])
    came_from = np.zeros((count, 4), int)
    for step in range(2, count):
        connected = gaps[step - 1] <= config.max_gap and gaps[step - 2] <= config.max_gap
        following = np.full(4, np.inf)
        for now, (b, c) in enumerate(pairs):
            for before, (a, middle) in enumerate(pairs):
                if middle != b:
                    continue
                price = cost[before] + config.price * c + config.switch_price * (b != c)
                if connected:
                    off = _jerk(states, (a, b, c), step, gaps, config.most)
                    price += float((off * weights[step - 2]).mean())
                if price < following[now]:
                    following[now], came_from[step, now] = price, before
        cost = following
    choices = np.zeros(count, int)
    state = int(cost.argmin())
    for step in range(count - 1, 1, -1):
        choices[step] = pairs[state][1]
        if step == 2:
            before = came_from[step, state]
            choices[0], choices[1] = pairs[before]
        state = came_from[step, state]
    return choices.astype(bool)


def _jerk(
    states: np.ndarray, choice: tuple[int, int, int], step: int, gaps: np.ndarray, most: float
) -> np.ndarray:
    """Return how far joints (J,) are from where their motion would put them."""
    first, second, third = (states[c, step - 2 + i] for i, c in enumerate(choice))
    pace = float(gaps[step - 1]) / float(gaps[step - 2])
    off = np.linalg.norm(third - second - pace * (second - first), axis=-1)
    return np.minimum(off, most)
