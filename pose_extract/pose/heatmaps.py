"""What heatmaps say: where joints are, and how likely they are there.

A network that is trained on Gaussians with the squared error answers with its belief of where a
joint is, blurred by that Gaussian. So the place with the most belief around it is the highest point
of the heatmap blurred a little more, and the chance that the joint lies near a place is the sum of
the heatmap around it, over that of a Gaussian alone: it stays high where a joint is a little
uncertain, and the peak does not.
"""

from __future__ import annotations

import numpy as np

from ..common.geometry import torso_lengths
from ..layout import COCO_17

# A score is the chance of a joint within this many torso lengths, the distance of PCK@0.2.
NEAR_TORSOS = 0.2
# Blur before the highest point is taken, over the deviation of the Gaussians. It was chosen for an
# earlier training; with the network that ships, blurs from 0 to 1.5 differ by at most 1.4 points
# and none is ahead for all (``benchmarks/heatmaps.py``).
BLUR_SIGMAS = 0.75
# The heatmap is summed so much farther than a joint may be off, over the deviation of the
# Gaussians. With 0 the scores of the Leeds set are better calibrated (by the same), but those of
# blurred divers are too low already.
REACH_SIGMAS = 0.5
# A trunk seen along its axis has no length; cells of the heatmap.
MIN_TORSO_CELLS = 5.0


def blurred(heatmaps: np.ndarray, sigma: float, blur_sigmas: float = BLUR_SIGMAS) -> np.ndarray:
    """Return heatmaps blurred as they are before their highest points are taken.

    Args:
        heatmaps: (N, V, h, w) float32.
        sigma: Deviation of the Gaussians that the network was trained on, cells.
        blur_sigmas: Deviation of the blur over that one.
    """
    import cv2

    result = np.empty_like(heatmaps)
    for row, heatmap in enumerate(heatmaps):
        stacked = np.ascontiguousarray(heatmap.transpose(1, 2, 0))
        blurry = cv2.GaussianBlur(stacked, (0, 0), blur_sigmas * sigma)
        result[row] = blurry.reshape(*heatmap.shape[1:], -1).transpose(2, 0, 1)
    return result


def found_chances(
    heatmaps: np.ndarray,
    spots: np.ndarray,
    sigma: float,
    reach_sigmas: float = REACH_SIGMAS,
) -> np.ndarray:
    """Return the chances (N, V) float32, 0 to 1, that joints lie within .2 torsos of where found.

    Args:
        heatmaps: (N, V, h, w) float32.
        spots: (N, V, 2) where the joints are found, cells of the heatmaps, x then y.
        sigma: Deviation of the Gaussians that the network was trained on, cells.
        reach_sigmas: How much farther than a joint may be off is summed, over that deviation.
    """
    height, width = heatmaps.shape[2:]
    torsos = np.maximum(torso_lengths(spots, COCO_17), MIN_TORSO_CELLS)
    reach = NEAR_TORSOS * torsos + reach_sigmas * sigma
    across = (np.arange(width) - spots[..., :1]) ** 2
    down = (np.arange(height) - spots[..., 1:]) ** 2
    is_near = across[..., None, :] + down[..., None] <= (reach**2)[:, None, None, None]
    near = is_near.astype(np.float32)
    sums = np.einsum("nvhw,nvhw->nv", np.maximum(heatmaps, 0.0), near)
    # What is summed of a joint that is there for sure, at the border too.
    columns, rows = (
        np.exp(squares / (-2 * sigma**2)).astype(np.float32) for squares in (across, down)
    )
    sure = np.einsum("nvh,nvhw,nvw->nv", rows, near, columns, optimize=True)
    chances: np.ndarray = np.minimum(sums / sure, 1.0).astype(np.float32)
    return chances
