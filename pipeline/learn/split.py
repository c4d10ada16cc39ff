"""Which clips are learned from and measured on: by groups, with all classes in each part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Parts of equal size: one is measured on, one stops the training early, the rest is learned from.
NUM_FOLDS = 5
# Clips of each class from which on one part is measured on, and not all in turn: that part then has
# ten clips of a class. With fewer, the 95 % interval (Wilson) of a recall of 90 % is wider than
# 38 points.
_ENOUGH_CLIPS = 50
# Groups of a class in what is learned from, so that one can be given to stop by.
_LEAST_GROUPS = 3


@dataclass(frozen=True)
class Fold:
    """A training and what it is measured on: numbers of clips.

    Attributes:
        train: Clips to learn from.
        val: Clips to stop the training by; none trains to the end.
        test: Clips to measure on, which no choice is made on.
    """

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """How the clips of a data set are used.

    Attributes:
        kind: "split": one part is measured on. "folds": all are, in turn. "given": the splits of
            the user. "none": nothing can be measured without a leak.
        folds: The trainings that are measured; of "split" and "given" one, whose classifier is the
            result. Of "folds" and "none" the result is a further training on all clips.
        said: What was done, in sentences.
    """

    kind: str
    folds: tuple[Fold, ...]
    said: tuple[str, ...]

    @property
    def trains_on_all(self) -> bool:
        """Whether the resulting classifier learns from all clips."""
        return self.kind in ("folds", "none")


def plan_splits(
    labels: np.ndarray, groups: np.ndarray, splits: Sequence[str | None], seed: int = 0
) -> Plan:
    """Return which clips are learned from and measured on.

    Args:
        labels: (N,) int, class of each clip.
        groups: (N,) int, group of each clip; none is ever in two parts of a fold.
        splits: The user's split of each clip, or None for all.
        seed: Seed of the choice.
    """
    if splits[0] is not None:
        return _given(labels, groups, np.array(splits, dtype=object), seed)
    num_groups = _groups_of_classes(labels, groups)
    parts, count = _parts(labels, groups, seed)
    if not count:
        return Plan("none", (), (
            "nothing was measured: a class has clips of one recording alone, or classes share "
            "their recordings, so that no part has all classes; a figure would be of clips that "
            "resemble those learned from. Add recordings, or name them in the column group",
        ))  # fmt: skip
    if np.bincount(labels).min() >= _ENOUGH_CLIPS and num_groups.min() >= NUM_FOLDS:
        fold = _fold(labels, groups, parts == 0, seed)
        return Plan("split", (fold,), (_told(fold, "one part of five, by groups"),))
    folds = tuple(_fold(labels, groups, parts == i, seed) for i in range(count))
    stopped = sum(bool(fold.val) for fold in folds)
    said = (
        f"{count}-fold cross-validation by groups: each clip is measured once, by a classifier "
        "that learned from no clip of its group; the result learns from all clips",
        f"{stopped} of {count} trainings have a val part, neither learned from nor measured on, "
        "that may stop them early"
        + ("" if stopped == count else "; there are too few groups for more"),
    )
    return Plan("folds", folds, said)


def _given(labels: np.ndarray, groups: np.ndarray, splits: np.ndarray, seed: int) -> Plan:
    tested = "test" if (splits == "test").any() else "val"
    test = splits == tested
    said = []
    if tested == "test" and (splits == "val").any():
        fold = _as_fold(splits == "train", splits == "val", test)
    else:
        fold = _fold(labels, groups, test, seed)
    said.append(_told(fold, f"the split {tested!r} of the data set"))
    shared = set(groups[test]) & set(groups[~test])
    if shared:
        said.append(
            f"WARNING: {len(shared)} groups have clips in {tested!r} and in other splits: the "
            "figures are too good for new recordings"
        )
    return Plan("given", (fold,), tuple(said))


def _told(fold: Fold, what: str) -> str:
    stop = (
        f"{len(fold.val)} others may stop the training early"
        if fold.val
        else "nothing stops the training early: there are too few groups for a part to stop by"
    )
    return f"measured on {len(fold.test)} clips ({what}); {stop}"


def _fold(labels: np.ndarray, groups: np.ndarray, test: np.ndarray, seed: int) -> Fold:
    """Return the fold of a test part, with a val part of a fifth, if there are groups for it."""
    rest = np.flatnonzero(~test)
    val = np.zeros(len(labels), bool)
    count = _groups_of_classes(labels[rest], groups[rest], len(np.unique(labels))).min()
    if count >= _LEAST_GROUPS:
        parts = grouped_parts(labels[rest], groups[rest], min(NUM_FOLDS, int(count)), seed)
        val[rest[parts == 0]] = True
        if len(np.unique(labels[rest[parts != 0]])) < len(np.unique(labels)):
            val[:] = False
    return _as_fold(~test & ~val, val, test)


def _as_fold(train: np.ndarray, val: np.ndarray, test: np.ndarray) -> Fold:
    return Fold(*(tuple(np.flatnonzero(part).tolist()) for part in (train, val, test)))


def _parts(labels: np.ndarray, groups: np.ndarray, seed: int) -> tuple[np.ndarray, int]:
    """Return the part of each clip, and how many there are; 0 if none leaves all classes to learn.

    As many as a class has groups, five at most.
    """
    num_classes = len(np.unique(labels))
    most = min(NUM_FOLDS, int(_groups_of_classes(labels, groups).min()))
    for count in range(most, 1, -1):
        parts = grouped_parts(labels, groups, count, seed)
        learned = [len(np.unique(labels[parts != i])) for i in range(count)]
        if min(learned) == num_classes and len(np.unique(parts)) == count:
            return parts, count
    return np.zeros(len(labels), int), 0


def _groups_of_classes(
    labels: np.ndarray, groups: np.ndarray, num_classes: int | None = None
) -> np.ndarray:
    """Return the number of groups of each class."""
    pairs = np.unique(np.stack([labels, groups]), axis=1)[0]
    return np.bincount(pairs, minlength=num_classes or int(labels.max()) + 1)


def grouped_parts(labels: np.ndarray, groups: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return a part for each clip, 0 to ``count`` - 1, so that no group is in two parts.

    Groups, the largest first, go where the classes stay most evenly spread, as in scikit-learn's
    StratifiedGroupKFold; among equals where there are fewest clips.

    Args:
        labels: (N,) int.
        groups: (N,) int.
        count: Number of parts.
        seed: Seed of the order of groups of one size.
    """
    names, inverse = np.unique(groups, return_inverse=True)
    classes, of_class = np.unique(labels, return_inverse=True)
    sizes = np.zeros((len(names), len(classes)))
    np.add.at(sizes, (inverse, of_class), 1)
    shares = sizes / sizes.sum(axis=0)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-sizes[order].sum(axis=1), kind="stable")]
    filled = np.zeros((count, len(classes)))
    clips = np.zeros(count)
    of_group = np.zeros(len(names), int)
    for group in order:
        uneven = []
        for part in range(count):
            filled[part] += shares[group]
            uneven.append(round(float(filled.std(axis=0).mean()), 9))
            filled[part] -= shares[group]
        chosen = min(range(count), key=lambda part: (uneven[part], clips[part]))
        filled[chosen] += shares[group]
        clips[chosen] += sizes[group].sum()
        of_group[group] = chosen
    parts: np.ndarray = of_group[inverse]
    return parts
