"""Arrays arrive as they were sent, with shared memory and without."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from skelact.pose_extract.common.array_channel import ArrayChannel

ARRAYS = [
    np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)[:, ::2],
    np.zeros((0, 5), np.float32),
    np.array(7, np.int64),
]


def refuse(name):
    raise PermissionError("not in this container")


@pytest.fixture(params=["both share", "one shares", "none shares"])
def ends(request, monkeypatch):
    """Two ends in one process; the second is made in a thread, as each waits for the other."""
    if request.param != "both share" and not hasattr(os, "memfd_create"):
        pytest.skip("this system has no memory that is a file")
    mine, theirs = multiprocessing.Pipe()
    with ThreadPoolExecutor(1) as pool:
        if request.param == "none shares":
            monkeypatch.setattr(os, "memfd_create", refuse)
        if request.param == "one shares":
            create, made = os.memfd_create, []

            def once(name):
                if made:
                    refuse(name)
                made.append(name)
                return create(name)

            monkeypatch.setattr(os, "memfd_create", once)
        second = pool.submit(ArrayChannel, theirs)
        pair = ArrayChannel(mine), second.result()
    yield pair
    for end in pair:
        end.close()


def test_arrays_go_there_and_back(ends):
    first, second = ends
    for turn in range(3):
        first.send({"turn": turn}, [array + turn for array in ARRAYS])
        message, arrays = second.receive()
        assert message == {"turn": turn}
        second.send({}, arrays[::-1])
        _, back = first.receive()
        for found, expected in zip(back, ARRAYS[::-1]):
            np.testing.assert_array_equal(found, expected + turn)
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)


def test_turns_take_no_more_memory_than_one(ends):
    first, second = ends
    if first._memory is None:
        pytest.skip("nothing is shared")
    sizes = []
    for _ in range(4):
        first.send({}, [np.ones((64, 64, 3), np.uint8)])
        second.receive()
        second.send({})
        first.receive()
        sizes.append(os.fstat(first._memory.fd).st_size)
    assert len(set(sizes)) == 1


def test_an_end_that_is_closed_keeps_no_file_open(ends):
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system does not list open files")
    before = len(os.listdir("/proc/self/fd"))
    num_shared = sum(end._memory is not None for end in ends)
    for end in ends:
        end.close()
    # Each end's connection, its memory, and what it sees of the other's.
    assert len(os.listdir("/proc/self/fd")) == before - 2 - 2 * num_shared


def test_an_end_that_is_closed_is_told(ends):
    first, second = ends
    second.close()
    with pytest.raises((EOFError, OSError)):
        first.receive()
