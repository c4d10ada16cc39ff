"""The athlete over a whole clip: real gymnastics, and the contract of an extraction."""

from __future__ import annotations

import json
import runpy

import cv2
import numpy as np
import pytest
from clips import BrightnessPose, OneWalker, write_clip

from skelact.pose_extract.decode.frames import VideoError
from skelact.pose_extract.decode.video import open_video
from skelact.pose_extract.extract import ExtractConfig, Extractor
from skelact.pose_extract.sources import ClipSource, find_sources
from skelact.pose_extract.store.npz import load_sequence, save_sequence
from skelact.pose_extract.track import athlete


@pytest.fixture(scope="module")
def gym(shared):
    return shared / "videos" / "gym"


def run(clips, **options):
    config = ExtractConfig(**({"effort": "balanced", "precision": "fp32"} | options))
    return list(Extractor(config).run(clips))


def coverage(gym, sequence, thr):
    truth = json.loads((gym / "athlete_gt.json").read_text())
    score = runpy.run_path(str(gym / "score.py"))["score"]
    boxes = {
        str(int(index)): [sequence.bboxes[0, step].tolist()]
        for step, index in enumerate(sequence.frame_inds)
        if sequence.is_present()[0, step]
    }
    stem = sequence.video_id.removesuffix(".mp4")
    truth["clips"] = {name: v for name, v in truth["clips"].items() if stem in name}
    return score(truth, {sequence.video_id: boxes}, thr, first=1)["coverage"]["overall"]


@pytest.mark.parametrize("name", ["bb", "ub"])
def test_a_gymnast_is_held_through_flight(gym, name):
    """On the bars the stock path finds her in about half of the frames."""
    path = gym / f"example_{name}_01_normal.mp4"
    sequence = run([ClipSource(path, path.name)])[0].sequence
    assert coverage(gym, sequence, 0.3)["coverage"] >= 0.95
    assert coverage(gym, sequence, 0.5)["coverage"] >= 0.7
    assert sequence.num_person <= 2


def test_after_a_cut_the_athlete_of_the_next_scene_is_held(gym, tmp_path):
    path = tmp_path / "two.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (480, 270))
    for name in ("fx", "ub"):
        with open_video(gym / f"example_{name}_01_normal.mp4") as reader:
            for batch in reader.batches(16):
                for frame in batch.frames:
                    writer.write(cv2.cvtColor(cv2.resize(frame, (480, 270)), cv2.COLOR_RGB2BGR))
    writer.release()
    sequence = run([ClipSource(path, "two.avi")])[0].sequence
    assert sequence.num_frames == 17 + 29
    held = sequence.is_present()[0]
    assert held[:17].mean() > 0.8
    assert held[17:].mean() > 0.8


def test_a_run_repeats_itself_and_the_batch_changes_rounding_alone(gym, tmp_path, monkeypatch):
    path = gym / "example_fx_01_normal.mp4"
    first = run([ClipSource(path, "a")])[0].sequence
    again = run([ClipSource(path, "a")])[0].sequence
    for sequence, name in ((first, "1.npz"), (again, "2.npz")):
        save_sequence(tmp_path / name, sequence, {})
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()
    other = run([ClipSource(path, "a")], batch_size=5)[0].sequence
    assert np.abs(first.keypoints - other.keypoints).max() < 0.5
    # A box follows the pose in it for a fifth: what rounding does to keypoints, and no more.
    assert np.abs(first.bboxes - other.bboxes).max() < 0.2 * 1.25 * 0.5
    assert np.array_equal(load_sequence(tmp_path / "1.npz").bboxes, first.bboxes)
    # Where it was found is the same to the last bit.
    monkeypatch.setitem(athlete.KEYPOINT_BOXES, "share", 0.0)
    found, other = (run([ClipSource(path, "a")], batch_size=n)[0].sequence for n in (16, 5))
    assert np.array_equal(found.bboxes, other.bboxes)


def test_boxes_follow_the_poses_in_them_and_stay_in_the_frame(gym, monkeypatch):
    clip = ClipSource(gym / "example_fx_01_normal.mp4", "a", end_frame=16)
    moved = run([clip])[0].sequence
    assert (
        Extractor(ExtractConfig()).identity()["tracker"]["keypoint_boxes"] == athlete.KEYPOINT_BOXES
    )
    monkeypatch.setitem(athlete.KEYPOINT_BOXES, "share", 0.0)
    found = run([clip])[0].sequence
    assert np.array_equal(found.keypoints, moved.keypoints)  # looked at before they move
    there = found.bboxes[0].any(axis=-1)
    assert np.array_equal(moved.bboxes[0].any(axis=-1), there)
    points = found.keypoints[0, there]
    extents = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=-1)
    reach = 0.125 * (extents[:, 2:] - extents[:, :2])
    extents += np.concatenate([-reach, reach], axis=-1)
    height, width = found.img_shape
    expected = (0.8 * found.bboxes[0, there] + 0.2 * extents).clip(0, [width, height] * 2)
    assert np.allclose(moved.bboxes[0, there], expected, atol=1e-2)


class SidesPose(BrightnessPose):
    """Sees a person from the front; knows the sides in the last frames, elsewhere mistakes them."""

    num_mistaken = 24

    def predict_with_sides(self, crops):
        points, scores, margins = super().predict_with_sides(crops)
        frames = points[:, 0, 0] / 5
        points[..., 0] = crops.centers[:, :1]
        points[:, :5, 1] -= 10
        points[:, 15:, 1] += 20
        is_right = frames > self.num_mistaken - 0.5
        points[:, 5::2, 0] += np.where(is_right, 5, -5)[:, None]
        points[:, 6::2, 0] -= np.where(is_right, 5, -5)[:, None]
        margins[:] = np.where(is_right, 0.5, 0.05)[:, None]
        return points, scores, margins


def test_what_the_pose_model_knows_of_the_sides_reaches_the_track(tmp_path):
    """Most frames are wrong: by smoothness alone the others would be exchanged."""
    path = write_clip(tmp_path / "a.mp4")
    # Key frames and those in between take different ways.
    for effort in ("balanced", "thorough"):
        config = ExtractConfig(effort=effort, num_person=1)
        extractor = Extractor(config, detector=OneWalker(), pose=SidesPose())
        (result,) = extractor.run([ClipSource(path, "a")])
        assert result.error is None
        points = result.sequence.keypoints[0]
        assert (points[:, 5, 0] > points[:, 6, 0]).all()
        assert (points[:, 15, 0] > points[:, 16, 0]).all()
        assert result.facts["swaps_mended"] == 2 * SidesPose.num_mistaken


class LostWristPose(BrightnessPose):
    """Finds the left wrist far away, with a low score, in frame 20 alone."""

    def predict(self, crops):
        points, scores = super().predict(crops)
        is_lost = np.abs(points[:, 0, 0] / 5 - 20) < 0.5
        points[..., 0] = crops.centers[:, :1]
        points[is_lost, 9, 0] += 30
        scores[is_lost, 9] = 0.1
        return points, scores


def test_a_joint_that_is_lost_in_one_frame_is_put_back(tmp_path):
    path = write_clip(tmp_path / "a.mp4")
    config = ExtractConfig(num_person=1)
    extractor = Extractor(config, detector=OneWalker(), pose=LostWristPose())
    (result,) = extractor.run([ClipSource(path, "a")])
    points, scores = result.sequence.keypoints[0], result.sequence.keypoint_scores[0]
    assert abs(points[20, 9, 0] - points[20, 10, 0]) < 1
    assert scores[20, 9] == np.float32(0.1)


def test_a_cut_and_given_boxes(gym, tmp_path):
    path = gym / "example_fx_01_normal.mp4"
    boxes = {str(i): [[100 + i, 60, 160 + i, 220]] for i in range(4, 12)}
    (tmp_path / "boxes.json").write_text(json.dumps({path.stem: boxes}))
    clip = ClipSource(path, path.name, start_frame=2, end_frame=14)
    sequence = run([clip], boxes=tmp_path / "boxes.json")[0].sequence
    assert sequence.frame_inds.tolist() == list(range(2, 14))
    assert np.flatnonzero(sequence.bboxes[0].any(axis=-1)).tolist() == list(range(2, 10))
    assert sequence.bboxes[0, 2].tolist() == [104, 60, 164, 220]


def test_a_broken_clip_fails_alone_and_no_person_is_data(shared, tmp_path):
    (tmp_path / "a.mp4").write_text("not a video")
    odd = shared / "videos" / "odd" / "torchcodec_testsrc2_mpeg4.mp4"
    (tmp_path / "b.mp4").symlink_to(odd)
    broken, empty = run(find_sources([tmp_path]))
    assert isinstance(broken.error, VideoError)
    assert empty.error is None
    assert empty.sequence.num_frames == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"effort": "hard"}, "expected one of fast, balanced, thorough"),
        ({"subject": "judge"}, "athlete, largest"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        ExtractConfig(**options)
