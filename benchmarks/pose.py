"""People per second of our batched pose stage against MMPose's inference_topdown.

Same network, weights, boxes and frames; MMPose is called frame by frame, as its demos do.

    python benchmarks/pose.py ../shared/videos/people/mmpose_demo.mp4
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from interleave import interleave, report

from skelact.pose_extract.common.device import free_cores
from skelact.pose_extract.decode.video import open_video
from skelact.pose_extract.detect.build import build_detector
from skelact.pose_extract.nets.lite_hrnet import LiteHRNet
from skelact.pose_extract.nets.mmpose_adapter import build_pose_model, import_mmpose
from skelact.pose_extract.pose.crops import Crops
from skelact.pose_extract.pose.estimator import PoseEstimator
from skelact.pose_extract.weights.download import find_weights

NET = "litehrnet18-coco-256x192"
BATCH_SIZE = 16


def find_people(video: Path, max_frames: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (frame, boxes) of the frames in which a person is detected."""
    detector = build_detector("rtmdet-nano", num_threads=free_cores())
    detector.load()
    people = []
    with open_video(video) as reader:
        for batch in reader.batches(16, 0, max_frames):
            for frame, found in zip(batch.frames, detector.detect(batch, video.name)):
                if len(found.bboxes):
                    people.append((frame, found.bboxes))
    return people


def mmpose_model() -> tuple[Any, Any]:
    """Return mmpose.apis and the network as its functions expect it."""
    from mmengine.config import Config

    apis = import_mmpose("mmpose.apis").apis
    model = build_pose_model(LiteHRNet().pose_config((192, 256))["model"])
    model.load_state_dict(torch.load(find_weights(NET), weights_only=True)["state_dict"])
    pipeline = [
        {"type": "LoadImage"},
        {"type": "GetBBoxCenterScale"},
        {"type": "TopdownAffine", "input_size": (192, 256)},
        {"type": "PackPoseInputs"},
    ]
    model.cfg = Config(
        {
            "default_scope": "mmpose",
            "test_dataloader": {"dataset": {"pipeline": pipeline}},
        }
    )
    model.dataset_meta = {"dataset_name": "coco"}
    return apis, model.eval()


def run_ours(estimator: PoseEstimator, people: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Estimate all poses, crops of many frames in one batch."""
    parts = [estimator.crop(frame, boxes) for frame, boxes in people]
    crops = Crops.concatenate(parts)
    for start in range(0, len(crops), BATCH_SIZE):
        estimator.predict(crops.take(slice(start, start + BATCH_SIZE)))


@click.command()
@click.argument("video", type=click.Path(exists=True, path_type=Path))
@click.option("--frames", default=40, show_default=True, help="Frames of the video to use.")
@click.option("--rounds", default=5, show_default=True)
def main(video: Path, frames: int, rounds: int) -> None:
    """Time both on the people of VIDEO."""
    people = find_people(video, frames)
    count = sum(len(boxes) for _, boxes in people)
    apis, model = mmpose_model()
    images = [(np.ascontiguousarray(frame[..., ::-1]), boxes) for frame, boxes in people]
    torch.set_num_threads(free_cores())

    def run_mmpose() -> None:
        with torch.no_grad():
            for image, boxes in images:
                apis.inference_topdown(model, image, boxes)

    ways: dict[str, Any] = {"MMPose inference_topdown": run_mmpose}
    for engine in ("pytorch", "auto"):
        estimator = PoseEstimator(NET, device="cpu", engine=engine)  # type: ignore[arg-type]
        estimator.load()
        ways[f"skelact, engine {engine}"] = lambda model=estimator: run_ours(model, people)
    seconds = interleave(ways, rounds)
    report(f"{video.name}: {count} people in {len(people)} frames", seconds, count, "people")


if __name__ == "__main__":
    main()
