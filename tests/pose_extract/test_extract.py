"""The chain from video to skeletons, with a detector and a pose model whose answers are known."""

import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import BOX, FPS, BrightnessPose, OneWalker, write_clip

from skelact import SkelactError
from skelact.pose_extract.decode.frames import DecoderKilledError, VideoError
from skelact.pose_extract.decode.process import DecodeProcess
from skelact.pose_extract.effort import EFFORTS, EffortConfig, effort_table
from skelact.pose_extract.extract import ExtractConfig, Extractor, candidate_detector
from skelact.pose_extract.nets.inference_client import InferenceLostError
from skelact.pose_extract.pose.estimator import PoseEstimator
from skelact.pose_extract.sources import ClipSource
from skelact.pose_extract.weights.download import locate_weights
from skelact.pose_extract.weights.table import DEFAULT_POSE


def run(clips, detector=None, pose=None, **config):
    extractor = Extractor(
        ExtractConfig(**({"effort": "fast"} | config)),
        detector=detector or OneWalker(),
        pose=pose or BrightnessPose(),
    )
    return list(extractor.run(clips))


@pytest.fixture
def clip(tmp_path):
    return ClipSource(write_clip(tmp_path / "walk.mp4"), "walk.mp4")


def moved(box, brightness, x):
    """Return a box, moved by a fifth to its keypoints, which reach an eighth beyond themselves."""
    low, high = np.array([brightness, x - 5]), np.array([brightness, x + 5])
    reach = 0.125 * (high - low)
    box = 0.8 * box + 0.2 * np.concatenate([low - reach, high + reach])
    return box.clip(0, [128, 96, 128, 96])


@pytest.mark.parametrize("effort", EFFORTS)
def test_each_frame_gets_its_own_person(clip, effort):
    (result,) = run([clip], effort=effort)
    sequence = result.sequence
    assert result.error is None
    assert sequence.keypoints.shape == (1, 40, 17, 2)
    assert sequence.fps == FPS
    assert sequence.img_shape == (96, 128)
    assert sequence.frame_inds.tolist() == list(range(40))
    np.testing.assert_allclose(sequence.keypoints[0, :, 0, 0], 5 * np.arange(40), atol=3)
    # The middle of the box, which moves by a pixel a frame. Beyond the last candidate frame, 38, a
    # box is held.
    middles = 40 + np.minimum(np.arange(40), 38)
    if effort != "thorough":  # which crops again along the body that it found
        np.testing.assert_allclose(sequence.keypoints[0, :, 0, 1], middles, atol=1)
        expected = moved(BOX + np.array([7, 0, 7, 0]), 35, 47)
        np.testing.assert_allclose(sequence.bboxes[0, 7], expected, atol=1.5)


def test_frames_without_the_person_stay_in_their_place(clip):
    absent = {0, 1, 2, 3, *range(32, 40)}
    (result,) = run([clip], OneWalker(absent))
    present = result.sequence.is_present()[0]
    # Candidates come from every second frame; the box of frame 30 is held until 32.
    assert np.flatnonzero(present).tolist() == list(range(4, 32))
    assert (result.sequence.keypoints[0, ~present] == 0).all()
    np.testing.assert_allclose(result.sequence.keypoints[0, 13, 0, 0], 65, atol=3)


def test_a_clip_without_people_is_data(clip):
    pose = BrightnessPose()
    (result,) = run([clip], OneWalker(range(40)), pose)
    assert result.error is None
    assert result.sequence.keypoints.shape == (0, 40, 17, 2)
    assert pose.batch_sizes == []  # the pose model was never asked to invent anyone


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


@pytest.mark.parametrize("times", [1, 2])
def test_a_clip_whose_decoder_is_killed_is_tried_once_more(clip, monkeypatch, times):
    whole = run([clip])[0].sequence
    next_batch, killed = DecodeProcess.next_batch, []

    def with_kill(process, *arguments):
        if len(killed) < times:
            killed.append(process.pid)
            os.kill(process.pid, signal.SIGKILL)
        return next_batch(process, *arguments)

    monkeypatch.setattr(DecodeProcess, "next_batch", with_kill)
    (result,) = run([clip])
    assert len(killed) == times
    if times == 1:
        np.testing.assert_array_equal(result.sequence.keypoints, whole.keypoints)
    else:
        assert isinstance(result.error, DecoderKilledError)


def test_a_pose_model_that_fails_fails_its_clip_alone(tmp_path):
    clips = [ClipSource(write_clip(tmp_path / f"{n}.mp4", n), f"{n}.mp4") for n in (40, 4)]
    # Frames 24 and later are brighter than 120.
    results = run(clips, pose=BrightnessPose(fail_above=120), batch_size=16)
    assert "out of memory" in str(results[0].error)
    assert results[0].sequence is None
    assert results[1].error is None


def test_a_gpu_that_fails_ends_the_run(tmp_path, monkeypatch):
    """No clip after it could be extracted by this process."""
    pose = BrightnessPose()

    def fails(crops):
        raise torch.AcceleratorError("CUDA error: device-side assert triggered\nCompile with ...")

    monkeypatch.setattr(pose, "predict", fails)
    clips = [ClipSource(write_clip(tmp_path / f"{n}.mp4", n), f"{n}.mp4") for n in (4, 5)]
    with pytest.raises(InferenceLostError, match="the GPU fails: .*the same command goes on"):
        run(clips, pose=pose)


def test_a_cut_keeps_the_frame_numbers_of_the_file(clip):
    cut = ClipSource(clip.path, "walk.mp4@f10-20", start_frame=10, end_frame=20)
    (whole,), (part,) = run([clip]), run([cut])
    assert part.sequence.frame_inds.tolist() == list(range(10, 20))
    # The last box of the cut is held: no candidate frame follows.
    np.testing.assert_array_equal(
        part.sequence.keypoints[:, :9], whole.sequence.keypoints[:, 10:19]
    )


def test_progress_counts_frames_and_crops(clip):
    seen = []
    extractor = Extractor(
        ExtractConfig(effort="fast", batch_size=8), detector=OneWalker(), pose=BrightnessPose()
    )
    list(extractor.run([clip], seen.append))
    # Each frame is read twice and counts half each time.
    assert [p.frames_done for p in seen] == [8, 16, 20, 28, 36, 40]
    assert {p.frames_total for p in seen} == {40}
    assert [p.people_done for p in seen] == [0, 0, 0, 16, 32, 40]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("num_person", 0),
        ("max_det", 0),
        ("det_score_thr", 1.5),
        ("det_score_thr", float("nan")),
        ("batch_size", -1),
        ("num_threads", -1),
        ("effort", 3),
        ("effort", None),
        ("decoder", "ffmpeg"),
        ("precision", ["fp32"]),
    ],
)
def test_options_that_cannot_be_are_refused(option, value):
    with pytest.raises(ValueError, match=f"^{option}: expected "):
        ExtractConfig(**{option: value})


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("max_det", 1.5, "a whole number or None"),
        ("num_person", "2", "a whole number or None"),
        ("num_person", True, "a whole number or None"),
        ("batch_size", None, "a whole number"),
        ("det_score_thr", "0.5", "a number or None"),
        ("subject", None, "text"),
        ("detector", None, "text"),
        ("device", 0, "text"),
        ("pose_checkpoint", b"a.pth", "text or None"),
        ("boxes", {}, "text or a path or None"),
        ("smooth", 1, "True or False"),
    ],
)
def test_options_of_another_type_are_refused(option, value, expected):
    """At the call, not as the fault of the first clip."""
    with pytest.raises(TypeError, match=f"^{option}: expected {expected}, got {value!r}$"):
        ExtractConfig(**{option: value})


def test_numbers_of_numpy_are_numbers():
    config = ExtractConfig(
        num_person=np.int64(3), det_score_thr=np.float32(0.5), smooth=np.bool_(True), max_det=4
    )
    assert (config.num_person, config.det_score_thr, config.smooth) == (3, 0.5, True)
    assert [type(v) for v in (config.num_person, config.det_score_thr)] == [int, float]
    assert ExtractConfig(det_score_thr=0).det_score_thr == 0.0


def test_a_config_of_another_type_is_refused():
    for config in ({}, {"effort": "fast"}, "fast"):
        with pytest.raises(TypeError, match="config: expected an ExtractConfig or None, got"):
            Extractor(config)


def test_what_the_caller_s_progress_raises_ends_the_run(clip):
    def stop(progress):
        raise ZeroDivisionError("stopped by the caller")

    extractor = Extractor(ExtractConfig(effort="fast"), detector=OneWalker(), pose=BrightnessPose())
    with pytest.raises(ZeroDivisionError, match="stopped by the caller"):
        list(extractor.run([clip, clip], stop))


@pytest.mark.parametrize("given", [{"detector": "whole-frame"}, {"boxes": "boxes.json"}])
@pytest.mark.parametrize("option", [{"det_score_thr": 0.5}, {"max_det": 3}])
def test_options_of_a_detector_without_one_are_refused(given, option):
    with pytest.raises(ValueError, match=f"{next(iter(option))}: expected a detector"):
        ExtractConfig(**given, **option)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"boxes": "boxes.json", "detector": "rtmdet-nano"}, "detector: expected none with boxes"),
        ({"detector": "whole-frame", "num_person": 3}, "num_person: expected none"),
        ({"subject": "nan,0,5,5"}, "subject: expected x1 < x2"),
    ],
)
def test_options_that_would_do_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ExtractConfig(**options)


def test_weights_of_a_network_that_has_its_own_are_refused():
    with pytest.raises(SkelactError, match="expected no --pose-checkpoint"):
        Extractor(ExtractConfig(pose=DEFAULT_POSE, pose_checkpoint="other.pth"))


def test_networks_may_be_paths(repository):
    folder = repository / "models" / "pretrained"
    config = ExtractConfig(
        detector=folder / "skelact_detector_320.json",
        pose=folder / "skelact_litehrnet18_256x192.json",
    )
    assert config.detector == str(folder / "skelact_detector_320.json")
    identity = Extractor(config).identity()
    named = Extractor(ExtractConfig(detector="skelact-detector-320", pose=DEFAULT_POSE)).identity()
    ours, theirs = (i["detector"]["detectors"][0]["sha256"] for i in (identity, named))
    assert ours == theirs
    assert identity["pose"]["weights"] == named["pose"]["weights"]


def test_the_pose_model_that_ships_is_the_default_also_where_others_are(shared, caplog):
    assert locate_weights("litehrnet18-coco-256x192")
    chosen = Extractor(ExtractConfig(detector="skelact-detector-320")).identity()["pose"]
    assert chosen == PoseEstimator("skelact-litehrnet18-256x192").identity()
    assert not caplog.text


def test_thresholds_of_candidates_reach_the_detector():
    config = ExtractConfig(detector="skelact-detector-320", det_score_thr=0.4, max_det=3)
    identity = candidate_detector(config).identity()
    assert identity["max_candidates"] == 3
    assert [part["score_thr"] for part in identity["detectors"]] == [0.4]


def test_how_many_people_are_kept():
    assert ExtractConfig().max_person == 2
    assert ExtractConfig(subject="all").max_person == 16
    assert ExtractConfig(subject="all", num_person=3).max_person == 3


def test_what_shapes_no_result_is_no_part_of_the_identity():
    def identity(**options):
        return Extractor(ExtractConfig(**options)).identity()

    assert identity() == identity(batch_size=3, num_threads=1, device="cpu")
    assert identity(num_person=2) == identity()
    assert identity(max_det=15, det_score_thr=0.08) == identity()
    # No person comes after the athlete: how others are posed plays no part.
    assert "others" not in identity(num_person=1)["tracker"]["orientation"]
    changed = ({"subject": "centre"}, {"effort": "fast"}, {"smooth": True}, {"num_person": 1})
    for options in changed:
        assert identity(**options) != identity()


def test_the_efforts_are_a_table_of_data():
    header, *rows = effort_table()
    assert header == ("setting", "fast", "balanced", "thorough")
    assert {row[0] for row in rows} == set(EffortConfig.__dataclass_fields__)
    cells = {row[0]: row[1:] for row in rows}
    assert cells["rotations"] == ("0", "0, 90, 180, 270", "0, 90, 180, 270")
    assert cells["views_per_second"] == ("12.5", "12.5", "all")
    design = Path(__file__).parents[2] / "docs" / "design.md"
    in_docs = [re.split(r"\s{2,}", line.strip()) for line in design.read_text().splitlines()]
    for row in effort_table():
        assert list(row) in in_docs, f"docs/design.md: expected the row {row}"


def test_an_unknown_detector_is_an_error_before_any_video_is_read():
    with pytest.raises(SkelactError, match="rtmdet-nano"):
        Extractor(ExtractConfig(detector="rtmdet-pico"))
