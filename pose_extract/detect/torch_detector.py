"""Our own person detector: an exported bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from ..common.device import EngineName
from ..common.geometry import scaled_size
from ..decode.frames import FrameBatch
from ..nets.engine_choice import LocalEngines
from ..nets.engines import Engine, EngineOptions, EngineSource, ImageNetwork
from ..nets.rtmdet import RTMDetNano
from ..nets.shapes import PIXEL_MEAN, PIXEL_STD, RTMDetShape
from ..weights.bundle import BundleMeta, bundle_weights, load_bundle_weights, read_bundle
from ..weights.download import fetch_weights, identify_weights
from .base import Detections
from .suppression import suppress

# Sides of the network's input are multiples of this, its coarsest stride.
_COARSEST = 32
# Grey value of the letterbox padding, as in YOLOX and RTMDet.
_PAD_VALUE = 114


def detector_network(meta: BundleMeta) -> RTMDetNano:
    """Return the network of an exported detector, with any weights.

    Raises:
        WeightsError: if it has another shape than detectors have.
    """
    return RTMDetNano(meta.shape(RTMDetShape))


class TorchDetector:
    """A detector of our own, as ``PersonDetector``.

    Args:
        name: Name in the weights table, or a path of either file of an exported bundle.
        score_thr: Leave out boxes with a lower score.
        max_det: At most this many boxes per frame.
        device: "auto", "cpu", "cuda" or "cuda:N".
        num_threads: Threads on the CPU; 0 takes the free cores.
        size_factor: Enlarges the network's input.
        engine: What runs the network; see ``EngineOptions``.
        engines: Where it comes from; None makes it in this process.
    """

    def __init__(
        self,
        name: str,
        score_thr: float,
        max_det: int,
        device: str,
        num_threads: int,
        size_factor: float = 1.0,
        engine: EngineName = "auto",
        engines: EngineSource | None = None,
    ) -> None:
        self._name = name
        self._score_thr = score_thr
        self._max_det = max_det
        self._options = EngineOptions(engine, device=device, num_threads=num_threads)
        self._size_factor = size_factor
        self._engines = engines or LocalEngines()
        self._engine: Engine | None = None

    def identity(self) -> dict[str, Any]:
        """See ``PersonDetector``."""
        return {
            "name": Path(self._name).name,
            "sha256": identify_weights(bundle_weights(self._name)),
            "score_thr": self._score_thr,
            "max_det": self._max_det,
            "size_factor": self._size_factor,
        }

    def load(self) -> None:
        """Load the network.

        Raises:
            SkelactError: if the weights are missing or are no detector's.
        """
        if self._engine is not None:
            return
        from mmcv.cnn.utils import fuse_conv_bn

        path = fetch_weights(bundle_weights(self._name))
        meta = read_bundle(path, "detector")
        self._side = round(meta.input_wh[0] * self._size_factor / _COARSEST) * _COARSEST
        net = detector_network(meta)
        load_bundle_weights(path, net)
        network = ImageNetwork(
            fuse_conv_bn(net.eval()),
            PIXEL_MEAN,
            PIXEL_STD,
            input_hw=meta.input_wh[::-1],
            any_size=True,
        )
        self._engine = self._engines.engine(network.eval(), self._options)

    @property
    def input_side(self) -> int:
        """See ``PersonDetector``."""
        self.load()
        return self._side

    def detect(self, batch: FrameBatch, clip_id: str) -> list[Detections]:
        """Return the people of each frame."""
        self.load()
        assert self._engine is not None
        height, width = batch.frames.shape[1:3]
        ratio = self._side / max(height, width)
        size = scaled_size((height, width), ratio)
        # No larger than the frame needs: half of a square around a wide one would be empty.
        columns, rows = (-(-pixels // _COARSEST) * _COARSEST for pixels in size)
        letterboxed = np.full((len(batch.frames), rows, columns, 3), _PAD_VALUE, np.uint8)
        for canvas, frame in zip(letterboxed, batch.frames):
            canvas[: size[1], : size[0]] = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
        levels = [torch.from_numpy(level) for level in self._engine(letterboxed)]
        bboxes, scores = RTMDetNano.people(levels)
        return [
            self._clean(found / ratio, found_scores, (height, width))
            for found, found_scores in zip(bboxes.numpy(), scores.numpy())
        ]

    def _clean(self, bboxes: np.ndarray, scores: np.ndarray, shape: tuple[int, int]) -> Detections:
        found = Detections.clean(bboxes, scores, shape, self._score_thr)
        keep = suppress(found.bboxes, found.scores, self._score_thr)[: self._max_det]
        return Detections(found.bboxes[keep], found.scores[keep])
