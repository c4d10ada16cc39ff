"""Our own aligner: by which angle a body is rotated in its box, and how far it reaches.

A pose model is most accurate on upright people. From a small, square crop around the box the
aligner tells how to crop the person upright; the detector's box, which has no angle, is not needed
further.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..nets.aligner_net import AlignerNet
from ..nets.shapes import SlimHRNet
from ..weights.bundle import BundleNetwork, bundle_weights, read_bundle
from ..weights.download import fetch_weights, identify_weights
from ..weights.table import WeightsError

# The output is rounded to this part of one: a hundredth of a degree, or of a pixel of the crop.
_STEPS = 8192


class Aligner:
    """The aligner, as pose models use it.

    Args:
        name: Name in the weights table, or a path of either file of an exported bundle.
        device: "auto", "cpu", "cuda" or "cuda:N".
        num_threads: Threads on the CPU; 0 takes the free cores.
    """

    def __init__(self, name: str, device: str = "auto", num_threads: int = 0) -> None:
        self._name = name
        self._device_name = device
        self._num_threads = num_threads
        self._net: BundleNetwork | None = None

    def identity(self) -> dict[str, Any]:
        """Return what shapes its results, JSON-able, without loading the network."""
        return {
            "name": Path(self._name).name,
            "sha256": identify_weights(bundle_weights(self._name)),
        }

    def load(self) -> None:
        """Load the network; only the first call does anything.

        Raises:
            SkelactError: if the weights are missing or are no aligner's.
        """
        if self._net is not None:
            return
        path = fetch_weights(bundle_weights(self._name))
        meta = read_bundle(path, "aligner")
        self._side = meta.input_wh[0]
        try:
            self._padding = float(meta.config["pose"]["padding"])
        except KeyError:
            raise WeightsError(f"{path}: its JSON lacks config.pose.padding") from None
        net = AlignerNet(meta.shape(SlimHRNet), self._side)
        self._net = BundleNetwork(path, net, self._device_name, self._num_threads)

    def align(
        self, frames: Sequence[np.ndarray], bboxes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find how people lie in frames.

        Args:
            frames: N frames (H, W, 3) uint8 RGB, one per person; the same one may come several
                times.
            bboxes: (N, 4) xyxy in pixels.

        Returns:
            Middles (N, 2) and sizes (N, 2) of the bodies in pixels, the sizes along the bodies'
            own axes, and angles (N,) in degrees by which those are rotated, clockwise: what
            ``PoseEstimator.crop_rotated`` takes.
        """
        self.load()
        assert self._net is not None
        bboxes = np.asarray(bboxes, np.float32).reshape(-1, 4)
        middles = (bboxes[:, :2] + bboxes[:, 2:]) / 2
        longer = np.maximum((bboxes[:, 2:] - bboxes[:, :2]).max(axis=1), 1.0)
        side = self._side
        pixels = self._padding * longer / side  # pixels of the frame in one of the crop
        crops = np.empty((len(bboxes), side, side, 3), np.uint8)
        for crop, frame, middle, pixel in zip(crops, frames, middles, pixels):
            factor = 1 / pixel
            shift = (side - 1) / 2 - factor * middle
            matrix = np.array([[factor, 0, shift[0]], [0, factor, shift[1]]], np.float32)
            cv2.warpAffine(frame, matrix, (side, side), dst=crop, flags=cv2.INTER_LINEAR)
        # Rounded, so that another order of the sums in another batch does not move the next crops.
        out = np.rint(self._net(crops).cpu().numpy() * _STEPS) / _STEPS
        angles = np.degrees(np.arctan2(out[:, 1], out[:, 0])).astype(np.float32)
        middles = middles + out[:, 2:4] * side * pixels[:, None]
        sizes = np.exp(np.clip(out[:, 4:], -4.0, 1.0)) * side * pixels[:, None]
        return middles, sizes, angles
