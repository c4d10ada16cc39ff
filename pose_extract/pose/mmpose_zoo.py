"""MMPose's model zoo: its index, its configs, and the weights that it publishes."""

from __future__ import annotations

import difflib
import importlib.util
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ... import SkelactError
from ..common.memory import memory_for_file
from ..common.plain import shown
from ..common.text import one_line
from ..layout import COCO_17
from ..nets.mmpose_adapter import MMPOSE_INSTALL, pkg_resources_offered
from ..weights.table import WEIGHTS


def check_is_trusted(path: str | Path, trust_config: bool) -> None:
    """Check that a config may be read, which runs it: MMPose's configs are Python code.

    Those inside the installed package are as trustworthy as the package itself.

    Raises:
        SkelactError: if it lies elsewhere and is not trusted.
    """
    if trust_config:
        return
    folder = mmpose_folder()
    # In an installation from a source tree the configs are a link to those beside the package.
    roots = [folder.resolve(), (folder / ".mim" / "configs").resolve()]
    if not any(Path(path).resolve().is_relative_to(root) for root in roots):
        raise SkelactError(
            f"{path} is Python code, which runs when it is read: if you trust it, say so with "
            "--trust-config (trust_config=True in Python); the models of MMPose's own index are "
            "chosen by name and need no trust"
        )


def read_mmpose_config(path: str | Path, trust_config: bool = False) -> dict[str, Any]:
    """Return what ``PoseEstimator`` needs of an MMPose config: model, codec, padding, use_udp.

    Args:
        path: The config, a Python file; it is run.
        trust_config: Also run one that lies outside the installed package.

    Raises:
        SkelactError: if it is not trusted, cannot be run, or is not the config of a top-down
            heatmap model.
    """
    from mmengine.config import Config

    check_is_trusted(path, trust_config)
    try:
        with pkg_resources_offered():  # for a base such as mmpose::_base_/default_runtime.py
            config = Config.fromfile(path)
    except Exception as error:  # whatever the code in it raises
        raise SkelactError(
            f"{path}: cannot read it as an MMPose config: {type(error).__name__}: {one_line(error)}"
        ) from error
    try:
        return _settings(config, path)
    except (AttributeError, KeyError, TypeError) as error:
        raise SkelactError(
            f"{path}: expected the config of a top-down heatmap model, got {one_line(error)}"
        ) from None


def _settings(config: Any, path: str | Path) -> dict[str, Any]:
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


def check_topdown_model(model: Any, name: str) -> None:
    """Refuse a network that is not a top-down heatmap model with COCO-17 keypoints.

    Raises:
        SkelactError: if it is not.
    """
    head = getattr(model, "head", None)
    decoder = getattr(head, "decoder", None)
    channels = getattr(head, "out_channels", None)
    if decoder is None or not hasattr(decoder, "heatmap_size") or channels is None:
        raise SkelactError(
            f"pose model {name}: expected an MMPose top-down heatmap model, got "
            f"{type(model).__name__} with head {type(head).__name__}"
        )
    if channels != COCO_17.num_keypoints:
        raise SkelactError(f"pose model {name}: expected 17 COCO keypoints, got {channels}")


def load_mmpose_checkpoint(model: Any, path: str | Path) -> None:
    """Load a published checkpoint into an MMPose network, without executing anything in it.

    Raises:
        SkelactError: if it holds more than plain weights, or they do not fit the network.
    """
    import torch

    # Published checkpoints hold numpy arrays among the facts about their data set; nothing else is
    # let in.
    reconstruct = np.array(0).__reduce__()[0]
    dtypes = [type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "u1", "?")]
    allowed: list[Any] = [reconstruct, np.ndarray, np.dtype, *dtypes]
    torch.serialization.add_safe_globals(allowed)
    try:
        with memory_for_file(path):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise SkelactError(
            f"{path}: expected plain weights, got a file that asks for memory out of proportion to "
            "its size"
        ) from None
    except Exception as error:
        raise SkelactError(
            f"{path}: expected plain weights, torch refuses to load it safely: {_reason(error)}"
        ) from None
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    names = isinstance(state, dict) and all(isinstance(name, str) for name in state)
    if not names or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise SkelactError(f"{path}: expected weights by name, got {shown(loaded)}")
    try:
        model.load_state_dict(state, strict=True)
    except Exception as error:  # other names and shapes, and tensors without numbers
        raise SkelactError(
            f"{path}: the weights do not fit the config: {one_line(error)}"
        ) from None


def _reason(error: Exception) -> str:
    """Return why torch refused a file, without its advice to load it unsafely."""
    why = re.search(r"WeightsUnpickler error: (.*)", str(error))
    first_line = str(error).partition("\n")[0]
    return one_line(why.group(1) if why else first_line) or type(error).__name__


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
        f"no pose model called {name!r}; expected one of {', '.join(ours)}, a top-down heatmap "
        f"model of MMPose, or a path to an MMPose config (.py). Close: {', '.join(close) or 'none'}"
    )
