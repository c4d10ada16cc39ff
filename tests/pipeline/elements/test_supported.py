"""Elements that hands or back hold up: simulated with exact joints, and motion captures."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from skelact import SkelactError
from skelact.pipeline.elements.counter import count_flights
from skelact.pipeline.elements.element import Element
from skelact.pipeline.elements.recognise import recognise_elements
from skelact.pipeline.elements.supported import find_supported
from skelact.pipeline.elements.turns import find_turns
from skelact.pipeline.synth.camera import camera_maps
from skelact.pipeline.synth.captures import film_capture, read_capture
from skelact.pipeline.synth.clips import ClipConfig, make_clips
from skelact.pose_extract.skeleton import SkeletonSequence

COUNT = 6


def sequence_of(keypoints, scores, motion, img_shape, fps):
    return SkeletonSequence(
        keypoints=keypoints[None].astype(np.float32),
        keypoint_scores=scores[None].astype(np.float32),
        bboxes=np.concatenate([keypoints.min(axis=1), keypoints.max(axis=1)], axis=-1)[None].astype(
            np.float32
        ),
        track_ids=np.arange(1),
        frame_inds=np.arange(len(keypoints)),
        img_shape=img_shape,
        fps=Fraction(fps).limit_denominator(1001),
        layout="coco_17",
        video_id="a.mp4",
        camera_maps=camera_maps(motion, img_shape),
    )


def filmed(element, count=COUNT, seed=0):
    """Return exact clips of an element, and their sequences."""
    config = ClipConfig(0, None, (0.6, 0.6), (0.5, 0.5), slow_motion=0, cut_chance=0)
    clips = make_clips([element] * count, np.random.default_rng(seed), config)
    return [
        (
            clip,
            sequence_of(
                clip.keypoints, clip.keypoint_scores, clip.camera_motion, clip.img_shape, clip.fps
            ),
        )
        for clip in clips
    ]


def within(found, clip, seconds, slack=0.45):
    """Return whether an element is found where it is."""
    span = clip.elements[-1]
    start, end = seconds[span.start], seconds[span.end - 1]
    return abs(found.start_seconds - start) < slack and abs(found.end_seconds - end) < slack


@pytest.mark.parametrize(
    ("element", "least"),
    [
        (Element("flic_flac", "back"), 5),
        (Element("walkover", "forward"), 4),
        (Element("walkover", "back"), 4),
        # Cameras before and behind see no body turn sideways.
        (Element("cartwheel", "sideways"), 4),
        (Element("roll", "forward"), 5),
        (Element("roll", "back"), 5),
    ],
)
def test_elements_on_the_ground_are_named_where_they_are(element, least):
    right = 0
    for clip, sequence in filmed(element):
        found = recognise_elements(sequence)
        # Nothing else is seen, whatever the camera.
        assert {one.element for one in found} <= {element, Element(element.kind)}
        right += len(found) == 1 and within(found[0], clip, sequence.pts_seconds)
        assert all(1 / 3 <= one.confidence <= 1 for one in found)
    assert right >= least


@pytest.mark.parametrize("way", ["forward", "back"])
def test_giants_are_named(way):
    whole = 0
    for clip, sequence in filmed(Element("giant", way), count=COUNT):
        found = recognise_elements(sequence)
        giants = [one for one in found if one.element.kind == "giant"]
        assert {one.element.kind for one in found} <= {"giant", "handstand"}
        assert all(one.element.takeoff == way for one in giants)
        # Cameras before and behind the bar see no body go about it.
        whole += len(giants) == len(clip.elements)
    assert whole >= COUNT // 2


@pytest.mark.parametrize(
    "element",
    [
        Element("salto", "back", 2, 0, "tuck"),
        Element("salto", "forward", 2, 1, "straight"),
        Element.from_dive_number("103B"),
        Element.from_dive_number("207C"),
        Element("other"),
    ],
)
def test_flights_and_leaps_are_held_up_by_nothing(element):
    for clip, sequence in filmed(element):
        kinds = {one.element.kind for one in clip.elements}
        named = {
            found.kind
            for _, _, found, _ in find_supported(
                sequence.keypoints[0],
                sequence.keypoint_scores[0],
                sequence.pts_seconds,
                sequence.camera_maps,
                sequence.scene_ids,
            )
            if found is not None
        }
        assert named <= kinds


def test_a_flic_flac_before_a_salto_is_an_element_of_its_own():
    both = []
    for clip, sequence in filmed(Element("salto", "back", 2, 0, "tuck"), count=12, seed=3):
        if len(clip.elements) == 2:
            both.append([one.element.kind for one in recognise_elements(sequence)])
    assert len(both) >= 3
    assert sum(kinds == ["flic_flac", "salto"] for kinds in both) >= len(both) - 1


def test_a_cut_within_a_turn_leaves_nothing():
    (clip, sequence), *_ = filmed(Element("roll", "forward"))
    span = clip.elements[-1]
    middle = (span.start + span.end) // 2
    ids = (np.arange(len(sequence.pts_seconds)) >= middle).astype(np.int64)
    found = find_supported(
        sequence.keypoints[0], sequence.keypoint_scores[0], sequence.pts_seconds,
        sequence.camera_maps, ids,
    )  # fmt: skip
    assert found == []


def test_turns_are_full_circles_by_way_of_upside_down():
    seconds = np.arange(60) / 25
    over = np.concatenate([np.zeros(15), np.linspace(0, 2 * np.pi, 30), np.full(15, 2 * np.pi)])
    (turn,) = find_turns(over, seconds)
    assert turn.sense == 1
    assert turn.inverted == pytest.approx(np.pi)
    assert 14 <= turn.start <= 18
    assert 42 <= turn.end <= 46
    (back,) = find_turns(-over, seconds)
    assert (back.sense, back.inverted) == (-1, pytest.approx(-np.pi))
    # Up into a handstand, and down again the way one came.
    kick = np.concatenate([np.linspace(0, np.pi, 30), np.linspace(np.pi, 0, 30)])
    assert find_turns(kick, seconds) == []


def test_no_flight_goes_on_over_frames_that_are_held():
    _, sequence = filmed(Element("salto", "back", 2, 0, "tuck"), count=1)[0]
    arrays = (sequence.keypoints[0], sequence.keypoint_scores[0], sequence.pts_seconds)
    assert count_flights(*arrays, sequence.camera_maps).flights
    held = np.ones(len(sequence.pts_seconds), bool)
    assert not count_flights(*arrays, sequence.camera_maps, held=held).flights
    with pytest.raises(SkelactError, match="held"):
        count_flights(*arrays, sequence.camera_maps, held=held[1:])


@pytest.mark.parametrize(
    ("name", "kind", "least"),
    [
        ("cartwheel", "cartwheel", 8),
        ("roll", "roll", 8),
        ("backflip", "salto", 8),
        ("sideflip", "salto", 8),
        ("spinkick", None, 0),
        ("jump", None, 0),
    ],
)
def test_motion_captures(shared, name, kind, least):
    """Twelve cameras; not all see a body turn. Upright motions are no element for any.

    A camera before a cartwheel sees a handstand alone: it is upside down for half a second.
    """
    joints, seconds = read_capture(shared / "data" / "mocap" / f"humanoid3d_{name}.txt")
    keypoints, scores, motion, times = film_capture(
        joints, seconds, np.random.default_rng(0), count=12, noise=0
    )
    assert len(times) == keypoints.shape[1]
    named = [
        one.element.kind
        for points, score, moved in zip(keypoints, scores, motion)
        for one in recognise_elements(sequence_of(points, score, moved, (720, 1280), 30.0))
    ]
    allowed = {kind, "handstand"} if kind == "cartwheel" else {kind}
    assert set(named) <= allowed
    assert named.count(kind) >= least


def test_a_capture_has_a_body_and_bad_files_are_named(shared, tmp_path):
    joints, seconds = read_capture(shared / "data" / "mocap" / "humanoid3d_cartwheel.txt")
    assert joints.shape == (len(seconds), 17, 3)
    # A humanoid of 1.62 m that begins upright, right of its left side as it faces x.
    assert np.ptp(joints[0, :, 1]) == pytest.approx(1.45, abs=0.15)
    thigh = np.linalg.norm(joints[:, 12] - joints[:, 14], axis=-1)
    assert np.allclose(thigh, 0.421546, atol=1e-4)
    (tmp_path / "a.txt").write_text('{"Frames": [[0.1, 2]]}')
    with pytest.raises(SkelactError, match="a.txt"):
        read_capture(tmp_path / "a.txt")
    with pytest.raises(SkelactError, match="none.txt"):
        read_capture(tmp_path / "none.txt")
