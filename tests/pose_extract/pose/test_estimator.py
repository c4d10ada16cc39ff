"""Pose models: against MMPose's own inference, and against people annotated by hand."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from coco_people import NET
from pycocotools.cocoeval import COCOeval

from skelact import ExtractConfig, SkelactError
from skelact.pipeline.cli.main import main
from skelact.pose_extract.common.geometry import rotate_points
from skelact.pose_extract.extract import Extractor
from skelact.pose_extract.layout import COCO_17
from skelact.pose_extract.nets.lite_hrnet import LiteHRNet
from skelact.pose_extract.nets.mmpose_adapter import build_pose_model, import_mmpose
from skelact.pose_extract.pose import mmpose_zoo
from skelact.pose_extract.pose.estimator import PoseEstimator, _side_margins
from skelact.pose_extract.pose.mmpose_zoo import load_mmpose_checkpoint


def boxes_of(annotations):
    xywh = np.array([ann["bbox"] for ann in annotations], np.float32)
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)


def estimate(estimator, people):
    return [
        estimator.predict(estimator.crop(image, boxes_of(annotations)))
        for image, annotations in people
    ]


def mean_oks(index, people, results, tmp_path):
    """Return the mean OKS by pycocotools: each result against its own person."""
    records = [
        {
            "image_id": ann["image_id"],
            "category_id": 1,
            "score": 1.0 - 0.001 * i,
            "keypoints": np.column_stack([points, scores]).ravel().tolist(),
        }
        for (_, annotations), (keypoints, keypoint_scores) in zip(people, results)
        for i, (ann, points, scores) in enumerate(zip(annotations, keypoints, keypoint_scores))
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(records))
    evaluation = COCOeval(index, index.loadRes(str(path)), "keypoints")
    values = []
    for _, anns in people:
        image_id = anns[0]["image_id"]
        evaluation._prepare()
        order = [ann["id"] for ann in evaluation._gts[image_id, 1]]
        matrix = evaluation.computeOks(image_id, 1)
        values += [matrix[i, order.index(ann["id"])] for i, ann in enumerate(anns)]
    return len(values), float(np.mean(values))


@pytest.mark.parametrize(
    ("name", "precision", "least"),
    [
        (NET, "fp32", 0.88),
        (NET, "bf16", 0.88),
        (f"{NET}-b", "fp32", 0.88),
        ("litehrnet18-coco-128x96", "fp32", 0.77),
        ("skelact-litehrnet18-256x192", "fp32", 0.85),
    ],
)
def test_annotated_people(coco, tmp_path, name, precision, least):
    index, people = coco
    estimator = PoseEstimator(name, device="cpu", precision=precision)
    count, oks = mean_oks(index, people, estimate(estimator, people), tmp_path)
    assert count == 12
    assert oks >= least


def mmpose_model(flip_test):
    """Build the same network as MMPose's own functions expect it."""
    from mmengine.config import Config

    from skelact.pose_extract.weights.download import find_weights

    apis = import_mmpose("mmpose.apis").apis
    config = LiteHRNet().pose_config((192, 256))
    model = build_pose_model(config["model"] | {"test_cfg": {"flip_test": flip_test,
                             "flip_mode": "heatmap", "shift_heatmap": True}})  # fmt: skip
    state = torch.load(find_weights(NET), weights_only=True)["state_dict"]
    model.load_state_dict(state, strict=True)
    model.cfg = Config(
        {
            "default_scope": "mmpose",
            "test_dataloader": {
                "dataset": {
                    "pipeline": [
                        {"type": "LoadImage"},
                        {"type": "GetBBoxCenterScale"},
                        {"type": "TopdownAffine", "input_size": (192, 256)},
                        {"type": "PackPoseInputs"},
                    ]
                }
            },
        }
    )
    model.dataset_meta = {
        "dataset_name": "coco",
        "flip_indices": COCO_17.flip_inds().tolist(),
    }
    return apis, model.eval()


@pytest.mark.parametrize("flip_test", [False, True])
def test_crops_and_heatmaps_are_those_of_mmposes_own_inference(coco, flip_test):
    _, people = coco
    estimator = PoseEstimator(NET, device="cpu", precision="fp32", flip_test=flip_test)
    apis, model = mmpose_model(flip_test)
    for image, anns in people:
        boxes = boxes_of(anns)
        crops = estimator.crop(image, boxes)
        heatmaps = estimator.heatmaps(crops)
        in_crops = np.concatenate([model.head.decoder.decode(one)[0] for one in heatmaps])
        theirs = apis.inference_topdown(model, np.ascontiguousarray(image[..., ::-1]), boxes)
        points = np.concatenate([sample.pred_instances.keypoints for sample in theirs])
        scores = np.concatenate([sample.pred_instances.keypoint_scores for sample in theirs])
        assert np.abs(crops.to_frame(in_crops.astype(np.float32)) - points).max() < 0.5
        assert np.abs(estimator.predict_with_peaks(crops)[1] - scores).max() < 1e-3


def test_the_batch_changes_nothing_but_rounding(coco):
    _, people = coco
    image, annotations = max(people, key=lambda item: len(item[1]))
    estimator = PoseEstimator(NET, device="cpu", precision="fp32")
    boxes = boxes_of(annotations)
    together = estimator.predict(estimator.crop(image, boxes))
    for i in range(len(boxes)):
        alone = estimator.predict(estimator.crop(image, boxes[i : i + 1]))
        assert np.abs(alone[0][0] - together[0][i]).max() < 0.5
        assert np.abs(alone[1][0] - together[1][i]).max() < 1e-3


def test_side_margins_by_hand():
    """Heatmaps of 2 x 2 input pixels a cell, with spikes at what is found and at its mirror."""
    heatmaps = np.zeros((1, 17, 12, 8), np.float32)
    keypoints = np.zeros((1, 17, 2), np.float32)
    keypoints[0, 5], keypoints[0, 6] = (4, 6), (11, 6)
    heatmaps[0, 5, 3, 2], heatmaps[0, 5, 3, 6] = 0.9, 0.3  # left shoulder, at the right one
    heatmaps[0, 6, 3, 6], heatmaps[0, 6, 3, 2] = 0.7, 0.1
    # Both hips at one spot.
    keypoints[0, 11] = keypoints[0, 12] = (8, 16)
    heatmaps[0, 11, 8, 4], heatmaps[0, 12, 8, 4] = 0.8, 0.6
    margins = _side_margins(heatmaps, keypoints, (16, 24), COCO_17)
    names = [COCO_17.keypoint_names[left] for left, _ in COCO_17.swap_pairs]
    assert margins.shape == (1, 8)
    assert margins[0, names.index("left_shoulder")] == pytest.approx(0.6)
    assert margins[0, names.index("left_hip")] == pytest.approx(0.0, abs=1e-6)


def test_real_people_have_known_sides_and_their_poses_are_those_of_predict(coco):
    _, people = coco
    estimator = PoseEstimator(NET, device="cpu", precision="fp32")
    image, annotations = max(people, key=lambda item: len(item[1]))
    crops = estimator.crop(image, boxes_of(annotations))
    keypoints, scores, margins = estimator.predict_with_sides(crops)
    plain = estimator.predict(crops)
    assert np.array_equal(plain[0], keypoints)
    assert np.array_equal(plain[1], scores)
    # No higher than the scores of both; clearly above 0 for most people.
    assert (margins[:, 2:].mean(axis=1) > 0.2).mean() > 0.5
    left, right = np.array(COCO_17.swap_pairs).T
    assert (margins <= (scores[:, left] + scores[:, right]) / 2 + 0.05).all()


def test_a_model_of_mmposes_index_by_name():
    """Its config is read from the installed package; the weights are not fetched here."""
    estimator = PoseEstimator("td-hm_hrnet-w32_8xb64-210e_coco-256x192", device="cpu")
    assert estimator.identity()["weights"].endswith("-81c58e40_20220909.pth")


def test_hrnet_w32_of_mmpose_builds_and_runs(tmp_path, monkeypatch):
    """The paper's network, with random weights saved as its checkpoint."""
    from skelact.pose_extract.pose.mmpose_zoo import (
        find_mmpose_model,
        mmpose_folder,
        read_mmpose_config,
    )

    name = "td-hm_hrnet-w32_8xb64-210e_coco-256x192"
    path = mmpose_folder() / ".mim" / find_mmpose_model(name)["Config"]
    import_mmpose("mmpose.models")
    torch.manual_seed(0)
    model = build_pose_model(read_mmpose_config(path)["model"])
    torch.save({"state_dict": model.state_dict()}, tmp_path / "w32.pth")
    weights = tmp_path / "w32.pth"
    estimator = PoseEstimator(
        path, checkpoint=weights, device="cpu", engine="pytorch", precision="fp32"
    )
    image = np.random.default_rng(0).integers(0, 255, (200, 100, 3), np.uint8)
    keypoints, scores = estimator.predict(estimator.crop(image, np.array([[10, 10, 90, 190]])))
    assert keypoints.shape == (1, 17, 2)
    assert (scores >= 0).all()


def test_a_misspelt_name_gets_the_close_ones():
    with pytest.raises(SkelactError, match=r"Close: .*td-hm_hrnet-w32_8xb64-210e_coco-256x192"):
        PoseEstimator("td-hm_hrnet-w32_coco-256x192")


def test_a_config_needs_weights(tmp_path):
    (tmp_path / "net.py").write_text("model = dict()\n")
    with pytest.raises(SkelactError, match="--pose-checkpoint"):
        PoseEstimator(str(tmp_path / "net.py"))


def test_a_config_from_elsewhere_is_code_and_needs_trust(tmp_path, monkeypatch):
    """The same file inside the installed package needs none."""
    mark = tmp_path / "executed"
    for folder in ("mmpose", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.py").write_text(f"open({str(mark)!r}, 'w').close()\nmodel = 1\n")
    (tmp_path / "mmpose" / "linked.py").symlink_to(tmp_path / "elsewhere" / "net.py")
    monkeypatch.setattr(mmpose_zoo, "mmpose_folder", lambda: tmp_path / "mmpose")
    for path in (tmp_path / "elsewhere" / "net.py", tmp_path / "mmpose" / "linked.py"):
        with pytest.raises(SkelactError, match="Python code.*--trust-config"):
            PoseEstimator(path, checkpoint="a.pth")
        with pytest.raises(SkelactError, match="Python code.*trust_config=True"):
            Extractor(ExtractConfig(pose=path, pose_checkpoint="a.pth", detector="whole-frame"))
        with pytest.raises(SkelactError, match="--trust-config"):
            mmpose_zoo.read_mmpose_config(path)
    (tmp_path / "a.mp4").touch()
    command = ["extract", str(tmp_path / "a.mp4"), "--out", str(tmp_path / "out")]
    network = ["--pose", str(path), "--pose-checkpoint", "a.pth"]
    result = CliRunner().invoke(main, [*command, *network])
    assert result.exit_code == 1
    assert "--trust-config" in result.output
    assert not mark.exists()
    with pytest.raises(SkelactError, match="expected the config of a top-down heatmap model"):
        mmpose_zoo.read_mmpose_config(tmp_path / "mmpose" / "net.py")
    mark.unlink()
    PoseEstimator(path, checkpoint="a.pth", trust_config=True)
    with pytest.raises(SkelactError, match="expected the config of a top-down heatmap model"):
        mmpose_zoo.read_mmpose_config(path, trust_config=True)
    assert mark.exists()


def test_an_installation_from_a_source_tree_links_its_configs(tmp_path, monkeypatch):
    (tmp_path / "mmpose" / ".mim").mkdir(parents=True)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "net.py").touch()
    (tmp_path / "mmpose" / ".mim" / "configs").symlink_to(tmp_path / "configs")
    monkeypatch.setattr(mmpose_zoo, "mmpose_folder", lambda: tmp_path / "mmpose")
    mmpose_zoo.check_is_trusted(tmp_path / "mmpose" / ".mim" / "configs" / "net.py", False)


@pytest.mark.parametrize(
    "code", ["model = (", "1 / 0", "_base_ = 'none.py'", "_base_ = 3", "x = 1"]
)
def test_a_trusted_config_that_is_broken_says_so(tmp_path, code):
    (tmp_path / "net.py").write_text(f"{code}\n")
    with pytest.raises(SkelactError, match=r"net.py: (cannot read it as|expected the config of)"):
        mmpose_zoo.read_mmpose_config(tmp_path / "net.py", trust_config=True)


class Prints:
    def __reduce__(self):
        return print, ("executed",)


class Terabyte:
    def __reduce__(self):
        return bytearray, (1 << 40,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": Prints()}, "refuses to load it safely"),
        ({"state_dict": Terabyte()}, "memory out of proportion"),
        ({"state_dict": 3}, "expected weights by name"),
        ([1, 2], "expected weights by name"),
        ({"state_dict": {"weight": 1}}, "expected weights by name"),
        ({"state_dict": {3: torch.zeros(1)}}, "expected weights by name"),
        ({"weight": torch.zeros(2, 2), "bias": torch.zeros(1)}, "do not fit the config"),
        ({"weight": torch.zeros(1, 1).to_sparse(), "bias": torch.zeros(1)}, "do not fit"),
        (None, "refuses to load it safely"),
    ],
)
def test_weights_that_are_none_are_refused_and_nothing_runs(tmp_path, capsys, content, message):
    path = tmp_path / "bomb.pth"
    if content is None:
        path.write_bytes(b"")
    else:
        torch.save(content, path)
    with pytest.raises(SkelactError, match=message):
        load_mmpose_checkpoint(torch.nn.Linear(1, 1), path)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("degrees", [0, 90, 180, -135])
def test_a_rotated_crop_is_the_upright_one_of_the_rotated_image(coco, degrees):
    """Rotate the image about a person, crop along the rotated axes: the pose rotates with them."""
    _, people = coco
    image, anns = max(people, key=lambda item: len(item[1]))
    box = boxes_of(anns)[:1]
    center, size = (box[:, :2] + box[:, 2:]) / 2, box[:, 2:] - box[:, :2]
    estimator = PoseEstimator(NET, device="cpu", precision="fp32")
    upright, scores = estimator.predict(estimator.crop(image, box))
    # cv2 counts angles counter-clockwise.
    matrix = cv2.getRotationMatrix2D(center[0].tolist(), -degrees, 1.0)
    rotated = cv2.warpAffine(image, matrix, image.shape[1::-1])
    crops = estimator.crop_rotated(rotated, center, size, np.array([degrees], np.float32))
    found, found_scores = estimator.predict(crops)
    expected = rotate_points(upright - center, degrees) + center
    confident = scores[0] > 0.75
    assert confident.sum() > 8
    assert np.abs(found - expected)[0, confident].max() < 0.04 * size.max()
    assert np.abs(found_scores - scores)[0, confident].max() < 0.2
