"""What runs the networks on a processor: speed of the engines, and what bf16 does to keypoints.

    python benchmarks/engines.py speed
    python benchmarks/engines.py precision ../shared/data/pose_gt/coco

HRNet-W32 has random weights, which change no speed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from unittest import mock

import click
import numpy as np
import torch
from interleave import interleave, report
from rotation import load_coco

from skelact.pose_extract.common.device import EngineName
from skelact.pose_extract.decode.frames import FrameBatch
from skelact.pose_extract.detect.build import build_detector
from skelact.pose_extract.nets import engines
from skelact.pose_extract.nets.mmpose_adapter import build_pose_model, import_mmpose
from skelact.pose_extract.pose.crops import Crops
from skelact.pose_extract.pose.estimator import PoseEstimator
from skelact.pose_extract.pose.mmpose_zoo import (
    find_mmpose_model,
    mmpose_folder,
    read_mmpose_config,
)
from skelact.pose_extract.weights.table import DEFAULT_POSE

_DETECTOR = "skelact-detector-320"
_HRNET = "td-hm_hrnet-w32_8xb64-210e_coco-256x192"
_ENGINES: tuple[EngineName, ...] = ("pytorch", "onnxruntime", "openvino")
# Keypoints that count: the network has found them.
_SCORE_THR = 0.3


@click.group()
def main() -> None:
    """Engines of the networks."""


@main.command()
@click.option("--batch", "batches", multiple=True, type=int, default=(1, 4, 16), show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--hrnet", is_flag=True, help="Also HRNet-W32.")
def speed(batches: tuple[int, ...], rounds: int, threads: int, hrnet: bool) -> None:
    """Time engines on images of noise."""
    names = [name for name in _ENGINES if name == "pytorch" or find_spec(name)]
    with tempfile.TemporaryDirectory() as folder:
        networks: dict[str, dict[str, Callable[[np.ndarray], object]]] = {
            _DETECTOR: {name: detector(name, threads) for name in names},
            DEFAULT_POSE: {name: pose(DEFAULT_POSE, name, threads) for name in names},
        }
        if hrnet:
            path, checkpoint = random_hrnet(Path(folder))
            networks[_HRNET] = {name: pose(path, name, threads, checkpoint) for name in names}
    for network, ways in networks.items():
        for batch in batches:
            size = (320, 320) if network == _DETECTOR else (256, 192)
            images = np.random.default_rng(0).integers(256, size=(batch, *size, 3), dtype=np.uint8)
            work = {name: partial(way, images) for name, way in ways.items()}
            if batch > engines.MOST_AT_ONCE:
                work["onnxruntime, not split"] = partial(unsplit, ways["onnxruntime"], images)
            seconds = interleave(work, rounds)
            title = f"{network}, {batch} at a time, {threads} threads"
            report(title, seconds, batch, "images")


def unsplit(way: Callable[[np.ndarray], object], images: np.ndarray) -> None:
    """Give ONNX Runtime all images at once."""
    with mock.patch.object(engines, "MOST_AT_ONCE", len(images)):
        way(images)


def detector(engine: EngineName, threads: int) -> Callable[[np.ndarray], object]:
    """Return what detects people in images (N, h, w, 3)."""
    found = build_detector(_DETECTOR, device="cpu", num_threads=threads, engine=engine)
    found.load()
    zeros = np.zeros(1)
    return lambda images: found.detect(FrameBatch(images, zeros, zeros), "noise")


def pose(
    name: str | Path, engine: EngineName, threads: int, checkpoint: Path | None = None
) -> Callable[[np.ndarray], object]:
    """Return what gives the heatmaps of crops (N, h, w, 3)."""
    estimator = PoseEstimator(
        name, checkpoint=checkpoint, device="cpu", num_threads=threads, engine=engine
    )
    estimator.load()

    def run(images: np.ndarray) -> object:
        nothing = np.zeros((len(images), 2), np.float32)
        return estimator.heatmaps(Crops(images, nothing, nothing, nothing[:, 0]))

    return run


def random_hrnet(folder: Path) -> tuple[Path, Path]:
    """Return the config of HRNet-W32, and a checkpoint with random weights, always the same."""
    config = mmpose_folder() / ".mim" / find_mmpose_model(_HRNET)["Config"]
    import_mmpose("mmpose.models")
    checkpoint = folder / "hrnet.pth"
    torch.manual_seed(0)  # engines keep a file for each network
    model = build_pose_model(read_mmpose_config(config)["model"])
    torch.save({"state_dict": model.state_dict()}, checkpoint)
    return config, checkpoint


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--pose", "names", multiple=True, default=(DEFAULT_POSE,), show_default=True)
def precision(folder: Path, names: tuple[str, ...]) -> None:
    """Compare keypoints with those of PyTorch in fp32, in crops of the people of COCO in FOLDER.

    A processor without bf16 emulates it: the numbers are the same, the time is not.
    """
    found = load_coco(folder)
    for name in names:
        exact = PoseEstimator(name, device="cpu", engine="pytorch", precision="fp32")
        crops = Crops.concatenate(
            [
                exact.crop(
                    person.image,
                    np.concatenate([person.outline.min(axis=0), person.outline.max(axis=0)])[None],
                )
                for person in found
            ]
        )
        expected, scores = keypoints_in_crops(exact, crops)
        others = {
            "onnxruntime, fp32": PoseEstimator(name, device="cpu", engine="onnxruntime"),
            "pytorch, bf16": PoseEstimator(name, device="cpu", precision="bf16"),
        }
        if find_spec("openvino"):
            others["openvino, fp32"] = PoseEstimator(name, device="cpu", engine="openvino")
        for way, estimator in others.items():
            moved = np.linalg.norm(keypoints_in_crops(estimator, crops)[0] - expected, axis=-1)
            moved = moved[scores > _SCORE_THR]
            click.echo(
                f"{name}, {way}: {len(moved)} keypoints in {len(crops)} crops moved by "
                f"{moved.mean():.3f} px on average, p99 {np.percentile(moved, 99):.2f}, "
                f"most {moved.max():.2f}"
            )


def keypoints_in_crops(
    estimator: PoseEstimator, crops: Crops, batch: int = 16
) -> tuple[np.ndarray, np.ndarray]:
    """Return keypoints (N, V, 2) in pixels of the crops, and scores (N, V)."""
    parts = [
        estimator.predict(crops.take(slice(start, start + batch)))
        for start in range(0, len(crops), batch)
    ]
    keypoints, scores = (np.concatenate(values) for values in zip(*parts))
    scale = np.array(estimator.input_wh) / crops.scales
    return (keypoints - crops.centers[:, None]) * scale[:, None], scores


if __name__ == "__main__":
    main()
