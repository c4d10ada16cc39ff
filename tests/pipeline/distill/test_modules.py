"""What the distilled networks are shown while they learn."""

from __future__ import annotations

import pytest
import torch
from distill_scenes import TINY, labelled_frames, load

from skelact import SkelactError
from skelact.pipeline.config import shipped_configs
from skelact.pipeline.distill.detector_samples import DetectorSamples
from skelact.pipeline.distill.modules import AlignerTraining, DetectorDistillation
from skelact.pipeline.distill.pose_samples import PoseSamples


def test_normalisation_keeps_its_statistics_after_its_epochs():
    config = load("aligner", *TINY, "input_wh=[32,32]", "norm_epochs=1")
    training = AlignerTraining(PoseSamples(labelled_frames()), config).train()
    means = [value for name, value in training.net.named_buffers() if name.endswith("running_mean")]

    def step(epoch):
        before = [value.clone() for value in means]
        training.set_step(0, epoch, 0)
        training([0, 1, 2, 3])
        return sum(not torch.equal(*pair) for pair in zip(before, means))

    assert step(0) == len(means)
    assert step(1) == 0


def test_the_teacher_sees_upright_people(shared):
    config = load("detector_rtmdet", "input_wh=[64,64]", "detector.rotated_prob=1.0",
                  "blockwise_epochs=1")  # fmt: skip
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
        ("aligner", "init_share=0.5", "'init_share' is now called 'ensemble_weight'"),
        ("detector_rtmdet", "apart_epochs=1", "'apart_epochs' is now called 'blockwise_epochs'"),
        ("aligner", "pictures.color=0.1", "'pictures' is now called 'images'"),
        ("detector_rtmdet", "finder.side=64", "'finder' is now called 'detector'"),
        ("aligner", "pose.turned_prob=0.1", "pose: the key 'turned_prob' is now .*'rotated_prob'"),
        ("aligner", "teacher=rtmdet-nano", "teacher: an aligner learns from labels alone"),
        ("aligner", "kind=pose", "teacher: kind 'pose' needs one, such as litehrnet18"),
        ("aligner", "kind=finder", "kind: expected one of pose, detector, aligner, got 'finder'"),
        ("finder_rtmdet_whole", "", "superseded by 'detector_rtmdet_whole'"),
        ("pose_128x96", "", "superseded by 'pose_lite_256x192'"),
    ],
)
def test_a_setting_of_an_earlier_version_is_an_error_that_names_the_new_one(name, change, message):
    with pytest.raises(SkelactError, match=message):
        load(name, *filter(None, [change]))


def test_every_shipped_config_of_distillation_loads():
    names = shipped_configs("distill")
    assert set(names) == {
        "aligner", "detector_rtmdet", "detector_rtmdet_whole", "pose_lite_256x192",
        "pose_lite_256x192_whole",
    }  # fmt: skip
    for name in names:
        assert load(name).kind == name.partition("_")[0]
