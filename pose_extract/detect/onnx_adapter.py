"""ONNX Runtime: person detectors as OpenMMLab exports them (RTMDet, YOLOX)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ... import SkelactError
from ..common.device import default_threads
from ..common.geometry import scaled_size
from ..common.text import one_line
from ..decode.frames import FrameBatch
from ..nets.onnx_files import import_onnxruntime, open_session
from ..weights.download import fetch_weights, identify_weights
from .base import Detections

# Mean and standard deviation of RTMDet's input, in BGR. YOLOX takes raw pixel values.
_RTMDET_MEAN = np.array([103.53, 116.28, 123.675], np.float32)
_RTMDET_STD = np.array([57.375, 57.12, 58.395], np.float32)
# (3, 256) by family: the input for each value of a pixel, which is looked up faster than computed.
_LEVELS = np.arange(256, dtype=np.float32)
_INPUTS = {
    "rtmdet": (_LEVELS - _RTMDET_MEAN[:, None]) / _RTMDET_STD[:, None],
    "yolox": np.tile(_LEVELS, (3, 1)),
}
# Gray of the letterbox's bars, and the stride below: as in MMDetection's RTMDet and YOLOX configs.
_PADDING = 114
_DEFAULT_SIZE_WH = {"rtmdet": (320, 320), "yolox": (640, 640)}
_STRIDE = 32
_PERSON = 0
# More than any published detector takes; the file may say any number.
_MAX_SIDE = 4096


class ONNXDetector:
    """A person detector with non-maximum suppression inside its ONNX file.

    The file has one input (B, 3, H, W) and gives "dets" (B, n, 5), xyxy and score in input pixels,
    and, for more than one class, "labels" (B, n) with 0 for a person. A file with "yolox" in its
    name is read as YOLOX, any other as RTMDet.

    Args:
        name: Name in the weights table, a path, or an address (.onnx, or a .zip that holds one).
        score_thr: Leave out boxes with a lower score.
        max_det: At most this many boxes per frame.
        device: "auto", "cpu", "cuda" or "cuda:N".
        num_threads: Threads; 0 takes the free cores.
        size_factor: Enlarges the network's input, where the file takes any size.
    """

    def __init__(
        self,
        name: str | Path,
        score_thr: float,
        max_det: int,
        device: str,
        num_threads: int,
        size_factor: float = 1.0,
    ) -> None:
        self._name = str(name)
        self._score_thr = score_thr
        self._max_det = max_det
        self._device = device
        self._num_threads = num_threads
        self._size_factor = size_factor
        self._family = "yolox" if "yolox" in Path(name).name.lower() else "rtmdet"
        self._session: Any = None

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
        if self._session is not None:
            return
        path = fetch_weights(self._name)
        self._session = open_session(
            path, self._num_threads or default_threads(), _gpu_providers(self._device)
        )
        try:
            self._read_shapes(path)
        except SkelactError:
            self._session = None
            raise

    def _read_shapes(self, path: Path) -> None:
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        found = f"inputs {_described(inputs)} and outputs {_described(outputs)}"
        shape = inputs[0].shape if len(inputs) == 1 else []
        ranks = [len(output.shape) for output in outputs]
        if len(shape) != 4 or inputs[0].type != "tensor(float)" or ranks[:1] != [3]:
            raise SkelactError(
                f"{path}: expected one input (B,3,H,W) of float32 and boxes (B,n,5) with "
                f"non-maximum suppression inside, got {found}"
            )
        self._path = path
        self._input = inputs[0].name
        self._num_outputs = len(outputs)
        fixed = isinstance(shape[2], int) and isinstance(shape[3], int)
        width, height = (
            round(side * self._size_factor / _STRIDE) * _STRIDE
            for side in _DEFAULT_SIZE_WH[self._family]
        )
        self._size_wh = (shape[3], shape[2]) if fixed else (width, height)
        channels = shape[1] if isinstance(shape[1], int) else 3
        if channels != 3 or not all(1 <= side <= _MAX_SIDE for side in self._size_wh):
            raise SkelactError(
                f"{path}: expected images of 3 channels and sides up to {_MAX_SIDE}, got {found}"
            )
        self._takes_batches = not isinstance(shape[0], int) and self._runs_on_two()

    def _runs_on_two(self) -> bool:
        """Return whether a batch runs: some files announce any batch size and take one image."""
        width, height = self._size_wh
        try:
            self._session.run(None, {self._input: np.zeros((2, 3, height, width), np.float32)})
        except Exception:
            # ONNX Runtime raises classes of its own for shapes that a graph does not take.
            return False
        return True

    @property
    def input_side(self) -> int | None:
        """See ``PersonDetector``."""
        self.load()
        width, height = self._size_wh
        return width if width == height else None

    def detect(self, batch: FrameBatch, clip_id: str) -> list[Detections]:
        """Return the people of each frame."""
        self.load()
        width, height = self._size_wh
        shape: tuple[int, int] = batch.frames.shape[1:3]
        ratio = min(width / shape[1], height / shape[0])
        tensors = np.empty((len(batch.frames), 3, height, width), np.float32)
        for frame, tensor in zip(batch.frames, tensors):
            self._letterbox(frame, ratio, tensor)
        try:
            outputs = self._run(tensors)
            people = [self._people(*output) for output in zip(*outputs[:2])]
        except Exception as error:  # ONNX Runtime's own, and shapes that no detector gives
            raise SkelactError(f"{self._path}: the network fails: {one_line(error)}") from None
        return [
            Detections.clean(
                found[:, :4] / ratio, found[:, 4], shape, self._score_thr, self._max_det
            )
            for found in people
        ]

    def _run(self, tensors: np.ndarray) -> list[Any]:
        """Return the network's outputs for images (B, 3, H, W) float32, each B long."""
        if self._takes_batches:
            outputs: list[Any] = self._session.run(None, {self._input: tensors})
        else:
            parts = [self._session.run(None, {self._input: tensor[None]}) for tensor in tensors]
            outputs = [[part[i][0] for part in parts] for i in range(self._num_outputs)]
        for output in outputs:
            if len(output) != len(tensors):
                raise ValueError(f"{len(output)} results for {len(tensors)} images")
        return outputs

    @staticmethod
    def _people(found: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Return those of the boxes (n, 5) of an image whose label is that of a person."""
        if found.ndim != 2 or found.shape[1] != 5:
            raise ValueError(f"boxes of shape {found.shape}, expected (n, 5)")
        return found if labels is None else found[labels == _PERSON]

    def _letterbox(self, frame: np.ndarray, ratio: float, tensor: np.ndarray) -> None:
        """Write the network's input (3, H, W) float32 for a frame at a scale."""
        size = scaled_size(frame.shape[:2], ratio)
        # The bars stay, though a file may take any size: without them RTMDet-nano's weak boxes
        # change, and fewer athletes are found. Chosen with ``benchmarks/athlete.py``.
        canvas = np.full((*tensor.shape[1:], 3), _PADDING, np.uint8)
        canvas[: size[1], : size[0]] = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
        # Networks take BGR.
        for plane, table, out in zip(cv2.split(canvas)[::-1], _INPUTS[self._family], tensor):
            cv2.LUT(plane, table, out)


def _gpu_providers(device: str) -> list[Any]:
    """Return what ONNX Runtime runs on before the processor, where it is installed for GPUs."""
    if device == "cpu":
        return []
    if "CUDAExecutionProvider" not in import_onnxruntime().get_available_providers():
        return []
    return [("CUDAExecutionProvider", {"device_id": int(device.partition(":")[2] or 0)})]


def _described(values: Any) -> str:
    return one_line([(value.name, value.type, value.shape) for value in values], 150)
