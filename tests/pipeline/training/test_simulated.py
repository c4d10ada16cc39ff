"""Simulated clips in pre-training: errors and truth side by side, depths and phases with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skelact import SkelactError
from skelact.pipeline.data.pairs import ClipPairs
from skelact.pipeline.data.preprocess import PreprocessConfig
from skelact.pipeline.synth.pairs import write_pairs
from skelact.pipeline.training.simulated import PairStore

PREPROCESS = PreprocessConfig(clip_len=24, fill_missing="zero", normalization="body")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "pairs.npz"
    write_pairs(path, 40)
    return path


@pytest.fixture(scope="module")
def clips(path):
    return PairStore(ClipPairs.load(path), PREPROCESS)


def batch(clips):
    x, phase = clips.batch(torch.arange(len(clips)), torch.device("cpu"), 0.5)
    return x[:, 0, ..., :2], x[:, 1, ..., :2], x[..., -1], phase


def test_the_first_of_two_has_errors_and_the_second_is_exact(clips, path, tmp_path):
    seen, exact, _, _ = batch(clips)
    both = (seen != 0).any(dim=-1) & (exact != 0).any(dim=-1)
    apart = (seen - exact).norm(dim=-1)[both]
    assert both.float().mean() > 0.6
    assert 0.01 < apart.median() < 0.2  # of half the body's size
    write_pairs(tmp_path / "again.npz", 40)
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


def test_without_noise_the_two_are_one(tmp_path):
    write_pairs(tmp_path / "exact.npz", 8, noise=0.0)
    seen, true, _, _ = batch(PairStore(ClipPairs.load(tmp_path / "exact.npz"), PREPROCESS))
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


def test_files_that_hold_something_else(path, tmp_path):
    with pytest.raises(SkelactError, match="skelact synth pairs --out .*missing.npz"):
        ClipPairs.load(tmp_path / "missing.npz")
    (tmp_path / "text.npz").write_text("no file of pairs")
    with np.load(path) as found:
        arrays = dict(found)
    np.savez(tmp_path / "objects.npz", **(arrays | {"scores": np.array([{}])}))
    np.savez(tmp_path / "short.npz", **(arrays | {"lengths": arrays["lengths"][:-1]}))
    np.savez(tmp_path / "nan.npz", **(arrays | {"depth": np.full_like(arrays["depth"], np.nan)}))
    del arrays["phase"]
    np.savez(tmp_path / "part.npz", **arrays)
    for name in ("text", "objects", "short", "nan", "part"):
        with pytest.raises(SkelactError, match="expected a file of `skelact synth pairs`, got"):
            ClipPairs.load(tmp_path / f"{name}.npz")
