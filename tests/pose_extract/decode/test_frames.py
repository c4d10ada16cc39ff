"""Batches of frames."""

from __future__ import annotations

import numpy as np
import pytest

from skelact.pose_extract.decode.frames import FrameBatch


@pytest.mark.parametrize(
    ("rows", "is_shared"),
    [
        ([0, 1, 2, 3, 4, 5], True),
        ([1, 3, 5], True),
        ([2], True),
        ([0, 1, 3], False),
        ([3, 2], False),
        ([2, 2], False),
        ([], False),
    ],
)
def test_frames_are_taken_in_order_and_copied_only_where_they_must_be(rows, is_shared):
    frames = np.arange(6 * 2 * 2 * 3, dtype=np.uint8).reshape(6, 2, 2, 3)
    batch = FrameBatch(frames, np.arange(10, 16), np.arange(6) / 25)
    taken = batch.take(np.array(rows, np.int64))
    assert taken.frames.tolist() == [frames[row].tolist() for row in rows]
    assert taken.frame_inds.tolist() == [10 + row for row in rows]
    assert taken.pts_seconds.tolist() == [row / 25 for row in rows]
    assert np.shares_memory(taken.frames, frames) == is_shared


def test_a_mask_takes_what_is_true():
    batch = FrameBatch(np.zeros((3, 1, 1, 3), np.uint8), np.arange(3), np.arange(3) / 25)
    assert batch.take(np.array([True, False, True])).frame_inds.tolist() == [0, 2]
