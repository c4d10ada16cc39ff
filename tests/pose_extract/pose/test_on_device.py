"""Crops and heatmaps on the network's device, against OpenCV and MMPose; any device will do."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from coco_people import NET

from skelact.pose_extract.layout import COCO_17
from skelact.pose_extract.nets.mmpose_adapter import import_mmpose
from skelact.pose_extract.pose.crops import Crops, affine_crops, maps_to_frame, resample_heatmaps
from skelact.pose_extract.pose.estimator import PoseEstimator
from skelact.pose_extract.pose.on_device import HeatmapReader, sample_crops
from skelact.pose_extract.pose.orientation import OrientationConfig, estimate_oriented

CPU = torch.device("cpu")


def looks(count, seed=0):
    """Return centres, sizes and rotations of people, some of whom reach out of a frame 320 wide."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform([20, 20], [300, 220], (count, 2)).astype(np.float32)
    sizes = rng.uniform(20, 200, (count, 2)).astype(np.float32)
    return centers, sizes, rng.uniform(-180, 180, count).astype(np.float32)


@pytest.mark.parametrize("use_udp", [False, True])
def test_crops_are_those_of_opencv(use_udp):
    import_mmpose("mmpose.models")
    rng = np.random.default_rng(1)
    # Blocks of one colour each: what is a pixel off differs by much.
    frames = rng.integers(256, size=(3, 60, 80, 3), dtype=np.uint8).repeat(4, 1).repeat(4, 2)
    centers, sizes, rotations = looks(24)
    rows = np.arange(24) % 3
    options = {"size_wh": (96, 128), "padding": 1.25, "use_udp": use_udp}
    expected = Crops.concatenate([
        affine_crops(frames[row], centers[[i]], sizes[[i]], rotations[[i]], **options)
        for i, row in enumerate(rows)
    ])  # fmt: skip
    sides = (95, 127) if use_udp else (96, 128)
    maps = maps_to_frame(centers, expected.scales, rotations, sides)
    found = sample_crops(torch.from_numpy(frames), rows, maps, (96, 128))
    off = np.abs(found.numpy().astype(int) - expected.images)
    # Where a place is rounded the other way, a pixel is a 32nd of a pixel off.
    assert (off > 2).mean() < 0.01
    assert off.max() <= 20
    assert (expected.images == 0).all(axis=-1).mean() > 0.05  # outside of the frame


@pytest.mark.parametrize("width", [640, 641])
def test_a_crop_at_no_place_is_black(width):
    frames = torch.full((1, 48, width, 3), 200, dtype=torch.uint8)
    maps = np.tile(np.array([[1.0, 0, 5], [0, 1, 5]]), (3, 1, 1))
    maps[1, 0, 2], maps[2] = np.nan, np.inf
    there, nowhere, infinite = sample_crops(frames, np.zeros(3, int), maps, (12, 16))
    assert (there == 200).all()
    assert not nowhere.any()
    assert not infinite.any()


@pytest.mark.parametrize(
    ("codec", "options"),
    [("MSRAHeatmap", {}), ("MSRAHeatmap", {"unbiased": True}), ("UDPHeatmap", {})],
)
def test_heatmaps_are_read_as_mmpose_reads_them(codec, options):
    import_mmpose("mmpose.models")
    from mmpose.registry import KEYPOINT_CODECS

    decoder = KEYPOINT_CODECS.build({
        "type": codec, "input_size": (96, 128), "heatmap_size": (24, 32), "sigma": 2, **options
    })  # fmt: skip
    rng = np.random.default_rng(0)
    # Joints anywhere, at the border too, seen twice; and noise.
    places = rng.uniform(-0.4, [23.4, 31.4], (40, 2, 17, 2))
    x, y = np.arange(24), np.arange(32)[:, None]
    squares = (x - places[..., :1, None]) ** 2 + (y - places[..., 1:, None]) ** 2
    one, two = np.exp(-squares / 8).transpose(1, 0, 2, 3, 4)
    heatmaps = (one + 0.4 * two + 0.01 * rng.random(one.shape)).astype(np.float32)
    estimator = PoseEstimator(NET)
    estimator._decoder, estimator._sigma, estimator.input_wh = decoder, 2.0, (96, 128)
    images = np.zeros((40, 128, 96, 3), np.uint8)
    scales = np.tile(np.array([[96, 128]], np.float32), (40, 1))
    crops = Crops(images, scales / 2, scales, np.zeros(40, np.float32))
    expected = estimator.decode(heatmaps, crops)
    reader = HeatmapReader.of(decoder, 2.0, (96, 128))
    found = reader.read(torch.from_numpy(heatmaps), COCO_17)
    for mine, theirs, most in zip(found, expected, (0.01, 1e-3, 1e-3)):
        assert np.abs(mine - theirs).max() < most
    nothing = reader.read(torch.zeros(1, 17, 32, 24), COCO_17)
    assert all(np.isfinite(values).all() for values in nothing)


def test_codecs_that_mean_something_else_are_left_to_mmpose():
    assert HeatmapReader.of(SimpleNamespace(), 2.0, (96, 128)) is None


def test_heatmaps_are_resampled_as_opencv_does():
    rng = np.random.default_rng(2)
    heatmaps = rng.random((6, 17, 32, 24), np.float32)
    images = np.zeros((6, 128, 96, 3), np.uint8)
    source, target = (
        Crops(images, centers, np.repeat(sizes[:, :1], 2, 1) * [0.75, 1], rotations)
        for centers, sizes, rotations in (looks(6), looks(6))
    )
    target = Crops(images, target.centers + 9, target.scales * 1.1, target.rotations + 25)
    expected = resample_heatmaps(heatmaps, source, target, (4.0, 4.0))
    found = resample_heatmaps(torch.from_numpy(heatmaps), source, target, (4.0, 4.0)).numpy()
    off = np.abs(found - expected)
    assert np.quantile(off, 0.99) < 0.05  # a 32nd of a cell, where neighbours are 0 and 1
    assert off.mean() < 0.005


@pytest.mark.parametrize("flip_test", [False, True])
def test_poses_are_those_of_crops_in_memory(coco, monkeypatch, flip_test):
    """The whole way of people at any orientation, on one device.

    The codec of this network rounds to quarters of a cell, a pixel of the crop: a crop that differs
    by rounding moves some joints by that or two of them, and the crops that follow with them.
    """
    image, anns = next(pair for pair in coco[1] if len(pair[1]) > 2)
    boxes = np.array([[*a["bbox"][:2], *np.add(a["bbox"][:2], a["bbox"][2:])] for a in anns])
    frames = [image] * len(boxes)
    in_crop = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) * 1.25 / 256
    poses = []
    for holds in (False, True):
        monkeypatch.setattr(PoseEstimator, "_holds_frames", holds)
        poses.append(PoseEstimator(NET, device="cpu", engine="pytorch", flip_test=flip_test))
        assert isinstance(poses[-1].hold(frames), torch.Tensor) == holds

    def moved(config):
        found = []
        for pose in poses:
            margins = np.zeros((len(boxes), 8), np.float32)
            found.append((*estimate_oriented(pose, frames, boxes, 3, config, margins)[:2], margins))
        (points, scores, margins), (points_there, scores_there, margins_there) = found
        clear = scores > 0.3
        assert clear.sum() > 20
        assert np.abs(scores - scores_there)[clear].mean() < 0.02
        assert np.abs(margins - margins_there).mean() < 0.02
        return (np.linalg.norm(points - points_there, axis=-1) / in_crop)[clear]

    one_look = moved(OrientationConfig(view_thr=0.0, max_axis_degrees=360.0))
    assert (one_look < 0.1).mean() > 0.85
    assert one_look.max() < 6
    all_looks = moved(OrientationConfig(view_thr=float("inf")))
    assert np.median(all_looks) < 0.5
    assert (all_looks < 3.5).mean() > 0.9
