"""Damage and malice for files: bytes, JSON values, archives of arrays and pickles, from a seed."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# Numbers that headers lie with.
_EXTREMES = [
    number.to_bytes(size, "little")
    for size in (2, 4, 8)
    for number in (0, 1, (1 << 8 * size - 1) - 1, 1 << 8 * size - 1, (1 << 8 * size) - 1)
]
ABSURD: list[Any] = [
    None, True, "", "x" * 100_000, [], {}, [[]], 0, -1, 1, 1 << 31, 1 << 63, 10**400, -0.5, 1e308,
    float("nan"), float("inf"), "\x1b[2J\x00", "../../../etc/passwd", ["a"] * 20_000,
    {"a": {"b": 1}},
]  # fmt: skip


def damaged_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Return data with one to three kinds of damage."""
    for _ in range(int(rng.integers(1, 4))):
        data = _DAMAGES[rng.integers(len(_DAMAGES))](bytearray(data), rng)
    return data


def _place(data: bytearray, rng: np.random.Generator) -> int:
    """Return a place in the data; every second one in the headers at its ends."""
    if not data:
        return 0
    place = int(rng.integers(len(data)))
    near = min(len(data), 400)
    return (place, place % near, len(data) - 1 - place % near, place)[rng.integers(4)]


def _flip(data: bytearray, rng: np.random.Generator) -> bytes:
    for _ in range(int(rng.integers(1, 20)) if data else 0):
        data[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return bytes(data)


def _extreme(data: bytearray, rng: np.random.Generator) -> bytes:
    number = _EXTREMES[rng.integers(len(_EXTREMES))]
    place = _place(data, rng)
    data[place : place + len(number)] = number
    return bytes(data)


def _noise(data: bytearray, rng: np.random.Generator) -> bytes:
    place, size = _place(data, rng), int(rng.integers(1, 64))
    data[place : place + size] = rng.bytes(size)
    return bytes(data)


def _zeros(data: bytearray, rng: np.random.Generator) -> bytes:
    place, size = _place(data, rng), int(rng.integers(1, 4096))
    data[place : place + size] = bytes(len(data[place : place + size]))
    return bytes(data)


def _cut(data: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(data[: _place(data, rng)])


def _remove(data: bytearray, rng: np.random.Generator) -> bytes:
    place = _place(data, rng)
    del data[place : place + int(rng.integers(1, 200))]
    return bytes(data)


def _repeat(data: bytearray, rng: np.random.Generator) -> bytes:
    start, stop = sorted((_place(data, rng), _place(data, rng)))
    return bytes(data[:stop] + data[start:])


_DAMAGES: list[Callable[[bytearray, np.random.Generator], bytes]] = [
    _flip, _flip, _extreme, _extreme, _noise, _zeros, _cut, _remove, _repeat,
]  # fmt: skip


def damaged_values(values: Any, rng: np.random.Generator) -> Any:
    """Return JSON values with one to three of them lost, added or replaced, at any depth."""
    for _ in range(int(rng.integers(1, 4))):
        values = _damaged_value(values, rng)
    return values


def _damaged_value(values: Any, rng: np.random.Generator) -> Any:
    absurd = ABSURD[rng.integers(len(ABSURD))]
    if not values or not isinstance(values, (dict, list)) or rng.random() < 0.05:
        return absurd
    changed = values.copy()
    keys = list(values) if isinstance(values, dict) else range(len(values))
    key = keys[rng.integers(len(keys))]
    chance = rng.random()
    if chance < 0.5:
        changed[key] = _damaged_value(values[key], rng)
    elif chance < 0.7:
        changed[key] = absurd
    elif chance < 0.85 or isinstance(values, list):
        del changed[key]
    else:
        changed[f"{key}_of_later"] = absurd
    return changed


def damaged_json(text: str, rng: np.random.Generator) -> bytes:
    """Return a JSON text with damaged values, or damaged bytes."""
    try:
        values = json.loads(text)
    except ValueError:  # it was damaged before
        return text.encode("utf-8", "replace")
    if rng.random() < 0.2:
        return damaged_bytes(text.encode(), rng)
    return json.dumps(damaged_values(values, rng)).encode()


def damaged_archive(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a .npz whose arrays are damaged, lost or lie, with checksums that are right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    for _ in range(int(rng.integers(1, 3))):
        if not members:
            break
        name = list(members)[rng.integers(len(members))]
        chance = rng.random()
        if chance < 0.15:
            del members[name]
        elif chance < 0.5:
            members[name] = damaged_bytes(members[name], rng)
        else:
            members[name] = _other_array(members[name], name, rng)
    compression = (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression[rng.integers(4)]) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def _other_array(content: bytes, name: str, rng: np.random.Generator) -> bytes:
    """Return an array of another type, shape or values, or one whose header lies."""
    stream = io.BytesIO(content)
    try:
        array = np.lib.format.read_array(stream, allow_pickle=False)
    except Exception:
        return content  # it was damaged before
    chance = rng.random()
    if name == "config.npy":
        array = np.array(damaged_json(str(array), rng).decode("utf-8", "replace"))
    elif chance < 0.3 and array.dtype.kind in "fi" and array.size:
        array = array.copy()
        extremes = np.array([0, -1, 1e30, np.nan, np.inf, 1 << 40])
        with np.errstate(all="ignore"):
            array.flat[rng.integers(array.size)] = extremes[rng.integers(6)].astype(array.dtype)
    elif chance < 0.6:
        with np.errstate(all="ignore"):
            array = array.reshape(-1)[: int(rng.integers(0, 5))]
    else:
        shapes = [(), (1 << 40,), (-1,), (1 << 62, 1 << 62), (0,), (1, 1 << 33, 17, 2)]
        types = ["<f4", "|O", "<U1", "<f8", "|V8", "<i8", "<M8[s]", "|b1"]
        forged = io.BytesIO()
        header = {
            "shape": shapes[rng.integers(len(shapes))],
            "fortran_order": bool(rng.integers(2)),
            "descr": types[rng.integers(len(types))],
        }
        np.lib.format.write_array_header_1_0(forged, header)
        return forged.getvalue() + content[128:]
    forged = io.BytesIO()
    np.lib.format.write_array(forged, array, allow_pickle=False)
    return forged.getvalue()


def damaged_onnx(data: bytes, rng: np.random.Generator) -> bytes:
    """Return an ONNX file with damaged bytes, or a graph that is one no more."""
    if rng.random() < 0.3:
        return damaged_bytes(data, rng)
    import onnx

    model = onnx.load_from_string(data)
    graph = model.graph
    for _ in range(int(rng.integers(1, 4))):
        number = int(np.array([0, -1, 1, 7, 1 << 20, 1 << 33, 1 << 62])[rng.integers(7)])
        chance = rng.random()
        if chance < 0.15 and graph.node:
            del graph.node[rng.integers(len(graph.node))]
        elif chance < 0.3 and graph.node:
            names = ["Relu", "Loop", "ConstantOfShape", "Conv", "Reshape", "Gather", "NoSuchOp"]
            graph.node[rng.integers(len(graph.node))].op_type = names[rng.integers(len(names))]
        elif chance < 0.45 and graph.node:
            node = graph.node[rng.integers(len(graph.node))]
            for attribute in node.attribute:
                attribute.i = number
                attribute.ints[:] = [number] * len(attribute.ints)
        elif chance < 0.75 and graph.initializer:
            tensor = graph.initializer[rng.integers(len(graph.initializer))]
            if rng.random() < 0.5:
                tensor.dims[:] = [*tensor.dims[1:], number]
            elif rng.random() < 0.5:
                tensor.data_type = int(rng.integers(0, 30))
            else:
                tensor.raw_data = damaged_bytes(tensor.raw_data, rng)
        elif chance < 0.9:
            values = [*graph.input, *graph.output]
            shape = values[rng.integers(len(values))].type.tensor_type.shape
            if shape.dim:
                shape.dim[rng.integers(len(shape.dim))].dim_value = number
        else:
            for entry in model.metadata_props:
                entry.value = damaged_json(entry.value, rng).decode("utf-8", "replace")
    content: bytes = model.SerializeToString()
    return content


class _Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._call


def hostile_calls(mark: Path) -> list[Any]:
    """Return objects that, unpickled without care, touch the file ``mark`` or fill the memory."""
    reconstruct: Any = np.array(0).__reduce__()[0]
    code = f"open({str(mark)!r}, 'w')"
    return [
        _Call(eval, code),
        _Call(exec, code),
        _Call(open, str(mark), "w"),
        _Call(Path.touch, mark),
        _Call(getattr, mark, "touch"),
        _Call(bytearray, 1 << 40),
        _Call(reconstruct, np.ndarray, (1 << 40,), b"b"),
        _Call(np.dtype, [("a", "O")]),
        _Call(np.frombuffer, bytes(8), "O"),
        _Call(range, 1 << 60),
    ]


def hostile_pickle(values: Any, mark: Path, rng: np.random.Generator) -> bytes:
    """Return a pickle that is damaged, calls something, or is made of random opcodes."""
    chance = rng.random()
    if chance < 0.4:
        return damaged_bytes(pickle.dumps(values, int(rng.integers(0, 6))), rng)
    if chance < 0.6:
        calls = hostile_calls(mark)
        call = calls[rng.integers(len(calls))]
        around = [call, {"annotations": [call], "split": {}}, [values, call]]
        return pickle.dumps(around[rng.integers(3)], int(rng.integers(2, 6)))
    opcodes = [value for name, value in vars(pickle).items() if name.isupper() and _is_code(value)]
    pieces = [
        b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"cnumpy.core.multiarray\n_reconstruct\n",
        b"cbuiltins\neval\n", b"cposix\nsystem\n", b"ccollections\nOrderedDict\n",
        b"X\x05\x00\x00\x00hello", b"(", b"t", b"R", b"b", b"}", b"]", b"K\x01",
        b"r\xff\xff\xff\xff",
    ]  # fmt: skip
    parts = [
        pieces[rng.integers(len(pieces))]
        if rng.random() < 0.6
        else opcodes[rng.integers(len(opcodes))] + rng.bytes(int(rng.integers(0, 3)))
        for _ in range(int(rng.integers(1, 40)))
    ]
    return b"".join([b"\x80\x04", *parts, b"."])


def _is_code(value: Any) -> bool:
    return isinstance(value, bytes) and len(value) == 1
