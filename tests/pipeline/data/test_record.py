"""Records of annotation files: what is padding, and each fault in words."""

from __future__ import annotations

import numpy as np
import pytest
from skeletons import make_clip

from skelact import SkelactError
from skelact.pipeline.data.annotations import Annotation
from skelact.pipeline.data.preprocess import PreprocessConfig, normalize
from skelact.pipeline.data.record import MAX_CLASSES, read_record, shown, whole_number


def record(**changes):
    made = {"frame_dir": "a", "label": 2, "keypoint": np.ones((1, 4, 17, 2), np.float16)} | changes
    return {name: value for name, value in made.items() if value is not ...}


def test_frames_from_total_frames_on_are_padding():
    """A clip of 30 frames in an array of 90, whose rest is zeros, or the last frame again."""
    clip = make_clip(1, seed=0, num_frames=30)
    short = normalize(Annotation(**read_record(record(keypoint=clip))), PreprocessConfig())
    for filler in (np.zeros_like(clip[:, :1]), clip[:, -1:]):
        padded = np.concatenate([clip, np.repeat(filler, 60, axis=1)], axis=1)
        scores = np.ones(padded.shape[:3], np.float32)
        fields = read_record(record(keypoint=padded, keypoint_score=scores, total_frames=30))
        assert fields["keypoints"].shape == (1, 30, 17, 2)
        assert fields["keypoint_scores"].shape == (1, 30, 17)
        np.testing.assert_array_equal(normalize(Annotation(**fields), PreprocessConfig()), short)


def test_a_joint_whose_score_is_not_finite_is_missing():
    scores = np.ones((1, 4, 17), np.float32)
    scores[0, 1, 2], scores[0, 2, 3] = np.nan, np.inf
    fields = read_record(record(keypoint_score=scores))
    assert np.isfinite(fields["keypoint_scores"]).all()
    assert (fields["keypoint_scores"] == 0).sum() == 2


def test_an_outlier_that_is_marked_as_missing_is_no_error():
    keypoints, scores = np.ones((1, 4, 17, 2), np.float32), np.ones((1, 4, 17), np.float32)
    keypoints[0, 0, 0], scores[0, 0, 0] = 1e30, 0
    assert read_record(record(keypoint=keypoints, keypoint_score=scores))["label"] == 2


@pytest.mark.parametrize("label", [3, 3.0, np.int64(3), np.uint8(3), np.array(3), np.float32(3)])
def test_whole_numbers_are_labels(label):
    assert read_record(record(label=label))["label"] == 3


def test_a_record_without_a_label_has_none():
    assert read_record(record(label=...))["label"] == -1
    assert read_record(record(label=-1))["label"] == -1


@pytest.mark.parametrize(
    ("label", "got"),
    [
        ("-1", "'-1'"),
        ("dive", "'dive'"),
        (-2, "-2"),
        (2.5, "2.5"),
        (float("nan"), "nan"),
        (True, "True"),
        (None, "None"),
        ([1, 2], r"\[1, 2\]"),
        (np.array([3]), r"an array of shape \(1,\) and dtype int64"),
        ({"dive": 1}, "{'dive': 1}"),
        (MAX_CLASSES, "100000"),
        (1 << 80, "1208925819614629174706176"),
    ],
)
def test_labels_that_cannot_be(label, got):
    with pytest.raises(ValueError, match=f"label: expected a class index, .*got {got}; a name"):
        read_record(record(label=label))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoint": ...}, r"no 'keypoint'; expected an array \(M, T, V, 2\)"),
        ({"keypoint": None}, "no 'keypoint'"),
        ({"keypoint": np.ones((4, 17, 2))}, r"keypoint: expected \(M, T, V, 2\), got \(4, 17, 2\)"),
        ({"keypoint": np.ones((1, 4, 17, 4))}, r"expected \(M, T, V, 2\), got \(1, 4, 17, 4\)"),
        ({"keypoint": np.ones((1, 4, 25, 3))}, "expected 17 COCO keypoints, got 25"),
        ({"keypoint": "a.npy"}, "keypoint: expected an array of numbers, got 'a.npy'"),
        ({"keypoint": np.ones((1, 4, 17, 2)).astype(str)}, "keypoint: expected an array of num"),
        ({"keypoint": np.ones((1, 4, 17, 2), bool)}, "keypoint: expected an array of numbers"),
        ({"keypoint": np.ones((1, 4, 17, 2), complex)}, "keypoint: expected an array of numbers"),
        ({"keypoint": np.full((1, 4, 17, 2), None)}, "keypoint: expected an array of numbers"),
        ({"keypoint": [[[1, 2]], [[1]]]}, "keypoint: expected an array of numbers"),
        ({"keypoint": np.full((1, 4, 17, 2), 1e30)}, "expected pixels of a frame, got .*1e.30"),
        ({"keypoint_score": np.ones((1, 3, 17))}, r"keypoint_score: expected \(1, 4, 17\)"),
        ({"keypoint_score": "high"}, "keypoint_score: expected an array of numbers, got 'high'"),
        ({"frame_dir": ...}, "no 'frame_dir'"),
        ({"frame_dir": ""}, "frame_dir: expected the name of the clip, got ''"),
        ({"frame_dir": ["a"]}, r"frame_dir: expected the name of the clip, got \['a'\]"),
        ({"total_frames": 5}, "total_frames: expected 0 to 4, the frames of 'keypoint', got 5"),
        ({"total_frames": -1}, "total_frames: expected 0 to 4"),
        ({"total_frames": 3.5}, "total_frames: expected 0 to 4.*got 3.5"),
        ({"total_frames": "3"}, "total_frames: expected 0 to 4.*got '3'"),
        ({"img_shape": (0, 320)}, r"img_shape: expected \(height, width\) in pixels, got \(0, 320"),
        ({"img_shape": (240, 320, 3)}, r"img_shape: expected \(height, width\)"),
        ({"img_shape": 240}, r"img_shape: expected \(height, width\) in pixels, got 240"),
        ({"img_shape": ("240", "320")}, r"img_shape: expected \(height, width\)"),
    ],
)
def test_records_that_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        read_record(record(**changes))


@pytest.mark.parametrize("value", [None, 3, "a", ["a"], np.ones(3)])
def test_a_record_that_is_no_dictionary(value):
    with pytest.raises(ValueError, match="expected a dictionary, got"):
        read_record(value)


def test_a_long_value_is_shown_short():
    assert len(shown(list(range(10**6)))) < 60
    assert len(shown("x" * 10**6)) < 60
    assert whole_number("3") is None


def test_image_coordinates_need_the_size_of_the_image():
    clip = Annotation(**read_record(record()))
    with pytest.raises(SkelactError, match="no img_shape"):
        normalize(clip, PreprocessConfig(normalization="image"))
