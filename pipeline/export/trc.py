"""TRC, the marker file of OpenSim and Pose2Sim, a file per person.

The layout is OpenSim's ("Marker (.trc) Files" of its documentation); names of files and markers,
and the two units, are those of Sports2D, which reads its pixel files with ``--load_trc_px``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...pose_extract.common.files import atomic_write, below
from ...pose_extract.common.text import printable
from ...pose_extract.skeleton import SkeletonSequence
from .motion import Scale, every_frame, marker_names

__all__ = ["write_trc"]


def write_trc(sequence: SkeletonSequence, folder: Path, name: str, scale: Scale) -> list[Path]:
    """Write NAME_px_person00.trc and so on; see ``ClipFormat``. Without people there is no file.

    Frames are numbered as in the video's file and have their own times; joints that are not seen
    are empty, and the depth of the others is 0.
    """
    if sequence.num_frames == 0:
        return []
    whole = every_frame(sequence)
    points = scale.points(whole)
    paths = []
    for person in range(whole.num_person):
        path = below(folder, f"{name}_{scale.unit}_person{person:02d}.trc")
        with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.write(_header(whole, path.name, scale.unit))
            file.writelines(_rows(whole, person, points[person], scale.decimals))
        paths.append(path)
    return paths


def _header(sequence: SkeletonSequence, name: str, unit: str) -> str:
    markers = marker_names(sequence.keypoint_layout)
    # A name that is no text would break the table; the shortest form of a rate is an exact one.
    rate, count = f"{float(sequence.fps):.10g}", sequence.num_frames
    fields = {
        "DataRate": rate,
        "CameraRate": rate,
        "NumFrames": count,
        "NumMarkers": len(markers),
        "Units": unit,
        "OrigDataRate": rate,
        "OrigDataStartFrame": int(sequence.frame_inds[0]),
        "OrigNumFrames": count,
    }
    coordinates = (f"X{i}\tY{i}\tZ{i}" for i in range(1, len(markers) + 1))
    lines = (
        f"PathFileType\t4\t(X/Y/Z)\t{printable(name)}",
        "\t".join(fields),
        "\t".join(map(str, fields.values())),
        "Frame#\tTime\t" + "\t\t\t".join(markers) + "\t\t",
        "\t\t" + "\t".join(coordinates),
        "",
        "",
    )
    return "\n".join(lines)


def _rows(sequence: SkeletonSequence, person: int, points: np.ndarray, decimals: int) -> list[str]:
    """Return the lines of a person; points are (T, V, 2)."""
    lines = []
    seen = (sequence.keypoint_scores[person] > 0).tolist()
    times = zip(sequence.frame_inds.tolist(), sequence.pts_seconds.tolist())
    for (frame, seconds), row, is_seen in zip(times, points.tolist(), seen):
        cells = [
            f"{x:.{decimals}f}\t{y:.{decimals}f}\t0" if there else "\t\t"
            for (x, y), there in zip(row, is_seen)
        ]
        lines.append("\t".join([str(frame), f"{seconds:.6f}", *cells]) + "\n")
    return lines
