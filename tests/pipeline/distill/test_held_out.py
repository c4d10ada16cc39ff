"""Detectors are measured on held-out sources."""

from __future__ import annotations

import json

import cv2
import numpy as np
from click.testing import CliRunner
from distill_scenes import BODY

from skelact.pipeline.cli.main import main
from skelact.pipeline.distill.labelled_frames import LabelBuilder
from skelact.pipeline.distill.train import split_sources
from skelact.pose_extract.decode.frames import FrameBatch
from skelact.pose_extract.detect.build import build_detector
from skelact.pose_extract.weights.download import find_weights


def test_distilled_detectors_and_teachers_are_measured_on_held_out_sources(shared, tmp_path):
    image = cv2.imread(str(sorted((shared / "data/pose_gt/coco").glob("**/*.jpg"))[0]))[..., ::-1]
    found = build_detector("rtmdet-nano", device="cpu").detect(
        FrameBatch(image[None].copy(), np.zeros(1, np.int64), np.zeros(1)), "a"
    )[0]
    people = []
    for box in found.bboxes:
        points = (box[:2] + (box[2:] - box[:2]) * BODY / (60, 120)).astype(np.float32)
        people.append((box, points, np.full(17, 0.9, np.float32), np.ones(17, np.float32)))
    assert people
    builder = LabelBuilder(max_side=512)
    names = [f"clip_{i}.mp4#0" for i in range(40)]
    assert split_sources(names)[1]
    for name in names:
        builder.add(name, image, people, np.zeros((0, 4), np.float32))
    builder.build().save(tmp_path / "labels" / "a.npz")
    labels, out = str(tmp_path / "labels"), str(tmp_path / "a.json")
    names = ["rtmdet-nano", "skelact-detector-320"]
    options = ["--labels", labels, "--json", out]
    result = CliRunner().invoke(main, ["distill", "measure", *names, *options])
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "a.json").read_text())
    assert set(figures) == set(names)
    for found in figures.values():
        assert 0 <= found["recall_least"] <= found["recall_all_angles"] <= 1
        assert found["recall_upright"] == 1  # the labels are what RTMDet-nano finds
    for name, message in (
        ("no-such-net", "expected an exported bundle's .json, or one of rtmdet-nano, skelact-"),
        ("litehrnet18-coco-128x96", "no detector called 'litehrnet18-coco-128x96'"),
        (find_weights("skelact-litehrnet18-256x192"), "expected a network of kind 'detector'"),
    ):
        result = CliRunner().invoke(main, ["distill", "measure", str(name), "--labels", labels])
        assert result.exit_code == 1
        assert message in result.output
