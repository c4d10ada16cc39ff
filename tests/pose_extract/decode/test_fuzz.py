"""A few damaged videos of each container, as benchmarks/fuzz_videos.py makes thousands."""

from __future__ import annotations

import runpy
import subprocess
import sys

import pytest


@pytest.fixture
def fuzz(repository, monkeypatch):
    monkeypatch.syspath_prepend(repository / "benchmarks")
    return runpy.run_path(str(repository / "benchmarks" / "fuzz_videos.py"))


def run(repository, *options):
    command = [sys.executable, str(repository / "benchmarks" / "fuzz_videos.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)


def test_damaged_videos_are_read_right_or_refused(repository):
    done = run(repository, "--count", "35", "--seed", "11", "--no-extract")
    assert done.returncode == 0, done.stdout + done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("| all |"))
    files, good, refused = (int(cell) for cell in row.strip("|").split("|")[1:4])
    assert (files, good + refused) == (35, 35)
    # Most damage leaves something to read.
    assert good > 10


@pytest.mark.slow
def test_damaged_videos_do_not_stop_an_extraction(repository):
    done = run(repository, "--count", "14", "--seed", "12")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "14 of 14 in the manifest" in done.stdout


def truth(fuzz, numbers, announced=0, **changes):
    facts = {
        "numbers": numbers,
        "seconds": [number / 25 for number in range(len(numbers))],
        "announced": announced,
        "is_announced_as_time": False,
        "is_timed": True,
        "num_discarded": 0,
        "num_packets": len(numbers),
        "num_behind": 0,
    }
    return fuzz["Truth"](**{**facts, **changes})


def test_the_judge_knows_a_moved_frame_and_a_silent_loss(fuzz):
    whole = truth(fuzz, list(range(24)), announced=24)
    half = truth(fuzz, list(range(12)), announced=24)
    times = [number / 25 for number in range(12)]
    right = fuzz["Reading"](list(range(12)), list(range(12)), times, 12)
    assert list(fuzz["judge"](right, half, whole)) == []
    silent = fuzz["Reading"](list(range(12)), list(range(12)), times, 0)
    assert list(fuzz["judge"](silent, half, whole)) == ["loss: 0 counted, 11 to 13 lost"]
    late = fuzz["Reading"](
        list(range(12)), list(range(12)), [0, *(t + 0.04 for t in times[1:])], 12
    )
    assert "frames: 1 stands +0.040 s off" in next(fuzz["judge"](late, half, whole))
    frozen = fuzz["Reading"]([*range(11), 20], list(range(12)), times, 12)
    assert next(fuzz["judge"](frozen, half, whole)).startswith("frames: shows [20]")


def test_what_may_be_called_lost(fuzz):
    whole = truth(fuzz, list(range(24)), announced=24)
    # A header that was hit itself announces anything; a TS announces what lies between two frames.
    hole = {"seconds": [0.0, 0.04, 0.24, 0.28]}
    assert fuzz["lost_range"](truth(fuzz, [0, 1, 6, 7], **hole), whole) == (3, 5)
    # Frames that are concealed by the one before may be counted either way.
    assert fuzz["lost_range"](truth(fuzz, [0, 1, 1, None], **hole), whole) == (3, 7)
    # A length says nothing of frames before the first one.
    late = truth(fuzz, list(range(16, 24)), announced=24, is_announced_as_time=True)
    assert fuzz["lost_range"](late, whole) == (-1, 17)
