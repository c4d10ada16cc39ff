"""MMDetection: the paper's Faster R-CNN, where the package is installed."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from ... import SkelactError
from ..common.device import choose_device
from ..common.text import one_line
from ..decode.frames import FrameBatch
from ..nets.mmpose_adapter import pkg_resources_offered
from .base import Detections

_MODEL = "faster-rcnn_r50_fpn_2x_coco"
_PERSON = 0


class FasterRCNN:
    """Faster R-CNN R50-FPN trained on COCO, the detector of the PoseConv3D protocol.

    Its config and published weights come from MMDetection's own model index.

    Args:
        score_thr: Leave out boxes with a lower score.
        max_det: At most this many boxes per frame.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        SkelactError: if MMDetection or mmcv's compiled operators are missing.
    """

    def __init__(self, score_thr: float, max_det: int, device: str) -> None:
        missing = [name for name in ("mmdet", "mmcv") if importlib.util.find_spec(name) is None]
        if not missing and importlib.util.find_spec("mmcv._ext") is None:
            missing = ["mmcv with compiled operators"]
        if missing:
            raise SkelactError(
                f"detector mmdet-faster-rcnn needs {', '.join(missing)}; install with: "
                "pip install -U openmim && mim install mmcv mmdet"
            )
        self._score_thr = score_thr
        self._max_det = max_det
        self._device = device
        self._inferencer: Any = None

    def identity(self) -> dict[str, Any]:
        """See ``PersonDetector``."""
        return {
            "name": "mmdet-faster-rcnn",
            "model": _MODEL,
            "score_thr": self._score_thr,
            "max_det": self._max_det,
        }

    def load(self) -> None:
        """Load the network; its weights are fetched where they are not cached.

        Raises:
            SkelactError: if MMDetection cannot be imported, or its weights not be fetched.
        """
        if self._inferencer is None:
            device = str(choose_device(self._device))
            try:
                with pkg_resources_offered():
                    from mmdet.apis import DetInferencer

                    self._inferencer = DetInferencer(_MODEL, device=device, show_progress=False)
            # The package's own config is run, and its weights are fetched and unpickled by it.
            except Exception as error:
                raise SkelactError(
                    f"detector mmdet-faster-rcnn cannot be loaded: {one_line(error)}"
                ) from error

    def detect(self, batch: FrameBatch, clip_id: str) -> list[Detections]:
        """Return the people of each frame."""
        self.load()
        images = [np.ascontiguousarray(frame[..., ::-1]) for frame in batch.frames]
        found = self._inferencer(images, batch_size=len(images))["predictions"]
        shape: tuple[int, int] = batch.frames.shape[1:3]
        result = []
        for prediction in found:
            person = np.asarray(prediction["labels"]) == _PERSON
            bboxes = np.asarray(prediction["bboxes"], np.float32).reshape(-1, 4)[person]
            scores = np.asarray(prediction["scores"], np.float32)[person]
            result.append(Detections.clean(bboxes, scores, shape, self._score_thr, self._max_det))
        return result
