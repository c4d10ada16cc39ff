"""Whole clips, from file to keypoints on one core: ours against loops of rtmlib and MMPose.

    pip install --no-deps rtmlib
    python benchmarks/peers.py ../shared/videos/people/mmaction2_demo_skeleton.mp4

All take the same networks: the detector RTMDet-nano by ONNX Runtime, and our pose network, which
rtmlib runs by ONNX Runtime and MMPose by PyTorch. The loops are those of their demos: each frame is
read by OpenCV, people are detected in it upright, and the pose of each is estimated. Ours does
more, it follows the athlete, looks at other rotations of frames in which they are not clearly seen,
and repairs what is exchanged or lost; and less, it estimates the poses of two people at most.

With `--hrnet` the pose network is HRNet-W32 with random weights. How often ours looks at a person
depends on what it sees: the heatmaps that it goes by are those of our pose network in the same
crops, which were kept in the first, untimed round.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import click
import cv2
import numpy as np
import onnxruntime
import torch
from effort import extract, first_frames, one_core
from engines import random_hrnet
from interleave import interleave, report
from torch import Tensor, nn

from skelact.pose_extract.decode.frames import FrameBatch
from skelact.pose_extract.detect.build import build_detector
from skelact.pose_extract.extract import ExtractConfig, Extractor
from skelact.pose_extract.nets.engines import Engine
from skelact.pose_extract.nets.mmpose_adapter import heatmap_network, import_mmpose
from skelact.pose_extract.nets.onnx_files import write_onnx
from skelact.pose_extract.pose.estimator import PoseEstimator
from skelact.pose_extract.sources import ClipSource, find_sources
from skelact.pose_extract.weights.download import find_weights
from skelact.pose_extract.weights.table import DEFAULT_POSE

_DETECTOR, _SCORE_THR = "rtmdet-nano", 0.3
_INPUT_WH = (192, 256)


def frames_of(clip: ClipSource) -> Iterator[np.ndarray]:
    """Yield the frames (H, W, 3) uint8 BGR of the start of a file, as OpenCV reads them."""
    capture = cv2.VideoCapture(str(clip.path))
    for _ in range(clip.end_frame or 0):
        is_there, frame = capture.read()
        if not is_there:
            break
        yield frame
    capture.release()


class _Normalised(nn.Module):
    """The network as rtmlib calls it: images come normalised, in the order of its weights."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        heatmaps: Tensor = self.network(image)
        return heatmaps


class _SeenByAnother:
    """An engine that takes its own time and gives what another gives for the same crops."""

    def __init__(self, engine: Engine, other: Engine) -> None:
        self.name = engine.name
        self._engine, self._other = engine, other
        self._seen: dict[bytes, list[np.ndarray]] = {}

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """See ``Engine``."""
        self._engine(images)
        key = hashlib.blake2b(images).digest()
        if key not in self._seen:
            self._seen[key] = self._other(images)
        return self._seen[key]


def pose_estimator(folder: Path, hrnet: bool) -> PoseEstimator:
    """Return the pose model that all take, not loaded."""
    name, checkpoint = random_hrnet(folder) if hrnet else (DEFAULT_POSE, None)
    return PoseEstimator(name, checkpoint=checkpoint, device="cpu", num_threads=1)


def loaded_pose(folder: Path, hrnet: bool) -> PoseEstimator:
    """Return it loaded; HRNet-W32, whose weights are random, goes by what our network sees."""
    pose = pose_estimator(folder, hrnet)
    pose.load()
    if hrnet:
        known = pose_estimator(folder, hrnet=False)
        known.load()
        assert pose._engine is not None
        assert known._engine is not None
        pose._engine = _SeenByAnother(pose._engine, known._engine)
    return pose


def rtmlib_loop(folder: Path, hrnet: bool) -> Callable[[ClipSource], int]:
    """Return rtmlib's loop over a clip, which gives the number of poses."""
    from mmcv.cnn.utils import fuse_conv_bn
    from rtmlib import RTMDet, ViTPose

    model, _ = pose_estimator(folder, hrnet).build()
    path = folder / "pose.onnx"
    image = torch.zeros(1, 3, *_INPUT_WH[::-1])
    network = _Normalised(heatmap_network(fuse_conv_bn(model.eval())))
    write_onnx(network, {"input": image}, ["heatmaps"], path, {0: "batch"})
    one_thread = onnxruntime.SessionOptions()
    one_thread.intra_op_num_threads = 1  # its threads choose their cores, whatever ours is
    session = partial(onnxruntime.InferenceSession, sess_options=one_thread)
    quiet = redirect_stdout(io.StringIO())  # it prints which files it loads
    with mock.patch.object(onnxruntime, "InferenceSession", session), quiet:
        detect = RTMDet(
            str(find_weights(_DETECTOR)), (320, 320), backend="onnxruntime", score_thr=_SCORE_THR
        )
        estimate = ViTPose(str(path), _INPUT_WH, backend="onnxruntime")

    def run(clip: ClipSource) -> int:
        count = 0
        for frame in frames_of(clip):
            bboxes = detect(frame)
            if len(bboxes):
                count += len(estimate(frame, bboxes)[0])
        return count

    return run


def mmpose_loop(folder: Path, hrnet: bool) -> Callable[[ClipSource], int]:
    """Return MMPose's loop over a clip; MMDetection, which needs to be compiled, has no part."""
    from mmengine.config import Config

    apis = import_mmpose("mmpose.apis").apis
    model, _ = pose_estimator(folder, hrnet).build()
    steps = [
        {"type": "LoadImage"},
        {"type": "GetBBoxCenterScale"},
        {"type": "TopdownAffine", "input_size": _INPUT_WH},
        {"type": "PackPoseInputs"},
    ]
    test = {"dataset": {"pipeline": steps}}
    model.cfg = Config({"default_scope": "mmpose", "test_dataloader": test})
    model.dataset_meta = {"dataset_name": "coco"}
    # HRNet's config asks for mirrored images, too, which neither of the others looks at.
    model.test_cfg = dict(model.test_cfg, flip_test=False)
    model.eval()
    detector = build_detector(_DETECTOR, device="cpu", num_threads=1, score_thr=_SCORE_THR)
    detector.load()
    zeros = np.zeros(1)

    def run(clip: ClipSource) -> int:
        count = 0
        for frame in frames_of(clip):
            rgb = np.ascontiguousarray(frame[None, ..., ::-1])
            (found,) = detector.detect(FrameBatch(rgb, zeros, zeros), "clip")
            if len(found.bboxes):
                with torch.no_grad():
                    count += len(apis.inference_topdown(model, frame, found.bboxes))
        return count

    return run


def ours(pose: PoseEstimator, **options: Any) -> Callable[[ClipSource], None]:
    """Return our extraction of a clip."""
    config = ExtractConfig(detector=_DETECTOR, device="cpu", num_threads=1, **options)
    extractor = Extractor(config, pose=pose)
    return lambda clip: extract(extractor, [clip])


@click.command()
@click.argument("videos", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--rounds", default=3, show_default=True)
@click.option("--frames", default=64, show_default=True, help="Frames of each clip to use.")
@click.option("--hrnet", is_flag=True, help="HRNet-W32 in place of our pose network.")
def main(videos: tuple[Path, ...], rounds: int, frames: int, hrnet: bool) -> None:
    """Time all on the first frames of VIDEOS, on one core, decoding included."""
    one_core()
    clips = [first_frames(clip, frames) for clip in find_sources(videos)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pose = loaded_pose(folder, hrnet)
        loops: dict[str, Callable[[ClipSource], Any]] = {
            "rtmlib's loop": rtmlib_loop(folder, hrnet),
            "MMPose's loop": mmpose_loop(folder, hrnet),
            "skelact, fast": ours(pose, effort="fast"),
            "skelact, balanced (the default)": ours(pose, effort="balanced"),
            "skelact, fast, one person": ours(pose, effort="fast", num_person=1),
            "skelact, balanced, one person": ours(pose, effort="balanced", num_person=1),
        }
        people = sum(loops["rtmlib's loop"](clip) for clip in clips)
        ways = {
            name: (lambda loop=loop: [loop(clip) for clip in clips]) for name, loop in loops.items()
        }
        seconds = interleave(ways, rounds)
    total = sum(clip.end_frame or 0 for clip in clips)
    title = f"{len(clips)} clips, {total} frames, in which rtmlib finds {people} people"
    report(title, seconds, total, "frames")


if __name__ == "__main__":
    main()
