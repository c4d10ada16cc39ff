"""Errors of a pose model, added to exact keypoints, drawn from a table of measured ones.

A joint is close to its place or far from it: on the other side's joint, on another joint, or
elsewhere. How far is drawn by normal scores that joints of a body, joints of a limb, and successive
frames share (a Gaussian copula), so that the measured quantiles and correlations both hold. Scores
are drawn given the errors, so that they can be believed as far as measured ones.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from ...pose_extract.layout import COCO_17
from .pose_error_draws import MAX_SHARE, correlated_noise, pick, state_runs, values_at
from .pose_error_table import (
    EXCHANGED_JOINTS,
    FRAMES_PER_SECOND,
    KIND,
    KINDS,
    LIMB,
    NUM_QUANTILES,
    PART,
    PARTS,
    SCORE_BOUNDS,
    TILT_BOUNDS,
    WIDE_TORSOS,
    PoseErrorTable,
    shipped_table,
)

# A joint further from the camera than the hips by more, in metres, is hidden by the body: so as
# many are in simulated dives as in the frames in which that was annotated (``hidden_share``).
HIDDEN_DEPTH = 0.2
# Mean seconds that left and right stay exchanged, that a person is lost, and that another one is
# followed. Set by hand: too few annotated frames follow each other to measure them.
EXCHANGE_SECONDS, LOST_SECONDS, OTHER_SECONDS = 0.16, 0.12, 0.4
# Another person, set by hand: size over that of the athlete, and distance from it in torsos.
OTHER_SIZES, OTHER_TORSOS = (0.6, 1.4), (1.5, 5.0)
_NUM_LIMBS = int(LIMB.max()) + 1
_FLIP = COCO_17.flip_inds()


def add_pose_errors(
    keypoints: np.ndarray,
    scores: np.ndarray,
    depth: np.ndarray,
    fps: np.ndarray,
    noise: float,
    rng: np.random.Generator,
    table: PoseErrorTable | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return keypoints and scores as a pose model would give them.

    Args:
        keypoints: (N, T, 17, 2) float32 pixels, exact.
        scores: (N, T, 17) float32, 0 where a joint is missing.
        depth: (N, T, 17) float32 metres from the camera.
        fps: (N,) frames per second of the athlete's time.
        noise: Scales the sizes and the rates of all errors: 1 as measured, 0 none.
        rng: Random state.
        table: What errors; those of the pose model that ships by default.

    Returns:
        Keypoints (N, T, 17, 2) float32 in pixels and scores (N, T, 17) float32.
    """
    if not noise:
        return keypoints.astype(np.float32), scores.astype(np.float32)
    table = table or shipped_table()
    hidden = depth > (depth[:, :, 11] + depth[:, :, 12])[..., None] / 2 + HIDDEN_DEPTH
    moving = _moving(keypoints, fps, table.moving_speed, rng)
    shares = noise * np.array([table.other_person, table.lost], np.float32)
    state = state_runs(
        np.broadcast_to(shares, (*keypoints.shape[:2], 2)),
        np.array([OTHER_SECONDS, LOST_SECONDS]),
        1 / np.asarray(fps, float),
        rng,
    )
    other, lost = ((state == number)[..., None] for number in (1, 2))
    keypoints = _replaced(keypoints, other[..., 0], rng)
    moved, found = draw_pose_errors(keypoints, hidden, moving, fps, noise, rng, table)
    present = ((scores > 0) | other) & ~lost
    return moved, np.where(present, found, 0).astype(np.float32)


def draw_pose_errors(
    keypoints: np.ndarray,
    hidden: np.ndarray,
    moving: np.ndarray,
    fps: np.ndarray,
    noise: float,
    rng: np.random.Generator,
    table: PoseErrorTable,
) -> tuple[np.ndarray, np.ndarray]:
    """Return keypoints and scores of people whom a pose model looks at, each in each frame.

    Args:
        keypoints: (N, T, 17, 2) float32 pixels, exact.
        hidden: (N, T, 17) bool, joints that the body hides.
        moving: (N, T) bool, frames in which the body rotates fast.
        fps: (N,) frames per second of the athlete's time.
        noise: As in :func:`add_pose_errors`.
        rng: Random state.
        table: What errors.

    Returns:
        As :func:`add_pose_errors`; no score is 0.
    """
    steps = FRAMES_PER_SECOND / np.asarray(fps, float)
    torsos, tilts = _torsos(keypoints)
    cell = (tilts * len(KINDS)).astype(np.int32)[..., None] + KIND.astype(np.int32)
    motion = moving.astype(np.int32)[..., None]
    moving_cell = motion * np.int32(table.wide.size) + cell
    shares = np.stack([table.wide, table.moving_wide])
    limits = (1 - np.minimum(noise * shares, MAX_SHARE)).astype(np.float32).take(moving_cell)

    ranks = _size_ranks(hidden, table, steps, rng)
    shape = (*keypoints.shape[:2], 2 * keypoints.shape[2])
    direction = correlated_noise(shape, table.direction_correlation, steps, rng)
    direction = direction.reshape(keypoints.shape)
    wide = ranks > limits
    sizes = values_at(table.close, cell, ranks / limits)
    factors = np.stack([np.ones_like(table.moving_close), table.moving_close])
    sizes *= factors.astype(np.float32).take(moving_cell)
    sizes *= np.float32(noise) * torsos[..., None]
    sizes /= np.maximum(_lengths(direction), np.float32(1e-6))
    errors = direction * sizes[..., None]
    _put_wide(errors, keypoints, direction, wide, moving, torsos, rng, table)

    moved = keypoints + errors
    found = _draw_scores(_lengths(errors) / torsos[..., None], moving, steps, rng, table)
    exchanged = state_runs(
        (noise * table.exchanged).astype(np.float32)[motion[..., 0], tilts],
        np.full(len(EXCHANGED_JOINTS), EXCHANGE_SECONDS),
        1 / np.asarray(fps, float),
        rng,
    )
    return exchange_sides(moved, exchanged), exchange_sides(found, exchanged)


def exchange_sides(values: np.ndarray, exchanged: np.ndarray) -> np.ndarray:
    """Return values (N, T, 17, ...) with left and right of some groups of joints exchanged.

    Args:
        values: Keypoints or scores.
        exchanged: (N, T) int, 0 for none, else 1 plus the number of a group of ``EXCHANGES``.
    """
    out = values.copy()
    for group, joints in enumerate(EXCHANGED_JOINTS):
        order = np.where(joints, _FLIP, np.arange(len(joints)))
        rows = exchanged == group + 1
        out[rows] = values[rows][:, order]
    return out


def _torsos(keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lengths of torsos (N, T) float32 pixels and numbers of the groups of tilt (N, T).

    A torso that points at the camera is short: half of the clip's longest is the least, as in
    ``benchmarks/flight_truths.py``.
    """
    trunk = keypoints[:, :, 5] + keypoints[:, :, 6] - keypoints[:, :, 11] - keypoints[:, :, 12]
    trunk = trunk / 2
    lengths = np.hypot(trunk[..., 0], trunk[..., 1])
    tilts = np.degrees(np.arctan2(np.abs(trunk[..., 0]), -trunk[..., 1]))
    lengths = np.maximum(lengths, np.maximum(lengths.max(axis=1, keepdims=True) / 2, 1e-3))
    return lengths.astype(np.float32), np.digitize(tilts, TILT_BOUNDS, right=True)


def _moving(
    keypoints: np.ndarray, fps: np.ndarray, full_speed: float, rng: np.random.Generator
) -> np.ndarray:
    """Return frames (N, T) bool in which the trunk rotates faster than a bound, drawn per clip."""
    if keypoints.shape[1] < 2:
        return np.zeros(keypoints.shape[:2], bool)
    trunk = keypoints[:, :, 5] + keypoints[:, :, 6] - keypoints[:, :, 11] - keypoints[:, :, 12]
    angle = np.unwrap(np.arctan2(trunk[..., 0], -trunk[..., 1]), axis=1)
    speed = np.abs(np.gradient(angle, axis=1)) * np.asarray(fps)[:, None]  # radians per second
    return np.asarray(speed > rng.uniform(0, full_speed, (len(speed), 1)))


def _size_ranks(
    hidden: np.ndarray, table: PoseErrorTable, steps: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return (N, T, 17) float32 ranks of errors, uniform in 0 to 1."""
    body, limb = table.body_correlation, table.limb_correlation
    joints = hidden.shape[2]
    drawn = correlated_noise(
        (*hidden.shape[:2], joints + _NUM_LIMBS + 1), table.frame_correlation, steps, rng
    )
    scores = np.float32(np.sqrt(1 - body - limb)) * drawn[..., :joints]
    scores += np.float32(np.sqrt(limb)) * drawn[..., joints + LIMB]
    scores += np.float32(np.sqrt(body)) * drawn[..., -1:]
    # Hidden joints are shifted, and all are scaled so that mean and variance stay those of ranks.
    share, shift = table.hidden_share, table.hidden_shift
    if hidden.any():
        scores += np.where(hidden, (1 - share) * shift, -share * shift).astype(np.float32)
        scores *= np.float32(1 / np.sqrt(1 + share * (1 - share) * shift**2))
    return np.asarray(ndtr(scores))


def _put_wide(
    errors: np.ndarray,
    keypoints: np.ndarray,
    direction: np.ndarray,
    wide: np.ndarray,
    moving: np.ndarray,
    torsos: np.ndarray,
    rng: np.random.Generator,
    table: PoseErrorTable,
) -> None:
    """Set the errors of wide joints (N, T, 17) by what they are taken for, the same in a run."""
    clip, joint, step = np.nonzero(wide.transpose(0, 2, 1))
    if not len(clip):
        return
    follows = (np.diff(clip) == 0) & (np.diff(joint) == 0) & (np.diff(step) == 1)
    run = np.concatenate([[0], np.cumsum(~follows)])
    first = np.concatenate([[True], ~follows])
    part, at_first = PART[joint[first]], moving[clip[first], step[first]].astype(int)
    target = pick(table.targets[at_first, part], rng)[run]
    kind = pick(table.other_joints[at_first, part].reshape(len(part), -1), rng)
    num_kinds = table.other_joints.shape[-1]
    # Joints after the face come in pairs; an odd number is a left one.
    same_side = 5 + 2 * (kind % num_kinds) + (joint[first] + 1) % 2
    other = np.where(kind < num_kinds, same_side, _FLIP[same_side])[run]
    other = np.where(target == 0, _FLIP[joint], other)
    far = values_at(
        table.off_torsos, part.astype(np.int32), rng.random(len(part), dtype=np.float32)
    )
    angle = rng.uniform(0, 2 * np.pi, len(part))
    away = (far[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1))[run]

    torso = torsos[clip, step][:, None]
    # About the joint that it is put on as far as an error of the middle size, which a Gaussian of
    # this standard deviation has as its median (Rayleigh).
    spread = table.close.mean(axis=0)[:, NUM_QUANTILES // 2][KIND[joint]] / np.sqrt(2 * np.log(2))
    there = keypoints[clip, step, other] - keypoints[clip, step, joint]
    there += direction[clip, step, joint] * spread[:, None] * torso
    # Where the other joint is close, there is nothing wide about it.
    on_joint = (target < 2) & (_lengths(there) > WIDE_TORSOS * torso[:, 0])
    errors[clip, step, joint] = np.where(on_joint[:, None], there, away * torso)


def _draw_scores(
    distances: np.ndarray,
    moving: np.ndarray,
    steps: np.ndarray,
    rng: np.random.Generator,
    table: PoseErrorTable,
) -> np.ndarray:
    """Return scores (N, T, 17) float32 given errors (N, T, 17) in torsos."""
    joints = distances.shape[2]
    drawn = correlated_noise(
        (*distances.shape[:2], joints + 1), table.score_frame_correlation, steps, rng
    )
    body = table.score_body_correlation
    normal = np.float32(np.sqrt(1 - body)) * drawn[..., :-1]
    normal += np.float32(np.sqrt(body)) * drawn[..., -1:]
    cell = moving.astype(np.int32)[..., None] * np.int32(len(PARTS)) + PART.astype(np.int32)
    cell *= np.int32(len(SCORE_BOUNDS) + 1)
    for bound in SCORE_BOUNDS.astype(np.float32):
        cell += distances > bound
    return values_at(table.scores, cell, ndtr(normal)).clip(0.01, 1)


def _replaced(keypoints: np.ndarray, where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return keypoints with another clip's person beside the athlete in some frames (N, T)."""
    if not where.any():
        return keypoints
    clip, step = np.nonzero(where)
    count = len(keypoints)
    torsos = _torsos(keypoints)[0]
    donor, athlete = (clip - 1) % count, keypoints[clip, step]
    angle, far = rng.uniform(0, 2 * np.pi, count), rng.uniform(*OTHER_TORSOS, count)
    scale = rng.uniform(*OTHER_SIZES, count)[clip] * torsos[clip, step] / torsos[donor, step]
    offset = (far * np.stack([np.cos(angle), np.sin(angle)])).T[clip] * torsos[clip, step, None]
    other = keypoints[donor, step]
    other = (other - other.mean(axis=1, keepdims=True)) * scale[:, None, None]
    out = keypoints.copy()
    out[clip, step] = other + (athlete.mean(axis=1) + offset)[:, None]
    return out


def _lengths(vectors: np.ndarray) -> np.ndarray:
    """Return (...) lengths of (..., 2) vectors."""
    return np.asarray(np.sqrt(vectors[..., 0] ** 2 + vectors[..., 1] ** 2))
