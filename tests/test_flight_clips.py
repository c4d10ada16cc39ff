"""``benchmarks/flight_clips.py``: figures, cameras and times of scenes that are known by hand."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from scenes import make_sequence
from scipy.spatial.transform import Rotation

from skelact.pose_extract.layout import COCO_17


@pytest.fixture
def load(repository, monkeypatch):
    monkeypatch.syspath_prepend(repository / "benchmarks")
    return importlib.import_module


@pytest.fixture
def bench(load):
    return load("flight_clips")


@pytest.fixture
def truths(load):
    return load("flight_truths")


@pytest.fixture
def camera(load):
    return load("flight_camera")


def standing(num_frames=10):
    """A person 40 pixels wide, whose torso is 100 pixels long, and who has no face: (T, 17, 2)."""
    points = np.full((17, 2), np.nan)
    for row, y in enumerate((100, 150, 190, 200, 280, 360)):
        points[5 + 2 * row], points[6 + 2 * row] = (70, y), (30, y)
    return np.repeat(points[None], num_frames, axis=0)


def truth_of(truths, keypoints):
    return truths.Truth(
        np.arange(len(keypoints)), keypoints, truths.torso_lengths(keypoints, truths.COCO_17)
    )


class TestHits:
    def test_a_pose_in_place_is_found_whole(self, bench, truths):
        hits = bench.hits_of(truth_of(truths, standing(3)), standing(3))
        assert hits.near.sum() == hits.known.sum() == 36
        assert hits.posed.all()
        assert hits.followed.all()
        assert not hits.exchanged.any()
        np.testing.assert_allclose(hits.tilts, 0, atol=1e-4)

    def test_reach_is_a_fifth_of_the_torso(self, bench, truths):
        found = standing(2)
        found[0, 9, 0] += 19.9
        found[1, 9, 0] += 20.1
        hits = bench.hits_of(truth_of(truths, standing(2)), found)
        assert hits.near[:, 9].tolist() == [True, False]
        assert hits.near.sum() == 23

    def test_a_frame_without_the_athlete_misses_all_joints(self, bench, truths):
        found = standing(2)
        found[1] = np.nan
        hits = bench.hits_of(truth_of(truths, standing(2)), found)
        assert hits.near.sum(axis=1).tolist() == [12, 0]
        assert hits.known.sum(axis=1).tolist() == [12, 12]
        assert hits.followed.tolist() == [True, False]
        assert hits.posed.tolist() == [True, False]

    def test_another_person_is_not_followed(self, bench, truths):
        hits = bench.hits_of(truth_of(truths, standing(1)), standing(1) + np.array([101, 0]))
        assert not hits.followed[0]
        assert not hits.near.any()

    def test_an_exchange_counts_and_is_free(self, bench, truths):
        hits = bench.hits_of(truth_of(truths, standing(1)), standing(1)[:, COCO_17.flip_inds()])
        assert hits.exchanged[0]
        assert not hits.near.any()
        assert hits.free.sum() == 12
        assert hits.posed[0]

    def test_one_exchanged_pair_is_no_exchange_of_the_body(self, bench, truths):
        found = standing(1)
        found[0, [13, 14]] = found[0, [14, 13]]
        hits = bench.hits_of(truth_of(truths, standing(1)), found)
        assert not hits.exchanged[0]
        assert hits.free.sum() == 10

    def test_an_exchange_has_to_gain_three_joints(self, bench, truths):
        found = standing(1)[:, COCO_17.flip_inds()]
        found[0, 7:] = np.nan
        assert not bench.hits_of(truth_of(truths, standing(1)), found).exchanged[0]
        found[0, 7] = standing(1)[0, 8]
        assert bench.hits_of(truth_of(truths, standing(1)), found).exchanged[0]

    def test_an_upside_down_athlete_has_a_tilt_of_180(self, bench, truths):
        hits = bench.hits_of(truth_of(truths, -standing(1)), -standing(1))
        np.testing.assert_allclose(hits.tilts, 180, atol=1e-4)


class TestFigures:
    def test_shares_count_frames_without_the_athlete(self, bench, truths):
        found = standing(20)
        found[:5] = np.nan
        hits = bench.hits_of(truth_of(truths, standing(20)), found)
        figures = bench.figures_of(hits, None, seed=0)
        assert figures["all"].share.value == 0.75
        assert figures["all"].posed.value == figures["all"].followed.value == 0.75
        assert figures["all"].num_joints == 240
        assert figures["limbs"].num_joints == 160
        assert figures["upright"] == replace(figures["all"], gain=None)
        assert figures["inverted"].num_frames == 0
        assert np.isnan(figures["inverted"].share.value)

    def test_frames_that_fail_together_are_resampled_together(self, bench, truths):
        """Four blocks of which one fails: draws hold 0 to 4 of it; single frames vary less."""
        found = standing(20)
        found[:5] = np.nan
        hits = bench.hits_of(truth_of(truths, standing(20)), found)
        share = bench.figures_of(hits, None, seed=0)["all"].share
        assert (share.low, share.high) == (0.25, 1.0)
        alone = replace(hits, blocks=np.arange(20))
        assert bench.figures_of(alone, None, seed=0)["all"].share.low > 0.5

    def test_gain_is_over_the_same_frames(self, bench, truths):
        truth = truth_of(truths, standing(20))
        found = standing(20)
        found[::2] = np.nan
        first = bench.hits_of(truth, found)
        gain = bench.figures_of(bench.hits_of(truth, standing(20)), first, seed=0)["all"].gain
        assert gain.value == 0.5
        assert 0.4 <= gain.low <= gain.high <= 0.6

    def test_blocks_of_two_clips_stay_apart(self, bench, truths):
        hits = bench.hits_of(truth_of(truths, standing(7)), standing(7))
        assert bench.joined([hits, hits]).blocks.tolist() == [0] * 5 + [1] * 2 + [2] * 5 + [3] * 2


class TestAthleteKeypoints:
    def test_frames_and_joints_that_are_not_seen_are_nan(self, truths):
        sequence = make_sequence()  # frames 0, 2 and 4
        scores = sequence.keypoint_scores.copy()
        scores[0, 1, 5] = 0
        found = truths.athlete_keypoints(
            replace(sequence, keypoint_scores=scores), np.array([2, 3, 4, 9])
        )
        np.testing.assert_array_equal(found[2], sequence.keypoints[0, 2])
        assert np.isnan(found[0, 5]).all()
        assert np.isfinite(found[0, 6:]).all()
        assert np.isnan(found[[1, 3]]).all()

    def test_a_clip_without_people_has_none(self, truths):
        assert np.isnan(truths.athlete_keypoints(make_sequence(num_person=0), np.arange(2))).all()


def jumper(num_steps=60):
    """Twelve joints of a body that runs, somersaults and turns: (S, 12, 3) metres, z up."""
    rng = np.random.default_rng(0)
    body = np.array(
        [[0, side * 0.2, z] for z in (0.5, 0.25, 0.0, 0.0, -0.45, -0.9) for side in (1, -1)]
    )
    body[2:6, 0] += 0.3
    phase = np.linspace(0, 1, num_steps)
    swing = 0.15 * np.sin(2 * np.pi * (3 * phase[:, None, None] + rng.uniform(size=(1, 12, 3))))
    turns = Rotation.from_euler("zy", np.stack([0.7 * phase, 2 * np.pi * phase**2], axis=1))
    moved = np.einsum("sij,svj->svi", turns.as_matrix(), body + swing)
    path = np.stack([2 * phase, 0.5 * phase, 1 + 2 * phase * (1 - phase)], axis=1)
    return moved + path[:, None]


def lens(camera, joints):
    """A camera 6 m away, 960 pixels of focal length, a bit above and rolled."""
    looking = Rotation.from_matrix(np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]))
    rotation = Rotation.from_euler("xyz", [0.1, -0.3, 0.05]) * looking
    centre = joints.mean(axis=(0, 1))
    position = np.array([350.0, 300.0])
    return camera.Camera(rotation.as_rotvec(), position, 160.0, 1 / 6, centre, (576, 720))


def views(camera, keypoints, joints, num_frames):
    frames = np.arange(0, num_frames, 2)
    return camera.Views(keypoints[frames], frames, joints, num_frames, (576, 720), 80.0)


class TestCamera:
    def test_projects_as_a_pinhole(self, camera):
        """A point a metre to the right at 6 m, and one metre farther away."""
        eye = camera.Camera(
            np.zeros(3), np.array([320.0, 240.0]), 100.0, 1 / 6, np.zeros(3), (480, 640)
        )
        images = eye.project(np.array([[1.0, 0, 0], [1.0, 0, 1.0]]))
        np.testing.assert_allclose(images, [[420, 240], [320 + 600 / 7, 240]])
        assert eye.focal == pytest.approx(600)

    @pytest.mark.parametrize(("offset", "rate"), [(0.0, 1.0), (2.4, 1.0), (-0.5, 1.02)])
    def test_a_known_camera_is_recovered(self, camera, offset, rate):
        joints = jumper()
        truth = lens(camera, joints)
        num_frames, rng = 57, np.random.default_rng(1)
        frames = np.arange(num_frames)
        exact = truth.project(camera.at_steps(joints, offset + rate * frames))
        noisy = exact + rng.normal(0, 2, exact.shape)  # pixels
        wild = rng.uniform(size=noisy.shape[:2]) < 0.15
        noisy[wild] = rng.uniform(0, 500, (int(wild.sum()), 2))
        noisy[10] = np.nan
        noisy[20, :3] = np.nan
        fit = camera.fit_camera(views(camera, noisy, joints, num_frames))
        assert fit.offset == pytest.approx(offset, abs=0.4)
        assert fit.rate == pytest.approx(rate, abs=0.01)
        assert fit.camera.focal == pytest.approx(truth.focal, rel=0.2)
        turned = (
            Rotation.from_rotvec(fit.camera.rotation) * Rotation.from_rotvec(truth.rotation).inv()
        )
        assert np.degrees(turned.magnitude()) < 2
        # The frames that it was not fitted to.
        odd = frames[3:-3:2]
        odd = odd[odd % 2 == 1]
        away = np.linalg.norm(fit.project(joints, odd) - exact[odd], axis=-1)
        assert np.median(away) < 2
        assert 0.7 < fit.inliers < 0.95
        assert not fit.has_failed

    def test_a_focal_length_that_is_given_is_kept(self, camera):
        joints = jumper()
        exact = lens(camera, joints).project(joints)
        fit = camera.fit_camera(views(camera, exact, joints, 60), focal=960.0)
        assert fit.camera.focal == pytest.approx(960)
        assert fit.residual < 0.002

    def test_poses_of_something_else_fail(self, camera):
        joints = jumper()
        noise = np.random.default_rng(0).uniform(0, 500, (60, 12, 2))
        fit = camera.fit_camera(views(camera, noise, joints, 60))
        assert fit.has_failed

    def test_too_few_joints_give_no_fit(self, camera):
        joints = jumper()
        exact = lens(camera, joints).project(joints)
        exact[5:] = np.nan
        assert camera.fit_camera(views(camera, exact, joints, 60)) is None

    def test_frames_without_a_measured_step_have_no_joints(self, camera):
        joints = jumper(10)
        fit = camera.CameraFit(lens(camera, joints), -1.0, 1.0, 0.0, 1.0)
        images = fit.project(joints, np.arange(12))
        assert np.isnan(images).all(axis=(1, 2)).tolist() == [True, *[False] * 10, True]

    def test_clips_share_the_focal_length_and_failures_have_none(self, camera):
        joints = jumper()
        exact = lens(camera, joints).project(joints)
        noise = np.random.default_rng(0).uniform(0, 500, exact.shape)
        clips = {name: views(camera, points, joints, 60) for name, points in
                 (("a", exact), ("b", exact + 1), ("c", noise))}  # fmt: skip
        fits, focal = camera.fit_cameras(clips)
        assert fits["c"] is None
        assert focal == pytest.approx(960, rel=0.02)
        assert fits["a"].camera.focal == pytest.approx(focal)

    def test_steps_between_measured_ones_lie_between_them(self, camera):
        joints = np.arange(3.0)[:, None, None] * np.ones((3, 1, 3))
        steps = camera.at_steps(joints, np.array([-1, 0, 0.25, 1.5, 2, 7]))
        np.testing.assert_allclose(steps[:, 0, 0], [0, 0, 0.25, 1.5, 2, 2])


def test_parkour_is_scored_on_odd_frames(truths, camera):
    joints = np.full((60, 17, 3), np.nan)
    joints[:, 5:] = jumper()
    points = np.zeros((1, 57, 17, 2), np.float32)
    points[0, :, 5:] = lens(camera, joints[:, 5:]).project(joints[:57, 5:])
    sequence = make_sequence(
        1,
        57,
        keypoints=points,
        keypoint_scores=np.ones((1, 57, 17), np.float32),
        frame_inds=np.arange(57),
        img_shape=(576, 720),
    )
    found, fits, focal = truths.load_parkour({"a.mp4": joints}, [{"a.mp4": sequence}], seed=0)
    assert found["a.mp4"].frames.tolist() == list(range(1, 57, 2))
    np.testing.assert_allclose(found["a.mp4"].keypoints[:, 5:], points[0, 1::2, 5:], atol=1)
    assert abs(fits["a.mp4"].offset) < 0.1
    assert focal == pytest.approx(960, rel=0.05)


def test_hand_annotated_frames_are_measured_by_half_the_longest_torso_at_least(truths, tmp_path):
    def joints(torso):
        return {
            f"{side}_{part}": [x, y, 1]
            for side, x in (("left", 30), ("right", 10))
            for part, y in (("shoulder", 0), ("hip", torso))
        }

    entries = [
        {"video": "a.mp4", "frame": frame, "joints": joints(torso)}
        for frame, torso in ((3, 100), (4, 80), (9, 10))
    ]
    path = tmp_path / "joints.json"
    path.write_text(json.dumps({"frames": entries}))
    truth = truths.load_hand(path, {"a.mp4": make_sequence()})["a.mp4"]
    assert truth.frames.tolist() == [3, 4, 9]
    assert truth.torsos.tolist() == [100, 80, 50]
    assert np.isnan(truth.keypoints[:, 7]).all()


@pytest.mark.slow
def test_the_dive_runs_end_to_end_and_again_from_the_cache(bench, shared, tmp_path):
    options = [str(shared), "--set", "divers", "--effort", "fast", "--pose",
               "litehrnet18-coco-256x192", "--cache", str(tmp_path / "cache"),
               "--json", str(tmp_path / "figures.json")]  # fmt: skip
    first = CliRunner().invoke(bench.clips_command, options, catch_exceptions=False)
    assert first.exit_code == 0
    groups = json.loads((tmp_path / "figures.json").read_text())["sets"]["divers"]["models"]
    figures = groups["litehrnet18-coco-256x192, fast"]["all"]
    assert (figures["num_frames"], figures["num_joints"]) == (35, 420)
    assert figures["followed"]["value"] > 0.8
    assert 0.15 < figures["share"]["value"] < 0.9
    again = CliRunner().invoke(bench.clips_command, options, catch_exceptions=False)
    assert "diver1.mkv" in first.stderr
    assert "diver1.mkv" not in again.stderr
    assert again.stdout == first.stdout
