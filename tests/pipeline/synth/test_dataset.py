"""The synthetic diving set: projected, with pose errors, written, equal for equal seeds."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from skelact import SkelactError
from skelact.pipeline.cli.main import main
from skelact.pipeline.data.annotations import load_annotations
from skelact.pipeline.elements.element import Element
from skelact.pipeline.synth.dataset import (
    SynthConfig,
    film_dives,
    make_dives,
    write_diving,
)
from skelact.pipeline.synth.sheet import draw_sheet
from skelact.pose_extract.layout import COCO_17

DIVES = [Element.from_dive_number("105C"), Element.from_dive_number("5233D")] * 20


def film(noise, seed=0):
    return film_dives(DIVES, np.random.default_rng(seed), SynthConfig(noise=noise))


def test_exact_poses_are_complete_until_the_water():
    middles, early = [], []
    for clip in film(0.0):
        _, total, joints, _ = clip.keypoints.shape
        assert joints == 17
        # Flights of 1 to 2 seconds, .15 to 1 second around them, at 24 to 60 frames per second.
        assert 1.15 * 24 <= total <= 3 * 60
        seen = clip.keypoint_scores[0] > 0
        # Above the water joints are missing only where they leave the image.
        early.append(seen[: total // 2].mean())
        assert not seen[-1].all()
        middles.append(np.median(clip.keypoints[0][seen], axis=0) / clip.img_shape[::-1])
    assert np.median(early) == 1
    # Some cameras stand still or lag; most hold the diver in the middle.
    assert np.median(middles, axis=0) == pytest.approx([0.5, 0.5], abs=0.15)


def test_the_same_seed_films_the_same():
    for one, two in zip(film(1.0), film(1.0)):
        np.testing.assert_array_equal(one.keypoints, two.keypoints)
        np.testing.assert_array_equal(one.keypoint_scores, two.keypoint_scores)
    assert not np.array_equal(film(1.0)[0].keypoints, film(1.0, seed=1)[0].keypoints)


def test_errors_like_those_of_a_pose_model():
    """Joints jitter, some frames are lost, and some joints have a low score."""
    clips = film(1.0)
    lost = np.concatenate([~(c.keypoint_scores[0, :-9] > 0).any(axis=1) for c in clips])
    assert 0.002 < lost.mean() < 0.1
    scores = np.concatenate([c.keypoint_scores[0, : len(c.keypoint_scores[0]) // 2] for c in clips])
    seen = scores[scores > 0]
    assert 0.6 < np.median(seen) < 0.95
    # Between those of people at rest and in flight: `benchmarks/pose_errors.py compare`.
    assert 0.08 < (seen < 0.4).mean() < 0.34

    def jitter(clip):
        points = clip.keypoints[0, :, [5, 6, 11, 12]].astype(float)
        return np.abs(np.diff(points, n=2, axis=1)).max(axis=-1)

    calm = np.mean([np.median(jitter(clip)) for clip in film(0.0)])
    assert np.mean([np.median(jitter(clip)) for clip in clips]) > 1.1 * calm


def test_sides_are_swapped_in_some_frames():
    """An ankle that is nearer to the other ankle's exact position is swapped."""
    left, right = COCO_17.index("left_ankle"), COCO_17.index("right_ankle")
    share = []
    for clip, exact in zip(film(0.5), film(0.0)):
        if clip.keypoints.shape != exact.keypoints.shape:
            continue
        apart = np.linalg.norm(exact.keypoints[0, :, left] - exact.keypoints[0, :, right], axis=-1)
        to_left = np.linalg.norm(clip.keypoints[0, :, left] - exact.keypoints[0, :, left], axis=-1)
        to_right = np.linalg.norm(
            clip.keypoints[0, :, left] - exact.keypoints[0, :, right], axis=-1
        )
        seen = clip.keypoint_scores[0, :, left] > 0.5
        share.append((to_right < to_left)[seen & (apart > 15)].mean() if (seen & (apart > 15)).any()
                     else 0)  # fmt: skip
    assert 0.001 < np.mean(share) < 0.15


def test_a_larger_split_begins_with_the_smaller_one():
    few, many = list(make_dives("train", 40)), list(make_dives("train", 300))
    for one, two in zip(few, many):
        assert (one.frame_dir, one.label) == (two.frame_dir, two.label)
        np.testing.assert_array_equal(one.keypoints, two.keypoints)
    assert len({clip.frame_dir for clip in many}) == 300
    other = next(make_dives("val", 1))
    assert not np.array_equal(other.keypoints, few[0].keypoints)


def test_the_command_writes_a_file_that_training_reads(tmp_path):
    out = tmp_path / "diving.pkl"
    arguments = [
        "synth",
        "diving",
        "--out",
        str(out),
        "--train",
        "96",
        "--val",
        "48",
        "--test",
        "1",
    ]
    result = CliRunner().invoke(main, [*arguments, "--sheet", str(tmp_path / "dives.png")])
    assert result.exit_code == 0, result.output
    assert "145 synthetic dives of 48 classes" in result.output
    data = load_annotations(out)
    assert {name: len(clips) for name, clips in data.splits.items()} == {
        "train": 96, "val": 48, "test": 1,
    }  # fmt: skip
    assert np.bincount([clip.label for clip in data.select("train")]).tolist() == [2] * 48
    assert data.label_names[28] == "Forward 45som NoTwis TUCK"
    assert cv2.imread(str(tmp_path / "dives.png")).shape == (6 * 130, 12 * 130, 3)


def test_what_cannot_be_made(tmp_path):
    with pytest.raises(SkelactError, match="noise: expected 0 to 5"):
        SynthConfig(noise=-1)
    with pytest.raises(SkelactError, match="split 'val': expected at least 1 clip"):
        write_diving(tmp_path / "x.pkl", {"train": 1, "val": 0})
    with pytest.raises(SkelactError, match=r"expected the name of an image file"):
        draw_sheet(tmp_path / "dives.txt", ["Forward 1som NoTwis PIKE"])
