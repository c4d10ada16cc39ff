"""Figures worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from skelact import SkelactError
from skelact.pipeline.evaluation.metrics import measure


def test_figures_by_hand():
    # Classes 0 (three clips, two right), 1 (one clip, wrong); class 2 does not occur.
    scores = np.array([[0.8, 0.1, 0.1], [0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.9, 0.1, 0.0]])
    labels = np.array([0, 0, 0, 1])
    result = measure(scores, labels)
    assert result.num_clips == 4
    assert result.top1 == 50
    assert result.top5 == 100
    assert result.mean_class_accuracy == pytest.approx((200 / 3 + 0) / 2)
    assert result.confusion_matrix == [[2, 0, 1], [1, 0, 0], [0, 0, 0]]


def test_mean_class_accuracy_is_the_published_figure_where_every_class_occurs():
    """As PYSKL computes it: recall by class, over the classes that are labels or predictions."""
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.arange(9), rng.integers(0, 9, 91) ** 2 // 9])  # a long tail
    scores = rng.random((100, 9)) + 0.5 * np.eye(9)[labels]
    predicted = scores.argmax(axis=1)
    by_class = []
    for label in np.unique(np.concatenate([labels, predicted])):
        of_class = predicted[labels == label]
        by_class.append((of_class == label).mean() if len(of_class) else 0.0)
    result = measure(scores, labels)
    assert result.mean_class_accuracy == pytest.approx(100 * np.mean(by_class))
    assert result.top1 == pytest.approx(100 * (predicted == labels).mean())
    assert abs(result.top1 - result.mean_class_accuracy) > 1  # the two would be told apart


def test_top5_counts_the_five_highest():
    scores = np.arange(10, dtype=float)[None].repeat(2, axis=0)
    assert measure(scores, np.array([5, 4])).top5 == 50


def test_equal_scores_go_to_the_lower_class():
    assert measure(np.zeros((1, 3)), np.array([0])).top1 == 100


@pytest.mark.parametrize(("labels", "message"), [([], "nothing to measure"), ([3], "0 to 2")])
def test_labels_that_cannot_be(labels, message):
    with pytest.raises(SkelactError, match=message):
        measure(np.zeros((len(labels), 3)), np.array(labels, dtype=int))


def test_scores_that_are_not_finite_name_a_clip():
    scores = np.zeros((3, 2))
    scores[1, 0], scores[2, 1] = np.nan, np.inf
    labels = np.array([0, 1, 1])
    with pytest.raises(SkelactError, match="got nan or inf for 2 of 3 clips, such as b"):
        measure(scores, labels, ["a", "b", "c"])
    with pytest.raises(SkelactError, match="such as clip 1"):
        measure(scores, labels)


def test_notes_are_in_the_json_only_if_there_are_any():
    result = measure(np.eye(2), np.array([0, 1]))
    assert list(result.to_json()) == [
        "num_clips", "top1", "top5", "mean_class_accuracy", "confusion_matrix",
    ]  # fmt: skip
    assert replace(result, notes=("seen",)).to_json()["notes"] == ["seen"]
