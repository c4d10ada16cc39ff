"""Each part that runs on a CUDA device, against the same on the CPU in float32.

tests/README.md has the policy; without a device these are skipped, with the reason.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from skelact import SkelactError
from skelact.pose_extract.common.device import choose_device, fastest_dtype
from skelact.pose_extract.decode.video import open_video
from skelact.pose_extract.detect.build import build_detector
from skelact.pose_extract.detect.onnx_runners import NanoRunner, SessionRunner
from skelact.pose_extract.extract import ExtractConfig, Extractor
from skelact.pose_extract.pose.estimator import PoseEstimator
from skelact.pose_extract.sources import ClipSource
from skelact.pose_extract.weights.table import DEFAULT_POSE

DEVICE = "cuda"
NUM_FRAMES = 4


@pytest.fixture(scope="module")
def batch(shared):
    """The first frames of a clip of several people."""
    with open_video(shared / "videos" / "people" / "mmaction2_demo_skeleton.mp4") as reader:
        return next(iter(reader.batches(NUM_FRAMES)))


@pytest.fixture(scope="module")
def people(batch):
    """Boxes of the people per frame, found on the CPU."""
    detector = build_detector("skelact-detector-320", device="cpu", score_thr=0.4)
    found = [detections.bboxes for detections in detector.detect(batch, "clip")]
    assert min(len(bboxes) for bboxes in found) >= 1
    return found


def on_both(run):
    """Return what ``run`` gives with the CPU and with the CUDA device."""
    return run("cpu"), run(DEVICE)


@pytest.mark.cuda
def test_the_device_that_is_chosen_is_there():
    assert choose_device("auto").type == "cuda"
    assert fastest_dtype(choose_device(DEVICE)) == torch.float16
    last = torch.cuda.device_count() - 1
    assert choose_device(f"cuda:{last}") == torch.device("cuda", last)
    with pytest.raises(
        SkelactError, match=f"cuda:{last + 1} is not there, .* sees {last + 1} CUDA"
    ):
        choose_device(f"cuda:{last + 1}")


@pytest.mark.cuda
@pytest.mark.parametrize(
    ("precision", "pixels", "score"), [("fp32", 0.5, 0.01), ("fp16", 1.0, 0.03)]
)
def test_poses_are_those_of_the_cpu(batch, people, precision, pixels, score):
    """Clear keypoints move by less than this; the rest has no sharp peak to find.

    PyTorch convolves float32 on CUDA in TF32, whose ten bits of fraction are those of fp16.
    """

    def run(device):
        estimator = PoseEstimator(
            DEFAULT_POSE,
            device=device,
            precision="fp32" if device == "cpu" else precision,
        )
        crops = [estimator.crop(frame, boxes) for frame, boxes in zip(batch.frames, people)]
        found = [estimator.predict(crop) for crop in crops]
        return tuple(np.concatenate(arrays) for arrays in zip(*found))

    (points, scores), (points_there, scores_there) = on_both(run)
    is_clear = scores > 0.5
    assert is_clear.sum() > 20
    moved = np.linalg.norm(points - points_there, axis=-1)[is_clear]
    assert np.quantile(moved, 0.95) < pixels
    assert np.abs(scores - scores_there).max() < score


@pytest.mark.cuda
@pytest.mark.parametrize("name", ["skelact-detector-320", "rtmdet-nano"])
def test_detections_are_those_of_the_cpu(batch, name):
    def run(device):
        detector = build_detector(name, device=device, score_thr=0.4)
        found = detector.detect(batch, "clip")
        if name == "rtmdet-nano":
            assert isinstance(detector._runner, NanoRunner if device == "cuda" else SessionRunner)
        return found

    for here, there in zip(*on_both(run)):
        assert len(here.bboxes) == len(there.bboxes) >= 1
        order, order_there = (np.lexsort(found.bboxes.round(-1).T) for found in (here, there))
        moved = here.bboxes[order] - there.bboxes[order_there]
        assert np.abs(moved).max() < 2  # pixels of a frame; arithmetic on both sides may be 16 bit
        assert np.abs(here.scores[order] - there.scores[order_there]).max() < 0.02


@pytest.mark.cuda
@pytest.mark.skipif(
    "CUDAExecutionProvider" not in onnxruntime.get_available_providers(),
    reason="needs onnxruntime-gpu in the place of onnxruntime",
)
def test_detections_of_a_file_of_ones_own_are_those_of_the_cpu(batch, shared, tmp_path):
    model = onnx.load(str(shared / "weights" / "rtmdet_nano_person_320.onnx"))
    model.producer_name = "another"
    onnx.save(model, str(tmp_path / "own.onnx"))

    def run(device):
        detector = build_detector(str(tmp_path / "own.onnx"), device=device, score_thr=0.4)
        found = detector.detect(batch, "clip")
        provider = detector._runner._session.get_providers()[0]
        assert (provider == "CUDAExecutionProvider") == (device == "cuda")
        return found

    for here, there in zip(*on_both(run)):
        assert len(here.bboxes) == len(there.bboxes) >= 1
        assert np.abs(here.bboxes - there.bboxes).max() < 1
        assert np.abs(here.scores - there.scores).max() < 0.01


@pytest.mark.parametrize(
    ("device", "available", "expected"),
    [
        ("cpu", True, ["CPUExecutionProvider"]),
        ("auto", False, ["CPUExecutionProvider"]),
        ("auto", True, [("CUDAExecutionProvider", {"device_id": 0}), "CPUExecutionProvider"]),
        ("cuda:1", True, [("CUDAExecutionProvider", {"device_id": 1}), "CPUExecutionProvider"]),
    ],
)
def test_onnx_runtime_gets_the_device_that_was_asked_for(
    tmp_path, monkeypatch, device, available, expected
):
    """No device is needed: what ONNX Runtime is asked for is looked at."""
    asked = []

    class Session:
        def __init__(self, path, options, providers, **_):
            asked.append(providers)

        def get_inputs(self):
            return [SimpleNamespace(name="input", shape=[1, 3, 320, 320], type="tensor(float)")]

        def get_outputs(self):
            return [SimpleNamespace(name="dets", shape=[1, 100, 5], type="tensor(float)")]

    providers = ["CPUExecutionProvider", *(["CUDAExecutionProvider"] if available else [])]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    path = tmp_path / "rtmdet.onnx"
    path.touch()
    engines = SimpleNamespace(device=lambda options: torch.device("cuda"))
    build_detector(str(path), device=device, engines=engines).load()
    assert asked == [expected]


@pytest.mark.cuda
@pytest.mark.parametrize("name", [DEFAULT_POSE, "skelact-detector-320", "rtmdet-nano"])
def test_cuda_graphs_give_what_the_network_gives(name):
    if name == DEFAULT_POSE:
        network = PoseEstimator(name, device=DEVICE, precision="fp16")
        network.load()
        engine = network._engine
    else:
        network = build_detector(name, device=DEVICE)
        network.load()
        engine = network._runner._engine if name == "rtmdet-nano" else network._engine
    images = engine._network.example(5)
    for count in (1, 3, 5, 1, 3, 5, 1, 3, 5):
        found = engine(images[:count])
        with torch.inference_mode():
            expected = engine._outputs(torch.from_numpy(images[:count]).to(DEVICE))
        for mine, theirs in zip(found, expected, strict=True):
            assert np.allclose(mine, theirs.cpu().numpy(), atol=0.01 * np.abs(mine).max())
    sizes = sorted(shape[0] for shape in engine._run._graphs)
    assert sizes == [1, 3, 6]  # and none has failed


@pytest.mark.cuda
@pytest.mark.parametrize("effort", ["fast", "balanced"])
def test_skeletons_are_those_of_the_cpu(shared, effort):
    """The whole chain on a short clip, in float32."""
    path = shared / "videos" / "people" / "mmaction2_demo_skeleton.mp4"
    clip = ClipSource(path, "clip", start_frame=0, end_frame=12)

    def run(device):
        config = ExtractConfig(
            effort=effort,
            detector="skelact-detector-320",
            pose=DEFAULT_POSE,
            precision="fp32",
            device=device,
        )
        (result,) = Extractor(config).run([clip])
        assert result.error is None
        return result.sequence

    here, there = on_both(run)
    assert here.track_ids.tolist() == there.track_ids.tolist()
    assert here.keypoints.shape == there.keypoints.shape
    moved = np.linalg.norm(here.keypoints - there.keypoints, axis=-1)
    # The detector's arithmetic differs, and with it the boxes by a pixel or two.
    assert (moved[here.keypoint_scores > 0.3] < 3.0).mean() > 0.9
