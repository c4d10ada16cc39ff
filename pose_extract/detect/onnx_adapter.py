"""Person detectors as OpenMMLab exports them (RTMDet, YOLOX): ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ... import SkelactError
from ..common.device import is_gpu_lost
from ..common.files import sha256_of
from ..common.geometry import scaled_size
from ..common.text import one_line
from ..decode.frames import FrameBatch
from ..nets.engine_choice import LocalEngines
from ..nets.engines import EngineOptions, EngineSource, ImageNetwork
from ..nets.onnx_files import import_onnxruntime
from ..nets.shapes import PIXEL_MEAN, PIXEL_STD
from ..weights.download import fetch_weights, identify_weights
from ..weights.table import WEIGHTS
from .base import Detections
from .onnx_runners import DetectorRunner, NanoRunner, SessionRunner, enlarged_size

# Gray of the letterbox's bars, as in MMDetection's RTMDet and YOLOX configs.
_PADDING = 114


class ONNXDetector:
    """A person detector with non-maximum suppression inside its ONNX file.

    The file has one input (B, 3, H, W) and gives "dets" (B, n, 5), xyxy and score in input pixels,
    and, for more than one class, "labels" (B, n) with 0 for a person. A file with "yolox" in its
    name is read as YOLOX, any other as RTMDet.

    ONNX Runtime runs it. On a GPU, which that reaches in its own release for GPUs alone, an engine
    runs the published RTMDet-nano, in batches, and workers can share it.

    Args:
        name: Name in the weights table, a path, or an address (.onnx, or a .zip that holds one).
        score_thr: Leave out boxes with a lower score.
        max_det: At most this many boxes per frame.
        device: "auto", "cpu", "cuda" or "cuda:N".
        num_threads: Threads; 0 takes the free cores.
        size_factor: Enlarges the network's input, where the file takes any size.
        engines: Where engines come from; None makes them in this process.
    """

    def __init__(
        self,
        name: str | Path,
        score_thr: float,
        max_det: int,
        device: str,
        num_threads: int,
        size_factor: float = 1.0,
        engines: EngineSource | None = None,
    ) -> None:
        self._name = str(name)
        self._score_thr = score_thr
        self._max_det = max_det
        self._options = EngineOptions(device=device, num_threads=num_threads)
        self._size_factor = size_factor
        self._engines = engines or LocalEngines()
        self._runner: DetectorRunner | None = None

    def identity(self) -> dict[str, Any]:
        """See ``PersonDetector``."""
        return {
            "name": Path(self._name).name,
            "sha256": identify_weights(self._name),
            "score_thr": self._score_thr,
            "max_det": self._max_det,
            "size_factor": self._size_factor,
        }

    def load(self) -> None:
        """Load the network.

        Raises:
            SkelactError: if the file is missing or is no such detector.
        """
        if self._runner is not None:
            return
        self._path = fetch_weights(self._name)
        self._runner = self._on_gpu() or SessionRunner(
            self._path,
            "yolox" if "yolox" in Path(self._name).name.lower() else "rtmdet",
            self._size_factor,
            self._options.threads,
            _gpu_providers(self._options.device),
        )

    def _on_gpu(self) -> NanoRunner | None:
        """Return what runs the published RTMDet-nano on a GPU; None for another file or device.

        Of another file of its shape neither thresholds nor activations are known.
        """
        if self._engines.device(self._options).type != "cuda":
            return None
        if sha256_of(self._path) != WEIGHTS["rtmdet-nano"].sha256:
            return None
        from ..nets.rtmdet_file import read_rtmdet

        try:
            net = read_rtmdet(self._path)
        except SkelactError:  # the package onnx is missing
            return None
        network = ImageNetwork(
            net,
            PIXEL_MEAN[::-1],
            PIXEL_STD[::-1],
            input_hw=enlarged_size("rtmdet", 1.0)[::-1],
            reverse=True,
            any_size=True,
        )
        engine = self._engines.engine(network.eval(), self._options)
        return NanoRunner(engine, self._size_factor)

    def _loaded(self) -> DetectorRunner:
        self.load()
        assert self._runner is not None
        return self._runner

    @property
    def input_side(self) -> int | None:
        """See ``PersonDetector``."""
        width, height = self._loaded().size_wh
        return width if width == height else None

    def detect(self, batch: FrameBatch, clip_id: str) -> list[Detections]:
        """Return the people of each frame."""
        runner = self._loaded()
        width, height = runner.size_wh
        shape: tuple[int, int] = batch.frames.shape[1:3]
        ratio = min(width / shape[1], height / shape[0])
        columns, rows = scaled_size(shape, ratio)
        # The bars stay, though a file may take any size: without them RTMDet-nano's weak boxes
        # change, and fewer athletes are found. Chosen with ``benchmarks/athlete.py``.
        images = np.full((len(batch.frames), height, width, 3), _PADDING, np.uint8)
        for frame, image in zip(batch.frames, images):
            image[:rows, :columns] = cv2.resize(
                frame, (columns, rows), interpolation=cv2.INTER_LINEAR
            )
        try:
            people = runner(images)
        except SkelactError:  # an engine's own
            raise
        except Exception as error:  # ONNX Runtime's own, and shapes that no detector gives
            if is_gpu_lost(error):
                raise
            raise SkelactError(f"{self._path}: the network fails: {one_line(error)}") from None
        return [
            Detections.clean(
                found[:, :4] / ratio, found[:, 4], shape, self._score_thr, self._max_det
            )
            for found in people
        ]


def _gpu_providers(device: str) -> list[Any]:
    """Return what ONNX Runtime runs on before the processor, where it is installed for GPUs."""
    if device == "cpu":
        return []
    if "CUDAExecutionProvider" not in import_onnxruntime().get_available_providers():
        return []
    return [("CUDAExecutionProvider", {"device_id": int(device.partition(":")[2] or 0)})]
