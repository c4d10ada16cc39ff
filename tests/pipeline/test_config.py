"""Configs: every shipped one loads, and a mistake names itself."""

from __future__ import annotations

import pytest

from skelact import SkelactError
from skelact.pipeline.checkpoints.networks import build_classifier, build_mae
from skelact.pipeline.config import (
    FinetuneConfig,
    OptimConfig,
    PretrainConfig,
    load_config,
    load_label_names,
    shipped_configs,
)
from skelact.pipeline.yaml_file import parse_override

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
    "penn_action_protogcn": 15,
    "diving_synth": 48,
    "diving_synth_tube": 48,
    "diving_synth_stgcn": 48,
    "diving_synth_protogcn": 48,
    "own": 0,  # as many as the file has
    "learn": 0,
}
# Recipes of fine-tuning alone: they start from what penn_action pre-trains, or from nothing.
VARIANTS = {
    "penn_action_aug",
    "penn_action_stgcn",
    "penn_action_protogcn",
    "diving_synth_stgcn",
    "diving_synth_protogcn",
    "learn",
}
# Recipes of pre-training alone, and what is fine-tuned after them.
PRETRAINED_FOR = {
    "penn_action_contrast": "penn_action_tube",
    "diving_synth_contrast": "diving_synth_tube",
}


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


MINIMAL = """
data: {dataset: mine, ann_file: mine.pkl}
optim: {kind: sgd, lr: 0.1, batch_size: 4, epochs: 2}
"""


def test_both_kinds_are_shipped_for_each_data_set():
    assert set(shipped_configs("finetune")) == set(CLASSES)
    assert set(shipped_configs("pretrain")) == set(CLASSES) - VARIANTS | set(PRETRAINED_FOR)


@pytest.mark.parametrize("name", CLASSES)
def test_shipped_finetune_configs_build_their_model(name):
    config = load_config(FinetuneConfig, name, "finetune")
    names = load_label_names(config.data.labels) if config.data.labels else ()
    assert (len(names) or config.data.num_classes) == CLASSES[name]
    assert len(set(names)) == len(names)
    count = CLASSES[name] or 3
    model = build_classifier(config.preprocess, config.network, config.classifier, count)
    assert model.input_shape == config.preprocess.tensor_shape


@pytest.mark.parametrize("name", sorted(set(CLASSES) - VARIANTS | set(PRETRAINED_FOR)))
def test_pretraining_and_fine_tuning_fit_each_other(name):
    first = load_config(PretrainConfig, name, "pretrain")
    second = load_config(FinetuneConfig, PRETRAINED_FOR.get(name, name), "finetune")
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


def test_bases_lie_below_the_file_and_later_ones_win(tmp_path):
    folder = tmp_path / "common"
    folder.mkdir()
    write(folder / "all.yaml", MINIMAL)
    write(folder / "slow.yaml", "_base_: all.yaml\noptim: {lr: 0.01, epochs: 5}\n")
    write(tmp_path / "large.yml", "optim: {batch_size: 64, epochs: 6, milestones: [1, 2]}\n")
    text = "_base_: [common/slow.yaml, large.yml]\noptim: {milestones: [3]}\n"
    path = write(tmp_path / "mine.yaml", text)
    optim = load_config(FinetuneConfig, path, "finetune").optim
    assert (optim.kind, optim.lr, optim.batch_size, optim.epochs) == ("sgd", 0.01, 64, 6)
    assert optim.milestones == (3,)  # a list is replaced


def test_a_file_that_is_its_own_base(tmp_path):
    write(tmp_path / "one.yaml", "_base_: two.yaml\n")
    path = write(tmp_path / "two.yaml", "_base_: one.yaml\n")
    with pytest.raises(SkelactError, match=r"two.yaml -> one.yaml -> two.yaml"):
        load_config(FinetuneConfig, path, "finetune")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("!!python/object/apply:pathlib.Path.touch [{mark}]", "cannot read it as a YAML config"),
        ("_base_: code.py", "code.py: expected a YAML file"),
        ("_base_: {{a: 1}}", "_base_: expected a file name"),
        ("_base_: nowhere.yaml", "nowhere.yaml: cannot read it"),
        ("_base_: .yaml", ".yaml"),
        ("_base_: /etc/hosts.yaml", "_base_: expected a relative path, got '/etc/hosts.yaml'"),
        ('_base_: "a\\0.yaml"', "no path of a YAML config"),
        ("_base_: {long_name}.yaml", "too long"),
        ("custom_imports: {{imports: [os]}}", "unknown key 'custom_imports'"),
        ("a: &a [*a]", r"the alias \*a stands for itself"),
        ("a: {deep}", "100000 values in 50 levels"),
        ("a: {long_number}", "cannot read it as a YAML config"),
        ("a: 2024-99-99", "cannot read it as a YAML config"),
        ("a: !!timestamp x", "cannot read it as a YAML config"),
        ("? [a]\n: 1", "cannot read it as a YAML config"),
        ("\x01", "cannot read it as a YAML config"),
        ("a: [", "cannot read it as a YAML config"),
        ("- 1", "expected a mapping"),
        ("", "expected a mapping, got None"),
    ],
)
def test_nothing_that_a_config_names_is_executed(tmp_path, text, message):
    mark = tmp_path / "executed"
    write(tmp_path / "code.py", f"open({str(mark)!r}, 'w')\n")
    long = {"deep": "[" * 60 + "]" * 60, "long_number": "9" * 5000, "long_name": "n" * 300}
    path = write(tmp_path / "mine.yaml", text.format(mark=mark, **long))
    with pytest.raises(SkelactError, match=message) as raised:
        load_config(FinetuneConfig, path, "finetune")
    assert len(str(raised.value)) < 1000
    assert not mark.exists()


def test_a_kilobyte_that_stands_for_more_values_than_memory_holds(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 20)]
    path = write(tmp_path / "mine.yaml", "\n".join(lines))
    with pytest.raises(SkelactError, match="100000 values in 50 levels"):
        load_config(FinetuneConfig, path, "finetune")
    with pytest.raises(SkelactError, match="100000 values in 50 levels"):
        parse_override(f"a={{{', '.join(lines)}}}")
    write(path, MINIMAL + "augment: &a {}\nencoder: *a\n")  # a plain alias may stay
    assert load_config(FinetuneConfig, path, "finetune").encoder.embed_dim == 64


def test_files_that_build_on_each_other_without_end(tmp_path):
    for i in range(8):
        write(tmp_path / f"{i}.yaml", f"_base_: [{', '.join([f'{i + 1}.yaml'] * 9)}]\n")
    write(tmp_path / "8.yaml", MINIMAL)
    with pytest.raises(SkelactError, match="at most 20 files that build on each other"):
        load_config(FinetuneConfig, tmp_path / "0.yaml", "finetune")


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
        ("optim..epochs=2", "expected key=value"),
        ("optim.lr=[", "--set optim.lr: cannot read"),
        ("optim.lr.most=1", "lr: expected a number"),
        ("optim.lr=0", "optim: lr: expected above 0, got 0.0"),
        ("optim.lr=.nan", "optim: lr: expected above 0, got nan"),
        ("optim.epochs=0", "optim: epochs: expected at least 1, got 0"),
        ("optim.epochs=1000000000", "optim: epochs: expected at most 1000000, got 1000000000"),
        ("optim.lr=-0.1", "optim: lr: expected above 0, got -0.1"),
        ("optim.lr=.inf", "optim: lr: expected above 0, got inf"),
        ("optim.weight_decay=.nan", "optim: weight_decay: expected at least 0, got nan"),
        ("optim.clip_grad_norm=-1", "optim: clip_grad_norm: expected at least 0"),
        ("preprocess.score_thr=.nan", "preprocess.score_thr: expected a finite number, got nan"),
        ("augment.noise_std=-1", "augment.noise_std: expected 0 or more, got -1"),
        ("augment.shift=.nan", "augment.shift: expected 0 or more, got nan"),
        ("augment.rotate_degrees=.inf", "augment.rotate_degrees: expected 0 or more, got inf"),
        ("augment.tube_ratio=2", "augment.tube_ratio: expected 0 to 1, got 2"),
        ("augment.tube_frames=0", "augment.tube_frames: expected at least 1, got 0"),
        ("data.val_split=train", "data: val_split: expected another split than train_split"),
        ("optim.batch_size=0", "optim: batch_size: expected at least 1"),
        ("optim.weight_decay=-1", "optim: weight_decay: expected at least 0"),
        ("optim.warmup_epochs=-1", "optim: warmup_epochs: expected at least 0"),
        ("optim.schedule=step", "optim: milestones: expected epochs from 1 on"),
        ("optim.ema_momentum=1", "optim: ema_momentum: expected 0 to below 1"),
        ("optim.label_smoothing=1.5", "optim: label_smoothing: expected 0 to below 1"),
        ("data.label_fraction=0", "data: label_fraction: expected above 0 to 1, got 0.0"),
        ("data.num_classes=-1", "data: num_classes: expected 0 to 100000, got -1"),
        ("data.num_classes=1000000000000", "data: num_classes: expected 0 to 100000"),
        ("runtime.num_test_clips=0", "runtime: num_test_clips: expected 1 to 1000, got 0"),
        ("runtime.num_test_clips=1000000", "runtime: num_test_clips: expected 1 to 1000"),
        ("data.train_split=", "data: train_split: expected text"),
        ("data.train_split=''", "data: train_split: expected a name"),
        ("data.labels=gym98", "data: labels: expected one of .*gym99.*, got 'gym98'"),
        ("encoder.embed_dim=0", "encoder: embed_dim: expected at least 1"),
        ("encoder={gnn: gat, embed_dim: 18}", "embed_dim: expected a multiple of 4 for gnn 'gat'"),
        ("tube.widths=[20]", "tube: widths: expected multiples of 4 and of num_heads=8"),
        ("tube.strides=[2]", "tube: strides: expected 6 whole numbers"),
        ("stgcn.base_width=5", "stgcn: base_width: expected at least 6"),
        ("protogcn.base_width=12", "protogcn: base_width: expected a positive multiple of 8"),
        ("protogcn.num_prototypes=5000", "protogcn: num_prototypes: expected 1 to 4096, got 5000"),
        ("protogcn.contrast_weight=1e300", "protogcn: contrast_weight: expected 0 to 100"),
        ("classifier.dropout=1", "classifier: dropout: expected 0 to below 1"),
        ("classifier.temporal_dim=30", "classifier: temporal_dim: expected a multiple of 4"),
        ("runtime.save_every=0", "runtime: save_every: expected at least 1"),
        ("runtime.val_every=0", "runtime: val_every: expected at least 1"),
    ],
)
def test_mistakes_name_themselves(tmp_path, override, message):
    path = write(tmp_path / "mine.yaml", MINIMAL)
    with pytest.raises(SkelactError, match=message):
        load_config(FinetuneConfig, str(path), "finetune", [override])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=stgcn", "model: 'stgcn' has no pre-training; expected 'ssl' or 'tube'"),
        ("model=protogcn", "model: 'protogcn' has no pre-training; expected 'ssl' or 'tube'"),
        ("mask.joint_ratio=1", "mask: joint_ratio: expected a share between 0 and 1"),
        ("mask.tube_ratio=0", "mask: tube_ratio: expected a share between 0 and 1"),
        ("mask.tube_frames=0", "mask: tube_frames: expected at least 1"),
        ("mask={min_parts: 3, max_parts: 2}", "mask: max_parts: expected at least 3, got 2"),
        ("mask.max_parts=6", "mask.max_parts: expected at most 5, of 6 parts one stays"),
        ("mask.parts=[haed]", "mask.parts: expected some of head, torso,.* got haed"),
        ("mask.beta=0", "mask: beta: expected above 0"),
        ("preprocess.clip_len=30", "preprocess.clip_len: expected a multiple of 4, .*got 30"),
    ],
)
def test_pretraining_that_cannot_be_names_its_key(tmp_path, override, message):
    path = write(tmp_path / "mine.yaml", MINIMAL + "model: tube\n")
    with pytest.raises(SkelactError, match=message):
        load_config(PretrainConfig, path, "pretrain", [override])


def test_checks_hold_for_configs_made_in_python():
    with pytest.raises(ValueError, match="epochs: expected at least 1, got 0"):
        OptimConfig("sgd", 0.1, batch_size=4, epochs=0)


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
