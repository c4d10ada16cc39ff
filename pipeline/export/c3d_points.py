"""C3D, the binary marker file of biomechanics (https://www.c3d.org), a file per person."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ...pose_extract.common.files import atomic_write
from ...pose_extract.skeleton import SkeletonSequence
from .motion import Marked, Scale, marked_people, marker_names

__all__ = ["write_c3d"]


def write_c3d(sequence: SkeletonSequence, folder: Path, name: str, scale: Scale) -> list[Path]:
    """Write NAME_px_person00.c3d and so on; see ``ClipFormat``. Without people there is no file.

    C3D has one rate and no times: frames follow each other at the video's nominal rate, counted
    from 1 at the start of its file. The depth is 0; joints that are not seen have residual -1,
    which marks a point as invalid, all others 0, as the format has it for points that no camera
    system measured.
    """
    paths = []
    for person in marked_people(sequence, folder, name, scale, ".c3d"):
        with (
            atomic_write(person.path) as temporary,
            temporary.open("wb") as file,
            warnings.catch_warnings(),
        ):
            # That there are no analog channels.
            warnings.simplefilter("ignore")
            _writer(person, scale).write(file)
        paths.append(person.path)
    return paths


def _writer(person: Marked, scale: Scale) -> Any:
    """Return a writer that holds a person."""
    import c3d

    clip, seen = person.clip, person.seen
    # A scale below 0 stands for floating-point numbers.
    writer = c3d.Writer(
        point_rate=float(clip.fps), point_scale=-1.0, point_units=scale.unit.ljust(4)
    )
    writer.set_point_labels(marker_names(clip.keypoint_layout))
    writer.set_screen_axis(X="+X", Y="-Y" if scale.unit == "px" else "+Y")
    writer.set_start_frame(int(clip.frame_inds[0]) + 1)
    # x, y, depth, residual, cameras.
    table = np.zeros((*seen.shape, 5))
    table[..., :2] = np.where(seen[..., None], person.points, 0.0)
    table[..., 3] = np.where(seen, 0.0, -1.0)
    no_analog = np.zeros((0, 0))
    writer.add_frames([(frame, no_analog) for frame in table])
    return writer
