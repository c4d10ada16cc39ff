"""Frames with people are written and read back as they were."""

from __future__ import annotations

import numpy as np
import pytest
from distill_scenes import frame_with, labelled_frames, person

from skelact import SkelactError
from skelact.pipeline.distill.labelled_frames import LabelBuilder, LabelledFrames


def test_labelled_frames_come_back_as_they_were(tmp_path):
    labelled = labelled_frames()
    labelled.save(tmp_path / "a.npz")
    labelled.save(tmp_path / "b.npz")
    both = LabelledFrames.load(tmp_path)
    assert len(both) == 6
    assert np.array_equal(both.frame(4), labelled.frame(1))
    assert both.person_frames.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert both.ignored_frames.tolist() == list(range(6))
    assert np.array_equal(both.keypoints[6:], labelled.keypoints)


def test_large_frames_are_kept_smaller_with_their_people():
    builder = LabelBuilder(max_side=160)
    one = person(30, 60)
    builder.add("a.jpg", frame_with(one), [one], np.zeros((0, 4), np.float32))
    labelled = builder.build()
    assert labelled.frame(0).shape == (120, 160, 3)
    assert np.allclose(labelled.keypoints[0], one[1] / 2)


@pytest.mark.parametrize("content", [b"", b"not an archive"])
def test_a_damaged_file_of_labels_is_named(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(SkelactError, match=r"a\.npz: expected labelled frames"):
        LabelledFrames.load(tmp_path)
    with pytest.raises(SkelactError, match="skelact distill label"):
        LabelledFrames.load(tmp_path / "empty")
