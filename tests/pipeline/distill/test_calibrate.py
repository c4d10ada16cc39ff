"""The scores of a distilled detector give no more false positives than its teacher's."""

from __future__ import annotations

import pytest
import torch
from distill_scenes import labelled_frames

from skelact.pipeline.distill.calibrate import calibrate_scores
from skelact.pipeline.distill.detector_samples import DetectorSamples, DetectorSampling
from skelact.pipeline.distill.image_augment import normalised
from skelact.pose_extract.common.geometry import pairwise_iou
from skelact.pose_extract.nets.rtmdet import RTMDetNano
from skelact.pose_extract.nets.shapes import RTMDetShape


def test_a_finder_is_no_surer_of_nobody_than_its_teacher():
    torch.manual_seed(0)
    samples, teacher, net = DetectorSamples(labelled_frames(), side=96), *(
        RTMDetNano(RTMDetShape()).eval() for _ in range(2)
    )  # fmt: skip

    def sure_of_nobody(network):
        pictures, people, ignored = samples.batch(
            torch.arange(3), 96, DetectorSampling(), torch.Generator(), 0.0
        )
        with torch.inference_mode():
            boxes, scores = network.people(network(normalised(pictures)))
        known = torch.cat([people, ignored], 1).numpy()
        return sum(
            int((pairwise_iou(truth, mine[sure >= 0.3]).max(axis=0, initial=0.0) < 0.5).sum())
            for truth, mine, sure in zip(known, boxes.numpy(), scores.numpy())
        )

    for head in net.heads:
        torch.nn.init.constant_(head.cls.bias, 0.5)
        torch.nn.init.normal_(head.cls.weight)
    assert sure_of_nobody(teacher) == 0
    assert sure_of_nobody(net) > 10
    before = [head.cls.bias.item() for head in net.heads]
    shift = calibrate_scores(net, teacher, samples, 96)
    assert shift < 0
    assert [head.cls.bias.item() - old for head, old in zip(net.heads, before)] == pytest.approx(
        [shift] * 3, abs=1e-5
    )
    assert sure_of_nobody(net) <= 1
    # Who is less sure stays as it is.
    assert calibrate_scores(teacher, net, samples, 96) == 0.0
