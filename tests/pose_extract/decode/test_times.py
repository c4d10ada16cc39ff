"""Times that a container stores, by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from skelact.pose_extract.decode.times import trusted_times, with_holes


def times_of(container, is_reordered, stored, **options):
    """Give each packet a size that its time alone tells."""
    sizes = [100 if time is None else 500 + time for time in stored]
    return trusted_times(container, is_reordered, stored, sizes, **options)


def test_times_are_in_the_order_of_showing():
    assert times_of("mov", True, [0, 30, 10, 20]).tolist() == [0, 10, 20, 30]


@pytest.mark.parametrize(
    ("container", "is_reordered", "stored"),
    [
        ("avi", True, [0, 1, 2]),  # AVI stores the order of decoding
        ("mov", False, [0, 10, 10]),  # not a few
        ("mov", False, [0, None, 10]),
        ("mov", False, []),
        ("mpegts", False, [*range(100, 140), *range(0, 40)]),  # joined: the clock starts anew
    ],
)
def test_times_that_mean_nothing(container, is_reordered, stored):
    assert times_of(container, is_reordered, stored) is None


def test_a_seam_of_a_stream_may_have_no_time():
    stored = [*range(0, 200, 10), None]
    assert times_of("mpegts", False, stored).tolist() == list(range(0, 200, 10))
    assert times_of("mov", False, stored) is None


def test_bytes_that_are_there_twice_show_no_frame_twice():
    stored = [*range(0, 200, 10), *range(150, 300, 10)]
    shown = times_of("mpegts", False, stored, is_damaged=True)
    assert shown.tolist() == list(range(0, 300, 10))
    assert times_of("mpegts", False, stored) is None
    assert times_of("mov", False, stored, is_damaged=True) is None


def test_a_clock_that_starts_anew_is_no_double():
    stored = [*range(0, 200, 10), *range(150, 300, 10)]
    sizes = list(range(len(stored)))
    assert trusted_times("mpegts", False, stored, sizes) is None


def test_a_time_far_behind_all_others_is_damaged():
    stored = [0, 40, 99999, 120, 80, 160, 200]
    assert times_of("matroska", True, stored).tolist() == [0, 40, 80, 120, 160, 200]


def test_a_last_frame_may_come_late():
    stored = [0, 40, 80, 120, 160, 200, 99999]
    assert times_of("matroska", True, stored).tolist() == stored


def test_a_few_frames_may_have_one_time():
    stored = [*range(0, 200, 10), 190, *range(200, 300, 10)]
    assert times_of("matroska", False, stored).tolist() == stored


def test_holes_are_filled_where_the_rate_is_constant():
    times = np.array([0, 33, 67, 200, 233], np.int64)
    filled = with_holes(times, Fraction(30), Fraction(1, 1000))
    assert filled.tolist() == [0, 33, 67, 100, 134, 167, 200, 233]


def test_a_break_of_a_recording_is_no_hole():
    times = np.array([0, 33, 67, 100, 20100, 20133], np.int64)
    assert with_holes(times, Fraction(30), Fraction(1, 1000)).tolist() == times.tolist()


def test_a_variable_rate_has_no_holes():
    times = np.array([0, 33, 100, 133, 233, 333, 433], np.int64)
    assert with_holes(times, Fraction(30), Fraction(1, 1000)).tolist() == times.tolist()
