"""Augmentation: each option does what it says, and nothing else changes."""

from __future__ import annotations

import math

import pytest
import torch

from skelact import SkelactError
from skelact.pipeline.data.augment import AugmentConfig, augment, draw_positions
from skelact.pose_extract.layout import COCO_17

X = torch.randn(64, 2, 4, 17, 3, generator=torch.Generator().manual_seed(0))
OFF = {"noise_std": 0.0}


def run(x=X, seed=1, **options):
    generator = torch.Generator().manual_seed(seed)
    return augment(x, COCO_17, AugmentConfig(**(OFF | options)), generator)


def test_without_options_a_clip_stays_the_same():
    assert torch.allclose(run(), X)


def test_same_seed_same_clip():
    options = {"noise_std": 0.1, "flip_prob": 0.5, "rotate_degrees": 90.0, "drop_prob": 0.2}
    assert torch.equal(run(**options), run(**options))
    assert not torch.equal(run(**options), run(seed=2, **options))


def test_a_mirrored_clip_has_left_and_right_swapped():
    out = run(flip_prob=0.5)
    flipped = (out != X).flatten(1).any(dim=1)
    assert 10 < flipped.sum() < 54
    i = int(flipped.nonzero()[0])
    assert torch.allclose(out[i, ..., 9, 0], -X[i, ..., 10, 0])
    assert torch.equal(out[i, ..., 9, 1:], X[i, ..., 10, 1:])
    assert torch.allclose(out[i, ..., 0, 0], -X[i, ..., 0, 0])


def test_rotation_keeps_lengths_and_stays_under_its_bound():
    out = run(rotate_degrees=30.0)
    assert torch.allclose(out[..., :2].norm(dim=-1), X[..., :2].norm(dim=-1), atol=1e-5)
    angles = torch.atan2(out[..., 1], out[..., 0]) - torch.atan2(X[..., 1], X[..., 0])
    angles = torch.remainder(angles + math.pi, 2 * math.pi) - math.pi
    per_clip = angles.flatten(1)
    assert (per_clip.amax(dim=1) - per_clip.amin(dim=1)).max() < 1e-3  # one angle for a clip
    assert per_clip.abs().max() < math.radians(30) + 1e-4
    assert per_clip.abs().max() > math.radians(20)


def test_for_a_span_somebody_else_of_another_size_is_seen():
    out = run(switch_prob=0.5, switch_frames=0.75)
    other = X.roll(1, dims=0)
    changed = (out != X).flatten(3).any(dim=3).all(dim=1)  # (N, T)
    spans = changed.sum(dim=1)
    assert 10 < (spans > 0).sum() < 54
    assert spans.max() == 3
    # A span has no gap.
    assert (changed.int().diff(dim=1).abs().sum(dim=1) <= 2).all()
    x = out[..., 0].transpose(1, 2)[changed] / other[..., 0].transpose(1, 2)[changed]
    size = x.flatten(1)
    assert torch.allclose(size, size[:, :1].expand_as(size), atol=1e-4)
    assert ((size > 0.49) & (size < 2.01)).all()
    assert size.max() - size.min() > 1
    rows = (..., 1)
    shown, before = (c[rows].transpose(1, 2)[changed].flatten(1) for c in (out, other))
    height = shown - size * before
    assert torch.allclose(height, height[:, :1].expand_as(height), atol=1e-4)
    assert 0.5 < height.abs().max() <= 1
    kept = out[..., 2] == torch.where(changed[:, None, :, None], other[..., 2], X[..., 2])
    assert kept.all()


def test_a_camera_that_tilts_moves_a_clip_evenly_up_or_down():
    moved = run(tilt=0.5) - X
    assert not moved[..., 0].any()
    way = moved[:, 0, :, 0, 1]
    assert torch.allclose(moved[..., 1], way[:, None, :, None].expand_as(X[..., 1]), atol=1e-6)
    steps = way.diff(dim=1)
    assert torch.allclose(steps, steps[:, :1].expand_as(steps), atol=1e-6)
    whole = way[:, -1] - way[:, 0]
    assert 0.4 < whole.abs().max() <= 0.5
    assert whole.min() < 0 < whole.max()


def test_scale_and_shift():
    ratio = run(scale=0.2)[..., :2] / X[..., :2]
    assert 0.8 <= ratio.min() < 0.85
    assert 1.15 < ratio.max() <= 1.2 + 1e-5
    moved = (run(shift=0.5) - X)[..., :2]
    assert torch.allclose(moved[0], moved[0, 0, 0, 0].expand_as(moved[0]), atol=1e-6)
    assert 0.4 < moved.abs().max() <= 0.5 + 1e-5


def test_noise_has_its_size_and_leaves_scores_alone():
    out = run(noise_std=0.05)
    assert (out - X)[..., :2].std().item() == pytest.approx(0.05, rel=0.05)
    assert torch.equal(out[..., 2], X[..., 2])


def test_dropped_joints_are_zero_in_the_whole_clip_or_in_one_frame():
    gone = (run(drop_prob=0.3) == 0).all(dim=-1)
    assert 0.25 < gone.float().mean() < 0.35
    assert torch.equal(gone.any(dim=2), gone.all(dim=2))
    gone = (run(frame_drop_prob=0.3) == 0).all(dim=-1)
    assert 0.25 < gone.float().mean() < 0.35
    assert not torch.equal(gone.any(dim=2), gone.all(dim=2))


def test_what_is_missing_stays_missing():
    x = X.clone()
    x[:, 1] = 0
    x[:, 0, 2, 9] = 0
    out = run(x, noise_std=0.1, shift=1.0, rotate_degrees=90.0)
    assert (out[:, 1] == 0).all()
    assert (out[:, 0, 2, 9] == 0).all()


@pytest.mark.parametrize("option", [{"flip_prob": 1.5}, {"drop_prob": -0.1}, {"scale": 1.0}])
def test_options_that_cannot_be(option):
    with pytest.raises(SkelactError, match="expected 0 to 1"):
        AugmentConfig(**option)


def test_tubes_drop_whole_parts_in_some_clips():
    x = X.repeat(1, 1, 4, 1, 1)
    out = run(x, tube_prob=0.5, tube_ratio=0.5, tube_frames=4)
    gone = (out == 0).all(dim=-1)
    hit = gone.flatten(1).any(dim=1)
    assert 16 < hit.sum() < 48
    left_arm = gone[..., [7, 9]]
    assert torch.equal(left_arm[..., 0], left_arm[..., 1])
    assert gone[hit].float().mean().item() == pytest.approx(0.5, abs=0.1)


def test_a_part_of_a_clip_is_shown():
    """Frames come from a span of at least half the clip, in order."""
    config = AugmentConfig(min_length=0.5)
    where = draw_positions(200, 10, config, torch.Generator().manual_seed(0))
    share = (where + torch.arange(10)) / 10  # of the clip
    assert ((share >= 0) & (share < 1)).all()
    assert (share.diff(dim=1) > 0).all()
    length = (share[:, -1] - share[:, 0]) / 0.9
    assert length.min() > 0.38
    assert length.min() < 0.6
    assert length.max() > 0.9
    assert share[:, 0].max() > 0.3


def test_the_middle_of_each_span_where_nothing_is_random():
    config = AugmentConfig(random_steps=False)
    assert draw_positions(3, 10, config, torch.Generator()) == 0.5
    with pytest.raises(SkelactError, match="min_length: expected above 0 to 1"):
        AugmentConfig(min_length=0.0)
