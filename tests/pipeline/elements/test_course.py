"""The course of a body, frame by frame, on bodies whose motion is known by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from flying_bodies import FPS, somersault
from scenes import make_sequence

from skelact.pipeline.elements.counter import FLIGHT, LANDING, OTHER, SUPPORT
from skelact.pipeline.elements.course import body_course
from skelact.pipeline.elements.recognise import recognise_elements
from skelact.pipeline.elements.signals import measure_body
from skelact.pipeline.elements.trunk_angle import trunk_path
from skelact.pipeline.elements.twist import twist_path

# Frames of ``somersault``: it stands, flies for 1.2 s and stands.
TAKE_OFF, LANDED = 15, 45


def sequence_of(keypoints, **changes):
    fields = {
        "keypoints": keypoints[None].astype(np.float32),
        "keypoint_scores": np.full((1, *keypoints.shape[:2]), 0.9, np.float32),
        "bboxes": np.tile(np.array([0, 0, 9, 9], np.float32), (1, len(keypoints), 1)),
        "frame_inds": np.arange(len(keypoints)),
        "fps": Fraction(FPS),
    }
    return make_sequence(1, len(keypoints), **(fields | changes))


@pytest.mark.parametrize("sense", [1.0, -1.0])
def test_trunk_phases_and_no_twist_of_a_somersault(sense):
    sequence = sequence_of(somersault(3, sense=sense, hip=115, knee=130, fall=2.0)[0])
    course = body_course(sequence, 0, recognise_elements(sequence))
    turned = course.trunk_degrees[40] - course.trunk_degrees[20]
    assert turned == pytest.approx(sense * 540 * 20 / (LANDED - TAKE_OFF), abs=20)
    changes = np.flatnonzero(np.diff(course.phases)) + 1
    assert [course.phases[0], *course.phases[changes]][:3] == [SUPPORT, FLIGHT, LANDING]
    assert changes[:2] == pytest.approx([TAKE_OFF, LANDED], abs=3)
    twist = course.twist_degrees
    assert (twist[TAKE_OFF + 3 : LANDED - 3] == 0).all()
    assert np.isnan(twist[[0, -1]]).all()


def test_a_flight_that_is_no_element_is_no_phase():
    sequence = sequence_of(somersault(3, hip=115, knee=130, fall=2.0)[0])
    course = body_course(sequence, 0, ())
    assert (course.phases == OTHER).all()
    assert np.isnan(course.twist_degrees).all()
    assert not np.isnan(course.trunk_degrees).all()


def test_nothing_is_known_where_nobody_is_seen_and_over_a_cut():
    keypoints = somersault(3, hip=115, knee=130, fall=2.0)[0]
    scores = np.full((1, len(keypoints), 17), 0.9, np.float32)
    scores[:, 5:9] = 0
    unseen = sequence_of(keypoints, keypoint_scores=scores)
    assert np.isnan(body_course(unseen, 0, ()).trunk_degrees[5:9]).all()
    cut = sequence_of(keypoints, scene_ids=(np.arange(len(keypoints)) >= 30).astype(np.int64))
    trunk = body_course(cut, 0, recognise_elements(cut)).trunk_degrees
    # Angles begin anew, within half a turn of upright.
    assert abs(trunk[30]) <= 180


@pytest.mark.parametrize("halves", [0, 1, 2, 4])
def test_a_twist_grows_steadily_to_its_end(halves):
    """A straight body that faces right turns about its axis before a camera at its side."""
    phi = np.pi * halves * np.linspace(0, 1, 40)
    keypoints = np.zeros((40, 17, 2))
    for joint, side, y in ((5, -1, -1.0), (6, 1, -1.0), (11, -1, 0.0), (12, 1, 0.0)):
        breadth = 0.45 if joint < 7 else 0.33  # half of it, in torso lengths
        keypoints[:, joint] = np.stack([side * breadth * np.sin(phi), np.full(40, y)], -1)
    keypoints[:, :5, 1] = -1.4
    keypoints[:, 13:15, 1], keypoints[:, 15:, 1] = 0.85, 1.7
    keypoints[:, 7:11, 1] = -0.5
    body = measure_body(keypoints * 100 + 400, np.full((40, 17), 0.9), None)
    path, _ = trunk_path(body.axes, body.axis_weight)
    twist = twist_path(body, path, 0, 40, np.arange(40) / 50, halves)
    assert (twist[0], twist[-1]) == pytest.approx((0, np.pi * halves))
    assert (np.diff(twist) >= 0).all()
    # Its sides lie alike before and after a quarter twist.
    assert twist == pytest.approx(phi, abs=np.radians(75))
