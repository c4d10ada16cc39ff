"""Find and repair bodies, arms and legs whose left and right a pose model has exchanged.

Whether a frame's arms and legs are kept or exchanged is decided for all frames and both at once:
the sequence of choices under which the joints move most smoothly and agree best with what the pose
model knows of the sides, found exactly by dynamic programming with back-pointers (Viterbi).
Smoothness is second order, so that legs that cross while running are not taken for an exchange.

Which way knees and elbows bend says nothing about the whole body: seen from afar, a body reflected
in depth is a body with left and right exchanged, whose joints have the same places in the image and
bend as they should.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..layout import KeypointLayout

# Arms and legs, each kept (0) or exchanged (1): the states of a frame, kept first.
_STATES = np.array([[0, 0], [1, 1], [1, 0], [0, 1]])
# Taken where there are no side margins: about that of a pose model that knows the sides.
_UNKNOWN_MARGIN = 0.5


@dataclass(frozen=True)
class LeftRightConfig:
    """What counts as an exchange; chosen with ``benchmarks/left_right.py``.

    Attributes:
        swap_cost: Cost of a frame whose arms or legs are exchanged, so that the pose model is taken
            to be right unless its joints jump.
        margin_cost: Cost of the same times the mean side margin of their pairs.
        switch_cost: Cost of each change between kept and exchanged frames.
        part_cost: Cost of a frame whose arms alone or legs alone are exchanged.
        twist_cost: Cost of a trunk whose shoulders point against its hips, times how far they do,
            in body sizes: where arms alone or legs alone are exchanged, it is twisted.
        max_jump: A joint's jump counts at most this many body sizes, so that an outlier does not
            decide.
        max_gap: Over more frames without the person than this, motion is not compared.
    """

    swap_cost: float = 0.0003
    margin_cost: float = 0.003
    switch_cost: float = 0.01
    part_cost: float = 0.002
    twist_cost: float = 0.02
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
    side_margins: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Repair exchanges of left and right in one person's sequence.

    Args:
        keypoints: (T, V, 2) float32, pixels.
        keypoint_scores: (T, V) float32; 0 where not seen.
        layout: Names the pairs.
        config: What counts as an exchange.
        side_margins: (T, P) float32, how well the pose model tells the sides of each of
            ``layout.swap_pairs`` apart; None where it does not say.

    Returns:
        Repaired copies of both, and (T, 2) bool: frames whose arms and whose legs were exchanged.
    """
    config = config or LeftRightConfig()
    points, scores = keypoints.copy(), keypoint_scores.copy()
    steps = np.flatnonzero((keypoint_scores > 0).any(axis=1))
    exchanged_frames = np.zeros((len(keypoints), 2), bool)
    if len(steps) < 3:
        return points, scores, exchanged_frames
    seen, seen_scores = keypoints[steps], keypoint_scores[steps]
    size = max(float(np.median(np.linalg.norm(np.ptp(seen, axis=1), axis=1))), 1.0)
    groups = limb_groups(layout)
    gaps = np.diff(steps)
    motion = [
        _motion_costs(seen / size, seen_scores, np.array(pairs), gaps, config) for pairs in groups
    ]
    arms, legs = _STATES.T
    # (S - 2, 4, 4, 4): the costs of three states in a row, of arms and legs together.
    triple_costs = (
        motion[0][:, arms[:, None, None], arms[:, None], arms]
        + motion[1][:, legs[:, None, None], legs[:, None], legs]
    )
    margins = np.full((len(steps), len(layout.swap_pairs)), _UNKNOWN_MARGIN)
    if side_margins is not None:
        margins = side_margins[steps]
    frame_costs = config.twist_cost * _twists(seen / size, seen_scores, layout)
    frame_costs += config.part_cost * (arms != legs)
    for number, pairs in enumerate(groups):
        columns = [layout.swap_pairs.index(pair) for pair in pairs]
        swap_costs = config.swap_cost + config.margin_cost * margins[:, columns].mean(axis=1)
        frame_costs += swap_costs[:, None] * _STATES[:, number]
    choices = _STATES[_cheapest(triple_costs, frame_costs, config.switch_cost)]
    for number, pairs in enumerate(groups):
        lefts, rights = np.array(pairs).T
        rows = steps[choices[:, number] == 1]
        for array in (points, scores):
            array[np.ix_(rows, lefts)], array[np.ix_(rows, rights)] = (
                array[np.ix_(rows, rights)],
                array[np.ix_(rows, lefts)],
            )
        exchanged_frames[rows, number] = True
    return points, scores, exchanged_frames


def _motion_costs(
    points: np.ndarray,
    scores: np.ndarray,
    pairs: np.ndarray,
    gaps: np.ndarray,
    config: LeftRightConfig,
) -> np.ndarray:
    """Return (S - 2, 2, 2, 2): how jerky each three frames are, kept (0) or exchanged (1).

    Args:
        points: (S, V, 2) in body sizes.
        scores: (S, V).
        pairs: (P, 2) left and right keypoints.
        gaps: (S - 1,) frames between steps.
        config: Limits.
    """
    lefts, rights = pairs.T
    # (2, S, 2 P, 2): kept and exchanged.
    states = np.stack([points[:, np.r_[lefts, rights]], points[:, np.r_[rights, lefts]]])
    # A pair of which one joint is missing has no weight.
    weights = np.tile(np.minimum(scores[:, lefts], scores[:, rights]), 2)
    weights = np.stack([weights[i : len(weights) - 2 + i] for i in range(3)]).min(axis=0)
    connected = (gaps[1:] <= config.max_gap) & (gaps[:-1] <= config.max_gap)
    pace = (gaps[1:] / gaps[:-1])[:, None, None]
    costs = np.zeros((len(points) - 2, 2, 2, 2))
    for a, b, c in np.ndindex(2, 2, 2):
        first, second, third = states[a, :-2], states[b, 1:-1], states[c, 2:]
        # From where constant velocity would put the joints.
        off = np.linalg.norm(third - second - pace * (second - first), axis=-1)
        off = np.minimum(off, config.max_jump)
        costs[:, a, b, c] = (off * weights).mean(axis=1) * connected
    return costs


def _twists(points: np.ndarray, scores: np.ndarray, layout: KeypointLayout) -> np.ndarray:
    """Return (S, 4): how far shoulders point against the hips in each state, in body sizes."""
    names = [f"{side}_{part}" for part in ("shoulder", "hip") for side in ("left", "right")]
    joints = [layout.index(name) for name in names]
    across = points[:, joints[::2]] - points[:, joints[1::2]]  # (S, 2, 2): right to left
    widths = np.linalg.norm(across, axis=-1)
    agreement = (across[:, 0] * across[:, 1]).sum(axis=-1) / np.maximum(widths.max(axis=1), 1e-6)
    agreement *= scores[:, joints].min(axis=1)
    signs = np.where(_STATES[:, 0] == _STATES[:, 1], 1.0, -1.0)
    return np.maximum(-agreement[:, None] * signs, 0.0)


def _cheapest(triple_costs: np.ndarray, frame_costs: np.ndarray, switch_cost: float) -> np.ndarray:
    """Return (S,) states: the cheapest sequence by the costs of frames, changes and triples.

    Args:
        triple_costs: (S - 2, 4, 4, 4) of the states of three frames in a row.
        frame_costs: (S, 4) of the state of a frame.
        switch_cost: Of each change of arms, and of legs.
    """
    switch_costs = switch_cost * np.abs(_STATES[:, None] - _STATES).sum(axis=-1)
    count = len(frame_costs)
    cost = frame_costs[0][:, None] + frame_costs[1] + switch_costs  # of (before, now)
    back_pointers = np.zeros((count, 4, 4), int)
    for step in range(2, count):
        total = cost[:, :, None] + triple_costs[step - 2]
        back_pointers[step] = total.argmin(axis=0)
        cost = total.min(axis=0) + switch_costs + frame_costs[step]
    states = np.zeros(count, int)
    states[-2:] = np.unravel_index(cost.argmin(), cost.shape)
    for step in range(count - 1, 1, -1):
        states[step - 2] = back_pointers[step, states[step - 1], states[step]]
    return states
