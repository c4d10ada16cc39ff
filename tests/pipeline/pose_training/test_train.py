"""The loss of pose models, the runs, and what is exported."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from skelact import SkelactError
from skelact.pipeline.cli.main import main
from skelact.pipeline.config import OptimConfig, RuntimeConfig, load_config
from skelact.pipeline.pose_training.folding import folded, load_folded
from skelact.pipeline.pose_training.module import InputFormat, TrainPoseConfig, heatmap_errors
from skelact.pipeline.pose_training.train import mean_weights, train_pose
from skelact.pose_extract.nets.lite_hrnet import LiteHRNet
from skelact.pose_extract.nets.mmpose_adapter import build_pose_model
from skelact.pose_extract.pose.estimator import PoseEstimator
from skelact.pose_extract.weights.bundle import read_bundle

START = "skelact-litehrnet18-256x192"
# A person who stands, by the heights and the half widths of the joints from the nose down.
HEIGHTS = [20, 18, 18, 19, 19, 30, 30, 45, 45, 58, 58, 60, 60, 80, 80, 98, 98]
HALF_WIDTHS = [0, 2, -2, 4, -4, 9, -9, 12, -12, 13, -13, 6, -6, 7, -7, 7, -7]


@pytest.fixture
def annotations(tmp_path):
    """Four people of a few lines each; the last one is held out by the configs below."""
    points = np.stack([50 + np.array(HALF_WIDTHS), HEIGHTS], axis=-1).astype(np.float32)
    folder = tmp_path / "people"
    folder.mkdir()
    names = []
    for number in range(4):
        image = np.full((120, 100, 3), 40 * number, np.uint8)
        for x, y in points.astype(int):
            cv2.circle(image, (int(x), int(y)), 3, (255, 128, 0), -1)
        names.append(f"{number}.png")
        cv2.imwrite(str(folder / names[-1]), image)
    visible = np.ones((4, 17), bool)
    visible[:, :5] = False
    path = tmp_path / "people.npz"
    np.savez(path, keypoints=np.stack([points] * 4), visible=visible, files=names)
    return path


def make_config(epochs=1, **changes):
    optim = OptimConfig("adamw", 1e-3, 2, epochs, ema_momentum=0.5)
    runtime = RuntimeConfig(save_every=1, val_every=1)
    return TrainPoseConfig(optim, start=START, held_out=(4, 3), runtime=runtime, **changes)


def test_a_missed_peak_costs_one_and_a_perfect_map_nothing():
    keypoints = torch.tensor([[[20.3, 30.6], [24.0, 32.0]]])
    peaks, weights = torch.tensor([[1.0, 0.5]]), torch.ones(1, 2)
    missed = heatmap_errors(torch.zeros(1, 2, 64, 48), keypoints, peaks, weights, 2.0)
    torch.testing.assert_close(missed, torch.tensor([[1.0, 0.25]]), atol=1e-4, rtol=0)
    ys, xs = torch.meshgrid(torch.arange(64.0), torch.arange(48.0), indexing="ij")
    first = torch.exp(-((xs - 20.3) ** 2 + (ys - 30.6) ** 2) / 8)
    second = 0.5 * torch.exp(-((xs - 24) ** 2 + (ys - 32) ** 2) / 8)
    perfect = heatmap_errors(torch.stack([first, second])[None], keypoints, peaks, weights, 2.0)
    assert perfect.abs().max() < 1e-6


def test_a_joint_outside_the_crop_is_learned_as_no_peak():
    where = torch.tensor([[[-40.0, 10.0]]])
    heatmap = torch.ones(1, 1, 64, 48)
    error = heatmap_errors(heatmap, where, torch.ones(1, 1), torch.ones(1, 1), 2.0)
    assert error.item() == pytest.approx(64 * 48 / (4 * math.pi))


def test_folding_changes_no_answer_and_is_taken_back():
    torch.manual_seed(0)
    net = build_pose_model(LiteHRNet().pose_config((96, 128))["model"]).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
    x = torch.randn(2, 3, 128, 96)
    other = build_pose_model(LiteHRNet().pose_config((96, 128))["model"]).eval()
    small = folded(net)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in small.modules())
    load_folded(other, small)
    with torch.inference_mode():
        expected = net.head(net.extract_feat(x))
        for same in (small, other):
            answer = same.head(same.extract_feat(x))
            torch.testing.assert_close(answer, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("size", [(8, 6), (9, 7)])
def test_strided_depthwise_convolutions_are_learned_as_they_were(size):
    torch.manual_seed(0)
    plain = torch.nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4)
    fast = folded(torch.nn.Sequential(plain, torch.nn.Identity()))[0]
    assert type(fast) is not torch.nn.Conv2d
    x = torch.randn(2, 4, *size)
    gradients = []
    for convolution in (plain, fast):
        answer = convolution(x)
        answer.square().sum().backward()
        gradients.append((answer, convolution.weight.grad, convolution.bias.grad))
    for expected, ours in zip(*gradients):
        torch.testing.assert_close(ours, expected)


def test_the_mean_of_runs_and_the_way_back_to_the_start():
    runs = [{"w": torch.tensor([2.0]), "n": torch.tensor(1)} for _ in range(1)]
    runs.append({"w": torch.tensor([4.0]), "n": torch.tensor(1)})
    start = {"w": torch.tensor([1.0]), "n": torch.tensor(0)}
    assert mean_weights(runs, start, 0.0)["w"].item() == 3.0
    assert mean_weights(runs, start, 0.25)["w"].item() == 2.5
    assert mean_weights(runs, start, 0.25)["n"].item() == 0


def test_the_mean_of_two_runs_is_exported_and_extracts(annotations, tmp_path):
    path = train_pose(make_config(), [annotations], tmp_path / "run", seeds=(3, 5), quiet=True)
    meta = read_bundle(path, "pose")
    assert meta.data["annotated_people"] == 3
    assert meta.data["seeds"] == [3, 5]
    # Everybody held out stands upright.
    assert set(meta.figures) == {"found_upright", "seed_3", "seed_5"}
    keypoints, scores = _answers(path)
    assert keypoints.shape == (1, 17, 2)
    single = train_pose(make_config(), [annotations], tmp_path / "one", seeds=(3,), quiet=True)
    assert not np.array_equal(_answers(single)[1], scores)


def _answers(path):
    # Engines would be compared on a network that is never seen again.
    pose = PoseEstimator(str(path), engine="pytorch", precision="fp32")
    frame = np.random.default_rng(0).integers(0, 255, (120, 100, 3), np.uint8)
    return pose.predict(pose.crop(frame, np.array([[10, 5, 90, 115]], np.float32)))


def test_a_stopped_run_ends_where_an_unbroken_one_ends(annotations, tmp_path):
    whole = train_pose(make_config(epochs=2), [annotations], tmp_path / "whole", quiet=True)
    train_pose(make_config(epochs=1), [annotations], tmp_path / "parts", quiet=True)
    parts = train_pose(
        make_config(epochs=2), [annotations], tmp_path / "parts", resume=True, quiet=True
    )
    assert read_bundle(parts).weights_sha256 == read_bundle(whole).weights_sha256


def test_people_whose_sides_are_unknown_cost_the_nearer_side(annotations, tmp_path):
    """Without the flag an exchanged label costs more than the label itself."""
    from skelact.pipeline.pose_training import train
    from skelact.pipeline.pose_training.module import PoseTraining
    from skelact.pipeline.pose_training.pose_samples import PoseSamples

    people = train._chosen_people(make_config(), [annotations])
    nothing = (np.zeros_like(people.keypoints), np.zeros(people.visible.shape, np.float32))
    flip = train.COCO_17.flip_inds()
    exchanged = train.people_as_frames(people, nothing)
    exchanged.keypoints[:] = exchanged.keypoints[:, flip]
    model, config = PoseEstimator(START).build()

    def loss(frames, unknown):
        samples = PoseSamples(frames, range(4), 320)
        module = PoseTraining(
            samples,
            np.full(4, unknown),
            None,
            folded(model),
            InputFormat.of(config),
            make_config(),
        )
        module.set_step(0, 0, 0)
        return module([0, 1, 2, 3])["loss_heatmaps"].item()

    right = loss(train.people_as_frames(people, nothing), False)
    wrong = loss(exchanged, False)
    assert right != pytest.approx(wrong)
    assert loss(exchanged, True) <= min(right, wrong) + 1e-4


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"excluded": (1, 0)}, "nobody to learn from|at least one"), ({"start": "x"}, "x")],
)
def test_runs_that_are_refused(annotations, tmp_path, changes, message):
    config = make_config()
    config = TrainPoseConfig(**{**vars(config), **changes})
    with pytest.raises(SkelactError, match=message):
        train_pose(config, [annotations], tmp_path / "run", quiet=True)


def test_settings_that_are_refused():
    with pytest.raises(ValueError, match="held_out: expected .divisor, remainder., got .3, 3."):
        TrainPoseConfig(OptimConfig("adamw", 1e-3, 2, 1), held_out=(3, 3))


def test_the_shipped_config_loads():
    config = load_config(TrainPoseConfig, "lspet", "train_pose")
    assert config.start == "litehrnet18-coco-256x192"
    assert config.excluded == (5, 4)
    own = load_config(TrainPoseConfig, "own", "train_pose")
    assert (own.excluded, own.corrections, own.optim) == ((), "", config.optim)


def test_the_command_trains(annotations, tmp_path):
    result = CliRunner().invoke(
        main,
        [
            "train-pose", "own", str(annotations), "--work-dir", str(tmp_path / "w"),
            "--quiet", "--seed", "1", "--set", f"start={START}", "--set", "optim.epochs=1",
        ],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert read_bundle(result.output.strip()).data["seeds"] == [1]


def test_a_run_does_not_go_on_with_other_data_or_settings(annotations, tmp_path):
    train_pose(make_config(), [annotations], tmp_path / "run", quiet=True)
    with pytest.raises(SkelactError, match=r"other config \(config.sigma was 2.0, is now 3.0"):
        train_pose(make_config(sigma=3.0), [annotations], tmp_path / "run", resume=True, quiet=True)
    values = dict(np.load(annotations))
    np.savez(annotations, **(values | {"keypoints": values["keypoints"] + 1}))
    with pytest.raises(SkelactError, match="began with other annotations"):
        train_pose(make_config(), [annotations], tmp_path / "run", resume=True, quiet=True)


@pytest.mark.parametrize("name", ["faces.npz", "runs.json", "pose.json"])
def test_annotations_are_not_written_over(annotations, tmp_path, name):
    own = annotations.rename(tmp_path / name)
    before = own.read_bytes()
    result = CliRunner().invoke(main, ["train-pose", "own", str(own), "--work-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert own.read_bytes() == before


def test_a_wrong_seed_is_told_before_the_first_run(annotations, tmp_path):
    with pytest.raises(SkelactError, match="seed"):
        train_pose(make_config(), [annotations], tmp_path / "run", seeds=(0, 10**12), quiet=True)
    assert not (tmp_path / "run").exists()


def test_seeds_are_different_numbers(annotations):
    command = ["train-pose", "own", str(annotations), "--seed", "1", "--seed", "1"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert "--seed: expected each seed once, got 1, 1" in result.output


def test_labels_outside_their_images_are_told_or_refused(annotations, tmp_path, caplog):
    values = dict(np.load(annotations))
    moved = values["keypoints"].copy()
    moved[1] += 5000
    np.savez(annotations, **(values | {"keypoints": moved}))
    path = train_pose(make_config(), [annotations], tmp_path / "run", quiet=True)
    assert "12 of 48 annotated joints, of 1 of 4 people, lie outside their images" in caplog.text
    assert read_bundle(path).data["annotated_people"] == 2
    np.savez(annotations, **(values | {"keypoints": values["keypoints"] + 5000}))
    with pytest.raises(SkelactError, match="all annotated joints lie outside their images"):
        train_pose(make_config(), [annotations], tmp_path / "other", quiet=True)


def test_an_image_that_cannot_be_decoded_is_named(annotations, tmp_path):
    (annotations.with_suffix("") / "2.png").write_bytes(b"cut off")
    with pytest.raises(SkelactError, match="2.png: expected an image, got 7 bytes"):
        train_pose(make_config(), [annotations], tmp_path / "run", quiet=True)


def test_ctrl_c_says_where_the_state_is(annotations, tmp_path, monkeypatch, caplog):
    def stop(self):
        raise KeyboardInterrupt

    monkeypatch.setattr("skelact.pipeline.pose_training.module.PoseTraining.figures", stop)
    with pytest.raises(KeyboardInterrupt):
        train_pose(make_config(), [annotations], tmp_path / "run", quiet=True)
    assert "stopped; --resume goes on from the last state in" in caplog.text
    assert (tmp_path / "run" / "seed_0" / "state.pt").is_file()
