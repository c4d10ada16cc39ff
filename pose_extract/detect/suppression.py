"""Non-maximum suppression."""

from __future__ import annotations

import cv2
import numpy as np

# As in RTMDet's own configs for one class of people.
_IOU = 0.6


def suppress(bboxes: np.ndarray, scores: np.ndarray, score_thr: float) -> np.ndarray:
    """Return which boxes non-maximum suppression keeps, best score first.

    Args:
        bboxes: (N, 4) xyxy.
        scores: (N,).
        score_thr: Leave out boxes with a lower score.
    """
    corners_sizes = np.concatenate([bboxes[:, :2], bboxes[:, 2:] - bboxes[:, :2]], 1)
    rows = cv2.dnn.NMSBoxes(corners_sizes.tolist(), scores.tolist(), score_thr, _IOU)
    return np.asarray(rows, int).reshape(-1)
