"""Simulated clips in pre-training: errors and truth side by side, depths and phases with them."""

from __future__ import annotations

import pytest
import torch

from skelact.pipeline.config import SimulatedConfig
from skelact.pipeline.data.preprocess import PreprocessConfig
from skelact.pipeline.training.simulated import SimulatedClips

PREPROCESS = PreprocessConfig(clip_len=24, fill_missing="zero", normalization="body")


@pytest.fixture(scope="module")
def clips():
    return SimulatedClips(SimulatedConfig(clips=40, batch_size=8), PREPROCESS)


def batch(clips):
    x, phase = clips.batch(torch.arange(len(clips)), torch.device("cpu"), 0.5)
    return x[:, 0, ..., :2], x[:, 1, ..., :2], x[..., -1], phase


def test_the_first_of_two_has_errors_and_the_second_is_exact(clips):
    seen, exact, _, _ = batch(clips)
    both = (seen != 0).any(dim=-1) & (exact != 0).any(dim=-1)
    apart = (seen - exact).norm(dim=-1)[both]
    assert both.float().mean() > 0.6
    assert 0.01 < apart.median() < 0.2  # of half the body's size
    again = SimulatedClips(SimulatedConfig(clips=40, batch_size=8), PREPROCESS)
    assert all(torch.equal(one, two) for one, two in zip(batch(clips), batch(again)))


def test_without_noise_the_two_are_one():
    exact = SimulatedClips(SimulatedConfig(clips=8, batch_size=8, noise=0.0), PREPROCESS)
    seen, true, _, _ = batch(exact)
    assert torch.equal(seen, true)


def test_depth_is_behind_the_hips_and_phases_pass_in_order(clips):
    _, exact, depth, phase = batch(clips)
    assert torch.equal(depth[:, 0], depth[:, 1])
    hips = depth[:, 0, :, [11, 12]]
    torch.testing.assert_close(hips.mean(dim=-1), torch.zeros(hips.shape[:2]), atol=1e-4, rtol=0)
    # A limb is as long whatever it points to: shown long, it is near in depth.
    shin = (exact[:, :, 13] - exact[:, :, 15]).norm(dim=-1)
    behind = (depth[:, 0, :, 13] - depth[:, 0, :, 15]).abs()
    known = (exact[:, :, [13, 15]] != 0).any(dim=-1).all(dim=-1)
    correlation = torch.corrcoef(torch.stack([shin[known], behind[known]]))[0, 1]
    assert correlation < -0.3
    assert depth.abs().max() < 2.5
    assert set(phase.unique().tolist()) >= {1, 2, 3}
