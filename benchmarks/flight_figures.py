"""Figures of poses against labels: shares of joints found, with intervals, and reliability.

A joint is found if it lies within .2 torso lengths of its label. Joints that are not annotated are
not scored. Shares are over all annotated joints of a group of people, and their 95 % intervals come
from a bootstrap over people (Efron 1979), because the joints of one person fail together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from flight_people import ARMS, JOINTS, LEGS, Poses, sizes, tilts, torsos

from skelact.pipeline.pose_training.people import AnnotatedPeople
from skelact.pose_extract.layout import COCO_17

# The distance of PCK@0.2, as papers report it on the Leeds set.
NEAR_TORSOS = 0.2
TILTS = {"upright": (-1.0, 45.0), "sideways": (45.0, 135.0), "inverted": (135.0, 180.0)}
# Pixels of the longer side of the annotated extent, fixed so that sets and parts of them can be
# compared: their terciles move with the people. The upper two thirds of the inverted people of the
# Leeds set begin at 108 and 133 pixels, those of all at 103 and 124.
SIZE_BANDS = (117.0, 138.0)
NUM_BINS = 10
_NUM_RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Errors:
    """How far the poses of P people are from their labels.

    Attributes:
        torsos: (P, 17) distances in lengths of the person's torso, NaN where nothing is annotated.
            People of whom nobody knows which side is left have those of ``free``.
        free: The same with left and right of the whole body as they fit better, per person.
        scores: (P, 17) the model's scores.
        tilts: (P,) degrees, 0 to 180.
        sizes: (P,) pixels, longer side of the annotated extent.
    """

    torsos: np.ndarray
    free: np.ndarray
    scores: np.ndarray
    tilts: np.ndarray
    sizes: np.ndarray

    @staticmethod
    def of(people: AnnotatedPeople, poses: Poses) -> Errors:
        """Measure poses against the labels of the same people, in the same order."""
        plain = distances(people, poses.keypoints)
        exchanged = distances(people, poses.keypoints[:, COCO_17.flip_inds()])
        better = (exchanged <= NEAR_TORSOS).sum(axis=1) > (plain <= NEAR_TORSOS).sum(axis=1)
        free = np.where(better[:, None], exchanged, plain)
        plain = np.where(people.sides_unknown[:, None], free, plain)
        return Errors(plain, free, poses.scores, tilts(people), sizes(people))

    def groups(self) -> dict[str, np.ndarray]:
        """Return (P,) bool, who is in which group: everyone, by tilt and by size."""
        groups = {"all": np.ones(len(self.tilts), bool)}
        for name, (low, high) in TILTS.items():
            groups[name] = (self.tilts > low) & (self.tilts <= high)
        if len(self.sizes):
            groups |= _bands("tercile ", np.quantile(self.sizes, [1 / 3, 2 / 3]), self.sizes)
        return groups | _bands("", np.array(SIZE_BANDS), self.sizes)


def _bands(prefix: str, bounds: np.ndarray, sizes: np.ndarray) -> dict[str, np.ndarray]:
    low, high = bounds
    return {
        f"{prefix}< {low:.0f} px": sizes < low,
        f"{prefix}{low:.0f} - {high:.0f} px": (sizes >= low) & (sizes <= high),
        f"{prefix}> {high:.0f} px": sizes > high,
    }


def distances(people: AnnotatedPeople, keypoints: np.ndarray) -> np.ndarray:
    """Return (P, 17) distances from keypoints (P, 17, 2) to the labels, in torsos.

    They are NaN for joints that are not annotated, and for the face.
    """
    errors = np.linalg.norm(keypoints - people.keypoints, axis=-1) / torsos(people)[:, None]
    scored = np.zeros_like(people.visible)
    scored[:, JOINTS] = people.visible[:, JOINTS]
    result: np.ndarray = np.where(scored, errors, np.nan)
    return result


@dataclass(frozen=True)
class Share:
    """A share of joints with its 95 % interval over people; NaN where there are no joints."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Figure:
    """How well the joints of a group of people are found.

    Attributes:
        num_people: How many people.
        num_joints: How many annotated joints.
        share: The share of them that is found.
        free: The same with left and right of the whole body as they fit better.
        gain: What the share gains over that of the first column, on the same people resampled
            together; None in the first column.
    """

    num_people: int
    num_joints: int
    share: Share
    free: Share
    gain: Share | None = None


def figures_of(errors: Errors, first: Errors | None, seed: int) -> dict[str, Figure]:
    """Return the figures of each group of people, and of each kind of joint.

    Args:
        errors: Those of a column.
        first: Those of the first column, of the same people, for gains over it.
        seed: Of the bootstrap.
    """
    figures = {
        name: _figure(errors, first, rows, JOINTS, seed) for name, rows in errors.groups().items()
    }
    everyone = np.ones(len(errors.tilts), bool)
    for left in JOINTS[::2]:
        name = COCO_17.keypoint_names[left].removeprefix("left_") + "s"
        figures[name] = _figure(errors, first, everyone, np.array([left, left + 1]), seed)
    return figures


def _figure(
    errors: Errors, first: Errors | None, rows: np.ndarray, joints: np.ndarray, seed: int
) -> Figure:
    some = np.ix_(rows, joints)
    annotated = ~np.isnan(errors.torsos[some])
    counts = annotated.sum(axis=1)
    found = (errors.torsos[some] <= NEAR_TORSOS).sum(axis=1)
    # The exchange of the pose, not of the label: joints stay those of the label.
    free = (errors.free[some] <= NEAR_TORSOS).sum(axis=1)
    gain = None
    if first is not None:
        gained = found - (first.torsos[some] <= NEAR_TORSOS).sum(axis=1)
        gain = share_of(gained, counts, seed)
    return Figure(
        int(rows.sum()),
        int(counts.sum()),
        share_of(found, counts, seed),
        share_of(free, counts, seed),
        gain,
    )


def share_of(found: np.ndarray, counts: np.ndarray, seed: int) -> Share:
    """Return the share of joints that are found, with a bootstrap interval over people.

    Args:
        found: (P,) joints found of each person.
        counts: (P,) joints annotated of each person.
        seed: Of the resampling: the same people are drawn in each call with as many of them.
    """
    if not counts.sum():
        return Share(np.nan, np.nan, np.nan)
    num_people = len(counts)
    draws = np.random.default_rng(seed).multinomial(
        num_people, np.full(num_people, 1 / num_people), size=_NUM_RESAMPLES
    )
    # A draw of people without any annotated joint says nothing.
    totals = draws @ counts
    shares = (draws @ found)[totals > 0] / totals[totals > 0]
    low, high = np.percentile(shares, [2.5, 97.5])
    return Share(float(found.sum() / counts.sum()), float(low), float(high))


@dataclass(frozen=True, eq=False)
class Reliability:
    """How often joints of a score are found.

    Attributes:
        counts: (10,) joints whose scores lie in each tenth of 0 to 1; higher ones are in the last.
        scores: (10,) their mean score, clipped to 1; NaN where there are none.
        found: (10,) the share of them that is found; NaN where there are none.
    """

    counts: np.ndarray
    scores: np.ndarray
    found: np.ndarray

    @property
    def calibration_error(self) -> float:
        """The expected calibration error (Guo et al., ICML 2017): mean gap, weighted by counts."""
        if not self.counts.sum():
            return float("nan")
        gaps = np.abs(self.found - self.scores)
        return float(np.nansum(gaps * self.counts) / self.counts.sum())


def reliability_of(errors: np.ndarray, scores: np.ndarray) -> Reliability:
    """Return how often joints of a score are found.

    Args:
        errors: (...) distances in torsos, NaN where a joint is not annotated.
        scores: (...) the scores of the same joints.
    """
    annotated = ~np.isnan(errors)
    found = errors[annotated] <= NEAR_TORSOS
    values = np.clip(scores[annotated].astype(float), 0.0, 1.0)
    bins = np.minimum((values * NUM_BINS).astype(int), NUM_BINS - 1)
    counts = np.bincount(bins, minlength=NUM_BINS)
    with np.errstate(invalid="ignore"):
        return Reliability(
            counts,
            np.bincount(bins, values, NUM_BINS) / counts,
            np.bincount(bins, found, NUM_BINS) / counts,
        )


def reliabilities_of(errors: Errors) -> Mapping[str, Reliability]:
    """Return the reliability of all joints, of arms and legs, and by tilt."""
    everyone = np.ones(len(errors.tilts), bool)
    groups = {"all": (everyone, JOINTS), "arms": (everyone, ARMS), "legs": (everyone, LEGS)}
    by_tilt = errors.groups()
    groups |= {name: (by_tilt[name], JOINTS) for name in TILTS}
    return {
        name: reliability_of(
            errors.torsos[np.ix_(rows, joints)], errors.scores[np.ix_(rows, joints)]
        )
        for name, (rows, joints) in groups.items()
    }


@dataclass(frozen=True, eq=False)
class Column:
    """What is measured of one pose model in one way on one set of people.

    Attributes:
        figures: By group of people and kind of joint.
        reliability: By group of joints and of people.
        crops_per_person: Crops that went through the model, per person.
    """

    figures: Mapping[str, Figure]
    reliability: Mapping[str, Reliability]
    crops_per_person: float
