"""What runs the network of a detector's ONNX file: ONNX Runtime, or an engine on a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch

from ... import SkelactError
from ..common.text import one_line
from ..nets.engines import Engine
from ..nets.onnx_files import open_session
from ..nets.rtmdet import level_boxes
from ..nets.shapes import PIXEL_MEAN, PIXEL_STD
from .suppression import suppress

# (3, 256) by family: the input in BGR for each value of a pixel, which is looked up faster than
# computed. YOLOX takes raw pixel values.
_LEVELS = np.arange(256, dtype=np.float32)
_BGR_MEAN, _BGR_STD = (np.array(rgb[::-1], np.float32) for rgb in (PIXEL_MEAN, PIXEL_STD))
_INPUTS = {
    "rtmdet": (_LEVELS - _BGR_MEAN[:, None]) / _BGR_STD[:, None],
    "yolox": np.tile(_LEVELS, (3, 1)),
}
_DEFAULT_SIZE_WH = {"rtmdet": (320, 320), "yolox": (640, 640)}
_STRIDE = 32
_PERSON = 0
# More than any published detector takes; the file may say any number.
_MAX_SIDE = 4096
# Of the published RTMDet-nano: lower scores are left out, and more boxes than these.
_NANO_SCORE_THR, _NANO_MOST = 0.05, 100


class DetectorRunner(Protocol):
    """Runs the network of a detector's file.

    Attributes:
        size_wh: Width and height of the images that it takes.
    """

    size_wh: tuple[int, int]

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """Return the people of each image, (n, 5) float32: xyxy in pixels of the image, and score.

        Args:
            images: (B, height, width, 3) uint8 RGB.

        Raises:
            Exception: of many kinds, if the network fails.
        """
        ...


class SessionRunner:
    """ONNX Runtime runs the file; see :class:`DetectorRunner`.

    Args:
        path: The file.
        family: "rtmdet" or "yolox".
        size_factor: Enlarges the input, where the file takes any size.
        threads: On a processor.
        providers: What to run on, before the processor.

    Raises:
        SkelactError: if the file cannot be read or is no such detector.
    """

    def __init__(
        self, path: Path, family: str, size_factor: float, threads: int, providers: list[Any]
    ) -> None:
        self._session = open_session(path, threads, providers)
        self._table = _INPUTS[family]
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        found = f"inputs {_described(inputs)} and outputs {_described(outputs)}"
        shape = inputs[0].shape if len(inputs) == 1 else []
        ranks = [len(output.shape) for output in outputs]
        if len(shape) != 4 or inputs[0].type != "tensor(float)" or ranks[:1] != [3]:
            raise SkelactError(
                f"{path}: expected one input (B,3,H,W) of float32 and boxes (B,n,5) with "
                f"non-maximum suppression inside, got {found}"
            )
        self._input = inputs[0].name
        self._num_outputs = len(outputs)
        fixed = isinstance(shape[2], int) and isinstance(shape[3], int)
        self.size_wh = (shape[3], shape[2]) if fixed else enlarged_size(family, size_factor)
        channels = shape[1] if isinstance(shape[1], int) else 3
        if channels != 3 or not all(1 <= side <= _MAX_SIDE for side in self.size_wh):
            raise SkelactError(
                f"{path}: expected images of 3 channels and sides up to {_MAX_SIDE}, got {found}"
            )
        self._takes_batches = not isinstance(shape[0], int) and self._runs_on_two()

    def _runs_on_two(self) -> bool:
        """Return whether a batch runs: some files announce any batch size and take one image."""
        width, height = self.size_wh
        try:
            self._session.run(None, {self._input: np.zeros((2, 3, height, width), np.float32)})
        except Exception:
            # ONNX Runtime raises classes of its own for shapes that a graph does not take.
            return False
        return True

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """See :class:`DetectorRunner`."""
        tensors = np.empty((len(images), 3, *images.shape[1:3]), np.float32)
        for image, tensor in zip(images, tensors):
            # Networks take BGR.
            for plane, table, out in zip(cv2.split(image)[::-1], self._table, tensor):
                cv2.LUT(plane, table, out)
        return [_people(*output) for output in zip(*self._run(tensors)[:2])]

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


class NanoRunner:
    """An engine runs the published RTMDet-nano, all images at once; see :class:`DetectorRunner`.

    Args:
        engine: Runs the network that ``read_rtmdet`` gives for it.
        size_factor: Enlarges the input.
    """

    def __init__(self, engine: Engine, size_factor: float) -> None:
        self._engine = engine
        self.size_wh = enlarged_size("rtmdet", size_factor)

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """See :class:`DetectorRunner`."""
        boxes, logits = level_boxes([torch.from_numpy(level) for level in self._engine(images)])
        found = torch.cat([boxes, torch.sigmoid(logits)[..., None]], dim=-1).numpy()
        people = []
        for image in found:
            # Half precision may overflow; a box that is none would suppress all others.
            rows = image[np.isfinite(image).all(axis=1) & (image[:, 4] > _NANO_SCORE_THR)]
            kept = suppress(rows[:, :4], rows[:, 4], _NANO_SCORE_THR)[:_NANO_MOST]
            people.append(rows[kept])
        return people


def enlarged_size(family: str, size_factor: float) -> tuple[int, int]:
    """Return width and height of the input of a file that takes any size."""
    width, height = (
        round(side * size_factor / _STRIDE) * _STRIDE for side in _DEFAULT_SIZE_WH[family]
    )
    return width, height


def _people(found: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
    """Return those of the boxes (n, 5) of an image whose label is that of a person."""
    if found.ndim != 2 or found.shape[1] != 5:
        raise ValueError(f"boxes of shape {found.shape}, expected (n, 5)")
    return found if labels is None else found[labels == _PERSON]


def _described(values: Any) -> str:
    return one_line([(value.name, value.type, value.shape) for value in values], 150)
