"""The first pass: which frames are looked at, in how many views, and with which cues."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from skelact.pose_extract.decode.frames import FrameBatch
from skelact.pose_extract.detect.base import Detections
from skelact.pose_extract.detect.rotated_views import RotatedViewsDetector
from skelact.pose_extract.sources import ClipSource
from skelact.pose_extract.track.scan import find_candidates

NUM_FRAMES = 21
# From this frame on the detector does not see the athlete in the first view.
LOST = 10


def walker_box(frame):
    return [10 + 9 * frame, 60, 70 + 9 * frame, 200]


def frames_of_a_walk():
    """Someone crosses a hall; a bystander stands in it."""
    rng = np.random.default_rng(0)
    hall = cv2.GaussianBlur(rng.integers(0, 255, (240, 320, 3), dtype=np.uint8), (0, 0), 3)
    frames = np.stack([hall] * NUM_FRAMES)
    for number, frame in enumerate(frames):
        left, top, right, bottom = walker_box(number)
        frame[top:bottom, left:right] = rng.integers(256, size=(bottom - top, right - left, 3))
    return frames


class Reader:
    """Gives the frames of a walk as a ``VideoReader`` does."""

    info = SimpleNamespace(num_frames=NUM_FRAMES)

    def batches(self, size, start, stop):
        frames = frames_of_a_walk()
        for first in range(start, NUM_FRAMES, size):
            rows = slice(first, first + size)
            inds = np.arange(NUM_FRAMES)[rows]
            yield FrameBatch(frames[rows], inds, inds / 25)


class KnowsThem:
    """Knows where both are; the one who walks is seen in the first view until they are lost."""

    def __init__(self):
        self.looks = {}

    def identity(self):
        return {}

    def load(self):
        pass

    def detect(self, batch, clip_id):
        return [self._one(number) for number in batch.frame_inds.tolist()]

    def _one(self, number):
        self.looks[number] = self.looks.get(number, 0) + 1
        boxes, scores = [[280, 10, 310, 80]], [0.9]
        if self.looks[number] == 1 and number < LOST:
            boxes, scores = [walker_box(number), *boxes], [0.5, *scores]
        return Detections(np.array(boxes, np.float32), np.array(scores, np.float32))


@pytest.mark.parametrize("size", [1, 4, 5, 16, 100])
@pytest.mark.parametrize("every", [1, 3])
def test_each_frame_is_judged_by_its_own_motion(size, every):
    """The one who walks is nowhere twice: another frame's motion would not fit the box."""
    detector = KnowsThem()
    scanned = find_candidates(
        ClipSource("walk.mp4", "walk"),
        Reader(),
        RotatedViewsDetector([detector], view_thr=0.3),
        every,
        size,
    )
    keys = range(0, NUM_FRAMES, every)
    # The first frame has one neighbour: where the walker is in that moves in it, too.
    assert detector.looks.pop(0) in (1, 4)
    assert detector.looks == {number: 1 if number < LOST else 4 for number in keys[1:]}
    assert scanned.frame_inds.tolist() == list(range(NUM_FRAMES))
    assert len(scanned.candidates) == len(keys)
    for number, frame in list(zip(keys, scanned.candidates))[1:-1]:
        most = frame.motion.argmax()
        middle = frame.bboxes[most].reshape(2, 2).mean(axis=0)
        assert middle == pytest.approx(np.reshape(walker_box(number), (2, 2)).mean(axis=0), abs=13)


def test_a_detector_of_the_users_own_looks_at_all_it_is_given():
    detector = KnowsThem()
    clip = ClipSource("walk.mp4", "walk")
    assert len(find_candidates(clip, Reader(), detector, 2, 4).candidates) == 11
    assert detector.looks == dict.fromkeys(range(0, NUM_FRAMES, 2), 1)
