"""Camera motion, cuts and what moves, on images whose answer is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from skelact.pose_extract.common.geometry import pairwise_iou
from skelact.pose_extract.track.camera_motion import CueReader
from skelact.pose_extract.track.candidates import FrameCandidates
from skelact.pose_extract.track.path_search import PathConfig, find_tracks

_RNG = np.random.default_rng(0)
# A hall: smooth texture with corners everywhere.
HALL = cv2.GaussianBlur(_RNG.integers(0, 255, (400, 700, 3), dtype=np.uint8), (0, 0), 3)
HALL = cv2.normalize(HALL, None, 0, 255, cv2.NORM_MINMAX)
OTHER = 255 - cv2.GaussianBlur(_RNG.integers(0, 90, (400, 700, 3), dtype=np.uint8), (0, 0), 3)


def read(frames):
    reader = CueReader()
    cues = [reader.add(frame) for frame in frames]
    assert cues[0] is None
    return [*cues[1:], reader.finish()]


def view(x, y=50, scene=HALL, athlete=None):
    frame = scene[y : y + 240, x : x + 320].copy()
    if athlete is not None:
        cv2.rectangle(frame, (athlete, 100), (athlete + 30, 170), (230, 30, 140), -1)
    return frame


def test_a_panning_camera_is_measured():
    # The camera goes 6 px to the right per frame, so the hall goes 6 px to the left.
    cues = read([view(50 + 6 * i) for i in range(5)])
    for cue in cues[1:]:
        assert cue.from_previous[:, 2] == pytest.approx([-6, 0], abs=0.5)
        assert cue.from_previous[:, :2] == pytest.approx(np.eye(2), abs=0.01)
        assert not cue.is_cut


@pytest.mark.parametrize("factor", [1, 3])
def test_the_athlete_moves_and_the_hall_does_not(factor):
    frames = [view(50 + 6 * i, athlete=100 + 14 * i) for i in range(5)]
    frames = [cv2.resize(frame, None, fx=factor, fy=factor) for frame in frames]
    cues = read(frames)
    for i in range(1, 4):
        boxes = np.array([[100 + 14 * i, 100, 130 + 14 * i, 170], [10, 20, 40, 90]], np.float32)
        athlete, hall = cues[i].motion_in(boxes * factor)
        assert athlete > 2
        assert athlete > 4 * hall
        assert cues[i].from_previous[0, 2] == pytest.approx(-6 * factor, abs=1.0 * factor)


@pytest.mark.parametrize("factor", [1, 3])
def test_a_box_of_half_a_moving_body_is_widened_to_the_whole(factor):
    frames = [view(50 + 6 * i, athlete=100 + 14 * i) for i in range(5)]
    frames = [cv2.resize(frame, None, fx=factor, fy=factor) for frame in frames]
    cues = read(frames)[2]
    whole = np.array([128, 100, 158, 170.0])
    upper, hall = np.array([128, 100, 158, 150.0]), np.array([10.25, 20, 40, 90])
    boxes = np.stack([upper, hall, whole]).astype(np.float32) * factor
    widened = cues.widened(boxes)
    assert pairwise_iou(widened[:1], boxes[2:])[0, 0] > 0.8
    assert pairwise_iou(boxes[:1], boxes[2:])[0, 0] < 0.75
    assert np.array_equal(widened[1], boxes[1])
    assert pairwise_iou(widened[2:], boxes[2:])[0, 0] > 0.75
    assert cues.widened(np.zeros((0, 4), np.float32)).shape == (0, 4)


def test_what_moves_most_is_a_region_of_its_own():
    frames = [view(50 + 6 * i, athlete=100 + 14 * i) for i in range(5)]
    region = read(frames)[2].moving_region
    assert pairwise_iou(region, np.array([[128, 100, 158, 170]], np.float32))[0, 0] > 0.6
    assert read([view(50)] * 3)[1].moving_region.shape == (0, 4)


def test_a_box_holds_what_moves_most_if_it_covers_that():
    frames = [view(50 + 6 * i, athlete=100 + 14 * i) for i in range(5)]
    cues = read(frames)[2]
    upper, hall = [128, 100, 158, 150], [10, 20, 40, 90]
    assert cues.holds_motion(np.array([hall, upper], np.float32))  # widened, the whole body
    assert not cues.holds_motion(np.array([hall], np.float32))
    assert not cues.holds_motion(np.array([[150, 60, 200, 100]], np.float32))  # a corner of it
    everything = np.array([[0, 0, 320, 240]], np.float32)
    assert cues.holds_motion(everything)
    assert not read([view(50)] * 3)[1].holds_motion(everything)  # nothing moves


def track_detected(detected, use_motion=True, config=None):
    """Return the paths of an athlete who is detected in some of 14 frames, and the truth."""
    cues = read([view(50 + 6 * i, athlete=60 + 12 * i) for i in range(14)])
    candidates = []
    truth = np.array([[60 + 12 * i, 100, 90 + 12 * i, 170] for i in range(14)], np.float32)
    for i, cue in enumerate(cues):
        boxes = truth[i : i + 1] if i in detected else np.zeros((0, 4), np.float32)
        scores = np.full(len(boxes), 0.3, np.float32)
        candidates.append(FrameCandidates.from_cues(boxes, scores, cue, use_motion=use_motion))
    return find_tracks(candidates, (240, 320), 1, config), truth


@pytest.mark.parametrize("use_motion", [True, False])
def test_who_moves_is_held_where_no_detector_sees_them(use_motion):
    (path,), truth = track_detected([*range(4), *range(10, 14)], use_motion)
    assert path.steps.tolist() == list(range(14))
    assert path.is_found[4:10].all() == use_motion
    assert np.diag(pairwise_iou(path.bboxes, truth)).min() > 0.5


def test_who_is_detected_seldom_is_held_and_keeps_the_detections_score():
    (path,), truth = track_detected([0, 1])
    assert path.steps.tolist() == list(range(14))
    # Regions that only move have no score of their own: the mean is that of the detections.
    too_much, _ = track_detected([0, 1], config=PathConfig(min_score=0.31))
    assert too_much == []
    assert np.diag(pairwise_iou(path.bboxes, truth)).min() > 0.4  # the last frame has one neighbour


def test_no_person_is_made_of_motion_alone():
    assert not track_detected([])[0]


def test_a_cut_is_found_and_a_pan_is_none():
    frames = [view(50 + 8 * i) for i in range(4)] + [view(9 * i, scene=OTHER) for i in range(4)]
    assert [cue.is_cut for cue in read(frames)] == [False] * 4 + [True] + [False] * 3


def test_colours_tell_a_leotard_from_the_hall():
    cues = read([view(50, athlete=100), view(56, athlete=120)])
    first = cues[0].colors_in(np.array([[100, 100, 130, 170], [10, 20, 40, 90]], np.float32))
    second = cues[1].colors_in(np.array([[120, 100, 150, 170]], np.float32))
    similarity = first @ second[0]
    assert similarity[0] == pytest.approx(1, abs=1e-3)
    assert similarity[1] < 0.3


def test_boxes_beyond_the_edge_and_empty_ones_are_borne():
    cue = read([view(50), view(50)])[0]
    boxes = np.array([[-50, -50, 5, 5], [310, 230, 500, 500], [7, 7, 7, 7]], np.float32)
    assert np.isfinite(cue.motion_in(boxes)).all()
    assert np.isfinite(cue.colors_in(boxes)).all()


def test_a_still_image_and_a_single_frame():
    cues = read([view(50)] * 3)
    assert np.allclose([cue.from_previous for cue in cues], np.eye(2, 3), atol=0.05)
    reader = CueReader()
    reader.add(view(50))
    assert reader.finish() is not None
    assert CueReader().finish() is None
