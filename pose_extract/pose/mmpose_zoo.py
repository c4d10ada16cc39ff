"""MMPose's model zoo: its index, and what is needed of a model's config."""

from __future__ import annotations

import difflib
import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

from ... import SkelactError
from ..nets.mmpose_adapter import MMPOSE_INSTALL
from ..weights.table import WEIGHTS


def read_mmpose_config(path: Path) -> dict[str, Any]:
    """Return what is needed of an MMPose config: model, codec, padding, use_udp."""
    from mmengine.config import Config

    config = Config.fromfile(path)
    model = config.model.to_dict()
    # Weights come from the checkpoint: nothing is fetched to start a backbone from.
    model["backbone"].pop("init_cfg", None)
    head = model.get("head") or {}
    codec = head.get("decoder") or config.get("codec") or {}
    if "input_size" not in codec:
        raise SkelactError(
            f"{path}: expected a top-down heatmap config with a codec, got head "
            f"{head.get('type')!r}"
        )
    padding, use_udp = 1.25, False
    for step in config.val_pipeline:
        if step["type"] == "GetBBoxCenterScale":
            padding = step.get("padding", padding)
        if step["type"] == "TopdownAffine":
            use_udp = step.get("use_udp", use_udp)
    return {"model": model, "codec": codec, "padding": padding, "use_udp": use_udp}


def mmpose_folder() -> Path:
    """Return the folder of the installed package, without importing it.

    Raises:
        SkelactError: if MMPose is not installed.
    """
    spec = importlib.util.find_spec("mmpose")
    if spec is None or spec.origin is None:
        raise SkelactError(f"MMPose is not installed; install it with: {MMPOSE_INSTALL}")
    return Path(spec.origin).parent


@lru_cache(maxsize=1)
def mmpose_models() -> dict[str, dict[str, str]]:
    """Return MMPose's model index, name to entry, without importing MMPose."""
    import yaml

    folder = mmpose_folder() / ".mim"
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    models: dict[str, dict[str, str]] = {}
    index = yaml.load((folder / "model-index.yml").read_text(encoding="utf-8"), loader)
    for name in index["Import"]:
        if "topdown_heatmap" not in name:
            continue
        metafile = yaml.load((folder / name).read_text(encoding="utf-8"), loader)
        for entry in metafile["Models"]:
            models[entry["Name"]] = entry
    return models


def find_mmpose_model(name: str) -> dict[str, str]:
    """Return the entry of MMPose's model index with this name.

    Raises:
        SkelactError: if there is none; the message names the closest ones.
    """
    models = mmpose_models()
    if name in models:
        return models[name]
    ours = [file.name for file in WEIGHTS.values() if file.kind == "pose"]
    close = difflib.get_close_matches(name, [*ours, *models], n=3, cutoff=0.4)
    raise SkelactError(
        f"no pose net called {name!r}; expected one of {', '.join(ours)}, a top-down heatmap model "
        f"of MMPose, or a path to an MMPose config (.py). Close: {', '.join(close) or 'none'}"
    )
