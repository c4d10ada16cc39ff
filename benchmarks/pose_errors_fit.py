"""Fit a table of pose errors to people whose joints are annotated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from flight_clips import MIN_EXCHANGED
from flight_figures import NEAR_TORSOS
from pose_errors_people import Measured
from scipy.special import hyp2f1, ndtri, owens_t

from skelact.pipeline.synth.pose_error_table import (
    EXCHANGES,
    FRAMES_PER_SECOND,
    KIND,
    KINDS,
    LIMB,
    NUM_QUANTILES,
    NUM_TILTS,
    PART,
    PARTS,
    SCORE_BOUNDS,
    TARGETS,
    TILT_BOUNDS,
    WIDE_TORSOS,
    PoseErrorTable,
)
from skelact.pipeline.synth.pose_errors import exchange_sides
from skelact.pose_extract.common.geometry import body_angles
from skelact.pose_extract.layout import COCO_17

# Joints that fit better by an exchange of arms or legs alone: of four, one crossed pair does not
# count.
_MIN_PART_EXCHANGED = 2
# Fewer values than this give no quantiles; those of a larger group stand for them.
_MIN_VALUES = 25
# As many joints of any tilt count beside those of one tilt in moving frames.
_PRIOR = 10
# Frames further apart say nothing of how long errors last.
_MAX_SECONDS_APART = 0.2
_LEVELS = np.linspace(0, 1, NUM_QUANTILES)
_FLIP = COCO_17.flip_inds()


def tilts_of(people: Measured) -> np.ndarray:
    """Return (P,) numbers of the groups of tilt."""
    angles = np.abs(body_angles(people.truth, COCO_17))
    return np.digitize(angles, TILT_BOUNDS, right=True)


def exchanges_of(people: Measured) -> np.ndarray:
    """Return (P,) int, which exchange of left and right fits so much better that it is one; 0 none.

    Where nobody knows the sides, any exchange of the whole body that fits better.
    """
    near = np.stack([
        (errors_of(people, np.full(len(people), state)) <= NEAR_TORSOS).sum(axis=1)
        for state in range(len(EXCHANGES) + 1)
    ])  # fmt: skip
    gain = near[1:] - near[0]
    gain[0, gain[0] < np.where(people.sides_known, MIN_EXCHANGED, 1)] = 0
    gain[1:][gain[1:] < _MIN_PART_EXCHANGED] = 0
    return np.where(gain.max(axis=0) > 0, 1 + gain.argmax(axis=0), 0)


def errors_of(people: Measured, exchanged: np.ndarray) -> np.ndarray:
    """Return errors (P, 17) in torsos with exchanges undone, NaN where nothing is annotated."""
    found = exchange_sides(people.found[:, None], exchanged[:, None])[:, 0]
    errors = np.linalg.norm(found - people.truth, axis=-1) / people.torsos[:, None]
    return np.asarray(np.where(people.visible, errors, np.nan))


def found_errors(people: Measured) -> np.ndarray:
    """Return errors (P, 17) in torsos as they are, but where nobody knows the sides the better."""
    return errors_of(people, np.where(people.sides_known, 0, exchanges_of(people)))


def fit_table(people: Measured, clips: Measured, words: str) -> PoseErrorTable:
    """Return the table of the errors of people in boxes, and in the frames of clips."""
    exchanged = exchanges_of(people)
    errors, tilts = errors_of(people, exchanged), tilts_of(people)
    scores = exchange_sides(people.scores[:, None], exchanged[:, None])[:, 0]
    moving = people.moving
    close, wide = _fit_sizes(errors[~moving], tilts[~moving])
    normal = _normal_scores(errors, _cells(moving.astype(int) * NUM_TILTS + tilts))
    bands = np.searchsorted(SCORE_BOUNDS, np.nan_to_num(errors))
    known = ~np.isnan(errors)
    score_cells = (moving[:, None] * len(PARTS) + PART) * (len(SCORE_BOUNDS) + 1) + bands
    score_normal = _normal_scores(np.where(known, scores, np.nan), score_cells)
    body, limb = _pair_correlations(normal)
    hidden = people.tells_hidden[:, None] & people.visible & people.hidden
    seen = people.tells_hidden[:, None] & people.visible & ~people.hidden
    return PoseErrorTable(
        fitted_from=words,
        close=close,
        wide=wide,
        moving_close=_moving_close(errors[moving], tilts[moving], close),
        moving_wide=_moving_wide(errors[moving], tilts[moving]),
        **_fit_targets(people, exchanged, errors),
        exchanged=_exchange_shares(people, exchanged, tilts),
        scores=_fit_scores(scores, errors, bands, moving),
        hidden_shift=float(np.nanmean(normal[hidden]) - np.nanmean(normal[seen])),
        hidden_share=float(hidden.sum() / (hidden.sum() + seen.sum())),
        body_correlation=body,
        limb_correlation=max(limb - body, 0.0),
        score_body_correlation=_pair_correlations(score_normal)[0],
        **_fit_time(clips),
    )


def _cells(groups: np.ndarray) -> np.ndarray:
    return np.asarray(groups[:, None] * len(KINDS) + KIND)


def _quantiles(values: np.ndarray, *larger: np.ndarray) -> np.ndarray:
    """Return quantiles of the first group that has enough values, or of the last."""
    for group in (values, *larger):
        if len(group) >= _MIN_VALUES:
            return np.quantile(group, _LEVELS)
    return np.quantile((values, *larger)[-1], _LEVELS)


def _share(counts: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Return shares by the rule of Jeffreys, so that none is 0 for want of people."""
    return np.asarray((counts + 0.5) / (totals + 1))


def _fit_sizes(errors: np.ndarray, tilts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    close = np.zeros((NUM_TILTS, len(KINDS), NUM_QUANTILES))
    wide = np.zeros((NUM_TILTS, len(KINDS)))
    for kind in range(len(KINDS)):
        joints = (kind == KIND) & (np.arange(17) >= 5)
        every = errors[:, joints]
        for tilt in range(NUM_TILTS):
            mine = every[tilts == tilt]
            mine = mine[~np.isnan(mine)]
            close[tilt, kind] = _quantiles(mine[mine <= WIDE_TORSOS], every[every <= WIDE_TORSOS])
            wide[tilt, kind] = _share((mine > WIDE_TORSOS).sum(), len(mine))
    return close, wide


def _moving_close(errors: np.ndarray, tilts: np.ndarray, close: np.ndarray) -> np.ndarray:
    """Return (3, 6) the median of close errors over that of people at rest."""
    ratio = errors / close[tilts[:, None], KIND, NUM_QUANTILES // 2]
    ratio[~(errors <= WIDE_TORSOS)] = np.nan
    result = np.ones((NUM_TILTS, len(KINDS)))
    for tilt, kind in np.ndindex(*result.shape):
        mine = ratio[tilts == tilt][:, kind == KIND]
        every = ratio[:, kind == KIND]
        enough = (~np.isnan(mine)).sum() >= _MIN_VALUES
        result[tilt, kind] = np.nanmedian(mine if enough else every)
    return result


def _moving_wide(errors: np.ndarray, tilts: np.ndarray) -> np.ndarray:
    """Return (3, 6) shares of wide joints, drawn towards those of all tilts, for want of frames."""
    result = np.zeros((NUM_TILTS, len(KINDS)))
    for tilt, kind in np.ndindex(*result.shape):
        known = ~np.isnan(errors) & (kind == KIND)
        every = (errors[known] > WIDE_TORSOS).mean()
        mine = errors[known & (tilts == tilt)[:, None]] > WIDE_TORSOS
        result[tilt, kind] = (mine.sum() + _PRIOR * every) / (len(mine) + _PRIOR)
    return result


def _fit_targets(
    people: Measured, exchanged: np.ndarray, errors: np.ndarray
) -> dict[str, np.ndarray]:
    """Return what joints far from their place were put on: see ``PoseErrorTable``."""
    targets = np.full((2, len(PARTS), len(TARGETS)), 0.5)
    others = np.zeros((2, len(PARTS), 2, len(KINDS)))
    off: list[list[float]] = [[] for _ in PARTS]
    found = exchange_sides(people.found[:, None], exchanged[:, None])[:, 0]
    away = np.linalg.norm(found[:, :, None] - people.truth[:, None], axis=-1)
    apart = np.linalg.norm(people.truth - people.truth[:, _FLIP], axis=-1)
    for person, joint in zip(*np.nonzero(errors > WIDE_TORSOS)):
        part, torso, motion = PART[joint], people.torsos[person], int(people.moving[person])
        distances = np.where(people.visible[person], away[person, joint] / torso, np.inf)
        distances[joint] = np.inf
        nearest = int(distances.argmin())
        on_joint = distances[nearest] <= NEAR_TORSOS
        target = 2 if not on_joint else 0 if nearest == _FLIP[joint] else 1
        if target == 1:
            others[motion, part, int(nearest % 2 != joint % 2), KIND[nearest]] += 1
        elif target == 2:
            off[part].append(errors[person, joint])
        if apart[person, joint] > WIDE_TORSOS * torso:  # only then the other side's joint is wide
            targets[motion, part, target] += 1
    others += 1e-3  # of a part that was on no other joint: any
    every = np.concatenate(off)
    return {
        "targets": targets / targets.sum(axis=-1, keepdims=True),
        "other_joints": others / others.sum(axis=(2, 3), keepdims=True),
        "off_torsos": np.stack([_quantiles(np.array(part), every) for part in off]),
    }


def _exchange_shares(people: Measured, exchanged: np.ndarray, tilts: np.ndarray) -> np.ndarray:
    """Return (2, 3, 3) shares among people whose left and right are far enough apart to tell."""
    result = np.zeros((2, NUM_TILTS, len(EXCHANGES)))
    perfect = replace(people, found=people.truth)
    for state, least in enumerate((MIN_EXCHANGED, *[_MIN_PART_EXCHANGED] * 2), 1):
        moved = errors_of(perfect, np.full(len(people), state)) > NEAR_TORSOS
        tells = people.sides_known & (moved.sum(axis=1) >= least)
        for motion, tilt in np.ndindex(2, NUM_TILTS):
            rows = tells & (people.moving == bool(motion)) & (tilts == tilt)
            result[motion, tilt, state - 1] = (exchanged[rows] == state).sum() / max(rows.sum(), 1)
    return result


def _fit_scores(
    scores: np.ndarray, errors: np.ndarray, bands: np.ndarray, moving: np.ndarray
) -> np.ndarray:
    known = ~np.isnan(errors)
    result = np.zeros((2, len(PARTS), len(SCORE_BOUNDS) + 1, NUM_QUANTILES))
    for motion, part, band in np.ndindex(*result.shape[:-1]):
        rows = known & (moving == bool(motion))[:, None]
        in_band = bands == band
        mine = (part == PART)[None]
        result[motion, part, band] = _quantiles(
            scores[rows & in_band & mine],
            scores[rows & in_band],
            scores[rows & (np.abs(bands - band) <= 1)],
            scores[known & in_band],
        )
    return result.clip(0, 1)


def _normal_scores(values: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return values (P, 17) as normal scores among those of their cell; NaN stays."""
    result = np.full(values.shape, np.nan)
    for cell in np.unique(cells):
        rows = (cells == cell) & ~np.isnan(values)
        count = int(rows.sum())
        if count:
            ranks = values[rows].argsort().argsort()
            result[rows] = ndtri((ranks + 0.5) / count)
    return result


def _pair_correlations(normal: np.ndarray) -> tuple[float, float]:
    """Return mean products of normal scores (P, 17) of joints of other limbs, and of the same."""
    products = normal[:, :, None] * normal[:, None]
    upper = np.triu(np.ones((17, 17), bool), 1)
    same = LIMB[:, None] == LIMB
    return tuple(max(float(np.nanmean(products[:, upper & group])), 0.0) for group in (~same, same))


def _fit_time(clips: Measured) -> dict[str, float]:
    """Return what the frames of clips tell: correlations over time, and people lost."""
    lost = np.isnan(clips.found).all(axis=(1, 2))
    offsets = np.where(clips.visible[..., None], clips.found - clips.truth, np.nan)
    with np.errstate(invalid="ignore"):
        middle = np.linalg.norm(np.nanmean(offsets[~lost], axis=1), axis=-1)
    other = np.zeros(len(clips), bool)
    other[~lost] = middle > clips.torsos[~lost]
    mine = clips.take(~lost & ~other)
    exchanged = exchanges_of(mine)
    errors = errors_of(mine, exchanged)
    wide = np.where(np.isnan(errors), np.nan, errors > WIDE_TORSOS)
    of_kind = [wide[:, kind == KIND] for kind in range(len(KINDS))]
    shares = np.array([_share(np.nansum(w), (~np.isnan(w)).sum()) for w in of_kind])[KIND]
    found = exchange_sides(mine.found[:, None], exchanged[:, None])[:, 0]
    directions = found - mine.truth
    directions /= np.maximum(np.linalg.norm(directions, axis=-1, keepdims=True), 1e-9)
    directions[~(errors <= WIDE_TORSOS)] = np.nan
    scores = exchange_sides(mine.scores[:, None], exchanged[:, None])[:, 0]
    bands = np.searchsorted(SCORE_BOUNDS, np.nan_to_num(errors))
    cells = PART * (len(SCORE_BOUNDS) + 1) + bands
    score_normal = _normal_scores(np.where(np.isnan(errors), np.nan, scores), cells)
    first, second, apart = _neighbours(mine)
    return {
        "lost": float(_share(lost.sum(), len(lost))),
        "other_person": float(_share(other.sum(), len(other))),
        "moving_speed": _speed(mine, first, second),
        # That of the errors' ranks would be less: close ones are as large as the annotators' own,
        # which no two frames share.
        "frame_correlation": _decay(wide[first] * wide[second], apart, _both_wide(shares)),
        "direction_correlation": _decay(
            (directions[first] * directions[second]).sum(axis=-1), apart, _mean_cosine
        ),
        "score_frame_correlation": _decay(
            score_normal[first] * score_normal[second], apart, lambda r: r
        ),
    }


def _neighbours(clips: Measured) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs (K,), (K,) of frames of a clip, and the seconds (K,) between them."""
    apart = clips.seconds[None] - clips.seconds[:, None]
    near = (clips.clip[None] == clips.clip[:, None]) & (apart > 0) & (apart <= _MAX_SECONDS_APART)
    first, second = np.nonzero(near)
    return first, second, apart[near]


def _mean_cosine(correlation: np.ndarray) -> np.ndarray:
    """Return the mean cosine of the angle between Gaussian vectors in the plane.

    It is ``pi / 4 r 2F1(1/2, 1/2; 2; r^2)``; ``tests/test_pose_errors.py`` draws such vectors.
    """
    return np.asarray(np.pi / 4 * correlation * hyp2f1(0.5, 0.5, 2, correlation**2))


def _both_wide(shares: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the chance of normal scores (..., 17) of a correlation to be both above their limit.

    It is ``p - 2 T(h, sqrt((1 - r) / (1 + r)))`` with Owen's T (1956) and the limit h that a share
    p (17,) exceeds.
    """
    limits = -ndtri(shares)

    def chance(correlation: np.ndarray) -> np.ndarray:
        slope = np.sqrt((1 - correlation) / (1 + correlation))
        return np.asarray(shares - 2 * owens_t(limits, slope))

    return chance


def _decay(
    products: np.ndarray, apart: np.ndarray, expected: Callable[[np.ndarray], np.ndarray]
) -> float:
    """Return the correlation over 1/25 s that fits products (K, 17) of pairs of frames best."""
    steps = (apart * FRAMES_PER_SECOND)[:, None]
    rates = np.linspace(0.01, 0.99, 99)
    gaps = [float(np.nansum((products - expected(rate**steps)) ** 2)) for rate in rates]
    return float(rates[int(np.argmin(gaps))])


def _speed(clips: Measured, first: np.ndarray, second: np.ndarray) -> float:
    """Return the median angular speed of the trunk, radians per second, in neighbouring frames."""
    angles = np.radians(body_angles(clips.truth, COCO_17))
    turned = np.abs((angles[second] - angles[first] + np.pi) % (2 * np.pi) - np.pi)
    seconds = clips.seconds[second] - clips.seconds[first]
    near = seconds <= 1.5 / FRAMES_PER_SECOND
    return float(np.median(turned[near] / seconds[near]))
