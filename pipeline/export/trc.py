"""TRC, the marker file of OpenSim and Pose2Sim, a file per person.

The layout is OpenSim's ("Marker (.trc) Files" of its documentation); names of files and markers,
and the two units, are those of Sports2D, which reads its pixel files with ``--load_trc_px``.
"""

from __future__ import annotations

from pathlib import Path

from ...pose_extract.common.files import atomic_write
from ...pose_extract.common.text import printable
from ...pose_extract.skeleton import SkeletonSequence
from .motion import Marked, Scale, marked_people, marker_names

__all__ = ["write_trc"]


def write_trc(sequence: SkeletonSequence, folder: Path, name: str, scale: Scale) -> list[Path]:
    """Write NAME_px_person00.trc and so on; see ``ClipFormat``. Without people there is no file.

    Frames are numbered as in the video's file and have their own times; joints that are not seen
    are empty, and the depth of the others is 0.
    """
    paths = []
    for person in marked_people(sequence, folder, name, scale, ".trc"):
        with atomic_write(person.path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.write(_header(person.clip, person.path.name, scale.unit))
            file.writelines(_rows(person, scale.decimals))
        paths.append(person.path)
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


def _rows(person: Marked, decimals: int) -> list[str]:
    """Return the lines of a person."""
    lines = []
    times = zip(person.clip.frame_inds.tolist(), person.clip.pts_seconds.tolist())
    rows = zip(times, person.points.tolist(), person.seen.tolist())
    for (frame, seconds), row, is_seen in rows:
        cells = [
            f"{x:.{decimals}f}\t{y:.{decimals}f}\t0" if there else "\t\t"
            for (x, y), there in zip(row, is_seen)
        ]
        lines.append("\t".join([str(frame), f"{seconds:.6f}", *cells]) + "\n")
    return lines
