"""Pickles of plain data are read whatever wrote them; anything else is refused and never runs."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from skelact import SkelactError
from skelact.pose_extract.common import memory
from skelact.pose_extract.common.safe_pickle import load_pickle

PLAIN = {
    "keypoint": np.arange(12.0, dtype=np.float16).reshape(1, 2, 3, 2),
    "no values": np.zeros((0, 2, 17, 2), np.float16),
    "columns first": np.asfortranarray(np.ones((2, 3), np.float32)),
    "names": np.array(["a", "跳水"]),
    "objects": np.array([None, "a", [1]], object),
    "numbers": (np.float32(0.1), np.int64(4), np.bool_(True), 1 << 80),
    "rest": [{1, 2}, frozenset("a"), b"\xff\x00", slice(1, 2), None],
}


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_comes_back(tmp_path, protocol):
    path = tmp_path / "plain.pkl"
    path.write_bytes(pickle.dumps(PLAIN, protocol))
    loaded = load_pickle(path)
    assert repr(loaded) == repr(PLAIN)
    assert loaded["keypoint"].dtype == np.float16


class Prints:
    def __reduce__(self):
        return print, ("executed",)


class NoMemory:
    """An array of a terabyte, without values."""

    def __reduce__(self):
        reconstruct = np.array(0).__reduce__()[0]
        return reconstruct, (np.ndarray, (1 << 40,), b"b")


class Structure:
    """A type whose field reads raw bytes as objects."""

    def __reduce__(self):
        return np.dtype, ([("a", "O")],)


def doubled(value, kind, times=60):
    for _ in range(times):
        value = kind((value, value))
    return value


ARRAY = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
OBJECT_TYPE = (
    b"cnumpy\ndtype\n(U\x02O8K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK"
)
FLOAT_TYPE = b"cnumpy\ndtype\n(U\x02f8K\x00K\x01tR(K\x03U\x01|NNNK\x08K\x08K"

HOSTILE = {
    "objects without their flag": ARRAY
    + b"(K\x01K\x01\x85"
    + OBJECT_TYPE
    + b"\x00tb\x89C\x08"
    + b"A" * 8
    + b"tb.",
    "objects from bytes": ARRAY
    + b"(K\x01K\x01\x85"
    + OBJECT_TYPE
    + b"?tb\x89C\x08"
    + b"A" * 8
    + b"tb.",
    "fewer objects than the shape": ARRAY + b"(K\x01K\x05\x85" + OBJECT_TYPE + b"?tb\x89]tb.",
    "numbers with the flag of objects": ARRAY
    + b"(K\x01K\x01\x85"
    + FLOAT_TYPE
    + b"?tb\x89C\x08"
    + b"A" * 8
    + b"tb.",
    "fewer bytes than the shape": ARRAY
    + b"(K\x01K\x02\x85"
    + FLOAT_TYPE
    + b"\x00tb\x89C\x08"
    + b"A" * 8
    + b"tb.",
    "a deep tuple as key": b"\x80\x02})" + b"\x85" * 300000 + b"K\x01s.",
    "a deep tuple in a set": b"\x80\x04\x8f()" + b"\x85" * 300000 + b"\x90.",
    "a deep tuple in a frozenset": b"\x80\x04()" + b"\x85" * 300000 + b"\x91.",
    "a doubled tuple as key": b"\x80\x02}" + pickle.dumps(doubled((), tuple), 2)[2:-1] + b"K\x01s.",
    "a doubled list": pickle.dumps(doubled([], list)),
    "a list of lists many times": pickle.dumps([[[[0.5] * 34] * 60000] * 200]),
    "a list inside itself": b"]q\x00h\x00a.",
    "a call": pickle.dumps(Prints()),
    "an array without values": pickle.dumps(NoMemory()),
    "a structure of objects": pickle.dumps(Structure()),
    "a memo of 64 GB": b"Nr\xff\xff\xff\xff.",
    "a terabyte of bytes": b"\x80\x04\x8e\x00\x00\x00\x00\x00\x01\x00\x00a.",
    "an array over any memory": b"cnumpy\nndarray\n(I100\ntR.",
    "an attribute of a function": b"cnumpy\ndtype\n(N}V__defaults__\nNstb.",
    "another encoding": b"c_codecs\nencode\n(Va\nVidna\ntR.",
    "a terabyte of zeros": b"c__builtin__\nbytes\n(I1099511627776\ntR.",
    "an empty stack": b"a.",
    "half a number": b"\x80\x04G\x00",
    "a number of words": b"Ix\n.",
    "nothing": b"",
    "text": b"<!doctype html>",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_anything_else_is_refused_and_nothing_runs(tmp_path, what, capsys):
    path = tmp_path / "hostile.pkl"
    path.write_bytes(HOSTILE[what])
    with pytest.raises(SkelactError, match="expected a pickle of plain containers"):
        load_pickle(path)
    assert "executed" not in capsys.readouterr().out
    assert np.dtype("f4") == np.float32


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "none.pkl", tmp_path):
        with pytest.raises(SkelactError, match="cannot read"):
            load_pickle(path)


@pytest.mark.skipif(not memory._STATM.exists(), reason="bounds of memory are for Linux")
def test_memory_is_bounded_inside_and_as_before_after(tmp_path):
    import resource

    path = tmp_path / "small"
    path.write_bytes(b"0" * 100)
    before = resource.getrlimit(resource.RLIMIT_AS)
    with memory.memory_for_file(path):
        np.empty(1 << 20)
        with pytest.raises(MemoryError):
            bytearray(1 << 32)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
