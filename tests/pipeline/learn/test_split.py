"""Who is learned from and measured on: no group in two parts, all classes in each."""

from __future__ import annotations

import numpy as np
import pytest

from skelact.pipeline.learn.split import grouped_parts, plan_splits


def data(*classes):
    """Return labels and groups: of each class the sizes of its groups."""
    labels, groups = [], []
    for label, sizes in enumerate(classes):
        for size in sizes:
            group = max(groups, default=-1) + 1
            labels += [label] * size
            groups += [group] * size
    return np.array(labels), np.array(groups)


def plan(labels, groups, splits=None, seed=0):
    return plan_splits(labels, groups, splits or [None] * len(labels), seed)


def check(found, labels, groups):
    """Check that no fold leaks, and that each learns all classes."""
    for fold in found.folds:
        parts = [set(groups[list(part)]) for part in (fold.train, fold.val, fold.test)]
        assert not parts[0] & parts[1]
        assert not parts[0] & parts[2]
        assert not parts[1] & parts[2]
        assert set(labels[list(fold.train)]) == set(labels)
        assert len(fold.train) + len(fold.val) + len(fold.test) == len(labels)


def test_six_groups_in_three_parts_by_hand():
    """Two classes with three groups of two clips: each part gets one group of each class."""
    labels, groups = data([2, 2, 2], [2, 2, 2])
    parts = grouped_parts(labels, groups, 3, seed=0)
    assert [sorted(labels[parts == part]) for part in range(3)] == [[0, 0, 1, 1]] * 3
    assert all(len(set(parts[groups == group])) == 1 for group in range(6))


@pytest.mark.parametrize("seed", range(3))
def test_few_clips_are_measured_in_turn(seed):
    """12 + 12 clips alone and 8 pairs, as forty clips of UCF101: each is measured once."""
    labels, groups = data([1] * 12, [1] * 12, [2] * 8)
    found = plan(labels, groups, seed=seed)
    assert found.kind == "folds"
    assert len(found.folds) == 5
    check(found, labels, groups)
    assert sorted(i for fold in found.folds for i in fold.test) == list(range(40))
    assert all(fold.val for fold in found.folds)
    assert "5 of 5 trainings have a val part" in found.said[1]
    assert found.trains_on_all


def test_two_groups_a_class_are_two_folds_without_a_part_to_stop_by():
    labels, groups = data([3, 1], [2, 2])
    found = plan(labels, groups)
    check(found, labels, groups)
    assert [fold.val for fold in found.folds] == [(), ()]
    assert "too few groups" in found.said[1]


def test_many_clips_have_one_part_that_is_measured_on():
    labels, groups = data([2] * 30, [1] * 60)
    found = plan(labels, groups)
    assert found.kind == "split"
    (fold,) = found.folds
    check(found, labels, groups)
    # A fifth of each, and of the rest a fifth to stop by.
    assert [np.bincount(labels[list(part)]).tolist() for part in (fold.test, fold.val)] == [
        [12, 12],
        [10, 10],
    ]
    assert not found.trains_on_all


def test_a_class_of_one_recording_cannot_be_measured():
    labels, groups = data([9], [1, 1, 1])
    found = plan(labels, groups)
    assert (found.kind, found.folds) == ("none", ())
    assert "nothing was measured" in found.said[0]
    # Two classes that share all their recordings leave none to learn from.
    assert plan(np.array([0, 1] * 3), np.zeros(6, int)).kind == "none"


def test_the_users_splits_are_kept_and_leaks_are_told():
    labels, groups = data([1, 1, 1, 1], [1, 1, 1, 1])
    splits = ["train", "train", "val", "test"] * 2
    found = plan(labels, groups, splits)
    (fold,) = found.folds
    assert (fold.train, fold.val, fold.test) == ((0, 1, 4, 5), (2, 6), (3, 7))
    assert "WARNING" not in " ".join(found.said)
    groups[3] = groups[0]
    assert "WARNING: 1 groups have clips in 'test'" in plan(labels, groups, splits).said[1]


def test_train_and_val_alone_measure_on_val_and_stop_by_clips_of_train():
    labels, groups = data([1] * 6, [1] * 6)
    found = plan(labels, groups, ["train"] * 4 + ["val"] * 2 + ["train"] * 4 + ["val"] * 2)
    (fold,) = found.folds
    assert fold.test == (4, 5, 10, 11)
    check(found, labels, groups)
    assert fold.val
