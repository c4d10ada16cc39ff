"""What the network of flights sees of a body whose motion is known by hand."""

from __future__ import annotations

import numpy as np
import pytest
from flying_bodies import somersault

from skelact.pipeline.elements.flight_window import WINDOW_STEPS, flight_window
from skelact.pipeline.elements.followed import follow_body, spans_to_read

SHOULDERS, HIPS = [5, 6], [11, 12]


def windows_of(keypoints, scores, seconds):
    still = np.tile(np.eye(2, 3), (len(seconds), 1, 1))
    followed = follow_body(keypoints, scores, seconds, still)
    spans = spans_to_read(followed, seconds)
    return spans, [flight_window(followed, span, seconds) for span in spans]


def window_of(*clip):
    _, (window,) = windows_of(*clip)
    return window


def test_the_trunk_stands_upright_and_turns_in_the_image():
    window = window_of(*somersault(4))
    seen = window.joints[:, SHOULDERS + HIPS, 2].all(axis=1)
    trunk = window.joints[seen][:, SHOULDERS].mean(1) - window.joints[seen][:, HIPS].mean(1)
    np.testing.assert_allclose(trunk[:, :2], np.tile([0, -1], (seen.sum(), 1)), atol=0.15)
    # In the image its head is below its hips for half of the flight.
    assert 0.2 < (trunk[:, 4] > 0).mean() < 0.6


@pytest.mark.parametrize("sense", [1.0, -1.0])
def test_the_steps_of_the_trunk_add_up_to_its_turn(sense):
    window = window_of(*somersault(3, sense=sense))
    steps = window.joints[:, HIPS[0], 7]
    assert np.degrees(steps.sum()) == pytest.approx(540, abs=25)


def test_a_mirrored_body_is_seen_alike():
    """Mirrored bodies turn the other way; left and right change places."""
    keypoints, scores, seconds = somersault(3, sense=1.0, front=1.0, hip=60, drift=60)
    scores[:, 9] = 0.4  # the left wrist
    mirrored = somersault(3, sense=-1.0, front=-1.0, hip=60, drift=-60)[0]
    other = scores.copy()
    other[:, [9, 10]] = other[:, [10, 9]]
    one, two = window_of(keypoints, scores, seconds), window_of(mirrored, other, seconds)
    np.testing.assert_allclose(one.joints, two.joints, atol=0.02)
    np.testing.assert_allclose(one.facts, two.facts, atol=0.02)


def test_missing_joints_and_times_beyond_the_clip_are_zeros():
    keypoints, scores, seconds = somersault(4)
    scores[:, 16] = 0
    keypoints[:, 16] = np.nan
    part = slice(15, 45)  # the flight alone: 0.6 to 1.8 s at 25 fps
    window = window_of(np.nan_to_num(keypoints)[part], scores[part], seconds[part])
    assert not window.joints[:, 16].any()
    assert not window.joints[0].any()
    assert not window.joints[-1].any()
    assert window.joints[WINDOW_STEPS // 2, :16].any(axis=1).all()
    assert not window.facts[2]
    assert not window.facts[3]  # neither its begin nor its end is in view


def test_a_flight_that_seems_to_pause_is_read_in_parts_and_as_one():
    keypoints, scores, seconds = somersault(6, fall=1.0)
    keypoints[27:35] = keypoints[27]
    spans, _ = windows_of(keypoints, scores, seconds)
    one, two, joined = spans
    assert one.end <= two.start
    assert (joined.start, joined.end) == (one.start, two.end)
    assert abs(joined.turn) > max(abs(one.turn), abs(two.turn))
