"""The kinematic counter on bodies whose motion is known by hand."""

from __future__ import annotations

import numpy as np
import pytest
from flying_bodies import CENTER, FPS, SCALE, about_its_center, body, somersault

from skelact import SkelactError
from skelact.pipeline.elements.counter import FLIGHT, LANDING, OTHER, SUPPORT, count_flights
from skelact.pipeline.elements.trunk_angle import one_way_path, trunk_path


def only(clip):
    (flight,) = clip.flights
    return flight


def still(clip):
    return np.tile(np.eye(2, 3), (len(clip[2]), 1, 1))


@pytest.mark.parametrize("halves", [1, 2, 3, 5, 7, 9])
@pytest.mark.parametrize("sense", [1.0, -1.0])
def test_half_somersaults(halves, sense):
    clip = somersault(halves, sense=sense, hip=115, knee=130)
    flight = only(count_flights(*clip, still(clip)))
    assert flight.half_somersaults.value == halves
    assert flight.clockwise is (sense > 0)
    assert flight.half_twists.value == 0


@pytest.mark.parametrize("fps", [24.0, 50.0, 120.0])
@pytest.mark.parametrize("slow", [1.0, 4.0])
def test_frame_rate_and_slow_motion_change_no_count(fps, slow):
    clip = somersault(5, hip=110, fps=fps, slow=slow)
    assert only(count_flights(*clip, still(clip))).half_somersaults.value == 5


def test_frames_in_which_head_and_feet_are_exchanged_do_not_count():
    keypoints, scores, seconds = clip = somersault(4, hip=115, knee=130)
    for t in (20, 27, 28, 36):
        hips = keypoints[t, 11:13].mean(axis=0)
        keypoints[t] = 2 * hips - keypoints[t]
    scores[31:34] = 0.0
    flight = only(count_flights(keypoints, scores, seconds, still(clip)))
    assert flight.half_somersaults.value == 4


@pytest.mark.parametrize(
    ("hip", "knee", "position"), [(0, 0, "straight"), (120, 5, "pike"), (120, 130, "tuck")]
)
def test_positions(hip, knee, position):
    clip = somersault(4, hip=hip, knee=knee)
    assert only(count_flights(*clip, still(clip))).position.value == position


@pytest.mark.parametrize(
    ("front", "sense", "drift", "takeoff"),
    [
        (1.0, 1.0, 60.0, "forward"),
        (1.0, -1.0, -60.0, "back"),
        (1.0, -1.0, 60.0, "reverse"),
        (1.0, 1.0, -60.0, "inward"),
        (-1.0, -1.0, -60.0, "forward"),
        (-1.0, 1.0, 60.0, "back"),
    ],
)
def test_how_a_dive_leaves_the_board(front, sense, drift, takeoff):
    """Front 1 faces right, sense 1 rotates clockwise, a positive drift flies to the right."""
    clip = somersault(5, front=front, sense=sense, drift=drift, hip=120, knee=130)
    dive = only(count_flights(*clip, still(clip))).as_dive()
    assert dive.takeoff == takeoff
    assert dive.half_somersaults == 5


def test_without_the_camera_the_sense_alone_is_known():
    clip = somersault(5, sense=-1.0, hip=120, knee=5)
    flight = only(count_flights(*clip))
    assert flight.rotates_with_travel is None
    assert flight.as_dive().takeoff == "back_or_reverse"
    assert flight.as_salto().takeoff == "back"


def test_phases():
    clip = somersault(4, hip=115, knee=130)
    found = count_flights(*clip, still(clip))
    phases, flight = found.phases, only(found)
    # In flight from frame 15 to 44; the body of the scene turns at a constant rate at once.
    assert abs(flight.first_frame - 15) <= 3
    assert abs(flight.last_frame - 44) <= 3
    assert (phases[flight.first_frame : flight.last_frame + 1] == FLIGHT).all()
    assert (phases[: flight.first_frame] == SUPPORT).all()
    assert (phases[flight.last_frame + 1 :] == LANDING).all()


def test_a_body_that_stands_or_is_not_seen_does_not_fly():
    frames = np.repeat(body()[None] * SCALE + CENTER, 40, axis=0)
    seconds = np.arange(40) / FPS
    for score in (0.9, 0.0):
        found = count_flights(frames, np.full((40, 17), score), seconds)
        assert found.flights == ()
        assert (found.phases == OTHER).all()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_clip_too_short_to_say(count):
    keypoints, scores, seconds = (part[:count] for part in somersault(2))
    assert count_flights(keypoints, scores, seconds).flights == ()


def test_bad_input():
    keypoints, scores, seconds = somersault(2)
    with pytest.raises(SkelactError, match="scores: expected the shape"):
        count_flights(keypoints, scores[:-1], seconds)
    with pytest.raises(SkelactError, match="camera_maps: expected the shape"):
        count_flights(keypoints, scores, seconds, np.zeros((3, 2, 3)))
    with pytest.raises(SkelactError, match="times that increase"):
        count_flights(keypoints, scores, seconds[::-1])
    keypoints[3, 5] = np.nan
    with pytest.raises(SkelactError, match="finite"):
        count_flights(keypoints, scores, seconds)


def test_the_path_is_unwrapped():
    truth = np.linspace(0, 6 * np.pi, 60)
    path, agreement = trunk_path(truth[:, None], np.ones((60, 1)))
    np.testing.assert_allclose(path, truth, atol=0.05)
    assert (agreement > 0.9).all()


def test_a_body_that_is_lost_for_a_turn_turns_on_as_it_did():
    """It turns by 40 degrees per frame; in nine frames, a whole turn, nothing is known of it."""
    truth = np.radians(40.0) * np.arange(40)
    weights = np.full((40, 1), 0.5)
    weights[15:24] = 0.0
    path, _ = trunk_path(truth[:, None], weights)
    np.testing.assert_allclose(path[-1] - path[0], truth[-1], atol=0.1)


def twisting(half_somersaults, half_twists, *, azimuth=20.0, sense=1.0):
    """Return a clip of a straight body in three dimensions that twists in the middle of its flight.

    Axes: x to the front, y up, z to the right; it faces right and rotates forward. The camera looks
    along z, rotated by ``azimuth`` degrees about the vertical.
    """
    flat = body()
    points = np.stack([flat[:, 0], -flat[:, 1], np.zeros(17)], axis=1)
    points[5:11, 2] = np.tile([-0.45, 0.45], 3)
    points[11:17, 2] = np.tile([-0.33, 0.33], 3)
    points[1:5, 2] = np.tile([-0.1, 0.1], 2)
    points = about_its_center(points)
    frames = []
    for t in range(60):
        share = np.clip((t - 15) / 30, 0, 1)
        twist = sense * np.pi * half_twists * np.clip((share - 0.2) / 0.6, 0, 1)
        somersault = np.pi * half_somersaults * share
        c, s = np.cos(twist), np.sin(twist)
        about_y = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        c, s = np.cos(-somersault), np.sin(-somersault)
        about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        world = points @ (about_z @ about_y).T
        view = np.radians(azimuth)
        right = world[:, 0] * np.cos(view) + world[:, 2] * np.sin(view)
        place = [CENTER + 60 * share, 300 - 250 * share * 1.2 + 400 * (share * 1.2) ** 2]
        frames.append(np.stack([right, -world[:, 1]], axis=1) * SCALE + place)
    return np.array(frames), np.full((60, 17), 0.9), np.arange(60) / FPS


@pytest.mark.parametrize("half_twists", [0, 1, 2, 3, 5])
@pytest.mark.parametrize(("sense", "azimuth"), [(1.0, 20.0), (-1.0, 20.0), (1.0, -25.0)])
def test_half_twists(half_twists, sense, azimuth):
    clip = twisting(3, half_twists, sense=sense, azimuth=azimuth)
    flight = only(count_flights(*clip, still(clip)))
    assert flight.half_somersaults.value == 3
    assert flight.half_twists.value == half_twists
    assert flight.rotates_forward.value is True


def test_a_mirrored_clip_has_the_same_counts():
    keypoints, scores, seconds = clip = twisting(3, 3)
    mirrored = keypoints * [-1, 1] + [2 * CENTER, 0]
    mirrored = mirrored[:, [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]]
    one = only(count_flights(*clip, still(clip)))
    two = only(count_flights(mirrored, scores, seconds, still(clip)))
    assert one.clockwise is not two.clockwise
    assert one.as_dive() == two.as_dive()


def test_a_body_in_flight_does_not_turn_back():
    """It turns by 40 degrees per frame, and is seen to turn back in some frames of low score."""
    truth = np.radians(-40.0) * np.arange(27)
    seen = truth.copy()
    seen[8:19] = truth[8] + np.radians(25) * np.arange(11)
    weights = np.ones((27, 1))
    weights[8:19] = 0.4
    path, _ = trunk_path(seen[:, None], weights)
    assert path[18] > path[8] + np.pi
    path, agreement = one_way_path(seen[:, None], weights)
    assert path[18] < path[8]
    assert (agreement[:8] > 0.9).all()
