"""Detectors learn from labelled frames, resume, and are used by the extraction."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from distill_scenes import TINY, frame_with, labelled_frames, load, person, write_teacher
from safetensors.torch import load_file

from skelact import SkelactError
from skelact.pipeline.distill.train import distill, fold_batch_norm, split_sources
from skelact.pose_extract.decode.frames import FrameBatch
from skelact.pose_extract.detect.build import build_detector
from skelact.pose_extract.nets.rtmdet import RTMDetNano
from skelact.pose_extract.nets.shapes import RTMDetShape
from skelact.pose_extract.weights.bundle import BundleMeta, read_bundle, save_bundle
from skelact.pose_extract.weights.download import find_weights


def test_all_frames_of_a_source_are_on_one_side():
    names = [f"v/clip_{i}.mp4#{j}" for i in range(60) for j in range(5)]
    names += [f"p/film{i}_{j:03}.jpg" for i in range(60) for j in range(5)]
    train, val = split_sources(names)
    assert 5 <= len(val) <= 90
    assert not {row // 5 for row in train} & {row // 5 for row in val}


@pytest.fixture
def labels(tmp_path):
    labelled_frames(6).save(tmp_path / "labels" / "a.npz")
    (tmp_path / "labels" / "teachers.json").write_text('{"poses": ["by hand"]}')
    return tmp_path / "labels"


@pytest.fixture
def tiny(tmp_path):
    """Settings of a small training after a teacher of random weights."""
    return (*TINY, f"teacher={write_teacher(tmp_path / 'teacher.onnx')}")


def test_two_processes_train_one_network(labels, tiny, tmp_path):
    settings = [part for value in tiny for part in ("--set", value)]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone",
         "-m", "skelact.pipeline.cli.main", "distill", "train", "detector_rtmdet",
         "--labels", str(labels), "--work-dir", "out", "--quiet", "--device", "cpu", *settings],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert read_bundle(tmp_path / "out" / "detector.json", "detector").seed == 0


def test_a_training_goes_on_from_a_detector_of_its_shape(labels, tiny, tmp_path):
    config = load("detector_rtmdet", *tiny, "optim.epochs=1")
    first = distill(config, labels, tmp_path / "first", device="cpu", quiet=True)
    still = load("detector_rtmdet", *tiny, "optim.epochs=1", "optim.lr=1e-12")
    second = distill(still, labels, tmp_path / "second", init=first, device="cpu", quiet=True)
    before, after = (load_file(path.with_suffix(".safetensors")) for path in (first, second))
    kernels = [name for name, value in before.items() if value.dim() == 4]
    assert len(kernels) > 20
    assert all(torch.equal(before[name], after[name]) for name in kernels)
    assert read_bundle(second, "detector").data["started_from"] == {
        "name": "detector",
        "sha256": read_bundle(first).weights_sha256,
    }
    narrow = RTMDetShape(width=8)
    meta = BundleMeta(kind="detector", input_wh=(64, 64), network=narrow)
    for wrong, message in (
        (
            save_bundle(tmp_path / "narrow", RTMDetNano(narrow), meta),
            r"expected RTMDetShape\(width=16",
        ),
        (find_weights("skelact-litehrnet18-256x192"), "expected a network of kind 'detector'"),
    ):
        with pytest.raises(SkelactError, match=message):
            distill(config, labels, tmp_path / "w", init=wrong, device="cpu")


def test_a_weight_space_ensemble_keeps_a_share_of_the_start(labels, tiny, tmp_path):
    start = load("detector_rtmdet", *tiny, "optim.epochs=1")
    first = distill(start, labels, tmp_path / "first", device="cpu", quiet=True)

    def kernels(weight, *changes):
        config = load("detector_rtmdet", *tiny, "optim.epochs=1",
                      "norm_epochs=0", f"ensemble_weight={weight}", *changes)  # fmt: skip
        info = distill(
            config, labels, tmp_path / f"{weight}{changes}", init=first, device="cpu", quiet=True
        )
        found = load_file(info.with_suffix(".safetensors"))
        return torch.cat([value.float().flatten() for value in found.values() if value.dim() == 4])

    learned, half, start_kernels = (kernels(weight) for weight in (0.0, 0.5, 1.0))
    assert (learned - start_kernels).abs().max() > 1e-3
    assert torch.equal(start_kernels, kernels(0.0, "optim.lr=1e-12"))
    assert torch.allclose(half, (learned + start_kernels) / 2, atol=2e-3)
    with pytest.raises(SkelactError, match="expected norm_epochs=0"):
        kernels(0.5, "norm_epochs=1")


def test_folded_batch_norm_changes_nothing():
    torch.manual_seed(0)
    net = RTMDetNano(RTMDetShape())
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


def test_distillation_is_block_wise_first_then_joint(labels, tiny, tmp_path):
    def train(folder, epochs, resume=False):
        config = load("detector_rtmdet", *tiny, "blockwise_epochs=1", f"optim.epochs={epochs}")
        return distill(config, labels, tmp_path / folder, device="cpu", resume=resume, quiet=True)

    train("resumed", 1)
    resumed, unbroken = train("resumed", 2, resume=True), train("unbroken", 2)
    weights = [path.with_suffix(".safetensors").read_bytes() for path in (resumed, unbroken)]
    assert weights[0] == weights[1]
    meta = read_bundle(unbroken, "detector")
    assert meta.network == RTMDetShape()
    assert meta.data["people"] == 12
    assert meta.data["teachers"] == {"poses": ["by hand"]}
    assert meta.data["follows"]["name"] == "teacher.onnx"
    detector = build_detector(str(unbroken), score_thr=0.0, device="cpu")
    frame = frame_with(person(30, 60))
    batch = FrameBatch(frame[None], np.zeros(1, np.int64), np.zeros(1))
    assert len(detector.detect(batch, "a.mp4")[0].bboxes) > 0
    whole = load("detector_rtmdet_whole", *tiny, "optim.epochs=1")
    joined = distill(whole, labels, tmp_path / "joined", init=unbroken, quiet=True)
    assert read_bundle(joined, "detector").data["started_from"]["name"] == "detector"
    with pytest.raises(SkelactError, match="no statistics to keep yet"):
        distill(whole, labels, tmp_path / "nothing", quiet=True)


def test_a_teacher_of_another_shape_is_refused(labels, shared, tmp_path):
    other = load("detector_rtmdet", *TINY, "teacher=litehrnet18-coco-256x192")
    with pytest.raises(SkelactError, match="expected RTMDet-nano as ONNX"):
        distill(other, labels, tmp_path / "other", device="cpu", quiet=True)
