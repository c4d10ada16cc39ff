"""What the distilled networks are shown while they learn."""

from __future__ import annotations

import torch
from distill_scenes import TINY, labelled_frames, load

from skelact.pipeline.distill.detector_samples import DetectorSamples
from skelact.pipeline.distill.modules import DetectorDistillation, PoseDistillation
from skelact.pipeline.distill.pose_samples import PoseSamples


def test_normalisation_keeps_its_statistics_after_its_epochs():
    config = load("pose_128x96", *TINY, "input_wh=[32,32]", "norm_epochs=1")
    student = PoseDistillation(PoseSamples(labelled_frames()), config).train()
    means = [value for name, value in student.net.named_buffers() if name.endswith("running_mean")]

    def step(epoch):
        before = [value.clone() for value in means]
        student.set_step(0, epoch, 0)
        student([0, 1, 2, 3])
        return sum(not torch.equal(*pair) for pair in zip(before, means))

    assert step(0) == len(means)
    assert step(1) == 0


def test_a_teacher_of_people_who_stand_sees_them_stand(shared):
    config = load("finder_rtmdet", "input_wh=[64,64]", "finder.rotated_prob=1.0",
                  "apart_epochs=1")  # fmt: skip
    student = DetectorDistillation(DetectorSamples(labelled_frames(), side=64), config)
    chances, given = [], student.store.batch

    def batch(inds, side, sampling, generator):
        chances.append(sampling.rotated_prob)
        return given(inds, side, sampling, generator)

    student.store.batch = batch
    for epoch in (0, 1):
        student.set_step(0, epoch, 0)
        losses = student([0])
    assert chances == [1.0, 0.0]
    assert set(losses) == {"loss_turned", "loss_score", "loss_box"}  # all are turned
