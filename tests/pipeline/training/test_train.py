"""Training: it learns, it repeats, it resumes, and it stops at a loss that is no number."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from skeletons import make_annotations, write_annotations
from training_configs import make_config

from skelact import SkelactError
from skelact.pipeline.checkpoints.checkpoint import load_classifier, load_mae, load_meta
from skelact.pipeline.checkpoints.networks import build_mae
from skelact.pipeline.config import FinetuneConfig, PretrainConfig
from skelact.pipeline.data.annotations import load_annotations
from skelact.pipeline.data.annotations import write_annotations as write_file
from skelact.pipeline.data.clip_store import ClipStore
from skelact.pipeline.synth.pairs import write_pairs
from skelact.pipeline.training.objectives import FinetuneModule, PretrainModule
from skelact.pipeline.training.prepare import prepare_finetune
from skelact.pipeline.training.runner import SeededModule, epoch_batches
from skelact.pipeline.training.train import finetune, pretrain
from skelact.pose_extract.common.device import default_threads
from skelact.pose_extract.common.files import sha256_of


@pytest.fixture(scope="module")
def ann_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "actions.pkl"
    return write_annotations(
        path, make_annotations(8), make_annotations(4, seed=1), label_names=["wave", "turn", "jump"]
    )


TUBE = {
    "model": "tube",
    "tube": {"widths": (16, 32), "strides": (2, 1), "num_heads": 4},
    "mask": {"tube_frames": 4},
    "runtime": {"precision": "bf16"},
}


def weights(info):
    load = load_mae if load_meta(info).kind == "pretrain" else load_classifier
    return load(info)[0].state_dict()


def same(one, two):
    return all(torch.equal(one[name], two[name]) for name in one)


def test_the_whole_path_learns_the_actions(ann_file, tmp_path):
    first = pretrain(make_config(PretrainConfig, ann_file), tmp_path / "pre", quiet=True)
    config = make_config(FinetuneConfig, ann_file, optim={"epochs": 25, "ema_momentum": 0.05})
    info = finetune(config, tmp_path / "fin", pretrained=first, quiet=True)
    meta = load_meta(info)
    assert meta.figures["top1"] >= 90
    assert meta.label_names == ("wave", "turn", "jump")
    assert meta.data["pretrained_on"]["dataset"] == "actions"
    assert meta.config["optim"]["epochs"] == 25
    metrics = json.loads((tmp_path / "fin" / "metrics.json").read_text())
    assert np.sum(metrics["confusion_matrix"]) == 12


def test_a_processor_without_bfloat16_trains_in_full_precision(ann_file, tmp_path, monkeypatch):
    config = make_config(PretrainConfig, ann_file, **TUBE, optim={"epochs": 1})
    plain = dataclasses.replace(
        config, runtime=dataclasses.replace(config.runtime, precision="fp32")
    )
    monkeypatch.setattr("skelact.pipeline.training.optim.has_bf16", lambda: False)
    without = weights(pretrain(config, tmp_path / "without", quiet=True))
    assert same(without, weights(pretrain(plain, tmp_path / "plain", quiet=True)))
    monkeypatch.setattr("skelact.pipeline.training.optim.has_bf16", lambda: True)
    assert not same(without, weights(pretrain(config, tmp_path / "half", quiet=True)))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, 6),
        ({"OMP_NUM_THREADS": "2"}, 2),
        ({"OMP_NUM_THREADS": "4,2"}, 6),  # one number per level: not ours to read
        ({"OMP_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": "3"}, 2),  # torchrun's own 1
        ({"LOCAL_WORLD_SIZE": "16"}, 1),
    ],
)
def test_threads_are_those_asked_for_or_the_free_cores(environment, expected, monkeypatch):
    monkeypatch.setattr("skelact.pose_extract.common.device.free_cores", lambda: 6)
    for name in ("OMP_NUM_THREADS", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert default_threads() == expected


@pytest.mark.parametrize("model", ["ssl", "tube"])
@pytest.mark.parametrize("kind", ["pretrain", "finetune"])
def test_same_seed_same_weights_and_resumed_is_unbroken(ann_file, tmp_path, kind, model):
    run, cls = (pretrain, PretrainConfig) if kind == "pretrain" else (finetune, FinetuneConfig)
    changes = {"optim": {"ema_momentum": 0.1}} if kind == "finetune" else {}
    if model == "tube":
        changes |= {**TUBE, "augment": {"tube_prob": 0.5, "min_length": 0.7}}
    config = make_config(cls, ann_file, **changes)
    whole = weights(run(config, tmp_path / "whole", quiet=True))
    assert same(whole, weights(run(config, tmp_path / "again", quiet=True)))
    other = weights(run(config, tmp_path / "other", seed=1, quiet=True))
    assert not same(whole, other)

    with pytest.raises(KilledError):
        kill_in(run, config, tmp_path / "broken", epoch=2, step=1)
    assert not list((tmp_path / "broken").glob("*.safetensors"))
    resumed = weights(run(config, tmp_path / "broken", resume=True, quiet=True))
    assert same(whole, resumed)


class KilledError(Exception):
    pass


CONTRAST = {**TUBE, "contrast": {"weight": 1.0, "neighbours_from": 0.5}}


def test_a_contrast_of_clips_goes_on_where_it_was_stopped(ann_file, tmp_path):
    """With its memory of embeddings, which the last epochs take neighbours from."""
    config = make_config(PretrainConfig, ann_file, **CONTRAST)
    whole = weights(pretrain(config, tmp_path / "whole"))
    log = (tmp_path / "whole" / "train.log").read_text()
    assert "reconstruction_loss" in log
    assert "contrast_loss" in log
    with pytest.raises(KilledError):
        kill_in(pretrain, config, tmp_path / "broken", epoch=2, step=1)
    assert same(whole, weights(pretrain(config, tmp_path / "broken", resume=True, quiet=True)))
    plain = make_config(PretrainConfig, ann_file, **TUBE)
    assert not same(whole, weights(pretrain(plain, tmp_path / "plain", quiet=True)))


def test_a_contrast_without_reconstruction_learns_by_the_contrast_alone(ann_file, tmp_path):
    contrast = CONTRAST["contrast"] | {"reconstruct": False}
    config = make_config(PretrainConfig, ann_file, **(CONTRAST | {"contrast": contrast}))
    mae, _ = load_mae(pretrain(config, tmp_path, quiet=True))
    torch.manual_seed(0)  # the seed of the run, by which its network began
    start = build_mae(config.preprocess, config.network, config.mask)
    assert same(start.decoder.state_dict(), mae.decoder.state_dict())
    assert not same(start.encoder.state_dict(), mae.encoder.state_dict())
    with pytest.raises(SkelactError, match="reconstruct: expected a contrast.weight above 0"):
        make_config(PretrainConfig, ann_file, **TUBE, contrast={"reconstruct": False})


def test_a_contrast_needs_tubes_and_more_than_one_clip(ann_file):
    for changes in ({"contrast": {"weight": 1.0}}, CONTRAST | {"optim": {"batch_size": 1}}):
        with pytest.raises(SkelactError, match="contrast.weight"):
            make_config(PretrainConfig, ann_file, **changes)


def test_a_contrast_needs_two_clips_and_passes_over_batches_without_people(ann_file):
    config = make_config(PretrainConfig, ann_file, **CONTRAST)
    clips = load_annotations(ann_file).select("train")[:4]
    mae = build_mae(config.preprocess, config.network, config.mask)

    def module(clips):
        store = ClipStore(clips, config.preprocess)
        return PretrainModule(mae, config, store)

    with pytest.raises(SkelactError, match="expected 2 clips or more, got 1"):
        module(clips[:1])
    empty = [dataclasses.replace(c, keypoints=np.zeros_like(c.keypoints)) for c in clips[:2]]
    learner = module([*empty, *clips[2:]])
    learner.set_step(0, 0, 0, 0)
    assert learner([0, 1])["contrast_loss"].item() == 0
    assert learner([2, 3])["contrast_loss"].item() > 0


def test_people_who_are_absent_leave_the_contrast_as_it_is(ann_file):
    """A clip's vector is the mean of those who are there."""
    config = make_config(PretrainConfig, ann_file, **CONTRAST)
    store = ClipStore(load_annotations(ann_file).select("train"), config.preprocess)
    torch.manual_seed(0)
    mae = build_mae(config.preprocess, config.network, config.mask)
    module = PretrainModule(mae, config, store).eval()
    view = store.batch(torch.arange(4), torch.device("cpu"))

    def vectors(clips):
        return module._clip_vectors(mae, clips, torch.Generator().manual_seed(0))

    alone = vectors(view[:, :1])
    absent = torch.cat([view[:, :1], torch.zeros_like(view[:, :1])], dim=1)
    torch.testing.assert_close(vectors(absent), alone)


TEACHER = {"teacher": {"weight": 1.0}}
SIMULATED = {"simulated": {"file": "${PAIRS}", "batch_size": 4}}


@pytest.fixture
def pairs(tmp_path, monkeypatch):
    write_pairs(tmp_path / "pairs.npz", 8)
    monkeypatch.setenv("PAIRS", str(tmp_path / "pairs.npz"))


@pytest.mark.parametrize(
    ("changes", "losses"),
    [
        (TEACHER, ["reconstruction_loss", "teacher_loss"]),
        (
            TEACHER | {"mask": {"tube_frames": 4, "position_weight": 0, "motion_weight": 0}},
            ["teacher_loss"],
        ),
        (SIMULATED, ["reconstruction_loss", "denoise_loss", "physics_loss"]),
        (TEACHER | SIMULATED, ["reconstruction_loss", "teacher_loss", "denoise_loss"]),
        ({"mask": {"tube_frames": 4, "position_weight": 0, "by_motion": True}}, ["loss"]),
    ],
)
@pytest.mark.usefixtures("pairs")
def test_other_pretexts_go_on_where_they_were_stopped(ann_file, tmp_path, changes, losses):
    config = make_config(PretrainConfig, ann_file, **(TUBE | changes))
    whole = weights(pretrain(config, tmp_path / "whole"))
    log = (tmp_path / "whole" / "train.log").read_text()
    assert all(f" {name} " in log for name in losses)
    assert ("reconstruction_loss" in log) == ("reconstruction_loss" in losses)
    with pytest.raises(KilledError):
        kill_in(pretrain, config, tmp_path / "broken", epoch=2, step=1)
    assert same(whole, weights(pretrain(config, tmp_path / "broken", resume=True, quiet=True)))
    plain = make_config(PretrainConfig, ann_file, **TUBE)
    assert not same(whole, weights(pretrain(plain, tmp_path / "plain", quiet=True)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (TEACHER, "teacher.weight: expected model 'tube' with it, got 'ssl'"),
        (SIMULATED, "simulated.file: expected model 'tube' with it, got 'ssl'"),
        (
            TUBE | {"simulated": {"file": "a", "denoise_weight": 0, "physics_weight": 0}},
            "denoise_weight: expected a loss for the simulated clips",
        ),
        (TUBE | {"teacher": {"weight": 1, "momentum": 1.0}}, "momentum: expected 0 to below 1"),
        (
            CONTRAST | TEACHER | {"contrast": {"weight": 1, "reconstruct": False}},
            "teacher.weight: expected contrast.reconstruct true",
        ),
        (
            TUBE | {"mask": {"position_weight": 0, "motion_weight": 0}},
            "mask.position_weight: expected a loss for what is hidden",
        ),
    ],
)
def test_pretexts_that_cannot_be(ann_file, changes, message):
    with pytest.raises(SkelactError, match=message):
        make_config(PretrainConfig, ann_file, **changes)


def test_batches_without_people_have_the_same_losses(ann_file):
    config = make_config(PretrainConfig, ann_file, **(CONTRAST | TEACHER))
    clips = load_annotations(ann_file).select("train")[:4]
    empty = [dataclasses.replace(c, keypoints=np.zeros_like(c.keypoints)) for c in clips[:2]]
    mae = build_mae(config.preprocess, config.network, config.mask)
    store = ClipStore([*empty, *clips[2:]], config.preprocess)
    learner = PretrainModule(mae, config, store)
    learner.set_step(0, 0, 0, 0)
    nothing, something = learner([0, 1]), learner([2, 3])
    assert list(nothing) == list(something)
    assert all(loss.item() == 0 for loss in nothing.values())
    assert all(loss.item() > 0 for loss in something.values())


@pytest.mark.parametrize(("split", "count"), [("", 9), ("#train", 6)])
def test_clips_of_more_files_are_learned_from(ann_file, tmp_path, split, count):
    clips = make_annotations(2, seed=3), make_annotations(1, seed=4)
    other = write_annotations(tmp_path / "other.pkl", *clips)
    config = make_config(PretrainConfig, ann_file, **TUBE, more_files=(f"{other}{split}",))
    meta = load_meta(pretrain(config, tmp_path / "run", quiet=True))
    assert meta.data["num_clips"] == len(load_annotations(ann_file).select("train")) + count
    assert meta.data["more_files"] == {f"other.pkl{split}": sha256_of(other)}


def kill_in(run, config, work_dir, *, epoch, step, **options):
    """Stop a run as it begins a step."""
    set_step = SeededModule.set_step

    def set_or_kill(self, *key):
        if key[1:3] == (epoch, step):
            raise KilledError
        set_step(self, *key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SeededModule, "set_step", set_or_kill)
        run(config, work_dir, quiet=True, **options)


@pytest.mark.parametrize("kind", [PretrainConfig, FinetuneConfig])
def test_a_compiled_run_saves_the_weights_of_a_plain_one(
    ann_file, tmp_path, monkeypatch, caplog, kind
):
    train = pretrain if kind is PretrainConfig else finetune
    compiled, compile_module = [], torch.nn.Module.compile

    def compile_without_code(module):  # graphs are taken, but run by torch itself
        compiled.append(type(module).__name__)
        compile_module(module, backend="eager")

    monkeypatch.setattr(torch.nn.Module, "compile", compile_without_code)
    changes = {**TUBE, "optim": {"epochs": 2}, "runtime": {"save_every": 1}}
    if kind is FinetuneConfig:
        changes["optim"]["ema_momentum"] = 0.1
    config = make_config(kind, ann_file, **changes)
    plain = weights(train(config, tmp_path / "a", quiet=True))
    assert not compiled
    assert "compile" not in caplog.text
    changes["runtime"] = {"save_every": 1, "compile": True}
    found = weights(train(make_config(kind, ann_file, **changes), tmp_path / "b", quiet=True))
    layers = ["Sequential"] * 3  # two of the encoder, and the decoder
    assert compiled == (["TubeClassifier"] if kind is FinetuneConfig else layers)
    assert "runtime.compile is meant for CUDA" in caplog.text
    torch.testing.assert_close(found, plain, rtol=1e-3, atol=1e-5)


def test_tubes_pretrained_then_fine_tuned_learn_the_actions(ann_file, tmp_path):
    first = pretrain(make_config(PretrainConfig, ann_file, **TUBE), tmp_path / "pre", quiet=True)
    config = make_config(FinetuneConfig, ann_file, **TUBE, optim={"epochs": 25})
    info = finetune(config, tmp_path / "fin", pretrained=first, quiet=True)
    assert load_meta(info).figures["top1"] >= 90
    assert load_meta(info).model == "tube"
    assert load_meta(info).encoder["widths"] == [16, 32]


def test_the_supervised_peer_learns_and_cannot_be_pretrained(ann_file, tmp_path):
    peer = {"model": "stgcn", "stgcn": {"base_width": 8}}
    config = make_config(FinetuneConfig, ann_file, **peer, optim={"epochs": 25})
    assert load_meta(finetune(config, tmp_path / "fin", quiet=True)).figures["top1"] >= 90
    with pytest.raises(SkelactError, match="'stgcn' has no pre-training"):
        pretrain(make_config(PretrainConfig, ann_file, **peer), tmp_path / "pre", quiet=True)


def emptied(clip, value=0.0):
    scores = np.zeros_like(clip.keypoint_scores)
    keypoints = np.full_like(clip.keypoints, value)
    return dataclasses.replace(clip, keypoints=keypoints, keypoint_scores=scores)


def test_clips_without_people_do_not_stop_pretraining(tmp_path):
    """Batches of one clip: three of them hold no person."""
    clips = [*map(emptied, make_annotations(1)), make_annotations(1, seed=2)[0]]
    path = write_annotations(tmp_path / "empty.pkl", clips, make_annotations(1, seed=1))
    for name, changes in (("ssl", {}), ("tube", TUBE)):
        optim = {"epochs": 1, "batch_size": 1}
        config = make_config(PretrainConfig, path, **changes, optim=optim)
        info = pretrain(config, tmp_path / name, quiet=True)
        assert all(torch.isfinite(value).all() for value in weights(info).values())


def test_a_resume_state_holds_plain_data(ann_file, tmp_path):
    pretrain(make_config(PretrainConfig, ann_file, optim={"epochs": 1}), tmp_path, quiet=True)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert (state["epoch"], state["seed"]) == (1, 0)


def test_a_run_that_is_killed_while_it_saves_keeps_the_state_before(
    ann_file, tmp_path, monkeypatch
):
    config = make_config(PretrainConfig, ann_file)
    whole = weights(pretrain(config, tmp_path / "whole", quiet=True))
    save = torch.save

    def save_or_kill(state, path):
        save(state, path)
        if state["epoch"] == 3:
            path.write_bytes(path.read_bytes()[:100])
            raise KilledError

    monkeypatch.setattr(torch, "save", save_or_kill)
    with pytest.raises(KilledError):
        pretrain(config, tmp_path / "broken", quiet=True)
    monkeypatch.undo()
    assert torch.load(tmp_path / "broken" / "state.pt", weights_only=True)["epoch"] == 2
    leftover = tmp_path / "broken" / ".state.pt.abcd_123.pt"
    leftover.touch()  # of a process that could not tidy up
    resumed = pretrain(config, tmp_path / "broken", quiet=True, resume=True)
    assert same(whole, weights(resumed))
    assert not leftover.exists()


def test_a_finished_run_goes_on_to_more_epochs(ann_file, tmp_path):
    config = make_config(PretrainConfig, ann_file, optim={"epochs": 4})
    whole = weights(pretrain(config, tmp_path / "whole", quiet=True))
    short = make_config(PretrainConfig, ann_file, optim={"epochs": 2})
    pretrain(short, tmp_path / "longer", quiet=True)
    assert same(whole, weights(pretrain(config, tmp_path / "longer", quiet=True, resume=True)))


def test_states_that_cannot_be_resumed_from(ann_file, tmp_path):
    config = make_config(PretrainConfig, ann_file, optim={"epochs": 1})
    pretrain(config, tmp_path, quiet=True)
    with pytest.raises(SkelactError, match="state.pt: .*expected seed 1, got 0"):
        pretrain(config, tmp_path, seed=1, resume=True, quiet=True)
    wider = make_config(PretrainConfig, ann_file, encoder={"hidden_dim": 32})
    with pytest.raises(SkelactError, match="state.pt: .*without --resume .*size mismatch"):
        pretrain(wider, tmp_path, resume=True, quiet=True)
    (tmp_path / "state.pt").write_bytes(b"damaged")
    with pytest.raises(SkelactError, match="state.pt: cannot resume from it"):
        pretrain(config, tmp_path, resume=True, quiet=True)
    (tmp_path / "state.pt").unlink()
    (tmp_path / "last_checkpoint").write_text("epoch_1.pth")
    with pytest.raises(SkelactError, match="an earlier version of skelact began this run"):
        pretrain(config, tmp_path, resume=True, quiet=True)


def test_each_epoch_logs_a_line(ann_file, tmp_path):
    config = make_config(
        FinetuneConfig, ann_file, optim={"epochs": 8}, runtime={"save_every": 8, "val_every": 3}
    )
    finetune(config, str(tmp_path))
    lines = (tmp_path / "train.log").read_text().splitlines()
    assert len(lines) == 8
    losses = [float(line.rsplit(": loss ", 1)[1].split(",")[0]) for line in lines]
    assert losses[-1] < 0.5 * losses[0]
    assert ["top1" in line for line in lines] == [n in (3, 6, 8) for n in range(1, 9)]
    assert all("lr 0.003, seconds " in line for line in lines)


def test_a_quiet_run_logs_nothing(ann_file, tmp_path, caplog):
    config = make_config(PretrainConfig, ann_file, optim={"epochs": 1})
    pretrain(config, tmp_path, quiet=True)
    assert not (tmp_path / "train.log").exists()
    assert not caplog.records


def test_the_val_split_is_measured_with_the_averaged_weights(ann_file, tmp_path, monkeypatch):
    seen, figures = [], FinetuneModule.figures

    def watch(self):
        seen.append({name: value.clone() for name, value in self.state_dict().items()})
        return figures(self)

    monkeypatch.setattr(FinetuneModule, "figures", watch)
    config = make_config(FinetuneConfig, ann_file, optim={"epochs": 2, "ema_momentum": 0.1})
    kept = weights(finetune(config, tmp_path, quiet=True))
    # The gate comes after all training.
    kept = {name: value for name, value in kept.items() if not name.startswith("novelty.")}
    assert len(seen) == 2  # in the loop, and the weights that are kept
    for state in seen:
        assert all(torch.equal(state[f"classifier.{name}"], kept[name]) for name in kept)
    own = torch.load(tmp_path / "state.pt", weights_only=True)["module"]
    assert not all(torch.equal(own[f"classifier.{name}"], kept[name]) for name in kept)


def test_processes_share_an_epoch_and_take_as_many_steps():
    whole = epoch_batches(10, 4, seed=5)
    assert [len(batch) for batch in whole] == [4, 4, 2]
    order = [*itertools.chain(*whole)]
    assert sorted(order) == list(range(10))
    assert order != list(range(10))
    parts = [epoch_batches(10, 2, 5, rank, processes=3) for rank in range(3)]
    assert [len(part) for part in parts] == [2, 2, 2]
    found = [[*itertools.chain(*part)] for part in parts]
    # Every third one, and the first two again.
    assert found == [(order + order[:2])[rank::3] for rank in range(3)]
    assert epoch_batches(1, 2, 0, rank=2, processes=3) == [[0]]


def test_float16_needs_cuda(ann_file, tmp_path):
    config = make_config(PretrainConfig, ann_file, runtime={"precision": "fp16"})
    with pytest.raises(SkelactError, match="precision: fp16 needs CUDA"):
        pretrain(config, tmp_path, device="cpu", quiet=True)


def test_class_names_and_their_number_have_to_agree(ann_file, tmp_path):
    config = make_config(FinetuneConfig, ann_file, data={"num_classes": 4})
    with pytest.raises(SkelactError, match="num_classes: there are 3 class names, got 4"):
        finetune(config, tmp_path, quiet=True)


def test_a_loss_that_is_no_number_stops_and_names_the_clips(ann_file, tmp_path):
    config = make_config(FinetuneConfig, ann_file, optim={"kind": "sgd", "lr": 1e30})
    with pytest.raises(SkelactError, match=r"the loss is (nan|inf) in the batch of .*_0_"):
        finetune(config, tmp_path, quiet=True)


def test_a_share_of_the_labels(ann_file, tmp_path):
    config = make_config(
        FinetuneConfig, ann_file, data={"val_split": "val", "label_fraction": 0.25}
    )
    meta = load_meta(finetune(config, tmp_path, quiet=True))
    assert meta.data["num_clips"] == 6


def test_the_labels_are_drawn_apart_from_the_seed(ann_file):
    """The seed gives the weights; the draw says which clips have labels, as many of each class."""

    def prepared(seed, draw):
        data = {"val_split": "val", "label_fraction": 0.25, "label_draw": draw}
        return prepare_finetune(make_config(FinetuneConfig, ann_file, data=data), seed)

    one, other_seed, other_draw = prepared(0, 5), prepared(1, 5), prepared(0, 6)
    assert one.module.store.names == other_seed.module.store.names
    assert one.module.store.names != other_draw.module.store.names
    assert one.module.store.labels.bincount().tolist() == [2, 2, 2]
    first, second = (next(p.module.classifier.parameters()) for p in (one, other_seed))
    assert not torch.equal(first, second)
    assert torch.equal(first, next(other_draw.module.classifier.parameters()))
    assert one.record["label_draw"] == 5
    assert (one.record["num_clips"], one.record["of_clips"]) == (6, 24)
    assert one.said == "learns from the labels of 6 of 24 clips (25.0%, draw 5)"


def test_without_a_draw_the_seed_says_which(ann_file):
    data = {"label_fraction": 0.25}
    config = make_config(FinetuneConfig, ann_file, data=data)
    drawn = make_config(FinetuneConfig, ann_file, data=data | {"label_draw": 3})
    names = prepare_finetune(config, 3).module.store.names
    assert names == prepare_finetune(drawn, 0).module.store.names


def test_tensorboard_events(ann_file, tmp_path):
    pytest.importorskip("tensorboard")
    config = make_config(
        PretrainConfig, ann_file, optim={"epochs": 1}, runtime={"tensorboard": True}
    )
    pretrain(config, tmp_path, quiet=True)
    assert list(tmp_path.rglob("events.out.tfevents.*"))


def test_tensorboard_that_is_not_installed(ann_file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    config = make_config(PretrainConfig, ann_file, runtime={"tensorboard": True})
    with pytest.raises(SkelactError, match="pip install tensorboard"):
        pretrain(config, tmp_path, quiet=True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"ann_file": "nowhere.pkl"}, "no annotation file at nowhere.pkl.*--ann-file"),
        ({"train_split": "trian"}, "has no split 'trian'"),
        ({"label_fraction": 2.0}, "data: label_fraction: expected above 0 to 1"),
        ({"val_split": "train"}, "data: val_split: expected another split than train_split"),
        (
            {"labels": "penn_action"},
            "3 of the 3 .* classes of the list data.labels=penn_action: wa",
        ),
    ],
)
def test_data_that_cannot_be(ann_file, tmp_path, data, message):
    with pytest.raises(SkelactError, match=message):
        finetune(make_config(FinetuneConfig, ann_file, data=data), tmp_path, quiet=True)


def told_before_the_run(tmp_path, run, config, **options):
    """Train, and check that the error came before anything was written."""
    with pytest.raises(SkelactError) as caught:
        run(config, tmp_path / "work", quiet=True, **options)
    assert not (tmp_path / "work").exists()
    return str(caught.value)


def test_a_set_of_nothing_but_nan_is_told_before_the_run(tmp_path):
    for value in (np.nan, 0.0):
        empty = [emptied(clip, value) for clip in make_annotations(2)]
        path = write_annotations(tmp_path / "a.pkl", empty, make_annotations(1, seed=1))
        for run, cls in ((pretrain, PretrainConfig), (finetune, FinetuneConfig)):
            message = told_before_the_run(tmp_path, run, make_config(cls, path))
            assert "none of the 6 clips of split 'train' has a joint to learn from" in message
    path = write_annotations(tmp_path / "a.pkl", make_annotations(2), make_annotations(1, seed=1))
    config = make_config(PretrainConfig, path, preprocess={"clip_len": 16, "score_thr": 0.95})
    assert "preprocess.score_thr=0.95" in told_before_the_run(tmp_path, pretrain, config)


def test_splits_that_share_clips_are_told_before_the_run(tmp_path):
    train = make_annotations(2)
    path = write_annotations(tmp_path / "a.pkl", train, [])
    data = load_annotations(path)
    splits = {"train": data.splits["train"], "val": data.splits["train"][:2]}
    write_file(path, data.annotations.values(), splits)
    message = told_before_the_run(tmp_path, finetune, make_config(FinetuneConfig, path))
    assert "got 'train' and 'val', which share 2, such as wave_0_0" in message


@pytest.mark.parametrize(
    ("label", "expected"),
    [(1.5, "expected a class index"), ("wave", "expected a class index"), (-1, "no label (-1)")],
)
def test_labels_that_are_no_class_are_told_before_the_run(tmp_path, label, expected):
    path = write_annotations(tmp_path / "a.pkl", make_annotations(2), make_annotations(1, seed=1))
    data = pickle.loads(path.read_bytes())
    data["annotations"][1]["label"] = label
    path.write_bytes(pickle.dumps(data))
    message = told_before_the_run(tmp_path, finetune, make_config(FinetuneConfig, path))
    assert expected in message


def test_a_seed_that_cannot_be_is_told_before_the_run(ann_file, tmp_path):
    for run, cls in ((pretrain, PretrainConfig), (finetune, FinetuneConfig)):
        for seed in (-1, 2**32, 0.5):
            message = told_before_the_run(tmp_path, run, make_config(cls, ann_file), seed=seed)
            assert message == f"seed: expected a whole number from 0 to 4294967295, got {seed}"


def test_a_list_of_labels_gives_its_own_numbers_to_the_classes_of_a_file(tmp_path):
    """Class 0 of the file is a squat, 11 of the list: it is not learned as a baseball pitch."""
    names = ["squat", "bowl", "pullup"]
    train, val = make_annotations(2), make_annotations(1, seed=1)
    path = write_annotations(tmp_path / "a.pkl", train, val, label_names=names)
    config = make_config(
        FinetuneConfig, path, data={"labels": "penn_action", "val_split": "val"},
        optim={"epochs": 1},
    )  # fmt: skip
    info = finetune(config, tmp_path / "work", quiet=True)
    confusion = json.loads((tmp_path / "work" / "metrics.json").read_text())["confusion_matrix"]
    assert load_meta(info).label_names[11] == "squat"
    assert [i for i, row in enumerate(confusion) if sum(row)] == [3, 8, 11]


def test_a_checkpoint_records_its_clips(ann_file, tmp_path):
    data = load_meta(pretrain(make_config(PretrainConfig, ann_file), tmp_path, quiet=True)).data
    assert data["ann_sha256"] == sha256_of(ann_file)
    names = sorted(load_annotations(ann_file).splits["train"])
    assert data["clips_sha256"] == hashlib.sha256("\n".join(names).encode()).hexdigest()
    assert (data["split"], data["num_clips"]) == ("train", 24)


def test_scores_on_the_val_split_that_are_not_finite_stop_a_training(ann_file, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "skelact.pipeline.training.objectives.predict_scores",
            lambda model, store, inds, *_: torch.full((len(inds), 3), torch.nan),
        )
        with pytest.raises(SkelactError, match="got nan or inf for 12 of 12 clips, such as wave_1"):
            finetune(make_config(FinetuneConfig, ann_file), tmp_path, quiet=True)


def test_an_encoder_of_another_shape(ann_file, tmp_path):
    config = make_config(PretrainConfig, ann_file, encoder={"embed_dim": 8}, optim={"epochs": 1})
    first = pretrain(config, tmp_path / "pre", quiet=True)
    with pytest.raises(SkelactError, match="does not fit this classifier"):
        finetune(make_config(FinetuneConfig, ann_file), tmp_path, pretrained=first, quiet=True)


def test_two_processes_share_the_work(ann_file, tmp_path):
    """torchrun, here on the CPU: one checkpoint, trained on halves of each batch."""
    (tmp_path / "fin.yaml").write_text(
        f"data: {{dataset: actions, ann_file: {ann_file}, val_split: val}}\n"
        "preprocess: {clip_len: 16, num_person: 2}\n"
        "encoder: {embed_dim: 16, hidden_dim: 16}\n"
        "classifier: {temporal_dim: 32}\n"
        "optim: {kind: adam, lr: 3.0e-3, batch_size: 4, epochs: 20}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone",
         "-m", "skelact.pipeline.cli.main", "finetune", "fin.yaml", "--work-dir", "out", "--quiet",
         "--device", "cpu"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert load_meta(tmp_path / "out").figures["top1"] > 60
