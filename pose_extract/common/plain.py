"""The one decoder of our JSON and YAML: plain values into dataclasses, names and types checked.

What is read may be damaged, come from a later version or be made to do harm: sizes are bounded
before memory is taken, and every fault is an error that says where it is.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import reprlib
import types
import typing
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from numbers import Real
from pathlib import Path
from typing import Any, Literal, TypeVar

from ... import SkelactError
from .text import one_line

C = TypeVar("C")

# The JSON of our checkpoints has some kilobytes; parsed values take up to about 50 times the text.
MAX_TEXT_BYTES = 16 << 20
# How much of a value an error prints.
_MAX_SHOWN = 80
# And a few words on a change.
_MAX_CHANGED = 40
_SHOWN = reprlib.Repr()
_SHOWN.maxlevel = 2
_SHOWN.maxstring = _SHOWN.maxother = _MAX_SHOWN


def read_text(path: str | Path) -> str:
    """Return the text of a small file.

    Raises:
        SkelactError: if it is missing, no file, above 16 MiB or not UTF-8.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise SkelactError(f"{path}: expected a file, got a folder or device")
        with path.open("rb") as stream:
            data = stream.read(MAX_TEXT_BYTES + 1)
        if len(data) > MAX_TEXT_BYTES:
            raise SkelactError(f"{path}: expected at most {MAX_TEXT_BYTES >> 20} MiB of text")
        return data.decode("utf-8")
    except OSError as error:
        raise SkelactError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:  # not UTF-8, or a path with a zero byte
        raise SkelactError(f"{path}: expected text in UTF-8, got {one_line(error)}") from None


def parse_json(text: str | bytes, where: str) -> dict[str, Any]:
    """Return the object that a JSON text holds.

    Raises:
        SkelactError: if it is no JSON object; the message starts with ``where``.
    """
    if len(text) > MAX_TEXT_BYTES:
        raise SkelactError(f"{where}: expected at most {MAX_TEXT_BYTES >> 20} MiB of JSON")
    try:
        values = load_json(text)
    except (ValueError, RecursionError) as error:
        raise SkelactError(f"{where}: expected JSON, got {one_line(error)}") from None
    if not isinstance(values, dict):
        raise SkelactError(f"{where}: expected a JSON object, got {shown(values)}")
    return values


def load_json(text: str | bytes) -> Any:
    """Return the value of a JSON text in which no object has a key twice.

    Raises:
        ValueError: if it is no JSON, or has such a key; also its subclasses.
        RecursionError: if it is too deep.
    """
    return json.loads(text, object_pairs_hook=_without_duplicates)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {shown(twice)} twice")
    return values


def shown(value: Any) -> str:
    """Return a value as an error names it: a bounded part of it, however large or deep it is."""
    try:
        return _SHOWN.repr(value)
    except ValueError:  # a whole number of thousands of digits
        return f"a {type(value).__name__}"


def build_config(cls: type[C], values: Any, where: str) -> C:
    """Build a dataclass from plain values, checking names and types.

    Raises:
        SkelactError: naming the key, what was expected and what came.
    """
    if not isinstance(values, Mapping):
        raise SkelactError(f"{where}: expected a mapping, got {shown(values)}")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise SkelactError(f"{where}: {_unknown(cls, key, list(fields))}")
    missing = [
        name
        for name, f in fields.items()
        if name not in values
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise SkelactError(f"{where}: missing key(s) {', '.join(missing)}")
    checked = {key: _check(hints[key], value, f"{where}: {key}") for key, value in values.items()}
    try:
        return cls(**checked)
    except (ValueError, SkelactError) as error:  # of the dataclass's own checks
        raise SkelactError(f"{where}: {error}") from None


def _unknown(cls: type, key: Any, known: list[str]) -> str:
    if key in getattr(cls, "RENAMED", {}):
        return f"the key {key!r} is now called {cls.RENAMED[key]!r}"  # type: ignore[attr-defined]
    close = difflib.get_close_matches(str(key)[:_MAX_SHOWN], known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"unknown key {shown(key)}{hint} Known: {', '.join(known)}"


def _check(hint: Any, value: Any, where: str) -> Any:
    """Return ``value`` as the type ``hint`` says, or raise."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint) and not isinstance(value, typing.cast(type, hint)):
        return build_config(typing.cast(type, hint), value, where)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        built = [arg for arg in args if isinstance(arg, type) and dataclasses.is_dataclass(arg)]
        if isinstance(value, tuple(built)):
            return value  # one of several shapes, made by the caller
        return _check(next(arg for arg in args if arg is not type(None)), value, where)
    expected = ""
    if origin is Literal:
        # Of the same type, too: True is no 1.
        if any(value == arg and type(value) is type(arg) for arg in args):
            return value
        expected = "one of " + ", ".join(map(str, args))
    elif origin is tuple:
        if isinstance(value, (list, tuple)):
            inner = [args[0]] * len(value) if args[-1] is Ellipsis else args
            if len(inner) == len(value):
                return tuple(_check(a, v, where) for a, v in zip(inner, value))
            expected = f"a list of {len(inner)}"
        expected = expected or "a list"
    elif origin is dict:
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return value
        expected = "a mapping"
    elif hint is float:
        if isinstance(value, Real) and not isinstance(value, bool):
            with suppress(OverflowError):  # a whole number of hundreds of digits
                return float(value)
        expected = "a number"
    else:
        if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
            return value
        expected = {int: "a whole number", str: "text", bool: "true or false"}.get(hint, str(hint))
    raise SkelactError(f"{where}: expected {expected}, got {shown(value)}")


def changes(before: Any, now: Any, name: str = "") -> Iterator[str]:
    """Yield a few words per value in which two nested dictionaries differ.

    Such as "detector.name was 'a', is now 'b'".
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*now, *(key for key in before if key not in now)]:
            inner = f"{name}.{key}" if name else key
            if key not in before:
                yield f"{inner} is new"
            elif key not in now:
                yield f"{inner} is gone"
            else:
                yield from changes(before[key], now[key], inner)
    elif before != now:
        yield f"{name} was {_short(before)}, is now {_short(now)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_CHANGED else f"{text[: _MAX_CHANGED - 3]}..."
