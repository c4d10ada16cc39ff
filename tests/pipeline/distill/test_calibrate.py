"""A distilled detector's scores give no more false positives than its teacher's."""

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


def test_a_detector_gives_no_more_false_positives_than_its_teacher():
    torch.manual_seed(0)
    samples, teacher, net = DetectorSamples(labelled_frames(), side=96), *(
        RTMDetNano(RTMDetShape()).eval() for _ in range(2)
    )  # fmt: skip

    def false_positives(network):
        images, people, ignored = samples.batch(
            torch.arange(3), 96, DetectorSampling(), torch.Generator(), 0.0
        )
        with torch.inference_mode():
            all_boxes, all_scores = network.people(network(normalised(images)))
        known = torch.cat([people, ignored], 1).numpy()
        return sum(
            int((pairwise_iou(truth, boxes[scores >= 0.3]).max(axis=0, initial=0.0) < 0.5).sum())
            for truth, boxes, scores in zip(known, all_boxes.numpy(), all_scores.numpy())
        )

    for head in net.heads:
        torch.nn.init.constant_(head.cls.bias, 0.5)
        torch.nn.init.normal_(head.cls.weight)
    assert false_positives(teacher) == 0
    assert false_positives(net) > 10
    before = [head.cls.bias.item() for head in net.heads]
    shift = calibrate_scores(net, teacher, samples, 96)
    assert shift < 0
    assert [head.cls.bias.item() - old for head, old in zip(net.heads, before)] == pytest.approx(
        [shift] * 3, abs=1e-5
    )
    assert false_positives(net) <= 1
    # Scores that give fewer false positives stay as they are.
    assert calibrate_scores(teacher, net, samples, 96) == 0.0
