"""Find and repair limbs whose left and right a pose model has exchanged in some frames.

Whether a frame's labels are kept or exchanged is decided for all frames at once: the sequence of
choices under which the joints move most smoothly, with a cost for each exchange, found exactly by
dynamic programming with back-pointers (Viterbi). Smoothness is second order, so that legs that
cross while running are not taken for an exchange.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from ..layout import KeypointLayout


@dataclass(frozen=True)
class LeftRightConfig:
    """What counts as an exchange; ``tests/pose_extract/track/test_left_right.py`` measures it.

    Attributes:
        swap_cost: Cost of a frame whose labels are exchanged, so that the pose model is taken to be
            right unless its joints jump.
        switch_cost: Cost of each change between kept and exchanged frames.
        max_jump: A joint's jump counts at most this many body sizes, so that an outlier does not
            decide.
        max_gap: Over more frames without the person than this, motion is not compared.
    """

    swap_cost: float = 0.002
    switch_cost: float = 0.01
    max_jump: float = 0.5
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
    """Repair exchanges of left and right in one person's sequence.

    Args:
        keypoints: (T, V, 2) float32, pixels.
        keypoint_scores: (T, V) float32; 0 where not seen.
        layout: Names the pairs.
        config: What counts as an exchange.

    Returns:
        Repaired copies of both, and (T, 2) bool: frames whose arms and whose legs were exchanged.
    """
    config = config or LeftRightConfig()
    points, scores = keypoints.copy(), keypoint_scores.copy()
    steps = np.flatnonzero((keypoint_scores > 0).any(axis=1))
    exchanged_frames = np.zeros((len(keypoints), 2), bool)
    if len(steps) < 3:
        return points, scores, exchanged_frames
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
        # A pair of which one joint is missing has no weight.
        weights = np.minimum(keypoint_scores[steps][:, lefts], keypoint_scores[steps][:, rights])
        exchanged = _smoothest(states, np.tile(weights, 2), np.diff(steps), config)
        rows = steps[exchanged]
        for array in (points, scores):
            array[np.ix_(rows, lefts)], array[np.ix_(rows, rights)] = (
                array[np.ix_(rows, rights)],
                array[np.ix_(rows, lefts)],
            )
        exchanged_frames[rows, number] = True
    return points, scores, exchanged_frames


def _smoothest(
    states: np.ndarray, scores: np.ndarray, gaps: np.ndarray, config: LeftRightConfig
) -> np.ndarray:
    """Return (S,) bool: which frames to exchange, for states (2, S, J, 2) in body sizes."""
    weights = np.stack([scores[i : len(scores) - 2 + i] for i in range(3)]).min(
        axis=0
    )  # (S - 2, J)
    count = states.shape[1]
    pairs = list(product((0, 1), repeat=2))  # (choice before, choice now)
    cost = np.array([config.swap_cost * (a + b) + config.switch_cost * (a != b) for a, b in pairs])
    back_pointers = np.zeros((count, 4), int)
    for step in range(2, count):
        connected = gaps[step - 1] <= config.max_gap and gaps[step - 2] <= config.max_gap
        following = np.full(4, np.inf)
        for now, (b, c) in enumerate(pairs):
            for before, (a, middle) in enumerate(pairs):
                if middle != b:
                    continue
                total = cost[before] + config.swap_cost * c + config.switch_cost * (b != c)
                if connected:
                    off = _jumps(states, (a, b, c), step, gaps, config.max_jump)
                    total += float((off * weights[step - 2]).mean())
                if total < following[now]:
                    following[now], back_pointers[step, now] = total, before
        cost = following
    choices = np.zeros(count, int)
    state = int(cost.argmin())
    for step in range(count - 1, 1, -1):
        choices[step] = pairs[state][1]
        if step == 2:
            before = back_pointers[step, state]
            choices[0], choices[1] = pairs[before]
        state = back_pointers[step, state]
    return choices.astype(bool)


def _jumps(
    states: np.ndarray, choice: tuple[int, int, int], step: int, gaps: np.ndarray, max_jump: float
) -> np.ndarray:
    """Return how far joints (J,) are from where constant velocity would put them."""
    first, second, third = (states[c, step - 2 + i] for i, c in enumerate(choice))
    pace = float(gaps[step - 1]) / float(gaps[step - 2])
    off = np.linalg.norm(third - second - pace * (second - first), axis=-1)
    return np.minimum(off, max_jump)
