"""Distances that can be worked out by hand."""

from __future__ import annotations

import pytest
import torch

from skelact.models.novelty import Novelty, shrunk_covariance

# Two classes around (0, 0) and (10, 0); their common covariance is diag(2, 0.5).
AROUND = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
FEATURES = torch.cat([AROUND, AROUND + torch.tensor([10.0, 0.0])])
LABELS = torch.tensor([0] * 4 + [1] * 4)
MANY = 10**9  # so many independent clips that nothing is shrunk


def test_the_distance_to_the_nearest_class_in_deviations():
    novelty = Novelty(2, 2)
    novelty.fit(FEATURES, LABELS, MANY)
    points = torch.tensor([[0.0, 0.0], [2.0, 0.0], [10.0, 1.0], [5.0, 0.0]])
    # Squares are 0, 4 / 2, 1 / 0.5 and 25 / 2, over two features.
    expected = torch.tensor([0.0, 1.0, 1.0, 6.25]).sqrt()
    torch.testing.assert_close(novelty(points), expected, atol=1e-5, rtol=1e-5)


def test_a_class_without_a_clip_is_never_the_nearest():
    with_empty = Novelty(3, 2)
    with_empty.fit(FEATURES + 20, torch.where(LABELS == 1, 2, 0), MANY)
    plain = Novelty(2, 2)
    plain.fit(FEATURES + 20, LABELS, MANY)
    points = torch.tensor([[0.0, 0.0], [20.0, 20.0]])
    torch.testing.assert_close(with_empty(points), plain(points))


def test_features_that_never_vary_give_finite_distances():
    novelty = Novelty(1, 3)
    novelty.fit(torch.ones(4, 3), torch.zeros(4, dtype=torch.int64), 4)
    # No scale but one: a distance of 2 in each feature.
    assert novelty(torch.full((1, 3), 3.0)).item() == pytest.approx(2.0)


def test_the_share_that_is_shrunk():
    """tr S^2 = 4.25, (tr S)^2 = 6.25, D = 2: 6.25 / ((n + 0) * (4.25 - 3.125)) by equation 23."""
    share = 6.25 / (10 * 1.125)
    expected = (1 - share) * torch.diag(torch.tensor([2.0, 0.5])) + share * 1.25 * torch.eye(2)
    found = shrunk_covariance(AROUND.double(), 10)
    torch.testing.assert_close(found, expected.double())
    torch.testing.assert_close(shrunk_covariance(AROUND.double(), 2), 1.25 * torch.eye(2).double())


def test_a_network_is_added_that_knows_other_actions():
    """Both kinds are fitted as one class, so that the distance cannot tell them."""
    generator = torch.Generator().manual_seed(0)
    known = torch.randn(200, 3, generator=generator)
    unknown = torch.randn(200, 3, generator=generator) * 0.1
    known[:, 2] += 4
    novelty = Novelty(1, 3)
    novelty.fit(torch.cat([known, unknown]), torch.zeros(400, dtype=torch.int64), MANY)
    features = torch.cat([known[:5], unknown[:5]])
    torch.testing.assert_close(novelty(features), novelty.distance(features))

    state = torch.get_rng_state()
    novelty.fit_others(known, unknown, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        assert novelty(known).max() < novelty(unknown).min()
        first = novelty(features)
        novelty.fit_others(known, unknown, seed=3)
        assert torch.equal(novelty(features), first)
