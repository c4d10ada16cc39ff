"""``benchmarks/logistic.py``: what it fits can be worked out by hand."""

from __future__ import annotations

import importlib

import numpy as np
import pytest


@pytest.fixture
def logistic(repository, monkeypatch):
    monkeypatch.syspath_prepend(repository / "benchmarks")
    return importlib.import_module("logistic")


def test_coefficients_are_log_odds(logistic):
    """Three of four are right where a feature is 7, one of four where it is 5: odds 3 and 1/3."""
    feature = np.repeat([7.0, 5.0], 4000)
    labels = np.concatenate([np.arange(4000) % 4 > 0, np.arange(4000) % 4 == 0]).astype(int)
    found = logistic.fit_logistic(feature[:, None], labels, np.arange(8000), 2)
    odds = found.coefficients[1] - found.coefficients[0]
    np.testing.assert_allclose(odds @ [[1, 1], [7, 5]], np.log([3, 1 / 3]), atol=0.01)
    assert found.loss == pytest.approx(-0.75 * np.log(0.75) - 0.25 * np.log(0.25), abs=0.01)


def test_what_is_told_apart_without_an_error_keeps_the_least_penalty(logistic):
    feature = np.where(np.arange(400) % 2, 1.0, -1.0)
    labels = (feature > 0).astype(int)
    found = logistic.fit_logistic(feature[:, None], labels, np.arange(400), 2)
    assert found.penalty == min(logistic.PENALTIES)
    # Least log(1 + exp(-2 w)) + penalty w^2, for weights of -w and w.
    weight = found.coefficients[1, 1]
    assert weight * (1 + np.exp(2 * weight)) == pytest.approx(1 / found.penalty, rel=0.01)


@pytest.mark.parametrize(("by_clip", "is_largest"), [(True, True), (False, False)])
def test_rows_of_a_clip_are_left_out_together(logistic, by_clip, is_largest):
    """Chance says nothing of other clips, but much of the rows that are a clip's copies."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(60, 15)), np.arange(60) % 2
    rows = np.repeat(np.arange(60), 6)
    groups = rows if by_clip else np.arange(len(rows))
    found = logistic.fit_logistic(features[rows], labels[rows], groups, 2)
    assert (found.penalty == max(logistic.PENALTIES)) == is_largest
