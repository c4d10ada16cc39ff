"""An image of simulated dives, to look at."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from ... import SkelactError
from ...pose_extract.common.files import atomic_write
from ...pose_extract.layout import COCO_17
from ...pose_extract.skeleton import SkeletonSequence
from ..data.annotations import Annotation
from ..drawing.overlay import draw_panel, draw_skeleton
from ..elements.element import Element
from .dataset import SynthConfig, film_dives


def check_image_path(path: Path) -> None:
    """Check that a path is that of an image which can be written.

    Raises:
        SkelactError: if its suffix is none of an image.
    """
    # The suffix alone: of names that are not UTF-8 OpenCV crashes.
    if not (path.suffix.isascii() and cv2.haveImageWriter(f"sheet{path.suffix}")):
        raise SkelactError(f"{path}: expected the name of an image file, such as dives.png")


def draw_sheet(
    path: str | Path, names: Sequence[str], *, seed: int = 0, noise: float = 0.0
) -> None:
    """Draw dives, one row each, as twelve frames from before the take-off to the entry.

    Args:
        path: Target, an image file.
        names: The dives as Diving48 writes them.
        seed: Seed.
        noise: See :class:`SynthConfig`.

    Raises:
        SkelactError: if the target is no image, or a name none of Diving48.
    """
    path = Path(path)
    check_image_path(path)
    config = SynthConfig(noise=noise, lead_seconds=(0.3, 0.3), tail_seconds=(0.05, 0.05))
    clips = film_dives(
        [Element.from_diving48(name) for name in names], np.random.default_rng(seed), config
    )
    rows = [_draw_row(clip, name) for clip, name in zip(clips, names)]
    data = cv2.imencode(path.suffix, np.concatenate(rows)[..., ::-1])[1]
    with atomic_write(path) as temporary:
        temporary.write_bytes(data.tobytes())


def _draw_row(clip: Annotation, name: str, count: int = 12, side: int = 130) -> np.ndarray:
    """Return a strip (side, count * side, 3) uint8 RGB of evenly spaced frames of a dive."""
    present = np.flatnonzero((clip.keypoint_scores[0] > 0).sum(axis=1) > 4)
    steps = present[np.linspace(0, len(present) - 1, count).round().astype(int)]
    points, scores = clip.keypoints[:, steps], clip.keypoint_scores[:, steps]
    seen = np.where(scores[..., None] > 0, points, np.nan)
    low, high = np.nanmin(seen, axis=2), np.nanmax(seen, axis=2)
    scale = 0.8 * side / (high - low).max()
    middle = (low + high)[:, :, None] / 2
    cells = np.arange(count)[None, :, None, None] * np.array([side, 0])
    placed = (points - middle) * scale + side / 2 + cells
    strip = np.full((side, count * side, 3), 40, np.uint8)
    sequence = SkeletonSequence(
        keypoints=np.where(scores[..., None] > 0, placed, 0).astype(np.float32),
        keypoint_scores=scores,
        bboxes=np.zeros((1, count, 4), np.float32),
        track_ids=np.zeros(1, np.int64),
        frame_inds=np.arange(count),
        img_shape=strip.shape[:2],
        fps=Fraction(25),
        layout=COCO_17.name,
        video_id=name,
    )
    for step in range(count):
        draw_skeleton(strip, sequence, 0, step, 2, 1e-6)
    return draw_panel(strip, [name])
