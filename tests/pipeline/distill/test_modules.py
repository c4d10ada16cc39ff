"""What a distilled detector is shown while it learns, and its settings."""

from __future__ import annotations

import pytest
import torch
from distill_scenes import TINY, labelled_frames, load, write_teacher

from skelact import SkelactError
from skelact.pipeline.config import shipped_configs
from skelact.pipeline.distill.detector_samples import DetectorSamples
from skelact.pipeline.distill.modules import DetectorDistillation


def test_normalisation_keeps_its_statistics_after_its_epochs(tmp_path):
    teacher = write_teacher(tmp_path / "teacher.onnx")
    config = load("detector_rtmdet", *TINY, f"teacher={teacher}", "norm_epochs=1")
    training = DetectorDistillation(DetectorSamples(labelled_frames(), side=64), config).train()
    means = [value for name, value in training.net.named_buffers() if name.endswith("running_mean")]

    def step(epoch):
        before = [value.clone() for value in means]
        training.set_step(0, epoch, 0)
        training([0, 1, 2])
        return sum(not torch.equal(*pair) for pair in zip(before, means))

    assert step(0) == len(means)
    assert step(1) == 0


def test_the_teacher_sees_upright_people(tmp_path):
    teacher = write_teacher(tmp_path / "teacher.onnx")
    config = load("detector_rtmdet", "input_wh=[64,64]", "detector.rotated_prob=1.0",
                  "blockwise_epochs=1", f"teacher={teacher}")  # fmt: skip
    training = DetectorDistillation(DetectorSamples(labelled_frames(), side=64), config)
    chances, given = [], training.store.batch

    def batch(inds, side, sampling, generator):
        chances.append(sampling.rotated_prob)
        return given(inds, side, sampling, generator)

    training.store.batch = batch
    for epoch in (0, 1):
        training.set_step(0, epoch, 0)
        losses = training([0])
    assert chances == [1.0, 0.0]
    assert set(losses) == {"loss_rotated", "loss_score", "loss_box"}  # all are rotated


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("detector_rtmdet", "init_share=0.5", "'init_share' is now called 'ensemble_weight'"),
        ("detector_rtmdet", "apart_epochs=1", "'apart_epochs' is now called 'blockwise_epochs'"),
        ("detector_rtmdet", "pictures.color=0.1", "'pictures' is now called 'images'"),
        ("detector_rtmdet", "finder.side=64", "'finder' is now called 'detector'"),
        ("detector_rtmdet", "pose.scale=0.1", "unknown key 'pose'"),
        ("finder_rtmdet_whole", "", "superseded by 'detector_rtmdet_whole'"),
    ],
)
def test_a_setting_of_an_earlier_version_is_an_error_that_names_the_new_one(name, change, message):
    with pytest.raises(SkelactError, match=message):
        load(name, *filter(None, [change]))


@pytest.mark.parametrize("name", ["aligner", "pose_lite_256x192", "pose_128x96"])
def test_a_pose_model_is_trained_elsewhere(name):
    with pytest.raises(
        SkelactError, match=f"'{name}' is gone: pose models .* `skelact train-pose`"
    ):
        load(name)


def test_every_shipped_config_of_distillation_loads():
    names = shipped_configs("distill")
    assert set(names) == {"detector_rtmdet", "detector_rtmdet_whole"}
    for name in names:
        assert load(name).teacher == "rtmdet-nano"
