"""Labels that teachers agree on, samples at any angle, and students that learn from them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import chain

import cv2
import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from skelact import SkelactError
from skelact.pipeline.cli.main import main
from skelact.pipeline.config import load_config
from skelact.pipeline.distill.calibrate import calibrate_scores
from skelact.pipeline.distill.detector_features import (
    CLASSIFICATION_FEATURES,
    DetectorTeacher,
    block_losses,
    detection_losses,
    join_labels,
    read_rtmdet,
    rotate_images,
    rotated_feature_losses,
    rotated_targets,
)
from skelact.pipeline.distill.detector_samples import DetectorSamples, DetectorSampling
from skelact.pipeline.distill.image_augment import ImageAugmentConfig, augment_images, normalised
from skelact.pipeline.distill.label import (
    LabelConfig,
    agree,
    different_people,
    find_jobs,
    label_folders,
    unexplained,
)
from skelact.pipeline.distill.labelled_frames import LabelBuilder, LabelledFrames
from skelact.pipeline.distill.losses import box_loss, centre_loss, heatmap_targets
from skelact.pipeline.distill.modules import DetectorDistillation, DistillConfig, PoseDistillation
from skelact.pipeline.distill.pose_features import (
    FeatureTeacher,
    feature_losses,
    features_of,
    new_lite_hrnet,
)
from skelact.pipeline.distill.pose_samples import PoseSamples, PoseSampling, known_axes
from skelact.pipeline.distill.train import distill, fold_batch_norm, split_sources
from skelact.pipeline.training.muon import Muon
from skelact.pose_extract.common.geometry import pairwise_iou, rotate_points
from skelact.pose_extract.decode.frames import FrameBatch
from skelact.pose_extract.detect.build import build_detector
from skelact.pose_extract.detect.torch_detector import STRIDE, find_peaks
from skelact.pose_extract.layout import COCO_17
from skelact.pose_extract.nets.lite_hrnet import LiteHRNet
from skelact.pose_extract.nets.mmpose_adapter import build_pose_model
from skelact.pose_extract.nets.rtmdet import RTMDetNano, cell_boxes
from skelact.pose_extract.nets.shapes import PIXEL_MEAN, PIXEL_STD, RTMDetShape, SlimHRNet
from skelact.pose_extract.pose.aligner import Aligner
from skelact.pose_extract.pose.estimator import PoseEstimator
from skelact.pose_extract.weights.bundle import read_bundle

TINY = (
    "network.width=4", "network.blocks=1", "network.modules=[1,1,1]", "network.bottleneck=4",
    "optim.epochs=2", "optim.warmup_epochs=0", "optim.batch_size=4",
)  # fmt: skip
# A body in a box of 60 x 120 whose keypoints all differ.
_rng = np.random.default_rng(0)
BODY = np.stack([_rng.uniform(5, 55, 17), np.linspace(5, 115, 17)], 1).astype(np.float32)


def person(x, y, factor=1.0):
    """Return a labelled person whose box begins at (x, y)."""
    box = np.array([x, y, x + 60 * factor, y + 120 * factor], np.float32)
    return box, BODY * factor + (x, y), np.full(17, 0.9, np.float32), np.ones(17, np.float32)


def frame_with(*people):
    """Return a black frame with a dot of its own colour at each keypoint."""
    frame = np.zeros((240, 320, 3), np.uint8)
    for _, keypoints, _, _ in people:
        for i, (x, y) in enumerate(keypoints):
            cv2.circle(frame, (round(float(x)), round(float(y))), 3, (255, 12 * i + 20, 60), -1)
    return frame


def labelled_frames(count=3):
    builder = LabelBuilder(max_side=512)
    for i in range(count):
        one, two = person(30 + 5 * i, 60), person(200, 20, 0.8)
        ignored = np.array([[100, 100, 130, 150]], np.float32)
        builder.add(f"clip_{i}.mp4#{i}", frame_with(one, two), [one, two], ignored)
    return builder.build()


def test_teachers_who_agree_make_a_label_and_others_do_not():
    config = LabelConfig()
    scores = np.full((2, 17), 0.8)
    keypoints, peaks, weights = agree(np.stack([BODY, BODY + 1]), scores, 7200.0, config)
    assert np.allclose(keypoints, BODY + 0.5)
    assert np.allclose(peaks, 0.8)
    assert weights.all()

    moved = BODY.copy()
    moved[9] += 40.0  # one wrist elsewhere: not learned from
    label = agree(np.stack([BODY, moved]), scores, 7200.0, config)
    assert label[2].tolist() == [float(i != 9) for i in range(17)]

    unseen = scores.copy()
    unseen[:, 15] = 0.05  # both see no ankle: learned as not there
    label = agree(np.stack([BODY, moved]), unseen, 7200.0, config)
    assert label[1][15] == 0.0
    assert label[2][15] == 1.0

    assert agree(np.stack([BODY, BODY + 60]), scores, 7200.0, config) is None


def test_one_person_in_two_boxes_is_one_and_parts_are_not_ignored():
    first, second, other = person(30, 60), person(32, 61), person(200, 20)
    assert different_people([first, second, other]) == [first, other]
    people = np.stack([first[0]])
    head, elsewhere = first[0] * [1, 1, 1, 0] + [0, 0, 0, 90], np.array([200, 20, 260, 140.0])
    left = unexplained(np.stack([first[0] + 2, head, elsewhere]).astype(np.float32), people)
    assert left.tolist() == [elsewhere.tolist()]


def test_labelled_frames_come_back_as_they_were(tmp_path):
    labelled = labelled_frames()
    labelled.save(tmp_path / "a.npz")
    labelled.save(tmp_path / "b.npz")
    both = LabelledFrames.load(tmp_path)
    assert len(both) == 6
    assert np.array_equal(both.frame(4), labelled.frame(1))
    assert both.person_frames.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert both.ignored_frames.tolist() == list(range(6))
    assert np.array_equal(both.keypoints[6:], labelled.keypoints)


def test_large_frames_are_kept_smaller_with_their_people():
    builder = LabelBuilder(max_side=160)
    one = person(30, 60)
    builder.add("a.jpg", frame_with(one), [one], np.zeros((0, 4), np.float32))
    labelled = builder.build()
    assert labelled.frame(0).shape == (120, 160, 3)
    assert np.allclose(labelled.keypoints[0], one[1] / 2)


@pytest.mark.parametrize("content", [b"", b"not an archive"])
def test_a_damaged_file_of_labels_is_named(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(SkelactError, match=r"a\.npz: expected labelled frames"):
        LabelledFrames.load(tmp_path)
    with pytest.raises(SkelactError, match="skelact distill label"):
        LabelledFrames.load(tmp_path / "empty")


def test_crops_at_any_angle_keep_keypoints_on_their_pixels():
    samples = PoseSamples(labelled_frames())
    sampling = PoseSampling(half_prob=0.0, shift=0.0)
    generator = torch.Generator().manual_seed(0)
    inds = torch.arange(24) % len(samples)
    pictures, keypoints, _, weights = samples.batch(inds, (192, 256), sampling, generator)
    assert pictures.shape == (24, 3, 256, 192)
    assert weights.all()
    flip = COCO_17.flip_inds()
    mirrored = 0
    for picture, points in zip(pictures, keypoints):
        names = []
        for x, y in points.round().int().tolist():
            assert 0 <= x < 192
            assert 0 <= y < 256
            around = picture[:, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].reshape(3, -1)
            red, green, _ = around[:, around[0].argmax()].tolist()
            assert red > 120  # a dot is there
            names.append((green / red * 255 - 20) / 12)
        straight = np.abs(np.array(names) - np.arange(17)).mean()
        swapped = np.abs(np.array(names) - flip).mean()
        assert min(straight, swapped) < 0.5  # and it is this keypoint's
        mirrored += swapped < straight
    assert 4 < mirrored < 20


def test_a_fixed_angle_turns_all_alike_and_nothing_else():
    samples = PoseSamples(labelled_frames(1), [0])
    inds = torch.zeros(1, dtype=torch.long)
    _, upright, _, _ = samples.batch(inds, (192, 256), PoseSampling(), torch.Generator(), 0.0)
    _, turned, _, _ = samples.batch(inds, (192, 256), PoseSampling(), torch.Generator(), 180.0)
    around = torch.tensor([191.0, 255.0])
    assert torch.allclose(around - turned[0], upright[0], atol=0.5)


def test_the_aligner_is_told_how_bodies_lie_in_its_crops():
    samples = PoseSamples(labelled_frames(), [0, 1, 2])
    assert (samples.axes.abs() < 90).all()
    inds = torch.arange(60) % 3
    sampling = PoseSampling(turned_prob=1.0, half_prob=0.0)

    def chance():
        return torch.Generator().manual_seed(5)

    pictures, target = samples.aligner_batch(inds, 96, sampling, chance())
    same_pictures, keypoints, _, _ = samples.batch(inds, (96, 96), sampling, chance())
    assert torch.equal(pictures, same_pictures)
    angles = torch.rad2deg(torch.atan2(target[:, 1], target[:, 0])).numpy()
    assert len(set((angles // 90).tolist())) == 4
    # The keypoints' own axis is the angle; turned back by it, they fill the middle and the size.
    axes = known_axes(keypoints.numpy(), np.ones((60, 17)))
    assert np.abs((axes - angles + 180) % 360 - 180).max() < 0.1
    middles = 95 / 2 + 96 * target[:, 2:4].numpy()
    upright = rotate_points(keypoints.numpy() - middles[:, None], -angles[:, None])
    sizes = 96 * np.exp(target[:, None, 4:].numpy())
    reach = np.abs(upright) / (sizes / 2)
    assert reach.max() < 1
    assert reach.max(axis=(1, 2)).min() > 0.85


def test_an_axis_is_known_from_the_hips_the_head_or_not_at_all():
    names = COCO_17.keypoint_names
    keypoints = np.zeros((3, 17, 2), np.float32)
    keypoints[:, [names.index("left_shoulder"), names.index("right_shoulder")]] = (50, 50)
    keypoints[:, [names.index("left_hip"), names.index("right_hip")]] = (20, 50)
    keypoints[:, names.index("nose")] = (50, 80)
    sure = np.ones((3, 17))
    sure[1:, names.index("left_hip")] = sure[1:, names.index("right_hip")] = 0
    sure[1, 1:5] = sure[2, :5] = 0
    axes = known_axes(keypoints, sure)
    assert (axes[:2] % 360).tolist() == [90, 180]
    assert np.isnan(axes[2])


@pytest.mark.parametrize("stretch", [0.0, 0.5])
def test_frames_for_the_finder_keep_boxes_around_their_people(stretch):
    samples = DetectorSamples(labelled_frames())
    generator = torch.Generator().manual_seed(3)
    sampling = DetectorSampling(min_zoom=0.9, max_zoom=1.1, stretch=stretch)
    pictures, people, ignored = samples.batch(torch.arange(30) % 3, 320, sampling, generator)
    assert pictures.shape == (30, 3, 320, 320)
    assert people.shape[::2] == (30, 4)
    assert (people[:12].any(-1).sum(1) >= 4).all()  # mosaics hold the people of four frames
    assert ignored.any()
    inside = torch.zeros(30, 320, 320, dtype=torch.bool)
    for row, boxes in enumerate(people):
        for x1, y1, x2, y2 in boxes[boxes.any(-1)].round().int().tolist():
            inside[row, max(y1 - 2, 0) : y2 + 2, max(x1 - 2, 0) : x2 + 2] = True
    dots = (pictures[:, 0] > 150) & (pictures[:, 2] < 100)
    assert dots.sum() > 1000
    # Those of people of whom less than a part is in the sample stay outside.
    assert (dots & inside).sum() > 0.97 * dots.sum()


def test_pieces_for_the_finder_are_as_large_as_what_is_looked_at():
    samples, generator = DetectorSamples(labelled_frames()), torch.Generator().manual_seed(3)
    sampling = DetectorSampling(min_zoom=1.0, max_zoom=1.0, mosaic_prob=0.0, side=192,
                              turned_prob=0.0, upright_degrees=0.0)  # fmt: skip
    inds = torch.zeros(60, dtype=torch.long)
    shares = []
    for person_prob in (0.0, 1.0):
        sampling = replace(sampling, person_prob=person_prob)
        pictures, people, _ = samples.batch(inds, 320, sampling, generator)
        assert pictures.shape == (60, 3, 192, 192)
        whole = people[people[..., 0].gt(0) & people[..., 2].lt(192) & people[..., 3].lt(192)
                       & people[..., 1].gt(0)]  # fmt: skip
        # A box of 60 or 48 wide, less or more where keypoints end.
        sizes = whole[:, 2] - whole[:, 0]
        assert len(sizes) > 20
        assert sizes.min() > 40
        assert sizes.max() < 75
        shares.append(len(sizes))
    assert shares[1] > shares[0]
    # Measured, it is all that is looked at.
    assert samples.batch(inds[:2], 320, sampling, generator, 30.0)[0].shape == (2, 3, 320, 320)


def test_pictures_are_spoilt_within_their_range_and_by_their_seed():
    x = torch.rand(8, 3, 64, 48, generator=torch.Generator().manual_seed(0)) * 255
    first = augment_images(x, ImageAugmentConfig(), torch.Generator().manual_seed(1))
    again = augment_images(x, ImageAugmentConfig(), torch.Generator().manual_seed(1))
    other = augment_images(x, ImageAugmentConfig(), torch.Generator().manual_seed(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 255
    assert first.shape == x.shape
    clean = ImageAugmentConfig(brightness=0, contrast=0, color=0, gray_prob=0, blur_prob=0,
                          coarse_prob=0, noise_prob=0, hide_prob=0)  # fmt: skip
    chance = torch.Generator().manual_seed(1)
    swapped = augment_images(x, replace(clean, swap_prob=1.0), chance)
    assert torch.allclose(swapped.sum(1), x.sum(1), atol=1e-3)
    assert not torch.allclose(swapped, x)
    mixed = augment_images(x, replace(clean, mix_prob=1.0, mix_share=0.5), chance)
    other_share = ((mixed - x) / (x.roll(1, 0) - x)).flatten(1).nanmedian(dim=1)[0]
    assert ((other_share >= 0) & (other_share <= 0.5)).all()
    assert other_share.max() > 0.1


def test_targets_are_what_mmpose_decodes():
    model = build_pose_model(SlimHRNet().pose_config((192, 256))["model"])
    keypoints = torch.rand(1, 17, 2) * torch.tensor([150.0, 210.0]) + 20
    peaks = torch.linspace(0.3, 1.0, 17)[None]
    heatmaps = heatmap_targets(keypoints, peaks, (192, 256), 2.0)
    points, scores = model.head.decoder.decode(heatmaps[0].numpy())
    # MMPose stretches the pixels' middles to the crop's width; PoseEstimator takes it back.
    expected = keypoints[0].numpy() * (192 / 191, 256 / 255)
    assert np.abs(points[0] - expected).max() < 0.3
    assert np.allclose(scores[0], peaks[0], atol=0.08)


def load(name, *overrides):
    return load_config(DistillConfig, name, "distill", overrides)


def test_losses_are_least_for_the_truth():
    people = torch.tensor([[[40.0, 40.0, 120.0, 200.0], [200.0, 100.0, 260.0, 160.0]]])
    ignored = torch.zeros(1, 1, 4)
    logits = torch.full((1, 80, 80), -9.0)
    sides = torch.ones(1, 4, 80, 80)
    for x1, y1, x2, y2 in people[0].tolist():
        column, row = round((x1 + x2) / 8 - 0.5), round((y1 + y2) / 8 - 0.5)
        logits[0, row, column] = 9.0
        for dx, dy in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
            x, y = (column + dx + 0.5) * STRIDE, (row + dy + 0.5) * STRIDE
            sides[0, :, row + dy, column + dx] = torch.tensor([x - x1, y - y1, x2 - x, y2 - y])
    assert box_loss(sides, people) < 1e-5
    assert centre_loss(logits, people, ignored) < 1e-3
    assert centre_loss(logits.roll(20, 2), people, ignored) > 5
    # A wrong centre costs nothing where somebody may be.
    wrong = logits.clone()
    wrong[0, 60, 10] = 9.0
    assert centre_loss(wrong, people, ignored) > 1
    assert centre_loss(wrong, people, torch.tensor([[[20.0, 220.0, 60.0, 260.0]]])) < 1e-3
    boxes, scores = find_peaks(logits, sides)
    assert (scores[0] > 0.5).sum() == 2
    assert sorted(boxes[0, :2].tolist()) == sorted(people[0].tolist())


def test_all_frames_of_a_source_are_on_one_side():
    names = [f"v/clip_{i}.mp4#{j}" for i in range(60) for j in range(5)]
    names += [f"p/film{i}_{j:03}.jpg" for i in range(60) for j in range(5)]
    train, val = split_sources(names)
    assert 5 <= len(val) <= 90
    assert not {row // 5 for row in train} & {row // 5 for row in val}


@pytest.mark.parametrize("kind", ["pose", "finder", "aligner"])
def test_a_student_learns_resumes_and_is_used(kind, tmp_path):
    labels = tmp_path / "labels"
    labelled_frames(6).save(labels / "a.npz")
    (labels / "teachers.json").write_text('{"poses": ["by hand"]}')
    size = "input_wh=[64,96]" if kind == "pose" else "input_wh=[96,96]"
    name = "pose_128x96" if kind == "pose" else kind
    config = load(name, *TINY, size)
    whole = distill(config, labels, tmp_path / "whole", device="cpu", quiet=True)
    half = load(name, *TINY, size, "optim.epochs=1", "optim.schedule=constant")
    both = load(name, *TINY, size, "optim.schedule=constant")
    distill(half, labels, tmp_path / "resumed", device="cpu", quiet=True)
    resumed = distill(both, labels, tmp_path / "resumed", device="cpu", resume=True, quiet=True)
    unbroken = distill(both, labels, tmp_path / "unbroken", device="cpu", quiet=True)
    weights = [path.with_suffix(".safetensors").read_bytes() for path in (resumed, unbroken)]
    assert weights[0] == weights[1]

    meta = read_bundle(whole, kind)
    assert meta.data["people"] == 12
    assert meta.data["teachers"] == {"poses": ["by hand"]}
    frame = frame_with(person(30, 60))
    if kind == "pose":
        pose = PoseEstimator(str(whole), device="cpu")
        keypoints, scores = pose.predict(pose.crop(frame, person(30, 60)[0][None]))
        assert keypoints.shape == (1, 17, 2)
        assert scores.shape == (1, 17)
        assert pose.identity()["weights"] == meta.weights_sha256
    elif kind == "aligner":
        aligner = Aligner(str(whole), device="cpu")
        boxes = np.stack([person(30, 60)[0]] * 3)
        middles, sizes, angles = aligner.align([frame] * 3, boxes)
        assert middles.shape == sizes.shape == (3, 2)
        assert angles.shape == (3,)
        alone = aligner.align([frame], boxes[:1])
        assert np.abs(alone[0][0] - middles[2]).max() < 1.0
        assert aligner.identity()["sha256"] == meta.weights_sha256
    else:
        finder = build_detector(str(whole), score_thr=0.0, device="cpu")
        batch = FrameBatch(np.stack([frame, frame]), np.arange(2), np.arange(2) / 25)
        found = finder.detect(batch, "a.mp4")
        assert len(found) == 2
        assert (found[0].bboxes[:, 2] <= 320).all()
        assert finder.identity()["sha256"] == meta.weights_sha256


def test_two_processes_teach_one_student(tmp_path):
    labelled_frames(6).save(tmp_path / "labels" / "a.npz")
    settings = [part for value in (*TINY, "input_wh=[32,32]") for part in ("--set", value)]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone",
         "-m", "skelact.pipeline.cli.main", "distill", "train", "aligner", "--labels", "labels",
         "--work-dir", "out", "--quiet", "--device", "cpu", *settings],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert read_bundle(tmp_path / "out" / "aligner.json", "aligner").seed == 0


@pytest.mark.parametrize("kind", ["pose", "finder", "aligner"])
def test_a_student_goes_on_from_another(kind, tmp_path):
    labelled_frames(2).save(tmp_path / "labels" / "a.npz")
    teach = load("pose_128x96", *TINY, "input_wh=[32,32]", "optim.epochs=1")
    first = distill(teach, tmp_path / "labels", tmp_path / "first", device="cpu", quiet=True)
    name, size = ("pose_128x96", "[64,64]") if kind == "pose" else (kind, "[96,96]")
    still = load(name, *TINY, f"input_wh={size}", "optim.epochs=1", "optim.lr=1e-12")
    second = distill(
        still, tmp_path / "labels", tmp_path / "second", init=first, device="cpu", quiet=True
    )
    before, after = (load_file(path.with_suffix(".safetensors")) for path in (first, second))
    shared_names = [name for name, value in before.items() if value.dim() == 4 and name in after]
    assert len(shared_names) > 20
    assert all(torch.equal(before[name], after[name]) for name in shared_names)
    assert read_bundle(second, kind).data["started_from"] == {
        "name": "pose",
        "sha256": read_bundle(first).weights_sha256,
    }


def test_a_student_may_keep_a_share_of_whom_it_started_from(tmp_path):
    labelled_frames(2).save(tmp_path / "labels" / "a.npz")
    start = load("pose_128x96", *TINY, "input_wh=[32,32]", "optim.epochs=1")
    first = distill(start, tmp_path / "labels", tmp_path / "first", device="cpu", quiet=True)

    def kernels(share, *changes):
        config = load("pose_128x96", *TINY, "input_wh=[32,32]", "optim.epochs=1",
                      "norm_epochs=0", f"init_share={share}", *changes)  # fmt: skip
        info = distill(
            config, tmp_path / "labels", tmp_path / f"{share}{changes}", init=first, device="cpu",
            quiet=True,
        )  # fmt: skip
        found = load_file(info.with_suffix(".safetensors"))
        return torch.cat([value.float().flatten() for value in found.values() if value.dim() == 4])

    learned, half, begun = (kernels(share) for share in (0.0, 0.5, 1.0))
    assert (learned - begun).abs().max() > 1e-3
    assert torch.equal(begun, kernels(0.0, "optim.lr=1e-12"))
    assert torch.allclose(half, (learned + begun) / 2, atol=2e-3)
    with pytest.raises(SkelactError, match="expected norm_epochs=0"):
        kernels(0.5, "norm_epochs=1")


def test_features_are_those_that_the_network_computes_and_can_be_given():
    torch.manual_seed(0)
    net, other = new_lite_hrnet((64, 64)), new_lite_hrnet((64, 64))
    as_built = build_pose_model(LiteHRNet().pose_config((64, 64))["model"])
    as_built.load_state_dict(net.state_dict())
    for each in (net, other, as_built):
        # Nothing is gathered yet; without a batch's statistics numbers grow to millions.
        each.train()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        found = features_of(net, x)
        assert len(found) == 33  # stem, transitions, units, fusions, neck, head
        plain = as_built.head(as_built.extract_feat(x))
        assert torch.allclose(found[-1][0], plain, atol=1e-5)
        fed = features_of(net, x, found)
        assert all(torch.equal(a, b) for a, b in zip(chain(*found), chain(*fed)))
        # Fed with another's features, a part answers to those alone.
        theirs = features_of(other, x)
        mixed = features_of(net, x, theirs)
        assert torch.equal(mixed[0][0], found[0][0])
        assert not torch.allclose(mixed[1][0], found[1][0])
        coarser = torch.nn.functional.interpolate(
            theirs[-2][0], (16, 16), mode="bilinear", align_corners=True
        )
        finest = net.backbone.head_layer.projects[-1](theirs[-5][0] + coarser)
        assert torch.equal(mixed[-1][0], net.head.final_layer(finest))
    assert max(feature_losses(found, fed)) == 0
    flat = [[branch.mean(dim=(0, 2, 3), keepdim=True).expand_as(branch) for branch in part]
            for part in found]  # fmt: skip
    assert all(0.5 < loss <= 1 for loss in feature_losses(flat, found))


def test_normalisation_keeps_its_statistics_after_its_epochs():
    config = load("pose_128x96", *TINY, "input_wh=[32,32]", "norm_epochs=1")
    student = PoseDistillation(PoseSamples(labelled_frames()), config).train()
    means = [value for name, value in student.net.named_buffers() if name.endswith("running_mean")]

    def step(epoch):
        before = [value.clone() for value in means]
        student.set_step(0, epoch, 0)
        student([0, 1, 2, 3])
        return sum(not torch.equal(*pair) for pair in zip(before, means))

    assert step(0) == len(means)
    assert step(1) == 0


@pytest.mark.parametrize("name", ["pose_128x96", "pose_lite_256x192", "finder_rtmdet"])
def test_statistics_in_the_kernels_change_nothing(name):
    torch.manual_seed(0)
    config = load(name)
    if name == "finder_rtmdet":
        net = RTMDetNano(config.shape)
    else:
        net = build_pose_model(config.shape.pose_config((64, 64))["model"]).backbone
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    x = torch.randn(4, 3, 64, 64)
    net.train()
    net(x)
    net.eval()
    for norm in norms:
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias)
        # As if it had run for long.
        norm.running_var.mul_(10 * torch.rand(()))
    with torch.no_grad():
        before = net(x)[0]
        fold_batch_norm(net)
        after = net(x)[0]
    assert before.abs().max() > 0.1
    assert torch.allclose(before, after, atol=1e-4 * float(before.abs().max()))
    assert all((norm.running_var - 1).abs().max() < 1e-4 for norm in norms)
    assert all(not norm.running_mean.any() for norm in norms)


@pytest.mark.parametrize("kind", ["pose", "finder"])
def test_a_student_follows_a_teacher_first_apart_then_whole(kind, shared, tmp_path):
    labelled_frames(6).save(tmp_path / "labels" / "a.npz")
    name, shape, teacher = {
        "pose": ("pose_lite_256x192", LiteHRNet(), "litehrnet18-coco-256x192"),
        "finder": ("finder_rtmdet", RTMDetShape(), "rtmdet-nano"),
    }[kind]
    small = ("input_wh=[64,64]", "optim.batch_size=4", "optim.warmup_epochs=0",
             "optim.schedule=constant", "apart_epochs=1")  # fmt: skip

    def train(folder, epochs, resume=False):
        config = load(name, *small, f"optim.epochs={epochs}")
        return distill(
            config, tmp_path / "labels", tmp_path / folder, device="cpu", resume=resume, quiet=True
        )

    train("resumed", 1)
    resumed, unbroken = train("resumed", 2, resume=True), train("unbroken", 2)
    weights = [path.with_suffix(".safetensors").read_bytes() for path in (resumed, unbroken)]
    assert weights[0] == weights[1]
    meta = read_bundle(unbroken, kind)
    assert meta.network == shape
    assert meta.data["follows"]["name"].startswith(teacher.partition("-")[0])
    frame = frame_with(person(30, 60))
    if kind == "pose":
        pose = PoseEstimator(str(unbroken), device="cpu", aligner="none")
        assert pose.predict(pose.crop(frame, person(30, 60)[0][None]))[0].shape == (1, 17, 2)
    else:
        finder = build_detector(str(unbroken), score_thr=0.0, device="cpu")
        batch = FrameBatch(frame[None], np.zeros(1, np.int64), np.zeros(1))
        assert len(finder.detect(batch, "a.mp4")[0].bboxes) > 0
    whole = load(f"{name}_whole", *small[:2], "optim.epochs=1")
    joined = distill(whole, tmp_path / "labels", tmp_path / "joined", init=unbroken, quiet=True)
    assert read_bundle(joined, kind).data["started_from"]["name"] == kind
    with pytest.raises(SkelactError, match="no statistics to keep yet"):
        distill(whole, tmp_path / "labels", tmp_path / "nothing", quiet=True)
    wrong = "rtmdet-nano" if kind == "pose" else "litehrnet18-coco-256x192"
    other = load(name, *small, f"teacher={wrong}")
    with pytest.raises(SkelactError, match="no pose net called|expected RTMDet-nano as ONNX"):
        distill(other, tmp_path / "labels", tmp_path / "other", device="cpu", quiet=True)


def heads_with(cell, ways):
    """Return an RTMDet's answers of one sure cell, at stride 16, for a picture of 160x160."""
    heads = [torch.zeros(1, 5, side, side) for side in (20, 10, 5)]
    for head in heads:
        head[:, 0] = -20.0
    heads[1][0, :, cell[1], cell[0]] = torch.tensor([5.0, *ways])
    return heads


@pytest.mark.parametrize("degrees", [0, 90, 180, 270, 40])
def test_a_teacher_s_boxes_turn_with_the_picture(degrees):
    # A box of 24 x 72 around (72, 56), known to the cell at (64, 48).
    heads = heads_with((4, 3), (0.25, 1.75, 1.25, 2.75))
    picture = torch.full((1, 3, 160, 160), 114.0)
    picture[:, :, 20:92, 60:84] = 255.0
    angle = torch.tensor([float(degrees)])
    chances, boxes = rotated_targets(heads, angle)
    assert (chances > 0.9).sum() >= 1
    (box,) = boxes[0, chances[0].argmax()][None]
    turned = rotate_images(picture, angle, torch.zeros(1))[0, 0] > 200
    rows, columns = turned.nonzero(as_tuple=True)
    seen = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1.0])
    if degrees % 90 == 0:
        assert (box - seen).abs().max() < 1.5
    else:  # around the ellipse, which ends before the corners
        middle, seen_middle = (box[:2] + box[2:]) / 2, (seen[:2] + seen[2:]) / 2
        assert (middle - seen_middle).abs().max() < 1.5
        assert ((box[2:] - box[:2]) < (seen[2:] - seen[:2])).all()
        assert ((box[2:] - box[:2]) > 0.7 * (seen[2:] - seen[:2])).all()
    if degrees == 0:
        loss_score, loss_box = detection_losses(heads, chances, boxes)
        assert loss_box < 1e-4
        assert loss_score < 0.01
        unsure, _ = detection_losses(heads_with((8, 8), (1, 1, 1, 1)), chances, boxes)
        assert unsure > 1


def test_what_a_teacher_knows_of_people_turns_with_the_picture():
    teacher = {}
    for name in CLASSIFICATION_FEATURES:
        size = 20 >> int(name[4])
        teacher[name] = torch.arange(float(size)).expand(1, 3, size, size)
    # Upside down, the cell at pixel p shows what was at 159 - p.
    turned = {name: (159 / (160 / part.shape[-1])) - part for name, part in teacher.items()}
    angle = torch.tensor([180.0])
    assert max(rotated_feature_losses(turned, teacher, angle).values()) < 0.02
    assert min(rotated_feature_losses(teacher, teacher, angle).values()) > 2
    assert max(rotated_feature_losses(teacher, teacher, torch.zeros(1)).values()) < 1e-6


@pytest.mark.parametrize("degrees", range(0, 360, 15))
def test_no_sure_cell_is_lost_between_the_cells_of_a_turned_picture(degrees):
    # All cells within 4 of the middle, each alone.
    for row in range(3, 7):
        for column in range(3, 7):
            heads = heads_with((column, row), (1.0, 1.0, 1.0, 1.0))
            chances, _ = rotated_targets(heads, torch.tensor([float(degrees)]))
            sure = int((chances > 0.9).sum())
            assert sure == 1 if degrees % 90 == 0 else 1 <= sure <= 4


def test_whom_the_teacher_sees_and_the_labels_hold_is_a_person():
    heads = heads_with((4, 3), (0.25, 1.75, 1.25, 2.75))
    heads[1][0, 0, 3, 4] = -0.4  # a chance of .40
    heads[1][0, :, 3, 5] = torch.tensor([-1.4, 1.25, 1.75, 0.25, 2.75])  # its neighbour, of .20
    heads[1][0, :, 8, 8] = torch.tensor([-0.4, 1.0, 1.0, 1.0, 1.0])
    people, nobody = torch.tensor([[[60.0, 20.0, 84.0, 92.0]]]), torch.zeros(1, 1, 4)
    joined = torch.sigmoid(join_labels(heads, people, nobody)[1][0, 0])
    assert joined[3, 4] == pytest.approx(0.7, abs=1e-4)
    assert joined[3, 5] == pytest.approx(0.198 * 0.7 / 0.401, abs=1e-2)
    assert joined[8, 8] == pytest.approx(0.401, abs=1e-2)  # the labels hold nobody there
    sure = heads_with((4, 3), (0.25, 1.75, 1.25, 2.75))
    assert torch.equal(join_labels(sure, people, nobody)[1], sure[1])


def test_people_whom_a_teacher_missed_are_learned_from_their_labels():
    seen, missed = [60.0, 20.0, 84.0, 92.0], [80.0, 100.0, 160.0, 152.0]
    heads = heads_with((4, 3), (0.25, 1.75, 1.25, 2.75))
    people = torch.tensor([[seen, missed, [0.0] * 4]])
    joined = join_labels(heads, people, torch.zeros(1, 1, 4))
    # In the middle level (64 pixels): surest at (112, 128) and (128, 128), next to (120, 126).
    chances = torch.sigmoid(joined[1][0, 0])
    assert chances[8, 7:9].tolist() == pytest.approx([0.46] * 2, abs=0.005)
    mine = (chances >= 0.25) & (chances <= 0.5)
    assert int(mine.sum()) == 6
    places = [mine.new_zeros(20, 20), mine, mine.new_zeros(5, 5)]
    boxes = cell_boxes(joined[1], 16)[0, mine.flatten()]
    assert torch.allclose(boxes, torch.tensor(missed).expand(6, 4), atol=1e-3)
    # Nothing is known of the other cells in the box; all is as it was around whom the teacher saw.
    unknown = [head[0, 0].isnan() for head in joined]
    assert [int(where.sum()) for where in unknown] == [10 * 7, 5 * 3 - 6, 2]
    for head, answer, where, own in zip(heads, joined, unknown, places):
        assert torch.equal(head[0, :, ~(where | own)], answer[0, :, ~(where | own)])
    # Turned, they are learned too.
    turned, turned_boxes = rotated_targets(joined, torch.tensor([90.0]))
    surest = turned.nan_to_num()[0].masked_fill(turned[0] > 0.9, 0.0).argmax()
    low, high = turned_boxes[0, surest].split(2)
    assert torch.allclose(high - low, torch.tensor([52.0, 80.0]), atol=1.0)


def test_half_a_body_that_a_teacher_sees_is_learned_whole():
    whole = torch.tensor([60.0, 20.0, 84.0, 132.0])
    heads = heads_with((4, 3), (0.25, 0.75, 1.25, 1.75))  # to the hips at y = 76
    joined = join_labels(heads, whole.expand(1, 1, 4), torch.zeros(1, 1, 4))
    assert joined[1][0, 0, 3, 4] == heads[1][0, 0, 3, 4]
    assert torch.allclose(cell_boxes(joined[1], 16)[0, 3 * 10 + 4], whole)
    # Not where it is somebody else's box.
    small = torch.tensor([60.0, 36.0, 84.0, 76.0])
    joined = join_labels(heads, torch.stack([whole, small])[None], torch.zeros(1, 1, 4))
    assert torch.equal(joined[1][0, 1:, 3, 4], heads[1][0, 1:, 3, 4])


def test_where_somebody_may_be_nothing_is_learned():
    seen, maybe = [60.0, 20.0, 84.0, 92.0], [100.0, 100.0, 150.0, 130.0]
    heads = heads_with((4, 3), (0.25, 1.75, 1.25, 2.75))
    people = torch.tensor([[seen, [0.0] * 4]])
    hidden = join_labels(heads, people, torch.tensor([[maybe]]))
    # Cells at multiples of 8, 16 and 32 in the box; not what the teacher sees there.
    assert [int(head[0, 0].isnan().sum()) for head in hidden] == [6 * 4, 3 * 2, 1]
    assert all(torch.equal(a[:, 1:], b[:, 1:]) for a, b in zip(heads, hidden))
    assert not join_labels(heads, people[:, 1:], torch.tensor([[seen]]))[1][0, 0, 3, 4].isnan()
    chances, boxes = rotated_targets(hidden, torch.tensor([90.0]))
    assert int(chances.isnan().sum()) == pytest.approx(31, abs=8)
    # Somebody at (48, 120), where the turned picture has the box, is not wrong.
    somebody = heads_with((3, 8), (1.0, 1.0, 1.0, 1.0))
    somebody[1][0, 0, 8, 3] = 3.0
    nobody = heads_with((3, 8), (1.0, 1.0, 1.0, 1.0))
    nobody[1][0, 0, 8, 3] = -3.0
    losses = [detection_losses(head, chances, boxes)[0] for head in (somebody, nobody)]
    assert losses[0] == losses[1]
    learned, boxes = rotated_targets(heads, torch.tensor([90.0]))
    losses = [detection_losses(head, learned, boxes)[0] for head in (somebody, nobody)]
    assert losses[0] > losses[1]


def test_a_teacher_of_people_who_stand_sees_them_stand(shared):
    config = load("finder_rtmdet", "input_wh=[64,64]", "finder.turned_prob=1.0",
                  "apart_epochs=1")  # fmt: skip
    student = DetectorDistillation(DetectorSamples(labelled_frames(), side=64), config)
    chances, given = [], student.store.batch

    def batch(inds, side, sampling, generator):
        chances.append(sampling.turned_prob)
        return given(inds, side, sampling, generator)

    student.store.batch = batch
    for epoch in (0, 1):
        student.set_step(0, epoch, 0)
        losses = student([0])
    assert chances == [1.0, 0.0]
    assert set(losses) == {"loss_turned", "loss_score", "loss_box"}  # all are turned


def test_a_finder_is_no_surer_of_nobody_than_its_teacher():
    torch.manual_seed(0)
    samples, teacher, net = DetectorSamples(labelled_frames(), side=96), *(
        RTMDetNano(RTMDetShape()).eval() for _ in range(2)
    )  # fmt: skip

    def sure_of_nobody(network):
        pictures, people, ignored = samples.batch(
            torch.arange(3), 96, DetectorSampling(), torch.Generator(), 0.0
        )
        with torch.inference_mode():
            boxes, scores = network.people(network(normalised(pictures)))
        known = torch.cat([people, ignored], 1).numpy()
        return sum(
            int((pairwise_iou(truth, mine[sure >= 0.3]).max(axis=0, initial=0.0) < 0.5).sum())
            for truth, mine, sure in zip(known, boxes.numpy(), scores.numpy())
        )

    for head in net.heads:
        torch.nn.init.constant_(head.cls.bias, 0.5)
        torch.nn.init.normal_(head.cls.weight)
    assert sure_of_nobody(teacher) == 0
    assert sure_of_nobody(net) > 10
    before = [head.cls.bias.item() for head in net.heads]
    shift = calibrate_scores(net, teacher, samples, 96)
    assert shift < 0
    assert [head.cls.bias.item() - old for head, old in zip(net.heads, before)] == pytest.approx(
        [shift] * 3, abs=1e-5
    )
    assert sure_of_nobody(net) <= 1
    # Who is less sure stays as it is.
    assert calibrate_scores(teacher, net, samples, 96) == 0.0


def test_students_and_teachers_are_measured_on_sources_kept_back(shared, tmp_path):
    picture = cv2.imread(str(sorted((shared / "data/pose_gt/coco").glob("**/*.jpg"))[0]))[..., ::-1]
    found = build_detector("rtmdet-nano", device="cpu").detect(
        FrameBatch(picture[None].copy(), np.zeros(1, np.int64), np.zeros(1)), "a"
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
        builder.add(name, picture, people, np.zeros((0, 4), np.float32))
    builder.build().save(tmp_path / "labels" / "a.npz")
    nets = {
        "rtmdet-nano": "recall", "skelact-detector-320": "recall",
        "litehrnet18-coco-128x96": "oks", "skelact-aligner-96": "axis",
    }  # fmt: skip
    labels, out = str(tmp_path / "labels"), str(tmp_path / "a.json")
    options = ["--labels", labels, "--json", out]
    result = CliRunner().invoke(main, ["distill", "measure", *nets, *options])
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "a.json").read_text())
    for name, figure in nets.items():
        values = [
            figures[name][f"{figure}_{where}"] for where in ("upright", "all_angles", "least")
        ]
        assert 0 <= values[2] <= values[1] <= 1
        if figure == "recall":  # whom RTMDet-nano finds
            assert values[0] == 1
    result = CliRunner().invoke(main, ["distill", "measure", "no-such-net", "--labels", labels])
    assert result.exit_code == 1
    assert "expected a student's .json, or one of rtmdet-nano" in result.output


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


def test_our_rtmdet_is_the_published_one_and_its_parts_can_be_fed(shared, tmp_path):
    teacher = DetectorTeacher("rtmdet-nano")
    picture = cv2.imread(str(sorted((shared / "data/pose_gt/coco").glob("**/*.jpg"))[0]))
    published = build_detector("rtmdet-nano", device="cpu", score_thr=0.3, max_det=100)
    batch = FrameBatch(picture[None, :, :, ::-1].copy(), np.zeros(1, np.int64), np.zeros(1))
    truth = published.detect(batch, "picture")[0]
    ratio = 320 / max(picture.shape[:2])
    boxed = np.full((320, 320, 3), 114, np.uint8)
    size = (round(picture.shape[1] * ratio), round(picture.shape[0] * ratio))
    boxed[: size[1], : size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
    x = torch.from_numpy(boxed[..., ::-1].copy()).permute(2, 0, 1)[None].float()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (PIXEL_MEAN, PIXEL_STD))
    parts = teacher((x - mean) / std)
    heads = [parts[f"head{number}"] for number in range(3)]
    boxes, scores = RTMDetNano.people(heads)
    assert len(truth.scores) >= 1
    assert scores[0, 0].item() == pytest.approx(truth.scores.max(), abs=1e-3)
    best = truth.bboxes[truth.scores.argmax()]
    found = (boxes[0, 0] / ratio).numpy()
    edges = np.array([picture.shape[1], picture.shape[0]] * 2)
    assert np.abs(found.clip(0, edges) - best).max() < 0.5
    with torch.no_grad():
        fed = teacher.net.parts(((x - mean) / std).flip(1), parts)
    assert all(torch.allclose(fed[name], part, atol=1e-4) for name, part in parts.items())
    assert max(block_losses(fed, parts).values()) < 1e-6
    with pytest.raises(SkelactError, match="expected RTMDet-nano"):
        read_rtmdet(other_onnx(tmp_path))


def test_parts_that_learn_apart_come_nearer_to_their_teacher(shared):
    torch.manual_seed(0)
    teacher = FeatureTeacher("litehrnet18-coco-256x192")
    net = new_lite_hrnet((64, 64)).to(memory_format=torch.channels_last)
    optimizer = Muon(net.parameters(), lr=0.05)
    x = torch.randn(8, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    theirs = teacher(x)
    losses = []
    for _ in range(20):
        loss = torch.stack(feature_losses(features_of(net, x, theirs), theirs))
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
        losses.append(loss.detach())
    assert (losses[-1][:-1] < 0.7 * losses[0][:-1]).all()
    assert all(p.grad is None for p in teacher.net.parameters())


def test_a_pair_that_does_not_belong_together_is_refused(tmp_path):
    labelled_frames(2).save(tmp_path / "labels" / "a.npz")
    config = load("pose_128x96", *TINY, "input_wh=[32,32]", "optim.epochs=1")
    path = distill(config, tmp_path / "labels", tmp_path / "w", device="cpu", quiet=True)
    with pytest.raises(SkelactError, match="expected a network of kind 'finder', got 'pose'"):
        read_bundle(path, "finder")
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"weights_sha256": "0" * 64}))
    with pytest.raises(SkelactError, match="does not belong to"):
        PoseEstimator(str(path))
    path.write_text("{}")
    with pytest.raises(SkelactError, match="expected a network's description"):
        PoseEstimator(str(path))
    with pytest.raises(SkelactError, match="no file"):
        PoseEstimator(str(tmp_path / "none.json"))


def test_real_people_are_labelled_once_and_broken_files_are_told(shared, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    pictures = sorted((shared / "videos" / "youtube_pose_frames").glob("*.jpg"))[:3]
    for path in pictures:
        (folder / path.name).symlink_to(path)
    (folder / "broken.mp4").write_bytes(b"no video")
    result = CliRunner().invoke(
        main, ["distill", "label", str(folder), "--out", str(tmp_path / "out"), "--jobs", "1"]
    )
    assert result.exit_code == 1, result.output
    assert "sources that could not be read: 1" in result.output
    labelled = LabelledFrames.load(tmp_path / "out")
    assert 1 <= len(labelled.person_frames) <= 12
    seen = (labelled.peaks > 0.5) & (labelled.weights > 0)
    assert seen.sum(axis=1).min() >= 5
    low, high = labelled.bboxes[:, None, :2], labelled.bboxes[:, None, 2:]
    inside = ((labelled.keypoints >= low) & (labelled.keypoints <= high)).all(-1)
    assert inside[seen].mean() > 0.95
    jobs = find_jobs([folder])
    before = {job.name: job.target(tmp_path / "out").exists() for job in jobs}
    assert sorted(before.values()) == [False, True]
    again = list(label_folders([folder], tmp_path / "out", LabelConfig(), jobs=1))
    assert sum(isinstance(result, Exception) for _, result in again) == 1
    teachers = json.loads((tmp_path / "out" / "teachers.json").read_text())
    assert [pose["name"] for pose in teachers["poses"]] == list(LabelConfig().poses)
    with pytest.raises(SkelactError, match=r"labels there are by other teachers \(config\)"):
        next(label_folders([folder], tmp_path / "out", LabelConfig(keep_every=2), jobs=1))


def test_nothing_to_label_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(SkelactError, match="no video and no picture"):
        find_jobs([tmp_path])
    with pytest.raises(SkelactError, match="no file or folder"):
        find_jobs([tmp_path / "none"])
    with pytest.raises(SkelactError, match="no video and no picture"):
        next(label_folders([tmp_path], tmp_path / "out", LabelConfig(), jobs=1))
    assert not (tmp_path / "out").exists()


def test_two_folders_of_one_name_are_refused(tmp_path):
    for parent in ("a", "b"):
        (tmp_path / parent / "clips").mkdir(parents=True)
        (tmp_path / parent / "clips" / "one.mp4").write_bytes(b"")
    with pytest.raises(SkelactError, match="are both called clips/one.mp4"):
        find_jobs([tmp_path / "a" / "clips", tmp_path / "b" / "clips"])
    assert len(find_jobs([tmp_path])) == 2
