"""RTMDet-nano's file as a network of ours, which a GPU runs; here the same network on the CPU."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from multiprocessing.connection import Listener

import cv2
import numpy as np
import onnx
import pytest
import torch
from mmcv.cnn.utils import fuse_conv_bn

from skelact import SkelactError
from skelact.pose_extract.decode.frames import FrameBatch
from skelact.pose_extract.detect.build import build_detector
from skelact.pose_extract.detect.onnx_runners import NanoRunner, SessionRunner
from skelact.pose_extract.nets.engine_choice import LocalEngines, ServedEngines, engine_key
from skelact.pose_extract.nets.engines import PyTorchEngine
from skelact.pose_extract.nets.inference_client import (
    InferenceLostError,
    RemoteEngines,
    ServerAddress,
)
from skelact.pose_extract.nets.inference_server import InferenceServer
from skelact.pose_extract.nets.onnx_files import write_onnx
from skelact.pose_extract.nets.rtmdet import STRIDES, RTMDetNano
from skelact.pose_extract.nets.rtmdet_file import read_rtmdet
from skelact.pose_extract.nets.shapes import RTMDetShape


class EnginesAsOnGPU(LocalEngines):
    """Engines of this process's CPU, where the device is said to be a GPU."""

    def device(self, options):
        return torch.device("cuda")

    def engine(self, network, options):
        return PyTorchEngine(network, replace(options, device="cpu", precision="fp32"))


class ServedAsOnGPU(EnginesAsOnGPU, ServedEngines):
    """Those of a server: kept by key."""

    def engine(self, network, options):
        return self.engines.setdefault(
            engine_key(network, options), super().engine(network, options)
        )


def frames_of(shared, names=("000000000785.jpg", "000000040083.jpg", "000000196141.jpg")):
    folder = shared / "data" / "pose_gt" / "coco"
    found = [cv2.imread(str(next(folder.rglob(name))))[..., ::-1] for name in names]
    side = min(min(image.shape[:2]) for image in found)
    frames = np.stack([image[:side, :side] for image in found])
    return FrameBatch(frames, np.arange(len(frames)), np.arange(len(frames)) / 25)


@pytest.mark.parametrize("factor", [1.0, 1.3])
def test_it_gives_the_boxes_of_the_file(shared, factor):
    batch = frames_of(shared)
    settings = {"score_thr": 0.05, "max_det": 50, "num_threads": 1, "size_factor": factor}
    file = build_detector("rtmdet-nano", device="cpu", **settings)
    ours = build_detector("rtmdet-nano", engines=EnginesAsOnGPU(), **settings)
    expected, found = file.detect(batch, "a.mp4"), ours.detect(batch, "a.mp4")
    assert isinstance(file._runner, SessionRunner)
    assert isinstance(ours._runner, NanoRunner)
    assert ours.input_side == file.input_side
    assert ours.identity() == file.identity()
    assert sum(len(image.bboxes) for image in expected) > 20
    for one, other in zip(expected, found):
        np.testing.assert_allclose(other.scores, one.scores, atol=1e-4)
        np.testing.assert_allclose(other.bboxes, one.bboxes, atol=0.02)


def test_workers_share_it(shared):
    """As on a GPU of a server; its process is a thread here."""
    batch, settings = frames_of(shared), {"score_thr": 0.05, "max_det": 50}
    served = ServedAsOnGPU()
    build_detector("rtmdet-nano", engines=served, **settings).load()
    server = InferenceServer(served.engines, "cuda", "a GPU", batch_size=8)
    with Listener(authkey=b"key") as listener:
        threading.Thread(target=server.serve, args=(listener,), daemon=True).start()
        remote = RemoteEngines(ServerAddress(listener.address, b"key"))
        worker = build_detector("rtmdet-nano", engines=remote, **settings)
        found = worker.detect(batch, "a.mp4")
    assert isinstance(worker._runner, NanoRunner)
    alone = build_detector("rtmdet-nano", engines=EnginesAsOnGPU(), **settings)
    for one, other in zip(alone.detect(batch, "a.mp4"), found):
        np.testing.assert_array_equal(other.bboxes, one.bboxes)


def exported(path):
    """Write a network with random weights as OpenMMLab's exporter does; return the network."""
    torch.manual_seed(0)
    network = fuse_conv_bn(RTMDetNano(RTMDetShape()).eval())
    names = [f"level{i}" for i in range(3)]
    write_onnx(network, {"input": torch.zeros(1, 3, 64, 64)}, names, path, {2: "h", 3: "w"})
    return network


def test_weights_are_read_into_their_places(tmp_path):
    network = exported(tmp_path / "nano.onnx")
    read = read_rtmdet(tmp_path / "nano.onnx")
    x = torch.randn(2, 3, 96, 64)
    with torch.inference_mode():
        for one, other in zip(network(x), read(x)):
            assert torch.equal(one, other)


def _with_other_classes(model):
    """As for two of COCO's classes: the scores have more channels."""
    value = next(v for v in model.graph.initializer if list(v.dims) == [1, 64, 1, 1])
    value.dims[0] = 2
    value.raw_data = 2 * value.raw_data


def _with_a_convolution_less(model):
    node = next(node for node in model.graph.node if node.op_type == "Conv")
    model.graph.node.remove(node)


def _with_weights_elsewhere(model):
    value = model.graph.initializer[0]
    value.data_location = onnx.TensorProto.EXTERNAL
    value.external_data.add(key="location", value="/etc/passwd")


def _with_weights_cut_off(model):
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-3]


def _with_an_identity_of_nothing(model):
    model.graph.node.add(op_type="Identity")


@pytest.mark.parametrize(
    "change",
    [
        _with_other_classes,
        _with_a_convolution_less,
        _with_weights_elsewhere,
        _with_weights_cut_off,
        _with_an_identity_of_nothing,
    ],
)
def test_other_files_are_refused(tmp_path, change):
    exported(tmp_path / "nano.onnx")
    model = onnx.load(str(tmp_path / "nano.onnx"))
    change(model)
    (tmp_path / "other.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(SkelactError, match="other.onnx: expected RTMDet-nano"):
        read_rtmdet(tmp_path / "other.onnx")


def test_another_file_of_its_shape_is_left_to_onnx_runtime(shared, tmp_path):
    model = onnx.load(str(shared / "weights" / "rtmdet_nano_person_320.onnx"))
    model.producer_name = "another"
    onnx.save(model, str(tmp_path / "own.onnx"))
    detector = build_detector(
        str(tmp_path / "own.onnx"), engines=EnginesAsOnGPU(), device="cpu", num_threads=1
    )
    detector.load()
    assert isinstance(detector._runner, SessionRunner)


def test_without_the_package_onnx_the_file_runs_as_before(shared, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    detector = build_detector("rtmdet-nano", engines=EnginesAsOnGPU(), device="cpu", num_threads=1)
    detector.load()
    assert isinstance(detector._runner, SessionRunner)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_box_that_is_none_leaves_the_others(value):
    """As where half precision overflows."""

    def engine(images):
        levels = [np.zeros((1, 5, 320 // stride, 320 // stride), np.float32) for stride in STRIDES]
        for level in levels:
            level[:, 0], level[:, 1:] = -9.0, 2.0
        levels[2][0, 0, 2, 2] = levels[2][0, 0, 7, 7] = 3.0
        levels[2][0, :3, 7, 7] = 5.0, value, value
        return levels

    (found,) = NanoRunner(engine, 1.0)(np.zeros((1, 320, 320, 3), np.uint8))
    assert found[:, :4].tolist() == [[0, 0, 128, 128]]


@pytest.mark.parametrize("error", [InferenceLostError("it has ended"), SkelactError("it fails")])
def test_what_an_engine_says_is_passed_on(error):
    detector = build_detector("rtmdet-nano")

    class Fails:
        size_wh = (320, 320)

        def __call__(self, images):
            raise error

    detector._runner = Fails()
    batch = FrameBatch(np.zeros((1, 32, 32, 3), np.uint8), np.arange(1), np.arange(1))
    with pytest.raises(type(error)) as caught:
        detector.detect(batch, "a.mp4")
    assert caught.value is error
