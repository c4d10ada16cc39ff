"""The tube network: masked autoencoding over time, and its classifier."""

from __future__ import annotations

import pytest
import torch

from skelact import SkelactError
from skelact.models.losses import tube_loss
from skelact.models.masking import tube_mask
from skelact.models.skeleton_mae import SkeletonMAE
from skelact.models.tube import GraphMixing, TubeClassifier, TubeEncoder, TubeMAE, mean_and_std
from skelact.pose_extract.layout import COCO_17

SMALL = {"widths": (16, 32), "strides": (2, 1), "num_heads": 4}


def clips(count=4, num_person=2, seed=0):
    return torch.randn(count, num_person, 16, 17, 2, generator=torch.Generator().manual_seed(seed))


def test_a_joint_depends_on_its_neighbours_alone_at_first():
    torch.manual_seed(0)
    mixing = GraphMixing(COCO_17, 8, 8, 4).eval()
    with torch.no_grad():
        mixing.weight.copy_(mixing.weight.round())  # the start without its noise
    h = torch.rand(8, 1, 1, 17)
    moved = h.clone()
    moved[..., 9] += 1  # the left wrist: its one bone leads to the left elbow
    changed = (mixing(h) - mixing(moved)).abs().sum(dim=0)[0, 0] > 1e-6
    assert changed.nonzero().flatten().tolist() == [7, 9]


def test_time_is_shortened_by_the_strides():
    encoder = TubeEncoder(COCO_17, 2, **SMALL)
    assert encoder(clips()[:, 0]).shape == (4, 8, 17, 32)
    assert encoder.time_step == 2


def test_what_is_hidden_does_not_reach_the_encoder():
    torch.manual_seed(0)
    mae = TubeMAE(COCO_17, **SMALL).eval()
    x = clips()[:, 0]
    hidden = torch.zeros(4, 16, 17, dtype=torch.bool)
    hidden[:, 5:9, 7] = True
    other = x.clone()
    other[:, 5:9, 7] += 3
    for one, two in zip(mae(x, hidden), mae(other, hidden)):
        assert one.shape == (4, 16, 17, 2)
        assert torch.equal(one, two)


def test_a_joint_at_zero_counts_as_missing():
    """So the mask of pre-training and a joint that a pose model lost look the same."""
    torch.manual_seed(0)
    encoder = TubeEncoder(COCO_17, 2, **SMALL).eval()
    x = clips()[:, 0]
    x[:, 3, 9] = 0
    before = encoder(x)
    with torch.no_grad():
        encoder.mask_token += 1
    assert not torch.allclose(before, encoder(x))


def test_it_learns_to_reconstruct_a_swing():
    """A forearm that swings with its hidden partner: after training the tube is filled in."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    phase = torch.rand(64, 1, generator=generator) * 6.28 + torch.arange(16) * 0.4
    x = torch.zeros(64, 16, 17, 2)
    x[..., :, 0] = torch.linspace(-1, 1, 17) + 0.03
    x[..., 1] = 0.5 * phase.sin().unsqueeze(-1) + 1.0
    mae = TubeMAE(COCO_17, **SMALL)
    optimizer = torch.optim.AdamW(mae.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        hidden = tube_mask(64, 16, COCO_17, 0.5, tube_frames=8, generator=generator)
        loss = tube_loss(*mae(x, hidden), x, hidden)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.15 * sum(losses[:5])


def test_a_logit_per_class_and_absent_people_change_nothing():
    model = TubeClassifier(COCO_17, 5, clip_len=16, **SMALL).eval()
    x = clips()
    assert model(x).shape == (4, 5)
    x[:, 1] = 0
    assert torch.allclose(model(x), model(x[:, :1]), atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_a_clip_without_a_person_gives_finite_logits(training):
    model = TubeClassifier(COCO_17, 5, clip_len=16, **SMALL).train(training)
    assert torch.isfinite(model(torch.zeros(3, 2, 16, 17, 2))).all()


def test_scores_as_a_third_channel():
    model = TubeClassifier(COCO_17, 5, in_channels=3, clip_len=16, **SMALL).eval()
    x = torch.cat([clips(), torch.rand(4, 2, 16, 17, 1)], dim=-1)
    lower_scores = x * x.new_tensor([1, 1, 0.5])
    assert not torch.allclose(model(x), model(lower_scores))


def test_pretrained_weights_are_taken():
    mae = TubeMAE(COCO_17, **SMALL)
    model = TubeClassifier(COCO_17, 5, clip_len=16, **SMALL)
    model.load_pretrained(mae)
    assert torch.equal(model.encoder.embed.weight, mae.encoder.embed.weight)
    with pytest.raises(SkelactError, match="does not fit this classifier"):
        model.load_pretrained(TubeMAE(COCO_17, widths=(16, 16), strides=(2, 1), num_heads=4))
    with pytest.raises(SkelactError, match="pre-trained as model 'tube', got SkeletonMAE"):
        model.load_pretrained(SkeletonMAE(COCO_17))


def test_settings_that_do_not_fit():
    with pytest.raises(ValueError, match="multiples of 8 heads, got 12"):
        TubeMAE(COCO_17, widths=(12,), strides=(1,))
    with pytest.raises(ValueError, match="one per width, got 1 for 2"):
        TubeMAE(COCO_17, widths=(8, 8), strides=(1,))


def test_mean_and_deviation_over_time_by_hand():
    """One feature that stays at 2, and one that goes from 0 to 6: its mean is 3, and so is 3."""
    steps = torch.tensor([[[2.0], [2.0]], [[0.0], [6.0]]])  # (D, T, B)
    assert mean_and_std(steps).flatten().tolist() == pytest.approx([2, 3, 0, 3], abs=0.004)
    assert mean_and_std(steps[:, :1]).flatten().tolist() == pytest.approx([2, 0, 0, 0], abs=0.004)


def test_a_pooling_with_the_deviation_over_time():
    torch.manual_seed(0)
    model = TubeClassifier(COCO_17, 5, clip_len=16, pooling="mean_std", **SMALL).eval()
    x = clips()
    assert model.feature_dim == 64
    encoded = model.encoder(x[:, 0]).mean(dim=2)  # (B, T, D)
    expected = torch.cat([encoded.mean(dim=1), encoded.std(dim=1, correction=0)], dim=1)
    torch.testing.assert_close(model.pool_person(x[:, 0], 0), expected, atol=0.004, rtol=0)
    x[:, 1] = 0
    assert torch.allclose(model(x), model(x[:, :1]), atol=1e-6)
    model.train()(torch.zeros(3, 2, 16, 17, 2)).sum().backward()
    model(torch.zeros(3, 1, 16, 17, 2) + 1).sum().backward()  # nothing moves
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_a_pooling_that_there_is_not():
    with pytest.raises(ValueError, match="expected 'mean' or 'mean_std', got 'max'"):
        TubeClassifier(COCO_17, 5, pooling="max", **SMALL)
