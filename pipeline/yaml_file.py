"""Config files: plain YAML that may build on others (``_base_``); nothing in it is executed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from .. import SkelactError

_BASE = "_base_"
_SUFFIXES = (".yaml", ".yml")


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Return the values of a YAML file laid over those of its bases.

    ``_base_`` names one file or a list of files, relative to the file that names them. Of several
    bases a later one wins, and the file itself wins over all of them: mappings are merged key by
    key, everything else is replaced.

    Raises:
        SkelactError: if a file is missing, is no YAML mapping of plain values, or is its own base.
    """
    return _read(Path(path), ())


def _read(path: Path, readers: tuple[Path, ...]) -> dict[str, Any]:
    path = path.resolve()
    if path in readers:
        chain = " -> ".join(reader.name for reader in (*readers, path))
        raise SkelactError(f"{path}: {_BASE} leads back to the file itself: {chain}")
    if path.suffix not in _SUFFIXES:
        raise SkelactError(f"{path}: expected a YAML file ({', '.join(_SUFFIXES)})")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SkelactError(f"{path}: cannot read it as a YAML config: {error}") from None
    if not isinstance(values, dict):
        raise SkelactError(f"{path}: expected a mapping, got {values!r}")
    bases = values.pop(_BASE, [])
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise SkelactError(f"{path}: {_BASE}: expected a file name or several, got {bases!r}")
    merged: dict[str, Any] = {}
    for base in bases:
        merged = merge(merged, _read(path.parent / base, (*readers, path)))
    return merge(merged, values)


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``above`` laid over ``below``; mappings found in both are merged, too."""
    merged = dict(below)
    for key, value in above.items():
        known = merged.get(key)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            value = merge(known, value)
        merged[key] = value
    return merged


def parse_override(text: str) -> dict[str, Any]:
    """Return ``optim.epochs=20`` as ``{"optim": {"epochs": 20}}``; the value is read as YAML.

    Raises:
        SkelactError: if it is no ``key=value``, or its value is no YAML.
    """
    key, sign, value = text.partition("=")
    names = key.split(".")
    if not sign or not all(names):
        raise SkelactError(f"--set: expected key=value such as optim.epochs=20, got {text!r}")
    try:
        nested = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise SkelactError(f"--set {key}: cannot read {value!r} as YAML: {error}") from None
    for name in reversed(names):
        nested = {name: nested}
    return dict(nested)
