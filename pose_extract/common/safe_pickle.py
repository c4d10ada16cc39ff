"""Read the field's pickled annotation files without executing anything in them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from ... import SkelactError

# All that PYSKL's files need: numpy arrays and scalars. numpy 1 and 2 name the modules differently.
_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy.core.numeric", "_frombuffer"),
    ("collections", "OrderedDict"),
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("builtins", "slice"),
    ("_codecs", "encode"),
}


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, which plain data does not need"
            )
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def load_pickle(path: str | Path) -> Any:
    """Read a pickle of builtin containers and numpy arrays; anything else in it is refused.

    Raises:
        SkelactError: if the file is missing, is no pickle, or asks for any other class or function.
    """
    try:
        with Path(path).open("rb") as stream:
            return _RestrictedUnpickler(stream).load()
    except OSError as error:
        raise SkelactError(f"cannot read {path}: {error.strerror or error}") from None
    except (pickle.UnpicklingError, EOFError, ValueError, AttributeError, IndexError) as error:
        raise SkelactError(
            f"{path}: expected a pickle of plain containers and numpy arrays, got one that cannot "
            f"be read safely: {error}"
        ) from None
