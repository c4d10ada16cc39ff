"""The tracker on scenes whose answer is plain to see."""

from __future__ import annotations

import numpy as np
import pytest

from skelact.pose_extract.layout import COCO_17
from skelact.pose_extract.track.fast_tracker import (
    PoseDetections,
    TrackConfig,
    select_persons,
    track_persons,
)

# A standing body, 20 wide and 60 high, from its upper left corner.
_BODY = np.array(
    [[10, 4], [9, 3], [11, 3], [8, 4], [12, 4], [5, 14], [15, 14], [3, 24], [17, 24], [2, 33],
     [18, 33], [7, 34], [13, 34], [7, 47], [13, 47], [7, 58], [13, 58]],
    np.float32,
)  # fmt: skip


class Scene:
    """Collects people by frame; ``person`` remembers who is who."""

    def __init__(self):
        self.rows = []

    def add(self, person, frame, x, y=100.0, size=1.0, score=0.9, surety=0.9):
        self.rows.append((frame, person, x, y, size, score, surety))

    def build(self, seed=None):
        """Return the detections and who each row is; a seed shuffles people within frames."""
        rows = self.rows
        if seed is not None:
            rows = list(np.random.default_rng(seed).permutation(np.array(rows)))
        rows = sorted(rows, key=lambda row: row[0])
        corners = np.array([[x, y] for _, _, x, y, *_ in rows], np.float32)
        sizes = np.array([row[4] for row in rows], np.float32)
        boxes = np.concatenate([corners, corners + sizes[:, None] * [20, 60]], axis=1)
        found = PoseDetections(
            steps=np.array([int(row[0]) for row in rows]),
            bboxes=boxes.astype(np.float32),
            bbox_scores=np.array([row[5] for row in rows], np.float32),
            keypoints=(corners[:, None] + sizes[:, None, None] * _BODY).astype(np.float32),
            keypoint_scores=np.repeat([[row[6]] for row in rows], 17, axis=1).astype(np.float32),
        )
        return found, np.array([int(row[1]) for row in rows])


def track(scene, seed=None, **config):
    found, persons = scene.build(seed)
    return track_persons(found, COCO_17, TrackConfig(**config)), persons


def assert_told_apart(ids, persons):
    """One id per person, one person per id."""
    pairs = set(zip(ids.tolist(), persons.tolist()))
    assert len(pairs) == len(set(ids.tolist())) == len(set(persons.tolist()))


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_two_people_cross(seed):
    scene = Scene()
    for frame in range(40):
        scene.add(0, frame, 50 + 5 * frame)
        scene.add(1, frame, 245 - 5 * frame, y=110)
    ids, persons = track(scene, seed)
    assert_told_apart(ids, persons)


def test_a_person_lost_for_a_while_is_the_same_one():
    scene = Scene()
    for frame in [*range(10), *range(18, 30)]:
        scene.add(0, frame, 50 + 2 * frame)
    ids, _ = track(scene)
    assert set(ids.tolist()) == {0}


def test_a_person_lost_for_too_long_is_another():
    scene = Scene()
    for frame in [*range(10), *range(40, 50)]:
        scene.add(0, frame, 50)
    ids, _ = track(scene, max_gap=15)
    assert len(set(ids.tolist())) == 2


def test_someone_far_away_is_not_the_one_who_was_lost():
    scene = Scene()
    for frame in range(10):
        scene.add(0, frame, 50)
    for frame in range(12, 22):
        scene.add(1, frame, 400)
    ids, persons = track(scene)
    assert_told_apart(ids, persons)


def test_one_person_boxed_twice_is_one():
    scene = Scene()
    for frame in range(10):
        scene.add(0, frame, 50, score=0.9)
        scene.add(0, frame, 51, score=0.6)
    ids, _ = track(scene)
    assert sorted(set(ids.tolist())) == [-1, 0]
    assert (ids == 0).sum() == 10


def test_two_people_close_together_stay_two():
    scene = Scene()
    for frame in range(10):
        scene.add(0, frame, 50)
        scene.add(1, frame, 62)
    ids, persons = track(scene)
    assert_told_apart(ids, persons)


def test_weak_detections_carry_a_track_on_and_start_none():
    scene = Scene()
    for frame in range(20):
        scene.add(0, frame, 50, score=0.9 if frame < 5 else 0.3)
        scene.add(1, frame, 300, score=0.3)
    ids, persons = track(scene, new_thr=0.4)
    assert (ids[persons == 0] == 0).all()
    assert (ids[persons == 1] == -1).all()


def test_a_flicker_is_dropped_beside_longer_tracks_and_kept_alone():
    scene = Scene()
    for frame in range(10):
        scene.add(0, frame, 50)
    scene.add(1, 4, 300)
    ids, persons = track(scene)
    assert ids[persons == 1].tolist() == [-1]
    alone = Scene()
    alone.add(0, 0, 50)
    assert track(alone)[0].tolist() == [0]


def test_nobody():
    ids, _ = track_empty()
    assert len(ids) == 0


def track_empty():
    none = PoseDetections(
        np.zeros(0, np.int64),
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.float32),
        np.zeros((0, 17, 2), np.float32),
        np.zeros((0, 17), np.float32),
    )
    return track_persons(none, COCO_17), none


def chosen(scene, num_person=1):
    found, persons = scene.build()
    ids = persons.astype(np.int64)
    return select_persons(found, ids, 20, (240, 400), num_person)


@pytest.mark.parametrize(
    "other",
    [
        {"size": 0.4},
        {"surety": 0.3},
        {"x": 370},
        {"frames": 6},
        {"still": True},
    ],
    ids=["smaller", "less sure", "at the edge", "seen for less time", "standing still"],
)
def test_the_athlete_is_the_weightier_one(other):
    options = dict(other)
    frames, still, x = options.pop("frames", 20), options.pop("still", False), options.pop("x", 190)
    scene = Scene()
    for frame in range(20):
        scene.add(1, frame, 190 + (5 * frame if still else 0))
        if frame < frames:
            scene.add(0, frame, x, **options)
    assert chosen(scene) == [1]
    assert chosen(scene, 2) == [1, 0]


@pytest.mark.parametrize("option", [{"match_thr": 1.5}, {"max_gap": -1}])
def test_options_that_cannot_be(option):
    with pytest.raises(ValueError, match="expected"):
        TrackConfig(**option)
