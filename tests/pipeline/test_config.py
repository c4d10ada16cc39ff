"""Configs: every shipped one loads, and a mistake names itself."""

from __future__ import annotations

import pytest

from skelact import SkelactError
from skelact.pipeline.checkpoints.networks import build_classifier, build_mae
from skelact.pipeline.config import (
    FinetuneConfig,
    PretrainConfig,
    load_config,
    load_label_names,
    shipped_configs,
)

CLASSES = {
    "gym99": 99,
    "gym288": 288,
    "diving48": 48,
    "gym99_tube": 99,
    "gym288_tube": 288,
    "diving48_tube": 48,
    "ntu60_xsub": 60,
    "ntu60_xview": 60,
    "ntu120_xsub": 120,
    "ntu120_xset": 120,
    "jhmdb14": 14,
    "penn_action": 15,
    "penn_action_aug": 15,
    "penn_action_tube": 15,
    "penn_action_video": 15,
    "penn_action_stgcn": 15,
    "diving_synth": 48,
    "diving_synth_tube": 48,
    "diving_synth_stgcn": 48,
    "own": 0,  # as many as the file has
}
# Recipes of fine-tuning alone: they start from what penn_action pre-trains, or from nothing.
VARIANTS = {"penn_action_aug", "penn_action_video", "penn_action_stgcn", "diving_synth_stgcn"}


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


MINIMAL = """
data: {dataset: mine, ann_file: mine.pkl}
optim: {kind: sgd, lr: 0.1, batch_size: 4, epochs: 2}
"""


def test_both_kinds_are_shipped_for_each_data_set():
    assert set(shipped_configs("finetune")) == set(CLASSES)
    assert set(shipped_configs("pretrain")) == set(CLASSES) - VARIANTS


@pytest.mark.parametrize("name", CLASSES)
def test_shipped_finetune_configs_build_their_model(name):
    config = load_config(FinetuneConfig, name, "finetune")
    names = load_label_names(config.data.labels) if config.data.labels else ()
    assert (len(names) or config.data.num_classes) == CLASSES[name]
    assert len(set(names)) == len(names)
    count = CLASSES[name] or 3
    model = build_classifier(config.preprocess, config.network, config.classifier, count)
    assert model.input_shape == config.preprocess.tensor_shape


@pytest.mark.parametrize("name", sorted(set(CLASSES) - VARIANTS))
def test_pretraining_and_fine_tuning_fit_each_other(name):
    first = load_config(PretrainConfig, name, "pretrain")
    second = load_config(FinetuneConfig, name, "finetune")
    assert first.preprocess == second.preprocess
    mae = build_mae(first.preprocess, first.network, first.mask)
    model = build_classifier(second.preprocess, second.network, second.classifier, 3)
    model.load_pretrained(mae)


def test_the_papers_settings():
    first = load_config(PretrainConfig, "gym99", "pretrain")
    second = load_config(FinetuneConfig, "gym99", "finetune")
    assert (first.optim.kind, first.optim.lr, first.optim.epochs) == ("adam", 1.5e-4, 50)
    assert (second.optim.kind, second.optim.lr, second.optim.epochs) == ("sgd", 0.1, 110)
    assert second.optim.milestones == (90, 100)
    assert (second.encoder.encoder_depth, second.classifier.num_layers) == (3, 3)


def test_names_of_finegym_and_diving48_against_the_published_lists(shared):
    published = (shared / "data" / "labels").rglob("*")
    text = " ".join(p.read_text(errors="ignore") for p in published if p.is_file())
    for name in load_label_names("gym99"):
        assert name.removesuffix(", dismount") in text


def test_overrides_win(tmp_path):
    path = write(tmp_path / "mine.yaml", MINIMAL)
    overrides = ["optim.epochs=7", "optim.lr=1e-3", "preprocess.num_person=1"]
    config = load_config(FinetuneConfig, str(path), "finetune", overrides)
    assert (config.optim.epochs, config.optim.lr) == (7, 1e-3)
    assert config.preprocess.num_person == 1


def test_a_base_is_read(tmp_path):
    write(tmp_path / "base.yaml", MINIMAL)
    path = write(tmp_path / "mine.yaml", "_base_: base.yaml\noptim: {epochs: 9}\n")
    config = load_config(FinetuneConfig, str(path), "finetune")
    assert (config.optim.epochs, config.optim.lr) == (9, 0.1)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.epoch=3", "unknown key 'epoch'; did you mean 'epochs'"),
        ("optim.epochs=3.5", "epochs: expected a whole number, got 3.5"),
        ("optim.kind=sdg", "kind: expected one of sgd, adam, adamw, muon, got 'sdg'"),
        ("optim.lr=fast", "lr: expected a number"),
        ("classifier.num_layers=true", "expected a whole number"),
        ("optim.milestones=5", "milestones: expected a list"),
        ("optim=3", "expected a mapping"),
        ("optim.epochs", "expected key=value"),
    ],
)
def test_mistakes_name_themselves(tmp_path, override, message):
    path = write(tmp_path / "mine.yaml", MINIMAL)
    with pytest.raises(SkelactError, match=message):
        load_config(FinetuneConfig, str(path), "finetune", [override])


def test_a_missing_key(tmp_path):
    path = write(tmp_path / "mine.yaml", "data: {dataset: a, ann_file: b}\noptim: {kind: sgd}\n")
    with pytest.raises(SkelactError, match=r"missing key.*lr, batch_size, epochs"):
        load_config(FinetuneConfig, str(path), "finetune")


def test_an_unknown_config_lists_the_shipped_ones():
    with pytest.raises(SkelactError, match=r"no finetune config 'gym98'.*gym99"):
        load_config(FinetuneConfig, "gym98", "finetune")


def test_an_unknown_list_of_labels():
    with pytest.raises(SkelactError, match=r"known: .*gym99"):
        load_label_names("gym98")
