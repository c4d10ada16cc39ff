"""DeepLabCut's CSV: a row per frame, columns by scorer, individual, body part and coordinate.

The layout is that of its multi-animal projects, as movement's loader reads it
(``movement.io.load_poses.from_dlc_file``; from_dlc_style_df describes the four header rows).
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ...pose_extract.common.files import atomic_write, below
from ...pose_extract.skeleton import SkeletonSequence
from .motion import Scale, every_frame

__all__ = ["write_dlc"]

_SCORER = "skelact"
_COORDS = ("x", "y", "likelihood")


def write_dlc(sequence: SkeletonSequence, folder: Path, name: str, scale: Scale) -> list[Path]:
    """Write NAME_dlc.csv; see ``ClipFormat``. A clip without people has no file.

    Rows are frames, from the clip's first to its last one, by their numbers in the file.
    Individuals are ``person0`` and so on; x and y are pixels, empty where a joint is not seen, and
    the likelihood is 0 there.
    """
    if sequence.num_person == 0 or sequence.num_frames == 0:
        return []
    whole = every_frame(sequence)
    people = [f"person{index}" for index in range(whole.num_person)]
    joints = whole.keypoint_layout.keypoint_names
    # Columns run over people, then joints, then coordinates.
    columns = [(who, joint, coord) for who in people for joint in joints for coord in _COORDS]
    individuals, bodyparts, coords = zip(*columns)
    values = np.concatenate([scale.points(whole), whole.keypoint_scores[..., None]], axis=-1)
    rows = values.transpose(1, 0, 2, 3).reshape(whole.num_frames, -1).tolist()
    seen = (whole.keypoint_scores > 0).transpose(1, 0, 2).reshape(whole.num_frames, -1).tolist()
    path = below(folder, f"{name}_dlc.csv")
    with atomic_write(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["scorer", *[_SCORER] * len(columns)])
        writer.writerow(["individuals", *individuals])
        writer.writerow(["bodyparts", *bodyparts])
        writer.writerow(["coords", *coords])
        for frame, row, is_seen in zip(whole.frame_inds.tolist(), rows, seen):
            cells = []
            for joint, there in enumerate(is_seen):
                x, y, score = row[3 * joint : 3 * joint + 3]
                cells += [f"{x:.3f}", f"{y:.3f}", f"{score:.4f}"] if there else ["", "", "0"]
            writer.writerow([frame, *cells])
    return [path]
