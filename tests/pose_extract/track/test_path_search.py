"""The athlete's path through candidates, on scenes whose answer is plain to see."""

from __future__ import annotations

import numpy as np
import pytest

from skelact.pose_extract.common.geometry import pairwise_iou
from skelact.pose_extract.track.candidates import FrameCandidates
from skelact.pose_extract.track.path_search import PathConfig, _Appearance, _Search, find_tracks

STILL, MOVING = 0.5, 3.0


def color(number):
    row = np.zeros(150, np.float32)
    row[number] = 1
    return row


class Scene:
    """Collects boxes by frame."""

    def __init__(self, num_frames, pan=0.0):
        self.rows = [[] for _ in range(num_frames)]
        self.pan = pan
        self.cuts = [False] * num_frames

    def add(self, frame, x, y=100, size=(30, 70), score=0.5, motion=STILL, hue=0):
        """Put a box around (x, y), where the camera would see it without its pan."""
        x = x + self.pan * frame
        box = [x - size[0] / 2, y - size[1] / 2, x + size[0] / 2, y + size[1] / 2]
        self.rows[frame].append((box, score, motion, color(hue)))
        return np.array(box, np.float32)

    def build(self, widen=0.0):
        step = np.array([[1, 0, self.pan], [0, 1, 0]], np.float64)
        candidates = []
        for row, is_cut in zip(self.rows, self.cuts):
            detected = np.array([r[0] for r in row], np.float32).reshape(-1, 4)
            candidates.append(
                FrameCandidates(
                    bboxes=detected + np.array([0, 0, 0, widen], np.float32),
                    detected_bboxes=detected,
                    scores=np.array([r[1] for r in row], np.float32),
                    motion=np.array([r[2] for r in row], np.float32),
                    colors=np.array([r[3] for r in row], np.float32).reshape(-1, 150),
                    from_previous=step,
                    is_cut=is_cut,
                )
            )
        return candidates


def find(candidates, num_person, config=None, **options):
    return find_tracks(candidates, (240, 320), num_person, config, **options)


def test_the_next_person_has_the_boxes_that_were_detected():
    scene = Scene(10)
    for frame in range(10):
        scene.add(frame, 60 + 10 * frame, score=0.6, motion=MOVING, hue=5)
        scene.add(frame, 280, score=0.6, hue=1)
    athlete, other = find(scene.build(widen=20), 2)  # widened to what moves around them
    assert np.allclose(athlete.bboxes[:, 3], 155)
    assert np.allclose(other.bboxes[:, 3], 135)


def crowd(scene, frame):
    for x in (30, 90, 150, 210, 270):
        scene.add(frame, x, y=200, size=(20, 40), score=0.6, hue=1)


def test_the_athlete_is_followed_though_the_crowd_scores_higher():
    scene = Scene(20)
    truth = []
    for frame in range(20):
        crowd(scene, frame)
        truth.append(scene.add(frame, 60 + 10 * frame, score=0.3, motion=MOVING, hue=5))
    path = find(scene.build(), 1)[0]
    assert path.steps.tolist() == list(range(20))
    assert np.allclose(path.bboxes, truth)
    assert path.is_found.all()


def test_a_somersault_changes_the_box_and_not_the_person():
    scene = Scene(12)
    truth = []
    for frame in range(12):
        crowd(scene, frame)
        size = (30, 70) if frame % 6 < 2 else (45, 40) if frame % 6 < 4 else (70, 30)
        truth.append(scene.add(frame, 60 + 15 * frame, size=size, score=0.2, motion=MOVING, hue=5))
    assert np.allclose(find(scene.build(), 1)[0].bboxes, truth)


def test_a_bystander_who_is_passed_is_left_for_the_athletes_colours():
    scene = Scene(24)
    truth = [scene.add(f, 40 + 10 * f, score=0.5, motion=MOVING, hue=5) for f in range(24)]
    for frame in (11, 12):  # behind the athlete, with a high score and much motion for two frames
        scene.add(frame, 48 + 10 * frame, score=1.9, motion=5.0, hue=1)
    candidates = scene.build()
    for frame in (11, 12):  # blurred, the athlete looks like both
        mixed = np.zeros(150, np.float32)
        mixed[[1, 5]] = np.sqrt(0.5)
        candidates[frame].colors[0] = mixed
    once = PathConfig(identity_color_weight=0.0, identity_size_weight=0.0)
    assert not np.allclose(find(candidates, 1, once)[0].bboxes, truth)
    assert np.allclose(find(candidates, 1)[0].bboxes, truth)


def test_half_a_body_is_left_for_the_athletes_size():
    scene = Scene(24)
    truth = [scene.add(f, 40 + 10 * f, score=0.5, motion=MOVING, hue=5) for f in range(24)]
    for frame in range(8, 16):
        scene.add(frame, 40 + 10 * frame, y=87, size=(28, 44), score=1.0, motion=MOVING, hue=5)
    candidates = scene.build()
    once = PathConfig(identity_size_weight=0.0)
    assert not np.allclose(find(candidates, 1, once)[0].bboxes, truth)
    assert np.allclose(find(candidates, 1, PathConfig(identity_size_weight=2.0))[0].bboxes, truth)


def test_a_gap_is_bridged_from_both_sides_and_marked():
    scene = Scene(20)
    for frame in range(20):
        crowd(scene, frame)
        if not 8 <= frame < 12:
            scene.add(frame, 60 + 10 * frame, motion=MOVING, hue=5)
    path = find(scene.build(), 1)[0]
    assert path.steps.tolist() == list(range(20))
    assert np.flatnonzero(~path.is_found).tolist() == [8, 9, 10, 11]
    assert (path.bboxes[9, 0] + path.bboxes[9, 2]) / 2 == pytest.approx(150)


def test_the_cameras_pan_is_taken_out():
    """The camera follows a runner: on the screen the crowd flies by and the runner stands."""
    scene = Scene(20, pan=-40.0)
    truth = []
    for frame in range(20):
        for x in range(0, 1200, 60):
            scene.add(frame, x, y=200, size=(20, 40), score=0.6, hue=1)
        truth.append(scene.add(frame, 100 + 40 * frame, score=0.4, motion=MOVING, hue=5))
    assert np.allclose(find(scene.build(), 1)[0].bboxes, truth)


def test_an_athlete_whom_the_camera_follows_is_held_in_the_image():
    """A diver who falls by a body's height a frame stands in the image; the hall flies by.

    In the scene a shade that stands on the wall, and moves no less, is nearer from frame to frame.
    """
    scene = Scene(20, pan=-70.0)
    truth = []
    for frame in range(20):
        truth.append(scene.add(frame, 150 + 70 * frame, score=0.3, motion=MOVING, hue=5))
        for x in range(0, 1800, 300):
            scene.add(frame, x, score=0.3, motion=MOVING, hue=5)
    assert np.allclose(find(scene.build(), 1)[0].bboxes, truth)


def test_after_a_cut_the_athlete_is_chosen_anew_and_nothing_is_filled_in():
    scene = Scene(20)
    for frame in range(20):
        scene.add(frame, 60 if frame < 12 else 260, motion=MOVING, hue=5 if frame < 12 else 8)
    scene.cuts[12] = True
    (path,) = find(scene.build(), 2)
    assert path.steps.tolist() == list(range(20))
    (spread,) = find(scene.build(), 2, every=3, num_frames=58)
    assert spread.steps.tolist() == list(range(58))
    middles = (spread.bboxes[:, 0] + spread.bboxes[:, 2]) / 2
    assert middles.tolist() == [60.0] * 36 + [260.0] * 22


def test_a_scene_without_people_has_no_path():
    scene = Scene(20)
    for frame in range(20):
        good = frame < 8 or frame >= 14
        scene.add(frame, 60, motion=MOVING if good else STILL, score=0.5 if good else 0.1)
    scene.cuts[8] = scene.cuts[14] = True
    (path,) = find(scene.build(), 1)
    assert path.steps.tolist() == [*range(8), *range(14, 20)]
    (spread,) = find(scene.build(), 1, every=2, num_frames=40)
    assert spread.steps.tolist() == [*range(16), *range(28, 40)]


def test_a_second_person_follows_the_first():
    scene = Scene(20)
    for frame in range(20):
        scene.add(frame, 60 + 10 * frame, score=0.8, motion=MOVING, hue=5)
        scene.add(frame, 260, y=60, score=0.9, motion=1.0, hue=7)
    first, second = find(scene.build(), 2)
    assert first.path_score > second.path_score
    assert not (pairwise_iou(first.bboxes, second.bboxes) > 0.3).diagonal().any()
    assert len(second.steps) == 20


def test_no_person_and_a_single_frame():
    assert find(Scene(5).build(), 2) == []
    assert find(Scene(0).build(), 2) == []
    scene = Scene(1)
    scene.add(0, 60)
    assert find(scene.build(), 2)[0].steps.tolist() == [0]


@pytest.mark.parametrize(
    ("subject", "expected"), [("largest", 200), ("most-motion", 60), ("centre", 160)]
)
def test_the_subject_that_is_asked_for(subject, expected):
    scene = Scene(10)
    for frame in range(10):
        scene.add(frame, 200, y=60, size=(80, 110), hue=1)
        scene.add(frame, 60, y=180, size=(12, 25), motion=5.0, hue=2)
        scene.add(frame, 160, y=120, size=(20, 40), motion=1.0, hue=3)
    path = find(scene.build(), 1, PathConfig.for_subject(subject))[0]
    assert (path.bboxes[0, 0] + path.bboxes[0, 2]) / 2 == expected


def test_an_unknown_subject_lists_the_known_ones():
    with pytest.raises(ValueError, match="athlete, largest, most-motion, centre, all"):
        PathConfig.for_subject("judge")


def test_whoever_is_in_the_box_that_is_asked_for():
    scene = Scene(10)
    for frame in range(10):
        scene.add(frame, 60 + 5 * frame, score=0.8, motion=MOVING, hue=5)
        scene.add(frame, 260, y=60, score=0.3, hue=7)
    config = PathConfig.for_subject("240,20,280,100")
    path = find(scene.build(), 1, config)[0]
    assert len(path.steps) == 10
    assert (path.bboxes[:, 0] > 240).all()


@pytest.mark.parametrize("box", ["1,2,3", "a,b,c,d", "5,5,1,9"])
def test_boxes_that_cannot_be(box):
    with pytest.raises(ValueError, match="subject: expected"):
        PathConfig.for_subject(box)


def test_what_hardly_looks_like_a_person_is_no_person():
    scene = Scene(10)
    for frame in range(10):
        scene.add(frame, 60, score=0.1, motion=MOVING)
    assert find(scene.build(), 2) == []


def test_rows_of_a_path_are_those_of_the_candidates():
    """Two boxes of a frame at one place: colours are taken from the row that is on the path."""
    scene = Scene(12)
    for frame in range(12):
        scene.add(frame, 60 + 10 * frame, score=0.3, motion=MOVING, hue=1)
        scene.add(frame, 60 + 10 * frame, score=0.6, motion=MOVING, hue=5)
    search = _Search(scene.build(), (240, 320), PathConfig(), is_first=True)
    (path,) = search.best_paths()
    assert path.rows.tolist() == [1] * 12
    assert _Appearance.of([path], scene.build()).colors[5] == 1.0
