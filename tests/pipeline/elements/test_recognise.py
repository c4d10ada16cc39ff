"""Elements of sequences whose motion is known by hand, and of real clips."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from flying_bodies import CENTER, FPS, SCALE, body, somersault, turned

import skelact
from skelact.models.flight import FACTORS
from skelact.pipeline.data.annotations import load_annotations
from skelact.pipeline.elements import recognise
from skelact.pipeline.elements.counted import Answer
from skelact.pipeline.elements.dive_counts import half_somersault_shares
from skelact.pipeline.elements.element import Element
from skelact.pipeline.elements.flight_reader import FlightReading
from skelact.pipeline.elements.recognise import recognise_elements
from skelact.pipeline.inference.predict import Predictor
from skelact.pose_extract.skeleton import SkeletonSequence


def sequence_of(*people, seconds=None):
    """Return the sequence of people, each (keypoints (T, 17, 2), scores (T, 17))."""
    keypoints = np.stack([person[0] for person in people]).astype(np.float32)
    count = keypoints.shape[1]
    low, high = keypoints.min(axis=2), keypoints.max(axis=2)
    return SkeletonSequence(
        keypoints=keypoints,
        keypoint_scores=np.stack([person[1] for person in people]).astype(np.float32),
        bboxes=np.concatenate([low, high], axis=-1),
        track_ids=np.arange(len(people)),
        frame_inds=np.arange(count),
        img_shape=(1000, 2000),
        fps=Fraction(25),
        layout="coco_17",
        video_id="a.mp4",
        pts_seconds=seconds,
    )


def dive(halves, **options):
    """Return a dive: who enters the water is not seen any more."""
    keypoints, scores, seconds = somersault(halves, fall=1.0, **options)
    scores[seconds >= 1.8] = 0
    return keypoints, scores


def standing(count):
    return np.repeat(body()[None] * SCALE + CENTER, count, axis=0), np.full((count, 17), 0.9)


def test_a_dive_is_named_with_its_times():
    (element,) = recognise_elements(sequence_of(dive(5, hip=120, knee=5)))
    assert (element.element.code, element.element.diving48_class) == (
        "105B", "Forward 25som NoTwis PIKE"
    )  # fmt: skip
    # In flight from .6 to 1.8 s.
    assert element.start_seconds == pytest.approx(0.6, abs=0.13)
    assert element.end_seconds == pytest.approx(1.8, abs=0.13)
    assert element.person == 0
    assert 0.5 < element.confidence <= 1
    others = [other.element for other in element.alternatives]
    assert element.element not in others
    assert [other.confidence for other in element.alternatives] == sorted(
        (other.confidence for other in element.alternatives), reverse=True
    )


def test_what_is_no_flight_for_the_network_is_no_element(monkeypatch):
    flat = {name: np.full(count, 1 / count) for name, count in FACTORS.items()}

    def found(whole):
        reading = FlightReading(flat | {"whole": np.array([1 - whole, whole])})
        monkeypatch.setattr(recognise, "read_flights", lambda windows: [reading] * len(windows))
        return recognise_elements(sequence_of(dive(5, hip=120, knee=5)))

    # Who knows nothing else leaves the answers as they are.
    (element,) = found(0.5)
    assert element.element.code == "105B"
    assert found(0.05) == ()


def test_of_two_numbers_that_are_alike_probable_a_dive_has_the_usual_one():
    """Who stands on the feet enters head first, after an odd number of half somersaults."""
    shares = half_somersault_shares(from_hands=False)
    likely = recognise._weighed(Answer(6, 0.6, 7, 0.35), shares)
    assert (likely.value, likely.other) == (7, 6)
    assert 0.5 < likely.confidence < 1
    sure = recognise._weighed(Answer(6, 0.95, 7, 0.04), shares)
    assert (sure.value, sure.other) == (6, 7)
    unknown = Answer(6, 0.3, 7, 0.29)
    assert recognise._weighed(unknown, shares) == unknown


def test_armstands_have_even_numbers_and_nothing_is_impossible():
    feet, hands = (half_somersault_shares(from_hands) for from_hands in (False, True))
    assert feet.sum() == pytest.approx(1)
    assert hands.sum() == pytest.approx(1)
    assert feet[5] > feet[4]
    assert hands[4] > hands[5]
    assert min(feet.min(), hands.min()) == pytest.approx(1 / 24)


def test_who_never_flies_needs_no_network(monkeypatch):
    def read(windows):
        raise AssertionError("nothing to read")

    monkeypatch.setattr(recognise, "read_flights", read)
    assert recognise_elements(sequence_of(standing(60))) == ()


def test_half_a_somersault_head_first_is_a_dive():
    (element,) = recognise_elements(sequence_of(dive(1, hip=10)))
    assert element.element.kind == "dive"
    assert element.element.half_somersaults == 1


def test_who_lands_on_the_feet_has_done_a_salto():
    keypoints, scores, _ = somersault(2, hip=115, knee=130, sense=-1.0)
    (element,) = recognise_elements(sequence_of((keypoints, scores)))
    assert element.element.words == "backward salto tucked"
    assert element.element.code is None


def test_each_person_has_elements_of_their_own():
    keypoints, scores = dive(5, hip=120, knee=5)
    (element,) = recognise_elements(sequence_of(standing(len(keypoints)), (keypoints, scores)))
    assert element.person == 1


def test_times_are_those_of_the_file():
    """A cut that begins 30 s after the file's first frame, in four times slower motion."""
    keypoints, scores = dive(3, hip=120, knee=5)
    seconds = 30 + np.arange(len(keypoints)) * 4 / FPS
    (element,) = recognise_elements(sequence_of((keypoints, scores), seconds=seconds))
    assert element.start_seconds == pytest.approx(30 + 4 * 0.6, abs=0.5)
    assert element.element.code == "103B"


@pytest.mark.parametrize("pause", [0.0, 1.0, 5.0])
def test_saltos_after_each_other_are_two(pause):
    """Each clip of a salto stands for .6 s before it and for .4 s after it."""
    keypoints, scores, _ = somersault(2, hip=115, knee=130, sense=-1.0, drift=0.0)
    waiting = round(pause * FPS)
    still = np.repeat(keypoints[:1], waiting, axis=0), np.full((waiting, 17), 0.9)
    both = sequence_of(
        (
            np.concatenate([keypoints, still[0], keypoints]),
            np.concatenate([scores, still[1], scores]),
        )
    )
    one, two = recognise_elements(both)
    assert one.element == two.element == Element("salto", "back", 2, 0, "tuck")
    assert two.start_seconds - one.start_seconds == pytest.approx(2.2 + pause, abs=0.1)


def test_a_dive_late_in_a_long_clip_has_its_times():
    keypoints, scores = dive(5, hip=120, knee=5)
    first = keypoints[:1].repeat(20_000, axis=0), np.full((20_000, 17), 0.9)
    late = np.concatenate([first[0], keypoints]), np.concatenate([first[1], scores])
    (element,) = recognise_elements(sequence_of(late))
    assert element.element.code == "105B"
    assert element.start_seconds == pytest.approx(20_000 / FPS + 0.6, abs=0.13)


@pytest.mark.parametrize("part", [slice(21, None), slice(None, 28)])
def test_how_far_a_flight_turns_that_the_clip_cuts_is_not_known(part):
    keypoints, scores = dive(5, hip=120, knee=5)
    for element in recognise_elements(sequence_of((keypoints[part], scores[part]))):
        assert element.element.half_somersaults is None
        assert not str(element.element.takeoff).startswith("armstand")
        assert element.element.code is None


@pytest.mark.parametrize(("seen_seconds", "kind"), [(0.4, "salto"), (0.13, "dive")])
def test_who_sinks_after_an_upright_entry_has_dived(seen_seconds, kind):
    """Two somersaults to a place far below: who stands there stays in sight."""
    keypoints, scores, seconds = somersault(4, hip=100, knee=100, fall=1.0)
    scores[seconds > seconds[-1] - 0.4 + seen_seconds] = 0
    (found,) = recognise_elements(sequence_of((keypoints, scores), seconds=seconds))
    assert found.element.kind == kind
    assert found.element.half_somersaults == 4


def test_who_falls_deep_has_dived_also_where_a_body_seems_to_stand():
    """Nine torso lengths, 4.5 m, below the take-off."""
    keypoints, scores, seconds = somersault(4, hip=100, knee=100, fall=3.5)
    (found,) = recognise_elements(sequence_of((keypoints, scores), seconds=seconds))
    assert found.element.kind == "dive"


def test_a_salto_in_slow_motion_is_named_with_the_times_of_the_file():
    """Real gravity for a torso of half a metre, each frame shown four times as long."""
    keypoints, scores, seconds = somersault(4, hip=100, knee=100, fall=2.4)
    real, slow = (
        recognise_elements(sequence_of((keypoints, scores), seconds=times * seconds))
        for times in (1, 4)
    )
    assert [one.element for one in slow] == [one.element for one in real]
    assert slow[0].start_seconds == pytest.approx(4 * real[0].start_seconds, abs=0.2)
    assert slow[0].end_seconds == pytest.approx(4 * real[0].end_seconds, abs=0.2)


def test_a_turn_too_fast_for_the_frame_rate_is_not_known():
    keypoints, scores, seconds = somersault(5, hip=100, fall=1.0, sense=-1.0, fps=5.0)
    for element in recognise_elements(sequence_of((keypoints, scores), seconds=seconds)):
        assert element.element.half_somersaults is None


def test_no_alternative_is_more_probable_or_the_same():
    rng = np.random.default_rng(0)
    checked = 0
    for halves in (2, 3, 5):
        keypoints, scores = dive(halves, hip=100, knee=60)
        for noise in (20, 50, 80):
            shaken = keypoints + rng.normal(0, noise, keypoints.shape)
            for found in recognise_elements(sequence_of((shaken, scores * 0.6))):
                readings = [found, *found.alternatives]
                chances = [reading.confidence for reading in readings]
                assert chances == sorted(chances, reverse=True)
                assert len({reading.element for reading in readings}) == len(readings)
                checked += 1
    assert checked >= 4


def test_a_handstand_ends_with_the_picture_and_its_confidence_is_a_chance():
    keypoints, scores = standing(60)
    hanging = body()
    hanging[7:9], hanging[9:11] = [0.0, -1.5], [0.0, -1.95]
    keypoints[:] = turned(hanging, 175) * SCALE + CENTER
    one = sequence_of((keypoints, scores * 1.5))
    assert [found.confidence for found in recognise_elements(one)] == [1.0]
    # Six shots of ten frames, .36 s each.
    cut = replace(one, scene_ids=np.arange(60) // 10)
    assert recognise_elements(cut) == ()


def test_a_handstand_of_whom_one_wrist_is_not_seen():
    keypoints, scores = standing(60)
    hanging = body()
    hanging[7:9], hanging[9:11] = [0.0, -1.5], [0.0, -1.95]
    keypoints[:] = turned(hanging, 175) * SCALE + CENTER
    keypoints[:, 9], scores[:, 9] = 0, 0
    (found,) = recognise_elements(sequence_of((keypoints, scores)))
    assert found.element.kind == "handstand"


def test_a_bridge_and_a_push_up_are_no_handstands():
    """The trunk is upside down over the hands, but the feet are down, or the hands far apart."""
    keypoints, scores = standing(60)
    hanging = body()
    hanging[7:9], hanging[9:11] = [0.0, -1.5], [0.0, -1.95]
    bridge = turned(hanging, 175)
    bridge[13:15], bridge[15:17] = [1.2, 1.0], [1.2, bridge[9, 1]]
    keypoints[:] = bridge * SCALE + CENTER
    assert recognise_elements(sequence_of((keypoints, scores))) == ()
    keypoints[:] = turned(hanging, 175) * SCALE + CENTER
    keypoints[:, 9, 0] -= SCALE
    keypoints[:, 10, 0] += SCALE
    assert recognise_elements(sequence_of((keypoints, scores))) == ()


def test_a_handstand():
    upright, scores = standing(75)
    keypoints = upright.copy()
    hanging = body()
    # Arms overhead, then swung up in .6 s, and upside down to the clip's end.
    hanging[7:9], hanging[9:11] = [0.0, -1.5], [0.0, -1.95]
    for frame in range(10, 75):
        angle = 175 * min((frame - 10) / 15, 1)
        keypoints[frame] = turned(hanging, angle) * SCALE + CENTER
    (element,) = recognise_elements(sequence_of((keypoints, scores)))
    assert element.element.kind == "handstand"
    assert element.start_seconds == pytest.approx(25 / FPS, abs=0.2)
    assert element.end_seconds == 74 / FPS


def test_who_stands_on_the_ground_has_no_elements():
    assert recognise_elements(sequence_of(standing(60))) == ()
    crouching = np.repeat(body(hip=100, knee=120)[None] * SCALE + CENTER, 30, axis=0)
    rising = np.concatenate([crouching, standing(30)[0]])
    assert recognise_elements(sequence_of((rising, np.full((60, 17), 0.9)))) == ()


def test_other_layouts_and_empty_clips_have_no_elements():
    empty = sequence_of(standing(60))[:0]
    assert recognise_elements(empty) == ()


def test_sports_on_the_ground_have_no_elements(shared):
    """Fifteen clips of each kind of sport of Penn Action, annotated by hand."""
    file = load_annotations(shared / "data" / "penn_action_train.pkl")
    clips = file.select("dev_val")
    named = [
        clip.frame_dir
        for clip in clips
        for _ in recognise_elements(sequence_of((clip.keypoints[0], clip.keypoint_scores[0])))
    ]
    assert len(clips) == 253
    assert named == []


def test_an_element_names_a_long_clip():
    """A salto of 1.2 s after standing for 30 s: 4 % of the clip are what it shows."""
    keypoints, scores, _ = somersault(2, hip=100, knee=100)
    before = np.repeat(keypoints[:1], round(30 * FPS), axis=0)
    scores = np.concatenate([np.full(before.shape[:2], 0.9), scores])
    prediction = Predictor().predict_sequence(
        sequence_of((np.concatenate([before, keypoints]), scores))
    )
    (element,) = prediction.elements
    assert element.end_seconds - element.start_seconds < 0.1 * 30
    assert (prediction.family, prediction.label) == ("gymnastics", element.element.words)


@pytest.fixture(scope="module")
def model():
    return skelact.Pipeline()


@pytest.mark.parametrize(
    ("name", "family", "words", "code"),
    [
        ("dive_207C.avi", "dive", "back, 3 1/2 somersaults, tuck", "207C"),
        ("back_somersault_standing.mp4", "gymnastics", "backward salto tucked", None),
    ],
)
def test_real_clips(shared, model, name, family, words, code):
    prediction = model(shared / "videos" / "aerial" / name)
    assert (prediction.family, prediction.label) == (family, words)
    (element,) = prediction.elements
    assert element.element.code == code
    assert all(
        segment.end_seconds < element.start_seconds or segment.start_seconds > element.end_seconds
        for segment in prediction.segments
    )
