"""Read the field's pickled annotation files without executing anything in them."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ... import SkelactError
from .memory import memory_for_file
from .text import one_line

# Kinds of numpy types that plain data needs. Not "V": a pickle may describe a structure whose
# fields read raw bytes as objects, which ends the process.
_DTYPE_KINDS = "biufcSUO"

_reconstruct: Any = np.array(0).__reduce__()[0]
_scalar: Any = np.float64(0).__reduce__()[0]
# Stands for numpy's class, which could be called for an array over any memory.
_NDARRAY = object()


def _dtype(*args: Any) -> np.dtype[Any]:
    dtype = np.dtype(*args)
    if dtype.kind not in _DTYPE_KINDS:
        raise pickle.UnpicklingError(f"it holds an array of the type {dtype}")
    return dtype


def _empty_array(subtype: Any, shape: Any, dtype: Any) -> np.ndarray:
    """Return the array that numpy fills next; a pickle may ask for any size here."""
    if subtype is not _NDARRAY or shape != (0,):
        raise pickle.UnpicklingError(f"it asks for an array of shape {shape!r} without its values")
    array: np.ndarray = _reconstruct(np.ndarray, (0,), dtype)
    return array


def _array_of_bytes(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if encoding != "latin1":  # the one that numpy's arrays of protocol 2 ask for
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}")
    return bytes(text, "latin1")


class _Call:
    """Calls a function; unlike the function itself it has no attribute that a pickle can set."""

    __slots__ = ("_function",)
    _function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError(f"it sets {name!r} of a function")

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)


# All that PYSKL's files need: numpy arrays and scalars, under the modules' names of Python 3 and
# numpy 1.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Call(_dtype),
    ("numpy.core.multiarray", "_reconstruct"): _Call(_empty_array),
    ("numpy.core.multiarray", "scalar"): _Call(_scalar),
    ("numpy.core.numeric", "_frombuffer"): _Call(_array_of_bytes),
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "slice"): slice,
    ("_codecs", "encode"): _Call(_encode),
}


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        new = module.replace("__builtin__", "builtins")  # Python 2's name, protocols 0 to 2
        known = (new.replace("numpy._core", "numpy.core"), name)
        if known not in _ALLOWED:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, which plain data does not need"
            )
        return _ALLOWED[known]


def load_pickle(path: str | Path) -> Any:
    """Read a pickle of builtin containers and numpy arrays; anything else in it is refused.

    Memory is bounded by the file's size (:func:`memory_for_file`), whatever the pickle announces.

    Raises:
        SkelactError: if the file is missing, is no pickle, asks for any other class or function, or
            for memory out of proportion.
    """
    try:
        with Path(path).open("rb") as stream, memory_for_file(path):
            return _RestrictedUnpickler(stream).load()
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
