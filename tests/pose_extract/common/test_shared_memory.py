"""Frames in shared memory are what the file holds, for as long as anybody looks at them."""

from __future__ import annotations

import gc
import os

import numpy as np
import pytest
from clips import write_clip

from skelact.pose_extract.common import shared_memory
from skelact.pose_extract.common.shared_memory import SharedMemory, SharedView
from skelact.pose_extract.decode.packets import read_packets
from skelact.pose_extract.decode.process import DecodeProcess
from skelact.pose_extract.decode.pyav_adapter import read_frames, read_geometry
from skelact.pose_extract.decode.video import open_video

pytestmark = pytest.mark.skipif(
    not hasattr(os, "memfd_create"), reason="this system has no memory that is a file"
)


@pytest.fixture
def memory():
    memory = SharedMemory()
    yield memory
    memory.close()


def frames_in_file(path):
    table = read_packets(path)
    return np.stack([f.to_rgb() for f in read_frames(table, read_geometry(table), 0, None, 1)])


def frames_by_process(path, count=8):
    process = DecodeProcess()
    process.read(path, "pyav", 0, None, 1)
    batches = []
    while (batch := process.next_batch(path, count)) is not None:
        batches.append(batch.frames)
    process.close()
    return batches


def test_frames_that_are_kept_stay_as_they_are(tmp_path):
    """More than is read ahead, of two files of different sizes, past the end of the process."""
    for name, height in (("a.mp4", 96), ("b.mp4", 160)):
        path = write_clip(tmp_path / name, height=height)
        batches = frames_by_process(path)
        np.testing.assert_array_equal(np.concatenate(batches), frames_in_file(path))


@pytest.mark.parametrize("is_forbidden", [False, True])
def test_without_such_memory_frames_are_sent(tmp_path, monkeypatch, is_forbidden):
    path = write_clip(tmp_path / "a.mp4")

    def refuse(name):
        raise PermissionError("not in this container")

    if is_forbidden:
        monkeypatch.setattr(os, "memfd_create", refuse)
    else:
        monkeypatch.delattr(os, "memfd_create")
    assert SharedMemory.create() is None
    np.testing.assert_array_equal(np.concatenate(frames_by_process(path)), frames_in_file(path))


def test_a_view_of_one_frame_keeps_its_batch(tmp_path):
    path = write_clip(tmp_path / "a.mp4")
    expected = frames_in_file(path)
    with open_video(path, "pyav") as reader:
        kept = [batch.frames[1, ::2] for batch in reader.batches(8)]
    with open_video(path, "pyav") as reader:
        for _ in reader.batches(8, 20):
            pass
    np.testing.assert_array_equal(np.stack(kept), expected[1::8, ::2])


def test_the_place_of_an_array_is_used_again_once_nothing_looks_into_it(memory):
    first, array = memory.take((2, 300, 5))
    row = array[1]
    del array
    second, other = memory.take((10,))
    assert second != first, "a row is still there"
    del row
    gc.collect()
    assert memory.take((2, 300, 4))[0] == first, "it fits"
    del other


def test_memory_that_nothing_looks_into_is_laid_out_anew(memory):
    small = [memory.take((100,))[1] for _ in range(3)]
    assert os.fstat(memory.fd).st_size == 3 * shared_memory.mmap.PAGESIZE
    del small
    gc.collect()
    offset, _ = memory.take((2 * shared_memory.mmap.PAGESIZE,))
    assert offset == 0
    assert os.fstat(memory.fd).st_size == 2 * shared_memory.mmap.PAGESIZE


def test_only_little_is_kept_for_the_next_file(memory, monkeypatch):
    monkeypatch.setattr(shared_memory, "_MOST_KEPT_BYTES", 5000)
    _, array = memory.take((5000,))
    memory.trim()
    assert os.fstat(memory.fd).st_size, "it is looked into"
    del array
    memory.trim()
    assert not os.fstat(memory.fd).st_size
    memory.take((100,))
    memory.trim()
    assert os.fstat(memory.fd).st_size


def test_the_other_process_sees_memory_that_was_added_later(memory):
    view = SharedView(memory.fd)
    for value, size in ((1, 100), (2, 9000)):
        offset, array = memory.take((2, size))
        view.write(offset, list(np.full((2, size), value, np.uint8)))
        assert (array == value).all()
    with pytest.raises((OSError, ValueError, IndexError)):
        view.write(1 << 20, [np.zeros(10, np.uint8)])
