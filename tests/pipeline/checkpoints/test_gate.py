"""A gate's decision and its probabilities, by hand; and how it lies in a checkpoint."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from skelact import SkelactError
from skelact.models.novelty import Novelty
from skelact.pipeline.checkpoints.checkpoint import (
    CheckpointMeta,
    load_classifier,
    load_meta,
    save_checkpoint,
)
from skelact.pipeline.checkpoints.gate import Gate, tempered
from skelact.pipeline.checkpoints.networks import build_classifier
from skelact.pipeline.config import ClassifierConfig, EncoderConfig
from skelact.pipeline.data.preprocess import PreprocessConfig

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


def gated(folder):
    """Return a checkpoint of three classes with a gate, as it is saved."""
    preprocess, encoder = PreprocessConfig(clip_len=8), EncoderConfig(embed_dim=8, hidden_dim=8)
    model = build_classifier(preprocess, encoder, ClassifierConfig(temporal_dim=16), 3)
    model.novelty = Novelty(3, model.feature_dim)
    meta = CheckpointMeta(
        "classifier", preprocess, dataclasses.asdict(encoder), {"temporal_dim": 16},
        ("a", "b", "c"), {}, {}, 0, {}, gate=Gate(1.5, 0.5, "val"),
    )  # fmt: skip
    return model, meta, save_checkpoint(folder / "net", model, meta)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"novelty_thr": "1.5"}, "gate: novelty_thr: expected a number, got '1.5'"),
        ({"temperature": None}, "gate: temperature: expected a number, got None"),
        ({"novelty_thr": float("nan")}, "gate: expected a threshold of novelty"),
        ({"novelty": 1.5}, "gate: unknown key 'novelty'"),
        ({"fitted_on": 1}, "gate: fitted_on: expected text, got 1"),
    ],
)
def test_a_gate_of_other_values_is_refused(tmp_path, change, message):
    _, _, info = gated(tmp_path)
    values = json.loads(info.read_text())
    values["gate"] |= change
    info.write_text(json.dumps(values))
    with pytest.raises(SkelactError, match=message):
        load_meta(info)


def test_an_infinite_threshold_comes_back(tmp_path):
    model, meta, _ = gated(tmp_path)
    info = save_checkpoint(tmp_path / "all", model, dataclasses.replace(meta, gate=Gate()))
    assert load_classifier(info)[1].gate == Gate()


def test_half_a_gate_is_refused(tmp_path):
    """Numbers without weights, and weights without numbers."""
    model, meta, info = gated(tmp_path)
    assert load_classifier(info)[0].novelty is not None
    values = json.loads(info.read_text())
    info.write_text(json.dumps(values | {"gate": None}))
    with pytest.raises(SkelactError, match=r"net\.json: gate is null, and its weights hold one"):
        load_classifier(info)
    model.novelty = None
    bare = save_checkpoint(tmp_path / "bare", model, meta)
    with pytest.raises(SkelactError, match=r"bare\.json: it has a gate, and its weights hold none"):
        load_classifier(bare)
