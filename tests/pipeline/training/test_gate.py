"""A training leaves a gate, and one can be fitted afterwards."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from skeletons import make_annotations, write_annotations
from training_configs import make_config

from skelact import SkelactError
from skelact.pipeline.checkpoints.checkpoint import load_classifier, load_meta, save_checkpoint
from skelact.pipeline.config import FinetuneConfig
from skelact.pipeline.data.preprocess import preprocess
from skelact.pipeline.training.gate import fit_temperature
from skelact.pipeline.training.train import add_gate, finetune


@pytest.fixture(scope="module")
def ann_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "actions.pkl"
    return write_annotations(path, make_annotations(8), make_annotations(4, seed=1))


@pytest.fixture(scope="module")
def trained(ann_file, tmp_path_factory):
    tube = {
        "model": "tube",
        "tube": {"widths": (16, 32), "strides": (2, 1), "num_heads": 4},
        "data": {"val_split": ""},
        "augment": {"noise_max": 0.05},
    }
    config = make_config(FinetuneConfig, ann_file, **tube)
    return finetune(config, tmp_path_factory.mktemp("work"), quiet=True, half=True)


@pytest.mark.parametrize(("num_wrong", "odds"), [(1, 3), (0, 11)])
def test_the_temperature_at_which_labels_are_most_probable(num_wrong, odds):
    """Five clips and one half right and half wrong: 4.5 to 1.5, and 5.5 to 0.5.

    The odds 9 that each has become those at a temperature of ln 9 / ln odds.
    """
    scores = np.tile([0.9, 0.1], (5, 1))
    found = fit_temperature(scores, np.array([0] * (5 - num_wrong) + [1] * num_wrong))
    assert found == pytest.approx(math.log(9) / math.log(odds), rel=2e-3)


def test_a_training_leaves_a_gate_in_full_precision(trained):
    gate = load_meta(trained).gate
    assert gate is not None
    assert gate.fitted_on == "train"
    assert 0 < gate.novelty_thr < math.inf
    stored = load_file(trained.with_suffix(".safetensors"))
    kinds = {name: tensor.dtype for name, tensor in stored.items()}
    assert {kinds["novelty.means"], kinds["novelty.whitening"]} == {torch.float32}
    assert kinds["head.1.weight"] == torch.float16


@pytest.mark.parametrize(
    ("train", "val", "fitted_on"), [(7, 7, "val"), (7, 6, "train"), (6, 7, None)]
)
def test_twenty_clips_held_out_set_the_gate_or_twenty_of_the_training(
    tmp_path, train, val, fitted_on
):
    """Three classes of 7 clips are 21, of 6 they are 18."""
    clips = make_annotations(train), make_annotations(val, seed=1)
    config = make_config(
        FinetuneConfig, write_annotations(tmp_path / "a.pkl", *clips), optim={"epochs": 1}
    )
    info = finetune(config, tmp_path, quiet=True)
    gate = load_meta(info).gate
    assert (gate and gate.fitted_on) == fitted_on
    assert (load_classifier(info)[0].novelty is None) == (fitted_on is None)


def test_a_gate_fitted_afterwards_is_that_of_the_training(trained, ann_file, tmp_path):
    model, meta = load_classifier(trained)
    model.novelty = None
    without = save_checkpoint(tmp_path / "old", model, dataclasses.replace(meta, gate=None))
    old, old_meta = load_classifier(without)
    assert old_meta.gate is None
    assert old.with_novelty(torch.randn(2, 1, 16, 17, 2))[1] is None

    found = add_gate(without, tmp_path / "new", half=True)
    # Weights in half precision move the features a little.
    gate, again = meta.gate, load_meta(found).gate
    assert again.novelty_thr == pytest.approx(gate.novelty_thr, rel=0.02)
    assert again.temperature == pytest.approx(gate.temperature, rel=0.02)
    before, after = (load_file(path.with_suffix(".safetensors")) for path in (trained, found))
    assert before.keys() == after.keys()
    for name in before:
        if name.startswith("novelty."):
            continue
        assert torch.equal(before[name], after[name]), name

    other = write_annotations(tmp_path / "other.pkl", make_annotations(3), [])
    with pytest.raises(SkelactError, match="expected the 24 clips of 3 classes"):
        add_gate(without, tmp_path / "none", ann_file=str(other))


def upside_down(clips):
    return [
        dataclasses.replace(clip, keypoints=clip.keypoints * np.float32([1, -1]) + [0, 480])
        for clip in clips
    ]


def test_clips_of_other_actions_are_told(trained, tmp_path):
    """People upside down are unknown: with such clips at hand others like them are farther."""
    others = write_annotations(tmp_path / "a.pkl", upside_down(make_annotations(8, seed=2)), [])
    model, meta = load_classifier(trained)
    found, new = load_classifier(
        add_gate(trained, tmp_path / "new", unknown_file=str(others), half=True)
    )
    assert new.config["data"]["unknown_file"] == str(others)

    def gain(clips):
        x = torch.from_numpy(np.stack([preprocess(clip, meta.preprocess)[0] for clip in clips]))
        with torch.inference_mode():
            return found.with_novelty(x)[1] - model.with_novelty(x)[1]

    clips = make_annotations(4, seed=3)
    assert gain(upside_down(clips)).min() > gain(clips).max()


def test_clips_without_a_joint_teach_nothing(trained, tmp_path):
    clips = make_annotations(2)
    empty = [dataclasses.replace(clip, keypoint_scores=clip.keypoint_scores * 0) for clip in clips]
    nobody = write_annotations(tmp_path / "nobody.pkl", empty, [])
    with pytest.raises(SkelactError, match="none of its 6 clips has a joint"):
        add_gate(trained, tmp_path / "none", unknown_file=str(nobody))
