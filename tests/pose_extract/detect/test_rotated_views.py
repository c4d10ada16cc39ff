"""A detector that sees upright people alone finds them at any angle through rotated copies."""

from __future__ import annotations

import numpy as np
import pytest

from skelact.pose_extract.decode.frames import FrameBatch
from skelact.pose_extract.detect.base import Detections
from skelact.pose_extract.detect.rotated_views import RotatedViewsDetector


class UprightOnly:
    """Finds the bright rectangle, with a higher score if upright: its dark head must be up."""

    def __init__(self, score=0.8):
        self.loaded = 0
        self.score = score

    def identity(self):
        return {"name": "upright-only"}

    def load(self):
        self.loaded += 1

    def detect(self, batch, clip_id):
        return [self._one(frame) for frame in batch.frames]

    def _one(self, frame):
        rows, columns = np.nonzero(frame[..., 0] > 50)
        box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
        head_row = np.nonzero((frame[..., 0] > 50) & (frame[..., 0] < 150))[0].mean()
        upright = head_row < rows.mean() - 10
        return Detections(box, np.array([self.score if upright else 0.1], np.float32))


def scene(quarter):
    frame = np.zeros((100, 160, 3), np.uint8)
    frame[20:80, 40:60] = 255
    frame[20:35, 40:60] = 100  # the head
    return np.ascontiguousarray(np.rot90(frame, quarter))


@pytest.mark.parametrize("quarter", [0, 1, 2, 3])
def test_boxes_come_back_to_the_frame_from_every_rotation(quarter):
    frame = scene(quarter)
    batch = FrameBatch(frame[None], np.array([0]), np.zeros(1))
    found = RotatedViewsDetector([UprightOnly()]).detect(batch, "a")[0]
    rows, columns = np.nonzero(frame[..., 0])
    expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert np.allclose(found.bboxes, [expected])
    # One view has a high score, the three others have not.
    assert found.scores[0] == pytest.approx((0.8 + 3 * 0.1) / 2)


@pytest.mark.parametrize("quarter", [0, 1, 2, 3])
def test_a_detector_with_a_small_input_is_given_small_frames(quarter):
    class Small(UprightOnly):
        input_side = 80

        def detect(self, batch, clip_id):
            shapes.add(batch.frames.shape[1:3])
            return super().detect(batch, clip_id)

    shapes = set()
    frame = scene(quarter)
    batch = FrameBatch(frame[None], np.array([0]), np.zeros(1))
    # The other takes frames as they are.
    found = RotatedViewsDetector([UprightOnly(), Small()]).detect(batch, "a")[0]
    assert shapes == {(50, 80), (80, 50)}
    rows, columns = np.nonzero(frame[..., 0])
    expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert np.allclose(found.bboxes, [expected], atol=1)
    assert found.scores[0] == pytest.approx((0.8 + 3 * 0.1) / 2)


def test_boxes_of_small_frames_end_at_the_edge_of_the_frame():
    class Whole:
        input_side = 320

        def detect(self, batch, clip_id):
            height, width = batch.frames.shape[1:3]
            box = np.array([[0, 0, width, height]], np.float32)
            return [Detections(box, np.ones(1, np.float32)) for _ in batch.frames]

    # 427 pixels are 213.5 of 320, and 214 are 428.
    batch = FrameBatch(np.zeros((1, 640, 427, 3), np.uint8), np.array([0]), np.zeros(1))
    found = RotatedViewsDetector([Whole()], rotations=(0,)).detect(batch, "a")[0]
    assert found.bboxes.tolist() == [[0, 0, 427, 640]]


def test_fewer_rotations_and_several_detectors():
    batch = FrameBatch(scene(0)[None], np.array([0]), np.zeros(1))
    detectors = [UprightOnly(), UprightOnly(score=0.9)]
    rotated = RotatedViewsDetector(detectors, rotations=(0,))
    rotated.load()
    assert [detector.loaded for detector in detectors] == [1, 1]
    assert rotated.detect(batch, "a")[0].scores[0] == pytest.approx(0.85)  # what the second adds
    alone = RotatedViewsDetector(detectors[:1], rotations=(0,))
    assert alone.detect(batch, "a")[0].scores[0] == pytest.approx(0.8)
    assert rotated.identity()["rotations"] == [0]


def test_people_apart_stay_apart_and_the_best_are_kept():
    class Many:
        def detect(self, batch, clip_id):
            boxes = np.array([[i * 30, 0, i * 30 + 20, 40] for i in range(20)], np.float32)
            scores = np.linspace(0.1, 0.9, 20).astype(np.float32)
            return [Detections(boxes, scores) for _ in batch.frames]

    batch = FrameBatch(np.zeros((1, 100, 700, 3), np.uint8), np.array([0]), np.zeros(1))
    found = RotatedViewsDetector([Many()], rotations=(0,), max_candidates=5).detect(batch, "a")[0]
    assert found.bboxes[:, 0].tolist() == [570, 540, 510, 480, 450]


def test_no_person():
    class FindsNone:
        def detect(self, batch, clip_id):
            none = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
            return [none for _ in batch.frames]

    batch = FrameBatch(np.zeros((2, 10, 20, 3), np.uint8), np.arange(2), np.zeros(2))
    found = RotatedViewsDetector([FindsNone()]).detect(batch, "a")
    assert [len(f.bboxes) for f in found] == [0, 0]


def test_a_box_without_an_area_is_a_person_of_its_own():
    class Flat(UprightOnly):
        def detect(self, batch, clip_id):
            bboxes = np.array([[0, 0, 10, 10], [50, 50, 50, 60]], np.float32)
            return [Detections(bboxes, np.array([0.9, 0.8], np.float32)) for _ in batch.frames]

    batch = FrameBatch(np.zeros((1, 100, 160, 3), np.uint8), np.array([0]), np.zeros(1))
    (found,) = RotatedViewsDetector([Flat()], rotations=[0]).detect(batch, "a")
    np.testing.assert_allclose(found.bboxes, [[0, 0, 10, 10], [50, 50, 50, 60]], rtol=1e-6)
    assert found.scores.tolist() == pytest.approx([0.9, 0.8])


class Seen(UprightOnly):
    """Counts how often it looks at each frame."""

    def __init__(self, score=0.8):
        super().__init__(score)
        self.looks = {}

    def detect(self, batch, clip_id):
        for index in batch.frame_inds.tolist():
            self.looks[index] = self.looks.get(index, 0) + 1
        return super().detect(batch, clip_id)


def test_further_views_are_left_out_where_the_first_shows_what_moves_most():
    """Frames 1 and 3 are upside down, and nothing moves in frame 4."""
    frames = np.stack([scene(0), scene(2), scene(0), scene(2), scene(0)])
    batch = FrameBatch(frames, np.arange(10, 15), np.zeros(5))
    asked = {}

    def holds_motion(row, bboxes):
        asked[row] = bboxes.tolist()
        return row != 4

    detector = Seen()
    found = RotatedViewsDetector([detector], view_thr=0.3).detect(batch, "a", holds_motion)
    assert asked == {row: [[40, 20, 60, 80]] for row in (0, 2, 4)}
    assert detector.looks == {10: 1, 11: 4, 12: 1, 13: 4, 14: 4}
    scores = [float(one.scores[0]) for one in found]
    everywhere = (0.8 + 3 * 0.1) / 2
    assert scores == pytest.approx([0.8 * 0.8, everywhere, 0.8 * 0.8, everywhere, everywhere])
    places = [[40, 20, 60, 80], [100, 20, 120, 80]]
    assert np.allclose([one.bboxes[0] for one in found], [places[i] for i in (0, 1, 0, 1, 0)])


@pytest.mark.parametrize("sizes", [1, 2])
def test_all_views_are_looked_at_where_nothing_is_known_of_motion(sizes):
    batch = FrameBatch(scene(0)[None], np.array([0]), np.zeros(1))
    detectors = [Seen() for _ in range(sizes)]
    some = RotatedViewsDetector(detectors, view_thr=0.3)
    every = RotatedViewsDetector(detectors)
    expected = every.detect(batch, "a")[0]
    for rotated, holds_motion in (
        (some, None),
        (some, lambda row, bboxes: False),
        (every, lambda row, bboxes: True),
    ):
        (found,) = rotated.detect(batch, "a", holds_motion)
        assert found.scores.tolist() == expected.scores.tolist()
        assert found.bboxes.tolist() == expected.bboxes.tolist()
    assert all(detector.looks == {0: 16} for detector in detectors)
    # One more look of each size, and no more.
    assert len(some.detect(batch, "a", lambda row, bboxes: True)[0].bboxes) == 1
    assert all(detector.looks == {0: 17} for detector in detectors)


def test_the_threshold_is_part_of_what_skeletons_come_from_where_it_changes_them():
    assert RotatedViewsDetector([Seen()], view_thr=0.3).identity()["view_thr"] == 0.3
    assert "view_thr" not in RotatedViewsDetector([Seen()]).identity()
    assert "view_thr" not in RotatedViewsDetector([Seen()], (0,), view_thr=0.0).identity()
