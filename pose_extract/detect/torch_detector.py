"""Our own person finder: centres of people and the sides of their boxes, at any angle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from ..decode.frames import FrameBatch
from ..nets.mmpose_adapter import build_pose_model
from ..nets.rtmdet import RTMDetNano
from ..nets.shapes import RTMDetShape, SlimHRNet
from ..weights.bundle import BundleMeta, BundleNetwork, bundle_weights, read_bundle
from ..weights.download import fetch_weights, identify_weights
from .base import Detections

STRIDE = 4
# The network's input is a multiple of this.
_COARSEST = 32
_PADDING = 114
_NMS_IOU = 0.6
_MOST = 100


class FinderNet(nn.Module):
    """A slim HRNet with a head for centres and boxes.

    Args:
        network: Shape of the backbone.
    """

    def __init__(self, network: SlimHRNet) -> None:
        super().__init__()
        self.backbone = build_pose_model(network.backbone())
        self.head = nn.Sequential(
            nn.Conv2d(network.width, 48, 3, padding=1, bias=False),
            nn.BatchNorm2d(48),
            nn.ReLU(inplace=True),
            nn.Conv2d(48, 5, 1),
        )
        # Few places are centres: begin with a chance of one in a hundred.
        bias = self.head[-1].bias
        assert isinstance(bias, Tensor)
        nn.init.zeros_(bias)
        bias.data[0] = -4.6
        bias.data[1:] = 2.0

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Find people.

        Args:
            x: (N, 3, H, W) float32, normalised RGB; H and W multiples of 32.

        Returns:
            Logits of a person's centre (N, H / 4, W / 4), and the ways from there to the left,
            upper, right and lower side of the box (N, 4, H / 4, W / 4), in pixels of the input.
        """
        out = self.head(self.backbone(x)[0]).float()
        sides = torch.exp(out[:, 1:].clamp(-2.0, 5.0)) * STRIDE
        return out[:, 0], sides

    @staticmethod
    def people(out: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return boxes and scores of what the network gave; see :func:`find_peaks`."""
        return find_peaks(*out)


def detector_network(meta: BundleMeta) -> FinderNet | RTMDetNano:
    """Return the network of a finder, with any weights.

    Raises:
        WeightsError: if it has another shape than finders have.
    """
    shape = meta.shape(SlimHRNet, RTMDetShape)
    return FinderNet(shape) if isinstance(shape, SlimHRNet) else RTMDetNano(shape)


def box_sides(sides: Tensor) -> Tensor:
    """Return boxes (N, 4, h, w) xyxy in pixels of the input from a :class:`FinderNet`'s sides."""
    height, width = sides.shape[2:]
    xs = (torch.arange(width, device=sides.device) + 0.5) * STRIDE
    ys = (torch.arange(height, device=sides.device) + 0.5) * STRIDE
    left, upper, right, lower = sides.unbind(1)
    return torch.stack([xs - left, ys[:, None] - upper, xs + right, ys[:, None] + lower], 1)


class TorchDetector:
    """The finder as a detector.

    Args:
        name: Name in the weights table, or a path of either file of the pair.
        score_thr: Leave out people with a lower score.
        max_det: At most this many people per frame.
        device: "auto", "cpu", "cuda" or "cuda:N".
        num_threads: Threads on the CPU; 0 takes the free cores.
        size_factor: Enlarges the network's input.
    """

    def __init__(
        self,
        name: str,
        score_thr: float,
        max_det: int,
        device: str,
        num_threads: int,
        size_factor: float = 1.0,
    ) -> None:
        self._name = name
        self._score_thr = score_thr
        self._max_det = max_det
        self._device_name = device
        self._num_threads = num_threads
        self._size_factor = size_factor
        self._net: BundleNetwork | None = None

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
            SkelactError: if the weights are missing or are no finder's.
        """
        if self._net is not None:
            return
        path = fetch_weights(bundle_weights(self._name))
        meta = read_bundle(path, "detector")
        self._side = round(meta.input_wh[0] * self._size_factor / _COARSEST) * _COARSEST
        net = detector_network(meta)
        self._boxes = net.people
        self._net = BundleNetwork(path, net, self._device_name, self._num_threads)

    def detect(self, batch: FrameBatch, clip_id: str) -> list[Detections]:
        """Return the people of each frame."""
        self.load()
        assert self._net is not None
        height, width = batch.frames.shape[1:3]
        ratio = self._side / max(height, width)
        size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
        # No larger than the frame needs: half of a square around a wide one would be empty.
        columns, rows = (-(-pixels // _COARSEST) * _COARSEST for pixels in size)
        boxed = np.full((len(batch.frames), rows, columns, 3), _PADDING, np.uint8)
        for canvas, frame in zip(boxed, batch.frames):
            canvas[: size[1], : size[0]] = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
        with torch.inference_mode():
            bboxes, scores = self._boxes(self._net(boxed))
        return [
            self._clean(found / ratio, found_scores, (height, width))
            for found, found_scores in zip(bboxes.cpu().numpy(), scores.cpu().numpy())
        ]

    def _clean(self, bboxes: np.ndarray, scores: np.ndarray, shape: tuple[int, int]) -> Detections:
        found = Detections.clean(bboxes, scores, shape, self._score_thr)
        keep = suppress(found.bboxes, found.scores, self._score_thr)[: self._max_det]
        return Detections(found.bboxes[keep], found.scores[keep])


def suppress(bboxes: np.ndarray, scores: np.ndarray, score_thr: float) -> np.ndarray:
    """Return which boxes (N, 4) xyxy non-maximum suppression keeps, best score first."""
    corners_sizes = np.concatenate([bboxes[:, :2], bboxes[:, 2:] - bboxes[:, :2]], 1)
    rows = cv2.dnn.NMSBoxes(corners_sizes.tolist(), scores.tolist(), score_thr, _NMS_IOU)
    return np.asarray(rows, int).reshape(-1)


def find_peaks(logits: Tensor, sides: Tensor, most: int = _MOST) -> tuple[Tensor, Tensor]:
    """Return boxes (N, K, 4) xyxy in pixels of the input, and scores (N, K), best first.

    Args:
        logits: (N, h, w), see :class:`FinderNet`.
        sides: (N, 4, h, w).
        most: K.
    """
    heat = torch.sigmoid(logits)
    is_peak = heat == torch.nn.functional.max_pool2d(heat[:, None], 3, 1, 1)[:, 0]
    scores, places = (heat * is_peak).flatten(1).topk(min(most, heat[0].numel()), dim=1)
    boxes = box_sides(sides).flatten(2)
    rows = places[:, None].expand(-1, 4, -1)
    return boxes.gather(2, rows).transpose(1, 2), scores
