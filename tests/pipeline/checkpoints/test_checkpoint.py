"""Checkpoints: what is saved is loaded; what does not fit is refused; nothing is executed."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from skelact import SkelactError
from skelact.models.strl import SSLClassifier
from skelact.pipeline.checkpoints.checkpoint import (
    CheckpointMeta,
    find_checkpoint,
    load_classifier,
    load_mae,
    load_meta,
    save_checkpoint,
)
from skelact.pipeline.checkpoints.networks import build_classifier
from skelact.pipeline.config import ClassifierConfig, EncoderConfig, TubeConfig
from skelact.pipeline.data.preprocess import PreprocessConfig

PREPROCESS = PreprocessConfig(clip_len=8, ignore_keypoints=("nose",))
ENCODER = EncoderConfig(embed_dim=8, hidden_dim=8)


def save(path, half=False, kind="classifier"):
    torch.manual_seed(0)
    model = build_classifier(PREPROCESS, ENCODER, ClassifierConfig(temporal_dim=16), 3).eval()
    meta = CheckpointMeta(
        kind=kind,
        preprocess=PREPROCESS,
        encoder=dataclasses.asdict(ENCODER),
        head={"temporal_dim": 16},
        label_names=("a", "b", "c"),
        config={},
        data={"dataset": "mine"},
        seed=0,
        figures={},
    )
    return model, save_checkpoint(path, model, meta, half=half)


@pytest.mark.parametrize("half", [False, True])
def test_what_is_saved_is_loaded(tmp_path, half):
    model, info = save(tmp_path / "run.1", half=half)
    assert info.name == "run.1.json"
    loaded, meta = load_classifier(info)
    x = torch.randn(2, 2, 8, 17, 2)
    assert torch.allclose(model(x), loaded(x), atol=1e-2 if half else 0)
    assert (meta.preprocess, meta.encoder) == (PREPROCESS, dataclasses.asdict(ENCODER))
    assert meta.label_names == ("a", "b", "c")
    assert isinstance(loaded, SSLClassifier)
    assert not loaded.training


def test_half_precision_takes_half_the_room(tmp_path):
    _, info = save(tmp_path / "small", half=True)
    tensors = load_file(info.with_suffix(".safetensors")).values()
    assert {t.dtype for t in tensors if t.is_floating_point()} == {torch.float16}


def test_either_file_or_the_folder_finds_the_pair(tmp_path):
    _, info = save(tmp_path / "one")
    for path in (info, info.with_suffix(".safetensors"), tmp_path / "one", tmp_path):
        assert find_checkpoint(path) == info


def test_a_folder_with_two_is_refused(tmp_path):
    save(tmp_path / "one")
    save(tmp_path / "two")
    with pytest.raises(SkelactError, match=r"expected one checkpoint.*one.json, two.json"):
        find_checkpoint(tmp_path)


def test_weights_of_another_run_are_noticed(tmp_path):
    _, one = save(tmp_path / "one")
    _, two = save(tmp_path / "two", half=True)
    one.with_suffix(".safetensors").write_bytes(two.with_suffix(".safetensors").read_bytes())
    with pytest.raises(SkelactError, match="do not belong together"):
        load_classifier(one)


@pytest.mark.parametrize("lost", [".json", ".safetensors"])
def test_half_a_pair_is_no_checkpoint(tmp_path, lost):
    _, info = save(tmp_path / "one")
    info.with_suffix(lost).unlink()
    with pytest.raises(SkelactError, match=f"one{lost} is missing"):
        load_classifier(tmp_path / "one.json")


def test_the_wrong_kind_is_refused(tmp_path):
    _, info = save(tmp_path / "one")
    with pytest.raises(SkelactError, match="expected a pretrain checkpoint, got one of kind"):
        load_mae(info)


def test_a_classifier_of_an_earlier_version_pools_by_the_mean(tmp_path):
    network = TubeConfig(widths=(16,), strides=(2,), num_heads=4)
    preprocess = PreprocessConfig(clip_len=8, num_person=1)
    module = build_classifier(preprocess, network, ClassifierConfig(), 2)
    head = dataclasses.asdict(ClassifierConfig())
    del head["pooling"]
    meta = CheckpointMeta(
        kind="classifier", preprocess=preprocess, encoder=dataclasses.asdict(network), head=head,
        label_names=("wave", "turn"), config={}, data={}, seed=0, figures={}, model="tube",
    )  # fmt: skip
    classifier, _ = load_classifier(save_checkpoint(tmp_path / "old", module, meta))
    assert classifier.pooling == "mean"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 99}, "expected format_version 1 to 2, got 99"),
        ({"encoder": {"embed_dmi": 8}}, "did you mean 'embed_dim'"),
        ({"encoder": {"embed_dim": 16, "hidden_dim": 8}}, "do not fit their JSON"),
        ({"encoder": {"embed_dim": 10**9}}, r"encoder: expected at most 64 layers"),
        ({"encoder": {"encoder_depth": 10**9}}, "encoder: expected at most 64 layers"),
        ({"encoder": {"embed_dim": "8"}}, "encoder: embed_dim: expected a whole number"),
        (
            {"model": "tube", "encoder": {"widths": [8] * 99, "strides": [1] * 99, "num_heads": 1}},
            "encoder: expected at most 64 layers",
        ),
        ({"model": "stgcn", "encoder": {"base_width": 10**9}}, "encoder: expected at most"),
        ({"head": {"num_layers": 10**9}}, "head: expected at most 64 layers"),
        ({"head": []}, "head: expected a mapping"),
        ({"kind": "teacher"}, "kind: expected one of pretrain, classifier"),
        ({"model": "gpt"}, "model: expected one of ssl, tube, stgcn, protogcn, got 'gpt'"),
        ({"preprocess": None}, "preprocess: expected a mapping, got None"),
        ({"preprocess": {"clip_len": 10**9}}, "clip_len: expected 1 to 4096"),
        ({"preprocess": {"layout": "hand_21"}}, "hand_21"),
        ({"label_names": []}, "label_names: expected 1 to 10000, got 0"),
        ({"label_names": ["x"] * 10_001}, "label_names: expected 1 to 10000, got 10001"),
        ({"label_names": [1, 2, 3]}, "label_names: expected text, got 1"),
        ({"label_names": "abc"}, "label_names: expected a list"),
        ({"config": {"runtime": 1}}, "config.runtime: expected a mapping"),
        ({"config": {"runtime": {"num_test_clips": 10**9}}}, "num_test_clips: expected 0 to 1000"),
        ({"data": {"median_frames": "x"}}, "data.median_frames: expected 0 to"),
        ({"since": "2.0"}, "unknown key 'since'"),
        ({"skelact_version": 2}, "skelact_version: expected text"),
    ],
)
def test_a_json_that_does_not_fit(tmp_path, change, message):
    _, info = save(tmp_path / "one")
    info.write_text(json.dumps(json.loads(info.read_text()) | change))
    with pytest.raises(SkelactError, match=message):
        load_classifier(info)


def test_a_damaged_json(tmp_path):
    _, info = save(tmp_path / "one")
    info.write_text("{")
    with pytest.raises(SkelactError, match="expected the JSON of a model file"):
        load_meta(info)


def test_a_checkpoint_of_the_first_version_loads_as_the_present_one(tmp_path):
    shipped, present = load_classifier()
    for suffix in (".json", ".safetensors"):
        shutil.copy(find_checkpoint(None).with_suffix(suffix), tmp_path)
    (info,) = tmp_path.glob("*.json")
    values = json.loads(info.read_text())
    assert values["format_version"] == 2
    info.write_text(json.dumps(values | {"format_version": 1}))
    loaded, meta = load_classifier(info)
    assert meta == present
    assert all(map(torch.equal, shipped.parameters(), loaded.parameters()))


def test_the_shipped_classifier_gives_the_logits_it_was_published_with():
    """Networks are written anew for speed; weights that are out there mean the same."""
    model, _ = load_classifier()
    generator = torch.Generator().manual_seed(0)
    x = 0.1 * torch.randn(2, *model.input_shape, generator=generator).cumsum(dim=2)
    with torch.no_grad():
        logits = model(x)
    expected = [-2.0856, 0.1715, -0.6971, -1.0272, -0.8090, 0.2206, -0.8564, -0.5755, -0.4437,
                1.3024, 2.1318, -0.6076, -1.6832, 0.0369, -0.5712]  # fmt: skip
    torch.testing.assert_close(logits[0], torch.tensor(expected), atol=1e-3, rtol=0)
