"""Config files: plain YAML that may build on others (``_base_``); nothing in it is executed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from .. import SkelactError
from ..pose_extract.common.plain import read_text, shown
from ..pose_extract.common.text import one_line

_BASE = "_base_"
_SUFFIXES = (".yaml", ".yml")
# No config of ours comes near: the largest, a list of labels, has 300 values in 3 levels and builds
# on nothing. A kilobyte of anchors and aliases may stand for more values than memory holds.
_MAX_VALUES = 100_000
_MAX_LEVELS = 50
_MAX_FILES = 20
_MAX_PATH_CHARS = 4096  # as on Linux


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Return the values of a YAML file laid over those of its bases.

    ``_base_`` names one YAML file or a list of them, by paths relative to the file that names them;
    at most 20 files may build on each other. Of several bases a later one wins, and the file itself
    wins over all of them: mappings are merged key by key, everything else is replaced.

    Raises:
        SkelactError: if a file is missing, is no YAML mapping of plain values, or is its own base.
    """
    return _read(Path(path), (), [])


def _read(path: Path, readers: tuple[Path, ...], files: list[Path]) -> dict[str, Any]:
    try:
        path = path.resolve()
    except (OSError, ValueError, RuntimeError) as error:  # links in a circle, a zero byte
        raise SkelactError(f"{shown(str(path))}: no path of a YAML config: {error}") from None
    if path in readers:
        chain = " -> ".join(reader.name for reader in (*readers, path))
        raise SkelactError(f"{path}: {_BASE} leads back to the file itself: {chain}")
    if path.suffix not in _SUFFIXES:
        raise SkelactError(f"{path}: expected a YAML file ({', '.join(_SUFFIXES)})")
    files.append(path)
    if len(files) > _MAX_FILES:
        raise SkelactError(f"{path}: expected at most {_MAX_FILES} files that build on each other")
    try:
        values = _load(read_text(path))
    except SkelactError as error:
        raise SkelactError(f"{path}: cannot read it as a YAML config: {error}") from None
    if not isinstance(values, dict):
        raise SkelactError(f"{path}: expected a mapping, got {shown(values)}")
    bases = values.pop(_BASE, [])
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise SkelactError(f"{path}: {_BASE}: expected a file name or several, got {shown(bases)}")
    merged: dict[str, Any] = {}
    for base in bases:
        if Path(base).is_absolute() or len(base) > _MAX_PATH_CHARS:
            raise SkelactError(f"{path}: {_BASE}: expected a relative path, got {shown(base)}")
        merged = merge(merged, _read(path.parent / base, (*readers, path), files))
    return merge(merged, values)


class _Loader(yaml.SafeLoader):
    """The safe loader, with the numbers of YAML 1.2, and with each key of a mapping once.

    PyYAML follows YAML 1.1. Numbers of base 60, such as 1:30, are text here: they surprise, and
    PyYAML's time grows with the square of their length. 1e-4, without a point, is a number.
    """

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        node = super().compose_scalar_node(anchor)
        if ":" in node.value and node.tag.endswith((":int", ":float")):
            node.tag = "tag:yaml.org,2002:str"
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Here and not where values are made: by then the merge key has copied keys into mappings.
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    line = key.start_mark.line + 1
                    raise SkelactError(f"line {line} has the key {shown(key.value)} again")
                seen.add((key.tag, key.value))
        return node


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+\Z"),
    list("-+.0123456789"),
)


def _load(text: str) -> Any:
    """Return the plain values of a YAML text.

    Raises:
        SkelactError: if it is no YAML, names a Python object, or holds too much.
    """
    try:
        _check_size(text)
        return yaml.load(text, _Loader)
    except SkelactError:
        raise
    # Besides its own errors, PyYAML raises whatever int(), float() and dates raise of text that
    # only looks like one of them.
    except Exception as error:
        raise SkelactError(one_line(error) or type(error).__name__) from None


def _check_size(text: str) -> None:
    """Check how many values a YAML text stands for, each alias with all that it repeats."""
    sizes: dict[str, int] = {}
    counts = [0]  # values below each open list or mapping, the document first
    anchors: list[str | None] = []
    for event in yaml.parse(text, yaml.SafeLoader):
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            if anchor not in sizes:
                raise SkelactError(f"the alias *{anchor} stands for itself or for nothing")
            counts[-1] += sizes[anchor]
        elif isinstance(event, yaml.ScalarEvent):
            counts[-1] += 1
            sizes |= {anchor: 1} if anchor else {}
        elif isinstance(event, yaml.CollectionStartEvent):
            counts.append(1)
            anchors.append(anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            size, name = counts.pop(), anchors.pop()
            counts[-1] += size
            sizes |= {name: size} if name else {}
        if len(counts) > _MAX_LEVELS or counts[-1] > _MAX_VALUES:
            raise SkelactError(
                f"expected at most {_MAX_VALUES} values in {_MAX_LEVELS} levels, got more"
            )


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
        nested = _load(value)
    except SkelactError as error:
        raise SkelactError(f"--set {key}: cannot read {value!r} as YAML: {error}") from None
    for name in reversed(names):
        nested = {name: nested}
    return dict(nested)
