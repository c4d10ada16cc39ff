"""Networks are measured on held-out sources."""

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


def test_distilled_networks_and_teachers_are_measured_on_held_out_sources(shared, tmp_path):
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
    networks = {
        "rtmdet-nano": "recall", "skelact-detector-320": "recall",
        "litehrnet18-coco-128x96": "oks", "skelact-aligner-96": "axis",
    }  # fmt: skip
    labels, out = str(tmp_path / "labels"), str(tmp_path / "a.json")
    options = ["--labels", labels, "--json", out]
    result = CliRunner().invoke(main, ["distill", "measure", *networks, *options])
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "a.json").read_text())
    for name, figure in networks.items():
        values = [
            figures[name][f"{figure}_{where}"] for where in ("upright", "all_angles", "least")
        ]
        assert 0 <= values[2] <= values[1] <= 1
        if figure == "recall":  # the labels are what RTMDet-nano finds
            assert values[0] == 1
    result = CliRunner().invoke(main, ["distill", "measure", "no-such-net", "--labels", labels])
    assert result.exit_code == 1
    assert "expected an exported bundle's .json, or one of rtmdet-nano" in result.output
