"""Read the field's pickled annotation files without executing anything in them.

A pickle is a program. Python's own reader in C hashes and fills whatever the program names, and
numpy's types take their flags from it, so that a few hundred bytes can corrupt memory or never end.
Here the reader in Python runs with its steps checked, and numpy's objects are built from checked
parts.
"""

from __future__ import annotations

import math
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from reprlib import repr as short
from typing import Any, BinaryIO

import numpy as np

from ... import SkelactError
from .memory import memory_for_file
from .text import one_line

# Types of numpy that plain data needs, by numpy's kinds. Not "V": a pickle may describe a structure
# whose fields read raw bytes as objects, which ends the process.
_PLAIN_TYPE = re.compile(r"([biufcSU])([0-9]{1,9})|O8?")

# Highest code point of Unicode; numpy does not check the text of its arrays.
_MAX_CODE_POINT = 0x10FFFF

# Dimensions that an array of numpy 1 may have.
_MAX_DIMENSIONS = 32

# Longest tuple as the key of a dictionary; keys in annotation files are names.
_MAX_TUPLE_KEY = 16

# A pickle may name one list many times, so that 300 bytes stand for 2**40 values. Each value that
# is not named again takes a byte of the file or more; what is shared (a common image shape, scores
# of ones) may add this much: 10 million values are 80 MB as numbers of numpy.
_SHARED_VALUES = 10_000_000
_TIMES_FILE = 4

# Values are numbered from 0; Python's reader in C makes a table up to the highest number.
_MAX_PLACE = (1 << 31) - 1

# Stands for numpy's class, which could be called for an array over any memory.
_NDARRAY = object()


class _TypeParts:
    """A type of numpy until its state is read."""

    def __init__(self, text: Any, *_: Any) -> None:
        if not isinstance(text, str) or not _PLAIN_TYPE.fullmatch(text):
            raise pickle.UnpicklingError(f"it holds an array of the type {short(text)}")
        self.dtype = np.dtype(text)
        self.places: list[int] = []

    def build(self, state: Any) -> np.dtype[Any]:
        """Return the type; see ``numpy.dtype.__reduce__`` for its state.

        Raises:
            UnpicklingError: if the state is not that of a plain type.
        """
        if not isinstance(state, tuple) or len(state) not in (8, 9):
            raise pickle.UnpicklingError(f"it holds a type of the state {short(state)}")
        _, order, subarray, names, fields, size, _, flags = state[:8]
        # The lowest flag says that the items are objects.
        if (
            order not in ("<", ">", "|", "=")
            or not (subarray is names is fields is None)
            or size not in (-1, self.dtype.itemsize)
            or not isinstance(flags, int)
            or bool(flags & 1) != self.dtype.hasobject
        ):
            raise pickle.UnpicklingError(f"it holds a type of the state {short(state)}")
        return self.dtype if order == "|" else self.dtype.newbyteorder(order)


class _ArrayParts:
    """An array of numpy until its state is read."""

    def __init__(self, subtype: Any, shape: Any, *_: Any) -> None:
        if subtype is not _NDARRAY or shape != (0,):
            raise pickle.UnpicklingError(
                f"it asks for an array of shape {short(shape)} without its values"
            )
        self.places: list[int] = []

    def build(self, state: Any) -> np.ndarray:
        """Return the array; see ``numpy.ndarray.__setstate__`` for its state.

        Raises:
            UnpicklingError: if its parts do not fit each other.
        """
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError(f"it holds an array of the state {short(state)}")
        _, shape, dtype, columns_first, data = state
        order: Any = "F" if columns_first else "C"
        if not isinstance(dtype, np.dtype) or not dtype.hasobject:
            array = _array_of_bytes(data, dtype, shape, order)
            # Bytes stay as they are: the array may lie over them, and a large file is in memory
            # once less.
            return array.copy("K") if isinstance(data, bytearray) else array
        if not isinstance(data, list) or len(data) != _num_values(shape):
            raise pickle.UnpicklingError(
                f"it holds an array of shape {short(shape)} with the values {short(data)}"
            )
        array = np.empty(len(data), object)
        for i, value in enumerate(data):
            array[i] = value
        return np.asarray(array.reshape(shape), order=order)


def _num_values(shape: Any) -> int:
    if (
        not isinstance(shape, tuple)
        or len(shape) > _MAX_DIMENSIONS
        or any(type(length) is not int or not 0 <= length < 1 << 48 for length in shape)
    ):
        raise pickle.UnpicklingError(f"it holds an array of shape {short(shape)}")
    return math.prod(shape)


def _array_of_bytes(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """Return an array over the bytes of its values, which may not be objects."""
    if not isinstance(dtype, np.dtype) or dtype.hasobject or order not in ("C", "F"):
        raise pickle.UnpicklingError(f"it holds an array of bytes with the type {short(dtype)}")
    if isinstance(data, str):  # as Python 2 wrote them
        data = data.encode("latin1")
    size = _num_values(shape) * dtype.itemsize
    if not isinstance(data, (bytes, bytearray)) or len(data) != size:
        raise pickle.UnpicklingError(
            f"it holds an array of shape {short(shape)} with {size} bytes of values in "
            f"{short(data)}"
        )
    array: np.ndarray = np.ndarray(shape, dtype, data, order=order)
    if dtype.kind == "U" and size:
        codes = np.frombuffer(data, np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        if codes.max() > _MAX_CODE_POINT:
            raise pickle.UnpicklingError("it holds an array of text that is not Unicode")
    return array


def _scalar(dtype: Any, data: Any) -> Any:
    return _array_of_bytes(data, dtype, (), "C")[()]


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if encoding != "latin1":  # the one that numpy's arrays of protocol 2 ask for
        raise pickle.UnpicklingError(f"it asks for the encoding {short(encoding)}")
    return bytes(text, "latin1")


def _no_bytes(*args: Any) -> bytes:
    """Return b"", which protocols 0 to 2 ask for by calling ``bytes``: an array without values."""
    if args:
        raise pickle.UnpicklingError(f"it makes bytes of {short(args)}")
    return b""


def _slice(*limits: Any) -> slice:
    if not all(limit is None or isinstance(limit, int) for limit in limits):
        raise pickle.UnpicklingError(f"it holds a slice of {short(limits)}")
    return slice(*limits)


def _is_plain_key(value: Any) -> bool:
    if isinstance(value, int):  # longer ones could be chosen to have one hash, or to be unprintable
        return -(1 << 63) <= value < 1 << 64
    return value is None or isinstance(value, (str, bytes, float, complex, np.generic))


def _check_keys(keys: Any) -> None:
    """Check that values may be keys: the hash of a nested tuple may end the process or never end.

    Raises:
        UnpicklingError: if one is not text, a number, None or a short tuple of those.
    """
    for key in keys:
        is_tuple = type(key) is tuple and len(key) <= _MAX_TUPLE_KEY
        if not (all(map(_is_plain_key, key)) if is_tuple else _is_plain_key(key)):
            raise pickle.UnpicklingError(
                "it has a key of a dictionary or a member of a set that is not text, a number or "
                f"a short tuple of those: {short(key)}"
            )


def _set_of(kind: Callable[[Any], Any], members: Any = ()) -> Any:
    if not isinstance(members, (list, tuple)):
        raise pickle.UnpicklingError(f"it holds a set of {short(members)}")
    _check_keys(members)
    return kind(members)


def _ordered(items: Any = ()) -> OrderedDict[Any, Any]:
    pairs = [tuple(item) for item in items]
    _check_keys(key for key, _ in pairs)
    return OrderedDict(pairs)


class _Call:
    """Calls a function; unlike the function itself it has no attribute that a pickle can set."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)


# All that PYSKL's files need: numpy arrays and scalars, under the modules' names of Python 3 and
# numpy 1.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Call(_TypeParts),
    ("numpy.core.multiarray", "_reconstruct"): _Call(_ArrayParts),
    ("numpy.core.multiarray", "scalar"): _Call(_scalar),
    ("numpy.core.numeric", "_frombuffer"): _Call(_array_of_bytes),
    ("collections", "OrderedDict"): _Call(_ordered),
    ("builtins", "set"): _Call(lambda *members: _set_of(set, *members)),
    ("builtins", "frozenset"): _Call(lambda *members: _set_of(frozenset, *members)),
    ("builtins", "slice"): _Call(_slice),
    ("builtins", "bytes"): _Call(_no_bytes),
    ("_codecs", "encode"): _Call(_encode),
}

# The reader in Python; its steps by the byte that asks for them can be replaced, those of the
# reader in C cannot.
_Reader: Any = pickle._Unpickler


class _Memo(dict[int, Any]):
    """What a pickle may name again; unbuilt parts learn their places in it."""

    def __setitem__(self, place: int, value: Any) -> None:
        if place > _MAX_PLACE:
            raise pickle.UnpicklingError(f"it numbers a value {place}")
        if type(value) in (_TypeParts, _ArrayParts):
            value.places.append(place)
        super().__setitem__(place, value)


class _RestrictedUnpickler(_Reader):
    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self.memo = _Memo()

    def find_class(self, module: str, name: str) -> Any:
        new = module.replace("__builtin__", "builtins")  # Python 2's name, protocols 0 to 2
        known = (new.replace("numpy._core", "numpy.core"), name)
        if known not in _ALLOWED:
            raise pickle.UnpicklingError(
                f"it asks for {module[:100]}.{name[:100]}, which plain data does not need"
            )
        return _ALLOWED[known]

    def _build(self) -> None:
        state, parts = self.stack.pop(), self.stack[-1]
        if not isinstance(parts, (_TypeParts, _ArrayParts)):
            raise pickle.UnpicklingError(f"it sets the state of {short(parts)}")
        built = self.stack[-1] = parts.build(state)
        # What names the parts later means what they were built into.
        for place in parts.places:
            self.memo[place] = built

    def _set_items(self, target: Any, items: list[Any]) -> None:
        if not isinstance(target, dict):
            raise pickle.UnpicklingError(f"it sets items of {short(target)}")
        _check_keys(items[::2])
        target.update(zip(items[::2], items[1::2], strict=True))

    def _setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items(self.stack[-1], [key, value])

    def _setitems(self) -> None:
        items = self.pop_mark()
        self._set_items(self.stack[-1], items)

    def _dict(self) -> None:
        items = self.pop_mark()
        target: dict[Any, Any] = {}
        self._set_items(target, items)
        self.append(target)

    def _additems(self) -> None:
        members, target = self.pop_mark(), self.stack[-1]
        if not isinstance(target, set):
            raise pickle.UnpicklingError(f"it adds members to {short(target)}")
        _check_keys(members)
        target.update(members)

    def _frozenset(self) -> None:
        members = self.pop_mark()  # it puts another list's append in place
        self.append(_set_of(frozenset, members))

    def _refuse(self) -> None:
        raise pickle.UnpicklingError("it makes an object, which plain data does not need")

    dispatch = _Reader.dispatch | {
        pickle.BUILD[0]: _build,
        pickle.SETITEM[0]: _setitem,
        pickle.SETITEMS[0]: _setitems,
        pickle.DICT[0]: _dict,
        pickle.ADDITEMS[0]: _additems,
        pickle.FROZENSET[0]: _frozenset,
        pickle.NEWOBJ[0]: _refuse,
        pickle.NEWOBJ_EX[0]: _refuse,
        pickle.OBJ[0]: _refuse,
        pickle.INST[0]: _refuse,
        pickle.EXT1[0]: _refuse,
        pickle.EXT2[0]: _refuse,
        pickle.EXT4[0]: _refuse,
    }


_CONTAINERS = (dict, list, tuple, np.ndarray)


def _inner(value: Any) -> tuple[int, list[Any]]:
    """Return the number of values in a container, and those of them that are containers."""
    if isinstance(value, np.ndarray):
        if not value.dtype.hasobject:
            return value.size, []
        value = value.ravel().tolist()
    values = value.values() if isinstance(value, dict) else value
    kinds = set(map(type, values))
    if not any(issubclass(kind, _CONTAINERS) for kind in kinds):
        return len(values), []
    return len(values), [item for item in values if isinstance(item, _CONTAINERS)]


def _check_size(root: Any, most: int) -> None:
    """Check how many values there are when what is named several times is counted each time.

    Raises:
        UnpicklingError: for more than ``most``, or a container inside itself.
    """
    sizes: dict[int, int | None] = {}  # None while the values inside are counted
    waiting: list[tuple[Any, int, list[Any] | None]] = [(root, 1, None)]
    while waiting:
        value, size, inner = waiting.pop()
        if inner is None:
            if not isinstance(value, _CONTAINERS) or sizes.get(id(value)) is not None:
                continue
            if id(value) in sizes:
                raise pickle.UnpicklingError("it holds a container inside itself")
            size, inner = _inner(value)
            sizes[id(value)] = None
            waiting.append((value, size + 1, inner))
            waiting += [(item, 1, None) for item in inner]
        else:
            size += sum(sizes[id(item)] or 0 for item in inner)
            if size > most:
                raise pickle.UnpicklingError(
                    f"it stands for more than {most} values by naming some many times"
                )
            sizes[id(value)] = size


def load_pickle(path: str | Path) -> Any:
    """Read a pickle of builtin containers and numpy arrays; anything else in it is refused.

    Arrays may be read-only.

    Memory is bounded by the file's size (:func:`memory_for_file`), whatever the pickle announces,
    and so is the number of values that it stands for.

    Raises:
        SkelactError: if the file is missing, is no pickle, asks for any other class or function,
            for memory out of proportion, or for a key that is not text, a number or a short tuple.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream, memory_for_file(path):
            value = _RestrictedUnpickler(stream).load()
            _check_size(value, _SHARED_VALUES + _TIMES_FILE * path.stat().st_size)
            return value
    except OSError as error:
        raise SkelactError(f"cannot read {path}: {error.strerror or error}") from None
    except MemoryError:
        raise SkelactError(
            f"{path}: expected a pickle of plain containers and numpy arrays, got one that asks "
            "for memory out of proportion to its size"
        ) from None
    # What bytes mean as a pickle is any sequence of calls: they may fail in any way.
    except Exception as error:
        raise SkelactError(
            f"{path}: expected a pickle of plain containers and numpy arrays, got one that cannot "
            f"be read safely: {one_line(error)}"
        ) from None
