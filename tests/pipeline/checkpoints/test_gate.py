"""A gate's decision and its probabilities, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from skelact.pipeline.checkpoints.gate import Gate, tempered

SCORES = np.array([0.3, 0.6, 0.1], np.float32)


def test_a_clip_beyond_the_threshold_is_unknown_and_keeps_its_probabilities():
    gate = Gate(novelty_thr=1.5, temperature=0.5)
    near, far = gate.judge(SCORES, 1.5), gate.judge(SCORES, 1.51)
    assert (near.unknown, far.unknown) == (False, True)
    # At half the temperature probabilities are squared: 9, 36 and 1 parts of 46.
    for judged in (near, far):
        np.testing.assert_allclose(judged.probabilities, [9 / 46, 36 / 46, 1 / 46], rtol=1e-6)


def test_without_a_gate_nothing_is_unknown_and_scores_stay():
    for novelty in (None, 1e9):
        judged = Gate().judge(SCORES, novelty)
        assert not judged.unknown
        np.testing.assert_array_equal(judged.probabilities, SCORES.astype(np.float64))
    assert not Gate(novelty_thr=0.0).judge(SCORES, None).unknown


def test_a_temperature_changes_no_order_and_bears_zeros():
    scores = np.array([[0.0, 1.0], [0.5, 0.5]], np.float32)
    for temperature in (0.1, 10.0):
        found = tempered(scores, temperature)
        np.testing.assert_allclose(found.sum(axis=1), 1)
        assert found[0, 1] > found[0, 0] >= 0
        np.testing.assert_allclose(found[1], [0.5, 0.5])


@pytest.mark.parametrize("values", [(float("nan"), 1.0), (1.0, 0.0), (1.0, float("nan"))])
def test_numbers_that_cannot_be(values):
    with pytest.raises(ValueError, match="expected a threshold of novelty"):
        Gate(*values)
