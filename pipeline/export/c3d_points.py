"""C3D, the binary marker file of biomechanics (https://www.c3d.org), a file per person."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ...pose_extract.common.files import atomic_write, below
from ...pose_extract.skeleton import SkeletonSequence
from .motion import Scale, every_frame, marker_names

__all__ = ["write_c3d"]


def write_c3d(sequence: SkeletonSequence, folder: Path, name: str, scale: Scale) -> list[Path]:
    """Write NAME_px_person00.c3d and so on; see ``ClipFormat``. Without people there is no file.

    C3D has one rate and no times: frames follow each other at the video's nominal rate, counted
    from 1 at the start of its file. The depth is 0; joints that are not seen have residual -1,
    which marks a point as invalid, all others 0, as the format has it for points that no camera
    system measured.
    """
    if sequence.num_frames == 0:
        return []
    whole = every_frame(sequence)
    points = scale.points(whole)
    paths = []
    for person in range(whole.num_person):
        path = below(folder, f"{name}_{scale.unit}_person{person:02d}.c3d")
        seen = whole.keypoint_scores[person] > 0
        with (
            atomic_write(path) as temporary,
            temporary.open("wb") as file,
            warnings.catch_warnings(),
        ):
            # That there are no analog channels.
            warnings.simplefilter("ignore")
            _writer(whole, points[person], seen, scale).write(file)
        paths.append(path)
    return paths


def _writer(sequence: SkeletonSequence, points: np.ndarray, seen: np.ndarray, scale: Scale) -> Any:
    """Return a writer that holds the points (T, V, 2) of a person; seen is (T, V) bool."""
    import c3d

    # A scale below 0 stands for floating-point numbers.
    writer = c3d.Writer(
        point_rate=float(sequence.fps), point_scale=-1.0, point_units=scale.unit.ljust(4)
    )
    writer.set_point_labels(marker_names(sequence.keypoint_layout))
    writer.set_screen_axis(X="+X", Y="-Y" if scale.unit == "px" else "+Y")
    writer.set_start_frame(int(sequence.frame_inds[0]) + 1)
    # x, y, depth, residual, cameras.
    table = np.zeros((*seen.shape, 5))
    table[..., :2] = np.where(seen[..., None], points, 0.0)
    table[..., 3] = np.where(seen, 0.0, -1.0)
    no_analog = np.zeros((0, 0))
    writer.add_frames([(frame, no_analog) for frame in table])
    return writer
