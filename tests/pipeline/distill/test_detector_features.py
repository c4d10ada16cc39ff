"""Features of a detector are collected, given, and rotated with the image."""

from __future__ import annotations

import cv2
import numpy as np
import onnx
import pytest
import torch

from skelact import SkelactError
from skelact.pipeline.distill.detector_features import (
    CLASSIFICATION_FEATURES,
    HEADS,
    DetectorTeacher,
    block_losses,
    features_of,
    rotated_feature_losses,
)
from skelact.pose_extract.decode.frames import FrameBatch
from skelact.pose_extract.detect.build import build_detector
from skelact.pose_extract.nets.rtmdet import RTMDetNano
from skelact.pose_extract.nets.rtmdet_file import read_rtmdet
from skelact.pose_extract.nets.shapes import PIXEL_MEAN, PIXEL_STD, RTMDetShape


def test_a_teacher_s_classification_features_rotate_with_the_image():
    teacher = {}
    for name in CLASSIFICATION_FEATURES:
        size = 20 >> int(name.split(".")[1])
        teacher[name] = torch.arange(float(size)).expand(1, 3, size, size)
    # Upside down, the cell at pixel p shows what was at 159 - p.
    rotated = {name: (159 / (160 / part.shape[-1])) - part for name, part in teacher.items()}
    angle = torch.tensor([180.0])
    assert max(rotated_feature_losses(rotated, teacher, angle).values()) < 0.02
    assert min(rotated_feature_losses(teacher, teacher, angle).values()) > 2
    assert max(rotated_feature_losses(teacher, teacher, torch.zeros(1)).values()) < 1e-6


def test_a_channel_that_hardly_varies_counts_less():
    # Variances of 1 and 0; their mean times .05 is added to each.
    teacher = {"stem.0": torch.tensor([[[[-1.0, 1.0]], [[0.0, 0.0]]]])}
    off = {"stem.0": teacher["stem.0"] + torch.tensor([[[[0.0]], [[0.1]]]])}
    flat = {"stem.0": torch.zeros(1, 2, 1, 2)}
    assert block_losses(flat, teacher)["stem.0"].item() == pytest.approx(1 / 1.025 / 2)
    assert block_losses(off, teacher)["stem.0"].item() == pytest.approx(0.01 / 0.025 / 2, rel=1e-4)


def other_onnx(folder):
    kernel = onnx.numpy_helper.from_array(np.zeros((4, 3, 1, 1), np.float32), "kernel")
    node = onnx.helper.make_node("Conv", ["input", "kernel"], ["out"])
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, channels, 8, 8])
        for name, channels in (("input", 3), ("out", 4))
    ]
    graph = onnx.helper.make_graph([node], "other", ends[:1], ends[1:], [kernel])
    path = folder / "other.onnx"
    onnx.save(onnx.helper.make_model(graph), str(path))
    return path


def test_our_rtmdet_is_the_published_one_and_its_blocks_take_given_features(shared, tmp_path):
    teacher = DetectorTeacher("rtmdet-nano")
    image = cv2.imread(str(sorted((shared / "data/pose_gt/coco").glob("**/*.jpg"))[0]))
    published = build_detector("rtmdet-nano", device="cpu", score_thr=0.3, max_det=100)
    batch = FrameBatch(image[None, :, :, ::-1].copy(), np.zeros(1, np.int64), np.zeros(1))
    truth = published.detect(batch, "image")[0]
    ratio = 320 / max(image.shape[:2])
    boxed = np.full((320, 320, 3), 114, np.uint8)
    size = (round(image.shape[1] * ratio), round(image.shape[0] * ratio))
    boxed[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    x = torch.from_numpy(boxed[..., ::-1].copy()).permute(2, 0, 1)[None].float()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (PIXEL_MEAN, PIXEL_STD))
    features = teacher((x - mean) / std)
    heads = [features[name] for name in HEADS]
    boxes, scores = RTMDetNano.people(heads)
    assert len(truth.scores) >= 1
    assert scores[0, 0].item() == pytest.approx(truth.scores.max(), abs=1e-3)
    best = truth.bboxes[truth.scores.argmax()]
    found = (boxes[0, 0] / ratio).numpy()
    edges = np.array([image.shape[1], image.shape[0]] * 2)
    assert np.abs(found.clip(0, edges) - best).max() < 0.5
    with torch.no_grad():
        given = features_of(teacher.net, ((x - mean) / std).flip(1), features)
    assert all(torch.allclose(given[name], part, atol=1e-4) for name, part in features.items())
    assert max(block_losses(given, features).values()) < 1e-6
    with pytest.raises(SkelactError, match="expected RTMDet-nano"):
        read_rtmdet(other_onnx(tmp_path))


def test_features_are_those_of_the_plain_network_and_can_be_given():
    torch.manual_seed(0)
    net, other = (RTMDetNano(RTMDetShape(width=4)).eval() for _ in range(2))
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        found, theirs = features_of(net, x), features_of(other, x)
        assert len(found) == 75
        assert all(torch.equal(found[head], level) for head, level in zip(HEADS, net(x)))
        # By hand: the first stage, and the neck's way down to the finest level.
        first = net.stem[2](found["stem.1"])
        assert torch.equal(found["stem.2"], first)
        assert torch.equal(found["stage1.1"], net.stage1(first))
        larger = torch.nn.functional.interpolate(found["reduce1"], scale_factor=2)
        fine = net.down1(torch.cat([larger, found["stage2.1"]], 1))
        assert torch.equal(found["down1"], fine)
        # Fed with another's features, a module answers to those alone.
        mixed = features_of(net, x, theirs)
        assert list(mixed) == list(found)
        assert torch.equal(mixed["stem.0"], found["stem.0"])
        assert torch.equal(mixed["stage1.0"], net.stage1[0](theirs["stem.2"]))
        assert not torch.allclose(mixed["stage1.0"], found["stage1.0"])
        pooled = [
            torch.nn.functional.max_pool2d(theirs["stage4.1.conv1"], side, 1, side // 2)
            for side in (5, 9, 13)
        ]
        joined = torch.cat([theirs["stage4.1.conv1"], *pooled], 1)
        assert torch.equal(mixed["stage4.1"], net.stage4[1].conv2(joined))
        head = net.heads[2]
        logit = head.cls(theirs["heads.2.cls_convs.1"])
        sides = head.reg(theirs["heads.2.reg_convs.1"])
        assert torch.equal(mixed["heads.2"], torch.cat([logit, sides], 1))
