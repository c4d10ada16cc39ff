"""The chain from video to skeletons, with a detector and a pose net whose answers are known."""

import numpy as np
import pytest
from clips import BOX, FPS, BrightnessPose, OneWalker, write_clip

from skelact import SkelactError
from skelact.pose_extract.decode.frames import VideoError
from skelact.pose_extract.extract import ExtractConfig, Extractor
from skelact.pose_extract.sources import ClipSource


def run(clips, detector=None, pose=None, **config):
    extractor = Extractor(
        ExtractConfig(effort="fast", **config),
        detector=detector or OneWalker(),
        pose=pose or BrightnessPose(),
    )
    return list(extractor.run(clips))


@pytest.fixture
def clip(tmp_path):
    return ClipSource(write_clip(tmp_path / "walk.mp4"), "walk.mp4")


def test_each_frame_gets_its_own_person(clip):
    (result,) = run([clip])
    sequence = result.sequence
    assert result.error is None
    assert sequence.keypoints.shape == (1, 40, 17, 2)
    assert sequence.fps == FPS
    assert sequence.img_shape == (96, 128)
    assert sequence.frame_inds.tolist() == list(range(40))
    np.testing.assert_allclose(sequence.keypoints[0, :, 0, 0], 5 * np.arange(40), atol=3)
    np.testing.assert_allclose(sequence.keypoints[0, :, 0, 1], 20 + np.arange(40))
    np.testing.assert_allclose(sequence.bboxes[0, 7], BOX + np.array([7, 0, 7, 0]))


def test_empty_frames_stay_in_their_place(clip):
    absent = {0, 1, 10, 11, 12, 39}
    (result,) = run([clip], OneWalker(absent))
    present = result.sequence.is_present()[0]
    assert set(np.flatnonzero(~present).tolist()) == absent
    assert (result.sequence.keypoints[0, sorted(absent)] == 0).all()
    np.testing.assert_allclose(result.sequence.keypoints[0, 13, 0, 0], 65, atol=3)


def test_a_clip_without_people_is_data(clip):
    pose = BrightnessPose()
    (result,) = run([clip], OneWalker(range(40)), pose)
    assert result.error is None
    assert result.sequence.keypoints.shape == (0, 40, 17, 2)
    assert pose.batch_sizes == []  # the pose net was never asked to invent anyone


def test_batches_span_clips_and_keep_one_shape(tmp_path):
    clips = [ClipSource(write_clip(tmp_path / f"{n}.mp4", n), f"{n}.mp4") for n in (5, 7, 9)]
    pose = BrightnessPose()
    results = run(clips, pose=pose, batch_size=16)
    assert pose.batch_sizes == [16, 16]  # 21 people, the last batch filled up
    assert [r.clip.clip_id for r in results] == ["5.mp4", "7.mp4", "9.mp4"]
    for result, n in zip(results, (5, 7, 9)):
        np.testing.assert_allclose(result.sequence.keypoints[0, :, 0, 0], 5 * np.arange(n), atol=3)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batch_size_changes_nothing(clip, batch_size):
    (one,) = run([clip], batch_size=16)
    (other,) = run([clip], batch_size=batch_size)
    np.testing.assert_array_equal(one.sequence.keypoints, other.sequence.keypoints)
    np.testing.assert_array_equal(one.sequence.bboxes, other.sequence.bboxes)


def test_a_broken_video_fails_alone(tmp_path, clip):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    results = run([clip, ClipSource(broken, "broken.mp4"), clip])
    assert [r.error is None for r in results] == [True, False, True]
    assert isinstance(results[1].error, VideoError)
    assert results[1].sequence is None


def test_a_pose_net_that_fails_fails_the_clips_in_its_batch(tmp_path):
    clips = [ClipSource(write_clip(tmp_path / f"{n}.mp4", n), f"{n}.mp4") for n in (4, 40)]
    # Frames 24 and later are brighter than 120: the second batch of clip 2 fails.
    results = run(clips, pose=BrightnessPose(fail_above=120), batch_size=16)
    assert results[0].error is None
    assert "out of memory" in str(results[1].error)


def test_a_cut_keeps_the_frame_numbers_of_the_file(clip):
    cut = ClipSource(clip.path, "walk.mp4@f10-20", start_frame=10, end_frame=20)
    (whole,), (part,) = run([clip]), run([cut])
    assert part.sequence.frame_inds.tolist() == list(range(10, 20))
    np.testing.assert_array_equal(part.sequence.keypoints, whole.sequence.keypoints[:, 10:20])


def test_progress_counts_frames_and_people(clip):
    seen = []
    extractor = Extractor(
        ExtractConfig(effort="fast", batch_size=8), detector=OneWalker(), pose=BrightnessPose()
    )
    list(extractor.run([clip], seen.append))
    assert [p.frames_done for p in seen] == [16, 32, 40]
    assert {p.frames_total for p in seen} == {40}
    assert seen[-1].people_done == 40


@pytest.mark.parametrize(
    ("option", "value"), [("num_person", 0), ("det_score_thr", 1.5), ("batch_size", -1)]
)
def test_options_that_cannot_be_are_refused(option, value):
    with pytest.raises(ValueError, match=option):
        ExtractConfig(**{option: value})


def test_an_unknown_detector_is_an_error_before_any_video_is_read():
    with pytest.raises(SkelactError, match="rtmdet-nano"):
        Extractor(ExtractConfig(detector="rtmdet-pico"))
