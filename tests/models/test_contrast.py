"""The contrast of clips: losses against their formulas, and whom the memory holds near."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from skelact.models.contrast import ClipContrast, info_nce


def unit(*shape, seed=0):
    return F.normalize(torch.randn(shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_the_loss_is_that_of_simclr():
    one, other, temperature = unit(4, 8), unit(4, 8, seed=1), 0.2
    both = torch.cat([one, other])
    total = 0.0
    for i in range(8):
        similar = torch.exp(both @ both[i] / temperature)
        total -= torch.log(similar[(i + 4) % 8] / (similar.sum() - similar[i]))
    assert info_nce(one, other, temperature).item() == pytest.approx(total.item() / 8, rel=1e-5)


def test_alike_views_of_unlike_clips_lose_least():
    views = torch.eye(4, 8)
    assert info_nce(views, views, 0.1) < info_nce(views, views.roll(1, dims=0), 0.1)


@pytest.fixture
def contrast():
    torch.manual_seed(0)
    return ClipContrast(6, 10, temperature=0.1, num_neighbours=2).eval()


def step(contrast, features, inds, *, neighbours=False):
    return contrast(
        features, features, inds, neighbours=neighbours, generator=torch.Generator().manual_seed(0)
    )


def test_the_memory_holds_the_embeddings_of_the_clips_that_were_seen(contrast):
    features, inds = torch.randn(3, 6), torch.tensor([7, 0, 4])
    step(contrast, features, inds)
    expected = F.normalize(contrast.project(features), dim=1)
    torch.testing.assert_close(contrast.memory[inds], expected)
    assert contrast.memory[[1, 2, 3, 5, 6, 8, 9]].eq(0).all()


def test_a_clip_is_not_its_own_neighbour(contrast):
    """Of two clips that are nearly alike each is the other's, and not a third."""
    contrast.num_neighbours = 1
    contrast.memory[:3] = F.normalize(torch.tensor([[1.0, 0.02], [1, -0.02], [0, 1]]), dim=1) @ (
        torch.eye(2, 128)
    )
    found = contrast._neighbours(
        contrast.memory[:2], torch.tensor([0, 1]), torch.Generator().manual_seed(0)
    )
    assert torch.equal(found, contrast.memory[[1, 0]])


def test_neighbours_add_to_the_loss_and_teach_the_projection(contrast):
    features, inds = torch.randn(4, 6, requires_grad=True), torch.arange(4)
    alone = step(contrast, features, inds)
    both = step(contrast, features, inds, neighbours=True)
    assert both > alone
    both.backward()
    assert features.grad.abs().sum() > 0
    assert not contrast.memory.requires_grad
