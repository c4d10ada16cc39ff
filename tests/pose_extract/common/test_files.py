"""Atomic writes, and pickles that hold more than data."""

from __future__ import annotations

import os
import pickle
import threading

import numpy as np
import pytest

from skelact import SkelactError
from skelact.pose_extract.common.files import (
    atomic_write,
    check_is_no_source,
    discard_leftovers,
    lock,
    locked,
    sha256_of,
)
from skelact.pose_extract.common.safe_pickle import load_pickle


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")

    def fail():
        with atomic_write(path) as temporary:
            temporary.write_bytes(b"half of the n")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_may_be_text_and_its_folders_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "x.bin"
    with atomic_write(str(path)) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"new"
    assert sha256_of(str(path)) == sha256_of(path)


def test_leftovers_of_killed_writes_are_removed_and_nothing_else(tmp_path):
    # The last ones are of users and their tools: a backup, an editor's, rsync's.
    kept = {
        *("[1].npz", ".1.npz.ab12cd_4.npz", "other", ".[1].npz.bak", ".[1].npz.swp"),
        *(".[1].npz.notes.txt", ".[1].npz.AbCdEf", ".[1].npz.ab12cd34", ".[1].npz.AB12CD34.npz"),
    }
    for name in (*kept, ".[1].npz.ab12cd_4.npz"):
        (tmp_path / name).touch()
    discard_leftovers(str(tmp_path / "[1].npz"))
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_a_write_that_goes_on_is_no_leftover(tmp_path):
    path = tmp_path / "x.npz"
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
        discard_leftovers(path, tmp_path / "no folder" / "y.npz")
        assert temporary.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "name", ["n" * 251 + ".npz", "é" * 125 + ".npz", "a." + "s" * 253, os.fsdecode(b"\xff.npz")]
)
def test_every_name_that_fits_can_be_written(tmp_path, name):
    path = tmp_path / name
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
        # Writers choose a format by it.
        assert temporary.name.endswith(".npz") == name.endswith(".npz")
        left = temporary.name
    # As a kill leaves it.
    (tmp_path / left).touch()
    discard_leftovers(path)
    assert list(tmp_path.iterdir()) == [path]


def test_one_at_a_time_holds_a_lock_and_none_leaves_it(tmp_path):
    path = tmp_path / ".lock"
    inside, most = [], []

    def work():
        for _ in range(50):
            with locked(path):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 200
    assert list(tmp_path.iterdir()) == []


def test_a_lock_lives_as_long_as_its_holder(tmp_path):
    path = tmp_path / "x"
    path.touch()
    holder, other = os.open(path, os.O_RDWR), os.open(path, os.O_RDWR)
    assert lock(holder, wait=False)
    assert not lock(other, wait=False)
    os.close(holder)
    assert lock(other, wait=False)
    os.close(other)


def test_a_pickle_of_plain_data_is_read(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"a": [np.arange(3)], "b": {1, 2}}))
    data = load_pickle(str(path))
    assert data["a"][0].tolist() == [0, 1, 2]
    assert data["b"] == {1, 2}


def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    class Bomb:
        def __reduce__(self):
            return eval, ("print('executed')",)  # Ray, where it runs, puts another print in place

    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(SkelactError, match=r"asks for builtins.eval"):
        load_pickle(path)
    assert "executed" not in capsys.readouterr().out


def test_a_source_is_no_target(tmp_path):
    source = tmp_path / "clip.mp4"
    source.write_bytes(b"video")
    (tmp_path / "link.mp4").symlink_to(source)
    check_is_no_source(tmp_path / "new.mp4", [source])
    for target in (source, tmp_path / "link.mp4"):
        with pytest.raises(SkelactError, match="one of the sources and would be lost"):
            check_is_no_source(target, [tmp_path / "missing.mp4", source])
