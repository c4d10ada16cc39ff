"""From skeletons to model input, worked out by hand; and the same for training and prediction."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from skeletons import make_annotations

from skelact import SkelactError
from skelact.pipeline.data.annotations import Annotation
from skelact.pipeline.data.clip_store import ClipStore
from skelact.pipeline.data.preprocess import (
    PreprocessConfig,
    clip_positions,
    normalize,
    preprocess,
    sample_steps,
)


def square(num_frames=1, side=200.0, corner=(100.0, 40.0)):
    """Return a clip whose joints lie on the four corners of a square, again and again."""
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32) * side + corner
    points = np.tile(corners, (5, 1))[:17]
    keypoints = np.repeat(points[None, None], num_frames, axis=1).astype(np.float32)
    return Annotation("square", 0, keypoints, np.ones((1, num_frames, 17), np.float32), (480, 640))


def test_the_clips_box_becomes_minus_one_to_one():
    out = normalize(square(), PreprocessConfig(num_person=1))
    assert out.shape == (1, 1, 17, 2)
    assert np.allclose(out[0, 0, :4], [[-1, -1], [1, -1], [-1, 1], [1, 1]])


def test_place_and_size_in_the_image_do_not_matter():
    config = PreprocessConfig(num_person=1)
    other = square(side=37.0, corner=(5.0, 300.0))
    assert np.allclose(normalize(square(), config), normalize(other, config), atol=1e-5)


def swinging(num_frames=40):
    """Return a clip of a person whose joints swing, each in its own way, (1, T, 17, 2) pixels."""
    rng = np.random.default_rng(3)
    rest = rng.uniform(0, 200, (17, 2))
    phase = np.linspace(0, 6, num_frames)[:, None, None]
    keypoints = rest + 20 * np.sin(phase + rng.uniform(0, 6, (17, 2)))
    scores = np.ones((1, num_frames, 17), np.float32)
    return Annotation("swing", 0, keypoints[None].astype(np.float32), scores, (480, 640))


def of_body(clip, num_person=1):
    config = PreprocessConfig(num_person=num_person, normalization="body", fill_missing="zero")
    return normalize(clip, config)


def test_in_the_frame_of_the_body_its_median_box_is_two_long():
    out = of_body(square(num_frames=3))
    assert np.allclose(out[0, :, :4], [[-1, -1], [1, -1], [-1, 1], [1, 1]])


def test_in_the_frame_of_the_body_neither_pans_nor_other_people_matter():
    clip = swinging()
    expected = of_body(clip)
    pan = np.linspace(0, 900, 40, dtype=np.float32)[:, None, None] * [1, 0]
    panned = dataclasses.replace(clip, keypoints=(clip.keypoints + pan).astype(np.float32))
    assert np.allclose(of_body(panned), expected, atol=1e-4)
    both = dataclasses.replace(
        clip,
        keypoints=np.concatenate([clip.keypoints, 5 * clip.keypoints + 2000]),
        keypoint_scores=np.repeat(clip.keypoint_scores, 2, axis=0),
    )
    assert np.allclose(of_body(both, num_person=2)[:1], expected, atol=1e-4)
    assert np.abs(of_body(both, num_person=2)[1]).max() > 5
    jumping = clip.keypoints.copy()
    jumping[0, 10:20, :, 1] -= 100
    jump = of_body(dataclasses.replace(clip, keypoints=jumping)) - expected
    assert np.allclose(jump[0, 12, :, 1], jump[0, 12, 0, 1], atol=1e-4)
    assert jump[0, 12, 0, 1] < -0.5


def test_in_the_frame_of_the_body_hidden_legs_move_nothing():
    clip = swinging()
    clip.keypoint_scores[0, 10:14, 11:] = 0
    clip.keypoint_scores[0, 20] = 0
    expected, out = of_body(swinging()), of_body(clip)
    assert np.abs(out - expected)[0, 10:14, :11].max() < 0.15
    assert not out[0, 10:14, 11:].any()
    assert not out[0, 20].any()


def test_in_the_frame_of_the_body_the_first_person_who_is_there_counts():
    clip = swinging()
    absent = dataclasses.replace(
        clip,
        keypoints=np.concatenate([0 * clip.keypoints, clip.keypoints]),
        keypoint_scores=np.concatenate([0 * clip.keypoint_scores, clip.keypoint_scores]),
    )
    out = of_body(absent, num_person=2)
    assert not out[0].any()
    assert np.allclose(out[1], of_body(clip)[0])
    assert not of_body(dataclasses.replace(clip, keypoint_scores=0 * clip.keypoint_scores)).any()


def test_image_normalization_is_pyskls():
    out = normalize(square(), PreprocessConfig(num_person=1, normalization="image"))
    assert np.allclose(out[0, 0, 0], [100 / 320 - 1, 40 / 240 - 1])


def test_image_normalization_needs_the_size():
    clip = square()
    clip = Annotation("a", 0, clip.keypoints, clip.keypoint_scores, None)
    with pytest.raises(SkelactError, match="has no img_shape"):
        normalize(clip, PreprocessConfig(normalization="image"))


def test_a_missing_joint_is_filled_over_time_and_its_score_stays_zero():
    clip = square(num_frames=5)
    clip.keypoints[0, :, 0, 0] = [100, 110, 120, 130, 140]
    clip.keypoint_scores[0, 1:3, 0] = 0
    clip.keypoints[0, 1:3, 0] = 7777
    filled = normalize(clip, PreprocessConfig(num_person=1, in_channels=3))
    steps = np.diff(filled[0, :, 0, 0])
    assert np.allclose(steps, steps[0])
    assert filled[0, :, 0, 2].tolist() == [1, 0, 0, 1, 1]
    zeros = normalize(clip, PreprocessConfig(num_person=1, fill_missing="zero"))
    assert (zeros[0, 1:3, 0] == 0).all()


def test_ignored_and_never_seen_joints_are_zero():
    clip = square(num_frames=3)
    clip.keypoint_scores[0, :, 5] = 0
    out = normalize(clip, PreprocessConfig(num_person=1, ignore_keypoints=("nose",)))
    assert (out[0, :, [0, 5]] == 0).all()
    assert (out[0, :, 1:5] != 0).any(axis=-1).all()


def test_absent_people_are_zero_and_surplus_ones_left_out():
    out = normalize(square(), PreprocessConfig(num_person=3))
    assert (out[1:] == 0).all()
    two = make_annotations(1, num_person=2)[0]
    assert normalize(two, PreprocessConfig(num_person=1)).shape[0] == 1


def test_one_outlier_does_not_set_the_scale():
    clip = make_annotations(1)[0]
    config = PreprocessConfig(num_person=1)
    before = normalize(clip, config)
    clip.keypoints[0, 3, 9] = 1e5
    after = normalize(clip, config)
    others = np.arange(17) != 9
    assert np.allclose(before[:, :, others], after[:, :, others], atol=0.1)


@pytest.mark.parametrize("num_frames", [0, 5])
def test_no_person_is_zeros(num_frames):
    empty = Annotation(
        "a", 0, np.zeros((0, num_frames, 17, 2)), np.zeros((0, num_frames, 17)), (9, 9)
    )
    out = preprocess(empty, PreprocessConfig(clip_len=8))
    assert out.shape == (1, 2, 8, 17, 2)
    assert (out == 0).all()


def test_frames_are_taken_from_the_middle_of_equal_spans():
    assert sample_steps(np.array([8]), 4).tolist() == [[1, 3, 5, 7]]
    # Three frames for six places: each twice, in order.
    assert sample_steps(np.array([3]), 6).tolist() == [[0, 0, 1, 1, 2, 2]]
    assert sample_steps(np.array([1]), 3).tolist() == [[0, 0, 0]]


def test_random_positions_stay_in_their_span():
    position = np.random.default_rng(0).random((50, 16))
    steps = sample_steps(np.full(50, 160), 16, position)
    assert (steps // 10 == np.arange(16)).all()
    assert len(np.unique(steps)) > 100


def test_positions_of_test_clips():
    assert clip_positions(1) == [0.5]
    assert clip_positions(2) == [0.25, 0.75]


@pytest.mark.parametrize("num_clips", [1, 3])
def test_training_evaluation_and_prediction_see_the_same_tensor(num_clips):
    """The store that training and evaluation read gives what preprocess gives for one clip."""
    annotations = make_annotations(3, num_person=2)
    config = PreprocessConfig(clip_len=16, in_channels=3)
    store = ClipStore(annotations, config)
    batch = store.test_batch(torch.arange(len(store)), torch.device("cpu"), num_clips).numpy()
    for i, annotation in enumerate(annotations):
        assert np.array_equal(batch[i], preprocess(annotation, config, num_clips))
    middle = store.batch(torch.arange(len(store)), torch.device("cpu")).numpy()
    for i, annotation in enumerate(annotations):
        assert np.array_equal(middle[i], preprocess(annotation, config)[0])


def test_a_clip_without_a_frame_has_a_place_in_the_store():
    empty = Annotation("a", 0, np.zeros((1, 0, 17, 2)), np.zeros((1, 0, 17)), None)
    store = ClipStore([empty, *make_annotations(1)], PreprocessConfig(clip_len=8))
    batch = store.batch(torch.tensor([1, 0]), torch.device("cpu"))
    assert (batch[1] == 0).all()
    assert (batch[0] != 0).any()


@pytest.mark.parametrize(
    "option",
    [{"clip_len": 0}, {"num_person": 0}, {"in_channels": 4}, {"ignore_keypoints": ("nos",)}],
)
def test_options_that_cannot_be(option):
    with pytest.raises(SkelactError, match=r"expected|has no keypoint"):
        PreprocessConfig(**option)


def test_another_number_of_keypoints_is_refused():
    clip = Annotation("a", 0, np.ones((1, 2, 25, 2)), np.ones((1, 2, 25)), None)
    with pytest.raises(SkelactError, match="expected 17 keypoints"):
        normalize(clip, PreprocessConfig())
