"""Windows that are merged into segments, with answers that follow from the numbers."""

from __future__ import annotations

import numpy as np
import pytest

from skelact.pipeline.inference.segments import merge_windows

NAMES = ("run", "jump", "bowl")
SECONDS = np.arange(100) / 25


def windows(*starts, length=20):
    return [slice(start, start + length) for start in starts]


def rows(*labels, score=0.9):
    """Return (W, 3) scores: ``score`` for each window's label, the rest shared."""
    table = np.full((len(labels), 3), (1 - score) / 2)
    table[np.arange(len(labels)), [NAMES.index(label) for label in labels]] = score
    return table


def merged(frames, table):
    return merge_windows(frames, table, SECONDS, 0.04, NAMES)


def test_one_window_is_one_segment():
    (segment,) = merged([slice(0, 100)], rows("jump"))
    assert (segment.start_seconds, segment.end_seconds) == (0.0, pytest.approx(4.0))
    assert (segment.label, segment.score) == ("jump", pytest.approx(0.9))


def test_two_actions_one_after_the_other():
    frames = windows(0, 10, 20, 30, 40, 50, 60, 70, 80)
    labels = ["run"] * 4 + ["bowl"] * 5
    first, second = merged(frames, rows(*labels, score=0.98))
    assert (first.label, second.label) == ("run", "bowl")
    # The windows from frame 30 and from 40 overlap in frames 40 to 49.
    assert 1.6 <= first.end_seconds <= 2.0
    assert first.end_seconds == pytest.approx(second.start_seconds)
    assert second.end_seconds == pytest.approx(4.0)


def test_a_window_that_hardly_disagrees_does_not_cut_a_segment():
    frames = windows(0, 10, 20, 30, 40)
    table = rows("run", "run", "run", "run", "run")
    table[2] = [0.4, 0.5, 0.1]
    assert [segment.label for segment in merged(frames, table)] == ["run"]


def test_no_segment_goes_over_frames_that_no_window_shows():
    frames = windows(0, 60)
    first, second = merged(frames, rows("run", "run"))
    assert first.end_seconds == pytest.approx(0.8)
    assert second.start_seconds == pytest.approx(2.4)


def test_no_windows():
    assert merged([], np.zeros((0, 3))) == ()


def test_plain_values():
    (segment,) = merged([slice(0, 100)], rows("jump"))
    assert segment.to_dict() == {
        "start_seconds": 0.0, "end_seconds": 4.0, "label": "jump", "score": 0.9
    }  # fmt: skip
