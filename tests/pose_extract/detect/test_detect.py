"""Detectors: real people, given boxes, and files that are no detector."""

from __future__ import annotations

import importlib.util
import json
import pickle
import sys
from types import ModuleType

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from pycocotools.coco import COCO

from skelact import SkelactError
from skelact.pose_extract.common.geometry import pairwise_iou
from skelact.pose_extract.decode.frames import FrameBatch
from skelact.pose_extract.detect.base import Detections
from skelact.pose_extract.detect.build import build_detector
from skelact.pose_extract.detect.rotated_views import RotatedViewsDetector
from skelact.pose_extract.extract import ExtractConfig, candidate_detector


def batch_of(*frames):
    return FrameBatch(np.stack(frames), np.arange(len(frames)), np.arange(len(frames)) / 25)


BLANK = np.zeros((100, 200, 3), np.uint8)


def test_boxes_are_clipped_cleaned_and_sorted():
    bboxes = np.array([[0, 0, 10, 10], [-5, 5, 300, 50], [9, 9, 9.5, 20], [1, 1, 9, 9]])
    found = Detections.clean(bboxes, np.array([0.5, 0.9, 0.8, 0.1]), (100, 200), score_thr=0.3)
    assert found.bboxes.tolist() == [[0, 5, 200, 50], [0, 0, 10, 10]]
    assert found.scores.tolist() == pytest.approx([0.9, 0.5])
    one = Detections.clean(bboxes, np.array([0.5, 0.9, 0.8, 0.1]), (100, 200), max_det=1)
    assert len(one.bboxes) == 1


def test_the_whole_frame_is_one_person():
    found = build_detector("whole-frame").detect(batch_of(BLANK, BLANK), "a.mp4")
    assert [f.bboxes.tolist() for f in found] == [[[0, 0, 200, 100]]] * 2


def coco_figures(detector, shared, degrees=0):
    """Return the true positives, of 12 people, and the false positives from score .3."""
    folder = shared / "data" / "pose_gt" / "coco"
    index = COCO(str(folder / "test_coco.json"))
    detector.load()
    true_positives, false_positives = 0, 0
    for image in index.loadImgs(index.getImgIds()):
        annotated = [a for a in index.loadAnns(index.getAnnIds(image["id"])) if a["num_keypoints"]]
        frame = cv2.imread(str(next(folder.rglob(image["file_name"]))))[..., ::-1]
        height, width = frame.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1.0)
        cos, sin = np.abs(matrix[0, :2])
        size = (int(height * sin + width * cos), int(height * cos + width * sin))
        matrix[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
        found = detector.detect(batch_of(cv2.warpAffine(frame, matrix, size)), "a.mp4")[0]
        truth = []
        for person in annotated:
            parts = [np.reshape(part, (-1, 2)) for part in person["segmentation"]]
            outline = np.concatenate(parts) @ matrix[:, :2].T + matrix[:, 2]
            truth.append([*outline.min(axis=0), *outline.max(axis=0)])
        overlap = pairwise_iou(np.array(truth, np.float32), found.bboxes[found.scores >= 0.3])
        true_positives += int((overlap.max(axis=1, initial=0.0) >= 0.5).sum())
        false_positives += int((overlap.max(axis=0, initial=0.0) < 0.5).sum())
    return true_positives, false_positives


@pytest.mark.parametrize(
    ("name", "people", "false"), [("rtmdet-nano", 12, 2), ("skelact-detector-320", 11, 1)]
)
def test_annotated_people_are_found(shared, name, people, false):
    found_people, false_positives = coco_figures(build_detector(name), shared)
    assert people <= found_people <= 12
    assert false_positives <= false


def test_our_detector_finds_rotated_people_better_than_its_teacher(shared):
    figures = {}
    for name in ("rtmdet-nano", "skelact-detector-320"):
        detector = build_detector(name)
        one_view = [coco_figures(RotatedViewsDetector([detector], (rotation,)), shared)[0]
                    for rotation in (90, 180, 270)]  # fmt: skip
        balanced = candidate_detector(ExtractConfig(detector=name))
        tilted = [coco_figures(balanced, shared, degrees) for degrees in (30, 60, 135, 240, 330)]
        figures[name] = (sum(one_view), *np.sum(tilted, axis=0))
    teacher, ours = figures["rtmdet-nano"], figures["skelact-detector-320"]
    # Of 36 people with one view; the teacher finds 10.
    assert ours[0] >= 20
    assert ours[0] >= 1.4 * teacher[0]
    # Of 60 people with four views.
    assert ours[1] >= 48
    assert ours[1] >= 1.05 * teacher[1]
    assert ours[2] <= 0.6 * teacher[2]


def test_the_input_of_our_detector_is_no_larger_than_the_frame():
    detector = build_detector("skelact-detector-320", device="cpu", size_factor=1.3)
    detector.load()
    engine, shapes = detector._engine, []
    detector._engine = lambda images: shapes.append(images.shape[1:3]) or engine(images)
    for shape in ((90, 640, 3), (640, 480, 3)):
        detector.detect(
            FrameBatch(np.zeros((2, *shape), np.uint8), np.arange(2), np.arange(2)), "a"
        )
    # A wide frame of 416 x 58.5, and a high one of 312 x 416.
    assert shapes == [(64, 416), (416, 320)]


def test_rtmdet_gives_the_same_boxes_whatever_the_batch(shared):
    folder = shared / "data" / "pose_gt" / "coco"
    image = cv2.imread(str(folder / "000000000785.jpg"))[..., ::-1]
    other = np.ascontiguousarray(image[:, ::-1])
    detector = build_detector("rtmdet-nano")
    together = detector.detect(batch_of(image, other), "a.mp4")
    alone = [detector.detect(batch_of(i), "a.mp4")[0] for i in (image, other)]
    for one, two in zip(together, alone):
        assert np.allclose(one.bboxes, two.bboxes, atol=0.01)


@pytest.mark.parametrize("suffix", [".json", ".pkl"])
def test_boxes_from_a_file(tmp_path, suffix):
    path = tmp_path / f"boxes{suffix}"
    if suffix == ".json":
        path.write_text(json.dumps({"v.mp4": {"1": [[10, 10, 20, 30, 0.5], [5, 5, 9, 9, 0.9]]}}))
    else:
        # PYSKL's gym_gt_bboxes: one box per frame, zeros where the athlete is not seen.
        boxes = np.array([[0, 0, 0, 0], [10, 10, 20, 30]], np.float32)
        path.write_bytes(pickle.dumps({"v": boxes}))
    detector = build_detector("rtmdet-nano", boxes=path)
    first, second, third = detector.detect(batch_of(BLANK, BLANK, BLANK), "day1/v.mp4@1.000-2.000s")
    assert len(first.bboxes) == 0
    assert [10, 10, 20, 30] in second.bboxes.tolist()
    assert len(third.bboxes) == 0
    with pytest.raises(SkelactError, match="has no boxes for clip 'w.mp4'"):
        detector.detect(batch_of(BLANK), "w.mp4")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2]", "expected a mapping"),
        ('{"a": {"0": [[1, 2, 3]]}}', "expected boxes of 4 or 5 numbers"),
        ('{"a": {"7": [[0, 0, 0, 0], [30, 40, 10, 20]]}}', r"in frame 7 \[30.* not sizes"),
        ('{"a": {"0": [[NaN, 0, 10, 20, 0.9]]}}', "not right of x1"),
        ('{"a": {"first": []}}', "expected boxes of 4 or 5 numbers"),
        ("{", "expected boxes as JSON"),
        ("[" * 100_000, "expected boxes as JSON"),
        ('{"a.mp4": {"0": [[1' + "0" * 400 + ", 0, 1, 1]]}}", "expected boxes of 4 or 5 numbers"),
    ],
)
def test_files_that_hold_no_boxes(tmp_path, content, message):
    path = tmp_path / "boxes.json"
    path.write_text(content)
    with pytest.raises(SkelactError, match=message):
        build_detector("whole-frame", boxes=path)


def write_net(path, batch="B"):
    """Write a detector that finds one box where the input's mean says: two classes, person first.

    It stands for files of OpenMMLab's zoo that are not available here: same inputs and outputs.
    """
    dets = np.array([[[8, 16, 24, 32, 0.9], [0, 0, 4, 4, 0.8]]], np.float32)
    labels = np.array([[0, 7]], np.int64)
    nodes = [
        helper.make_node("Shape", ["input"], ["shape"], start=0, end=1),
        helper.make_node("Concat", ["shape", "rest3"], ["size3"], axis=0),
        helper.make_node("Concat", ["shape", "rest2"], ["size2"], axis=0),
        helper.make_node("Expand", ["one_dets", "size3"], ["dets"]),
        helper.make_node("Expand", ["one_labels", "size2"], ["labels"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, 64, 64])],
        [
            helper.make_tensor_value_info("dets", TensorProto.FLOAT, [batch, 2, 5]),
            helper.make_tensor_value_info("labels", TensorProto.INT64, [batch, 2]),
        ],
        [
            onnx.numpy_helper.from_array(dets, "one_dets"),
            onnx.numpy_helper.from_array(labels, "one_labels"),
            onnx.numpy_helper.from_array(np.array([2, 5]), "rest3"),
            onnx.numpy_helper.from_array(np.array([2]), "rest2"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("batch", ["B", 1])
def test_an_onnx_file_by_path_people_alone_in_the_frames_pixels(tmp_path, batch):
    detector = build_detector(str(write_net(tmp_path / "yolox_tiny.onnx", batch)))
    found = detector.detect(batch_of(*[BLANK] * 3), "a.mp4")
    # 200x100 becomes 64x32: the factor back is 3.125.
    assert [f.bboxes.tolist() for f in found] == [[[25, 50, 75, 100]]] * 3
    assert detector.identity()["name"] == "yolox_tiny.onnx"


def write_one_node(path, operator, input_shape, output_shape, kind=TensorProto.FLOAT, **attributes):
    node = helper.make_node(operator, ["x"], ["y"], **attributes)
    values = [
        helper.make_tensor_value_info(name, kind, shape)
        for name, shape in (("x", input_shape), ("y", output_shape))
    ]
    graph = helper.make_graph([node], "net", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))
    return str(path)


@pytest.mark.parametrize(
    ("input_shape", "output_shape", "kind", "message"),
    [
        ([1, 2], [1, 2], TensorProto.FLOAT, "with non-maximum suppression inside"),
        (["b", 3, 64, 64], ["b", 3, 64], TensorProto.FLOAT16, "of float32"),
        (["b", 4, 64, 64], ["b", 4, 64], TensorProto.FLOAT, "3 channels and sides up to 4096"),
        (["b", 3, 1 << 30, 64], ["b", 3, 64], TensorProto.FLOAT, "sides up to 4096"),
    ],
)
def test_an_onnx_file_that_is_no_detector(tmp_path, input_shape, output_shape, kind, message):
    path = tmp_path / "other.onnx"
    if len(input_shape) == 2:
        write_one_node(path, "Relu", input_shape, output_shape, kind)
    else:
        write_one_node(path, "ReduceMax", input_shape, output_shape, kind, axes=[2], keepdims=0)
    detector = build_detector(str(path))
    for _ in range(2):  # a second time is no other error
        with pytest.raises(SkelactError, match=message):
            detector.load()


def test_an_onnx_file_whose_boxes_are_none(tmp_path):
    path = write_one_node(
        tmp_path / "max.onnx", "ReduceMax", ["b", 3, 64, 64], ["b", 3, 64], axes=[2], keepdims=0
    )
    with pytest.raises(SkelactError, match=r"network fails: boxes of shape \(3, 64\)"):
        build_detector(path).detect(batch_of(BLANK), "a.mp4")


def test_an_onnx_file_that_is_no_network(tmp_path):
    (tmp_path / "text.onnx").write_text("not a network")
    with pytest.raises(SkelactError, match="ONNX Runtime cannot load it"):
        build_detector(str(tmp_path / "text.onnx")).load()


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(
        SkelactError, match="expected one of rtmdet-nano, skelact-detector-320, whole-frame"
    ):
        build_detector("yolo")


def test_faster_rcnn_whose_weights_cannot_be_fetched(monkeypatch):
    """A stand-in for MMDetection, which is not installed here."""

    def no_network(*args, **options):
        raise OSError("\x1b[1mno route to host\x1b[0m")

    package, module = ModuleType("mmdet"), ModuleType("mmdet.apis")
    module.DetInferencer = no_network
    monkeypatch.setitem(sys.modules, "mmdet", package)
    monkeypatch.setitem(sys.modules, "mmdet.apis", module)
    real = importlib.util.find_spec
    # Of this one alone: where torch is imported here first, it looks for what it may use.
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: object() if name in ("mmdet", "mmcv._ext") else real(name, *rest),
    )
    detector = build_detector("mmdet-faster-rcnn", device="cpu")
    with pytest.raises(SkelactError, match="mmdet-faster-rcnn cannot be loaded: .*no route to"):
        detector.load()


def test_faster_rcnn_without_mmdet_says_how_to_install_it():
    if importlib.util.find_spec("mmdet"):
        pytest.skip("mmdet is installed here")
    with pytest.raises(SkelactError, match="mim install mmcv mmdet"):
        build_detector("mmdet-faster-rcnn")
