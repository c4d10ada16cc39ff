"""Networks learn from labelled frames, resume, and are used by the extraction."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from distill_scenes import TINY, frame_with, labelled_frames, load, person
from safetensors.torch import load_file

from skelact import SkelactError
from skelact.pipeline.distill.train import distill, fold_batch_norm, split_sources
from skelact.pose_extract.decode.frames import FrameBatch
from skelact.pose_extract.detect.build import build_detector
from skelact.pose_extract.nets.aligner_net import AlignerNet
from skelact.pose_extract.nets.lite_hrnet import LiteHRNet
from skelact.pose_extract.nets.mmpose_adapter import build_pose_model
from skelact.pose_extract.nets.rtmdet import RTMDetNano
from skelact.pose_extract.nets.shapes import RTMDetShape
from skelact.pose_extract.pose.aligner import Aligner
from skelact.pose_extract.pose.estimator import PoseEstimator
from skelact.pose_extract.weights.bundle import read_bundle
from skelact.pose_extract.weights.download import find_weights


def test_all_frames_of_a_source_are_on_one_side():
    names = [f"v/clip_{i}.mp4#{j}" for i in range(60) for j in range(5)]
    names += [f"p/film{i}_{j:03}.jpg" for i in range(60) for j in range(5)]
    train, val = split_sources(names)
    assert 5 <= len(val) <= 90
    assert not {row // 5 for row in train} & {row // 5 for row in val}


def test_a_training_resumes_and_its_bundle_is_used(tmp_path):
    labels = tmp_path / "labels"
    labelled_frames(6).save(labels / "a.npz")
    (labels / "teachers.json").write_text('{"poses": ["by hand"]}')
    config = load("aligner", *TINY)
    whole = distill(config, labels, tmp_path / "whole", device="cpu", quiet=True)
    half = load("aligner", *TINY, "optim.epochs=1", "optim.schedule=constant")
    both = load("aligner", *TINY, "optim.schedule=constant")
    distill(half, labels, tmp_path / "resumed", device="cpu", quiet=True)
    resumed = distill(both, labels, tmp_path / "resumed", device="cpu", resume=True, quiet=True)
    unbroken = distill(both, labels, tmp_path / "unbroken", device="cpu", quiet=True)
    weights = [path.with_suffix(".safetensors").read_bytes() for path in (resumed, unbroken)]
    assert weights[0] == weights[1]

    meta = read_bundle(whole, "aligner")
    assert meta.data["people"] == 12
    assert meta.data["teachers"] == {"poses": ["by hand"]}
    frame = frame_with(person(30, 60))
    aligner = Aligner(str(whole), device="cpu")
    boxes = np.stack([person(30, 60)[0]] * 3)
    middles, sizes, angles = aligner.align([frame] * 3, boxes)
    assert middles.shape == sizes.shape == (3, 2)
    assert angles.shape == (3,)
    alone = aligner.align([frame], boxes[:1])
    assert np.abs(alone[0][0] - middles[2]).max() < 1.0
    assert aligner.identity()["sha256"] == meta.weights_sha256


def test_two_processes_train_one_network(tmp_path):
    labelled_frames(6).save(tmp_path / "labels" / "a.npz")
    settings = [part for value in (*TINY, "input_wh=[32,32]") for part in ("--set", value)]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone",
         "-m", "skelact.pipeline.cli.main", "distill", "train", "aligner", "--labels", "labels",
         "--work-dir", "out", "--quiet", "--device", "cpu", *settings],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert read_bundle(tmp_path / "out" / "aligner.json", "aligner").seed == 0


def test_a_training_goes_on_from_another_of_its_kind_and_shape(tmp_path):
    labelled_frames(2).save(tmp_path / "labels" / "a.npz")
    config = load("aligner", *TINY, "input_wh=[32,32]", "optim.epochs=1")
    first = distill(config, tmp_path / "labels", tmp_path / "first", device="cpu", quiet=True)
    still = load("aligner", *TINY, "input_wh=[32,32]", "optim.epochs=1", "optim.lr=1e-12")
    second = distill(
        still, tmp_path / "labels", tmp_path / "second", init=first, device="cpu", quiet=True
    )
    before, after = (load_file(path.with_suffix(".safetensors")) for path in (first, second))
    kernels = [name for name, value in before.items() if value.dim() == 4]
    assert len(kernels) > 20
    assert all(torch.equal(before[name], after[name]) for name in kernels)
    assert read_bundle(second, "aligner").data["started_from"] == {
        "name": "aligner",
        "sha256": read_bundle(first).weights_sha256,
    }
    wider = load("aligner", *TINY, "network.width=8", "input_wh=[32,32]")
    for wrong, message in (
        (first, r"expected SlimHRNet\(width=8"),
        (find_weights("skelact-detector-320"), "expected a network of kind 'aligner'"),
    ):
        with pytest.raises(SkelactError, match=message):
            distill(wider, tmp_path / "labels", tmp_path / "w", init=wrong, device="cpu")


def test_a_weight_space_ensemble_keeps_a_share_of_the_start(tmp_path):
    labelled_frames(2).save(tmp_path / "labels" / "a.npz")
    start = load("aligner", *TINY, "input_wh=[32,32]", "optim.epochs=1")
    first = distill(start, tmp_path / "labels", tmp_path / "first", device="cpu", quiet=True)

    def kernels(weight, *changes):
        config = load("aligner", *TINY, "input_wh=[32,32]", "optim.epochs=1",
                      "norm_epochs=0", f"ensemble_weight={weight}", *changes)  # fmt: skip
        info = distill(
            config, tmp_path / "labels", tmp_path / f"{weight}{changes}", init=first, device="cpu",
            quiet=True,
        )  # fmt: skip
        found = load_file(info.with_suffix(".safetensors"))
        return torch.cat([value.float().flatten() for value in found.values() if value.dim() == 4])

    learned, half, start_kernels = (kernels(weight) for weight in (0.0, 0.5, 1.0))
    assert (learned - start_kernels).abs().max() > 1e-3
    assert torch.equal(start_kernels, kernels(0.0, "optim.lr=1e-12"))
    assert torch.allclose(half, (learned + start_kernels) / 2, atol=2e-3)
    with pytest.raises(SkelactError, match="expected norm_epochs=0"):
        kernels(0.5, "norm_epochs=1")


@pytest.mark.parametrize("name", ["aligner", "pose_lite_256x192", "detector_rtmdet"])
def test_folded_batch_norm_changes_nothing(name):
    torch.manual_seed(0)
    config = load(name)
    if name == "detector_rtmdet":
        net = RTMDetNano(config.shape)
    elif name == "aligner":
        net = AlignerNet(config.shape, 64)
    else:
        net = build_pose_model(config.shape.pose_config((64, 64))["model"]).backbone
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    x = torch.randn(4, 3, 64, 64)
    net.train()
    net(x)
    net.eval()
    for norm in norms:
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias)
        # As if it had run for long.
        norm.running_var.mul_(10 * torch.rand(()))
    with torch.no_grad():
        before = net(x)[0]
        fold_batch_norm(net)
        after = net(x)[0]
    assert before.abs().max() > 0.1
    assert torch.allclose(before, after, atol=1e-4 * float(before.abs().max()))
    assert all((norm.running_var - 1).abs().max() < 1e-4 for norm in norms)
    assert all(not norm.running_mean.any() for norm in norms)


@pytest.mark.parametrize("kind", ["pose", "detector"])
def test_distillation_is_block_wise_first_then_joint(kind, shared, tmp_path):
    labelled_frames(6).save(tmp_path / "labels" / "a.npz")
    name, shape, teacher = {
        "pose": ("pose_lite_256x192", LiteHRNet(), "litehrnet18-coco-256x192"),
        "detector": ("detector_rtmdet", RTMDetShape(), "rtmdet-nano"),
    }[kind]
    small = ("input_wh=[64,64]", "optim.batch_size=4", "optim.warmup_epochs=0",
             "optim.schedule=constant", "blockwise_epochs=1")  # fmt: skip

    def train(folder, epochs, resume=False):
        config = load(name, *small, f"optim.epochs={epochs}")
        return distill(
            config, tmp_path / "labels", tmp_path / folder, device="cpu", resume=resume, quiet=True
        )

    train("resumed", 1)
    resumed, unbroken = train("resumed", 2, resume=True), train("unbroken", 2)
    weights = [path.with_suffix(".safetensors").read_bytes() for path in (resumed, unbroken)]
    assert weights[0] == weights[1]
    meta = read_bundle(unbroken, kind)
    assert meta.network == shape
    assert meta.data["follows"]["name"].startswith(teacher.partition("-")[0])
    frame = frame_with(person(30, 60))
    if kind == "pose":
        pose = PoseEstimator(str(unbroken), device="cpu", aligner="none")
        assert pose.predict(pose.crop(frame, person(30, 60)[0][None]))[0].shape == (1, 17, 2)
    else:
        detector = build_detector(str(unbroken), score_thr=0.0, device="cpu")
        batch = FrameBatch(frame[None], np.zeros(1, np.int64), np.zeros(1))
        assert len(detector.detect(batch, "a.mp4")[0].bboxes) > 0
    whole = load(f"{name}_whole", *small[:2], "optim.epochs=1")
    joined = distill(whole, tmp_path / "labels", tmp_path / "joined", init=unbroken, quiet=True)
    assert read_bundle(joined, kind).data["started_from"]["name"] == kind
    with pytest.raises(SkelactError, match="no statistics to keep yet"):
        distill(whole, tmp_path / "labels", tmp_path / "nothing", quiet=True)
    wrong = "rtmdet-nano" if kind == "pose" else "litehrnet18-coco-256x192"
    other = load(name, *small, f"teacher={wrong}")
    with pytest.raises(SkelactError, match="no pose model called|expected RTMDet-nano as ONNX"):
        distill(other, tmp_path / "labels", tmp_path / "other", device="cpu", quiet=True)
