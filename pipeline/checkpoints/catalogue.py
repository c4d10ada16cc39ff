"""The models by name: those of the table of weights, and the classifiers that ship."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ...pose_extract.common.files import PACKAGE_FOLDER, cache_folder, shared_folder
from ...pose_extract.common.plain import read_text
from ...pose_extract.weights.download import locate_weights
from ...pose_extract.weights.table import WEIGHTS
from .checkpoint import load_meta

_SHIPPED = PACKAGE_FOLDER / "models" / "pretrained"
# A row of a card's table.
_LICENCE = re.compile(r"^\| licence of the weights \| (.+?) \|$", re.MULTILINE)


@dataclass(frozen=True)
class ModelInfo:
    """A model.

    Attributes:
        name: What it is called.
        kind: "detector", "pose", "classifier" or "flights".
        what: What it is, in a line.
        classes: What it tells apart, for a classifier.
        licence: Under which terms its weights may be used.
        source: Who trained it, or on what.
        num_bytes: Size of its weights.
        place: "shipped", "cache" or "weights folder", where it is on this machine; else empty.
        path: Its weights on this machine, or None.
    """

    name: str
    kind: str
    what: str
    classes: tuple[str, ...]
    licence: str
    source: str
    num_bytes: int
    place: str
    path: str | None


def list_models() -> list[ModelInfo]:
    """Return the detectors, the pose models, and what ships to name actions."""
    return [*_of_table(), *_of_package()]


def _of_table() -> list[ModelInfo]:
    found = []
    for name, file in WEIGHTS.items():
        path = locate_weights(name)
        found.append(
            ModelInfo(
                name,
                file.kind,
                file.what,
                (),
                file.licence,
                file.source,
                file.num_bytes,
                place_of(path) if path else "",
                str(path) if path else None,
            )
        )
    return found


def _of_package() -> list[ModelInfo]:
    named = {file.filename for file in WEIGHTS.values()}
    found = []
    for weights in sorted(_SHIPPED.glob("*.safetensors")):
        if weights.name in named:
            continue
        kind, what, classes, source = _described(weights.with_suffix(".json"))
        licence = _LICENCE.search(read_text(weights.with_suffix(".md")))
        found.append(
            ModelInfo(
                weights.stem,
                kind,
                what,
                classes,
                licence.group(1) if licence else "see its card",
                source,
                weights.stat().st_size,
                "shipped",
                str(weights),
            )
        )
    return found


def _described(info: Path) -> tuple[str, str, tuple[str, ...], str]:
    """Return the kind, a line, the classes and the origin of a shipped model."""
    if info.stem == "flight_factors":
        return "flights", "network that reads dives and saltos", (), "skelact, simulated flights"
    meta = load_meta(info)
    what = f"{len(meta.label_names)} actions of a person"
    return "classifier", what, meta.label_names, f"skelact, trained on {meta.data['dataset']}"


def place_of(path: Path) -> str:
    """Return in words in which of the folders of weights a file lies."""
    folders = {
        _SHIPPED: "shipped",
        cache_folder() / "weights": "cache",
        shared_folder() / "weights": "shared folder",
    }
    return folders.get(path.parent, "weights folder")
