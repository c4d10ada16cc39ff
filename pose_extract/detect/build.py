"""The person detectors by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ... import SkelactError
from ..common.device import EngineName
from ..weights.bundle import is_bundle
from ..weights.download import is_url
from ..weights.table import WEIGHTS, refuse_renamed
from .base import BoxesFromFile, PersonDetector, WholeFrame

if TYPE_CHECKING:
    from ..nets.engines import EngineSource


def build_detector(
    name: str,
    *,
    boxes: str | Path | None = None,
    score_thr: float = 0.3,
    max_det: int = 8,
    device: str = "auto",
    num_threads: int = 0,
    size_factor: float = 1.0,
    engine: EngineName = "auto",
    engines: EngineSource | None = None,
) -> PersonDetector:
    """Return a detector; no network is loaded yet.

    Args:
        name: A detector of the weights table ("rtmdet-nano"), "whole-frame", "mmdet-faster-rcnn"
            (the paper's, where MMDetection is installed), a path or address of an ONNX file, or a
            path to either file of an exported bundle.
        boxes: A file of ground-truth boxes, used in place of a detector; see BoxesFromFile.
        score_thr: Leave out boxes with a lower score.
        max_det: At most this many boxes per frame.
        device: "auto", "cpu", "cuda" or "cuda:N".
        num_threads: Threads of the network; 0 takes the free cores.
        size_factor: Enlarges the input of an ONNX detector, where its file takes any size.
        engine: What runs the network of an exported bundle; see ``EngineOptions``.
        engines: Where engines come from; None makes them in this process.

    Raises:
        SkelactError: for a name that is none of these.
    """
    if boxes is not None:
        return BoxesFromFile(Path(boxes))
    refuse_renamed(name)
    if name == "whole-frame":
        return WholeFrame()
    if name == "mmdet-faster-rcnn":
        from .mmdet_adapter import FasterRCNN

        return FasterRCNN(score_thr, max_det, device)
    if is_bundle(WEIGHTS[name].filename if name in WEIGHTS else name):
        from .torch_detector import TorchDetector

        return TorchDetector(
            name, score_thr, max_det, device, num_threads, size_factor, engine, engines
        )
    known = [file.name for file in WEIGHTS.values() if file.kind == "detector"]
    if name in known or name.endswith(".onnx") or is_url(name):
        from .onnx_adapter import ONNXDetector

        return ONNXDetector(name, score_thr, max_det, device, num_threads, size_factor, engines)
    raise SkelactError(
        f"no detector called {name!r}; expected one of {', '.join(known)}, whole-frame, "
        "mmdet-faster-rcnn, a path or address of an .onnx file, or an exported bundle's .json"
    )
