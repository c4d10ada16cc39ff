"""Atomic writes, and pickles that hold more than data."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from skelact import SkelactError
from skelact.pose_extract.common.files import (
    atomic_write,
    check_is_no_source,
    discard_leftovers,
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
    for name in ("[1].npz", ".[1].npz.ab12.npz", ".1.npz.ab12.npz", "other"):
        (tmp_path / name).touch()
    discard_leftovers(str(tmp_path / "[1].npz"))
    assert {path.name for path in tmp_path.iterdir()} == {"[1].npz", ".1.npz.ab12.npz", "other"}


def test_a_pickle_of_plain_data_is_read(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"a": [np.arange(3)], "b": {1, 2}}))
    data = load_pickle(str(path))
    assert data["a"][0].tolist() == [0, 1, 2]
    assert data["b"] == {1, 2}


def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    class Bomb:
        def __reduce__(self):
            return print, ("executed",)

    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(SkelactError, match=r"asks for builtins.print"):
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
