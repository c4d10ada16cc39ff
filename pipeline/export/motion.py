"""A clip as motion tools take it: a row for each frame of a span, markers by name, one unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ... import SkelactError
from ...pose_extract.common.files import below
from ...pose_extract.layout import KeypointLayout
from ...pose_extract.skeleton import SkeletonSequence

__all__ = ["ClipFormat", "Marked", "Scale", "every_frame", "marked_people", "marker_names"]

# Frames of all people of a clip that gaps may be filled up to: 19 hours of one person at 30 fps. An
# entry may say any frame numbers.
_MAX_FRAMES = 1 << 21


@dataclass(frozen=True)
class Scale:
    """The unit that positions are written in.

    Attributes:
        metres_per_pixel: None for pixels.
    """

    metres_per_pixel: float | None = None

    @property
    def unit(self) -> str:
        """The unit: "px" or "m"."""
        return "px" if self.metres_per_pixel is None else "m"

    @property
    def decimals(self) -> int:
        """Decimals that are written: thousandths of a pixel, or micrometres."""
        return 3 if self.metres_per_pixel is None else 6

    def points(self, sequence: SkeletonSequence) -> np.ndarray:
        """Return keypoints (M, T, V, 2) float64 in the unit, x to the right.

        Pixels have y down from the top of the frame, as in images; metres have y up from its
        bottom, as in OpenSim. Sports2D does so in its ``_px.trc`` and ``_m.trc``.
        """
        points = sequence.keypoints.astype(np.float64)
        if self.metres_per_pixel is None:
            return points
        x, y = points[..., 0], sequence.img_shape[0] - points[..., 1]
        return np.stack([x, y], axis=-1) * self.metres_per_pixel


# Writes the files of a clip: (skeletons, folder, the clip's name, unit) -> what was written; none
# where there is nothing that the format could hold.
ClipFormat: TypeAlias = Callable[[SkeletonSequence, Path, str, Scale], list[Path]]


def marker_names(layout: KeypointLayout) -> list[str]:
    """Return keypoint names as Pose2Sim's skeletons and OpenSim models have them: LHip, Nose."""
    names = []
    for name in layout.keypoint_names:
        side, _, joint = name.rpartition("_")
        names.append(f"{side[:1].upper()}{joint.capitalize()}")
    return names


@dataclass(frozen=True, eq=False)
class Marked:
    """A person of a clip as marker files have them.

    Attributes:
        path: The file.
        clip: The clip with all its frames; see ``every_frame``.
        points: (T, V, 2) float64 in the unit of the file, x to the right.
        seen: (T, V) bool.
    """

    path: Path
    clip: SkeletonSequence
    points: np.ndarray
    seen: np.ndarray


def marked_people(
    sequence: SkeletonSequence, folder: Path, name: str, scale: Scale, suffix: str
) -> Iterator[Marked]:
    """Yield the people of a clip for NAME_px_person00 and so on; none of a clip without frames.

    Args:
        sequence, folder, name, scale: As of ``ClipFormat``.
        suffix: Of the files, such as ".trc".
    """
    if sequence.num_frames == 0:
        return
    clip = every_frame(sequence)
    points = scale.points(clip)
    for person in range(clip.num_person):
        path = below(folder, f"{name}_{scale.unit}_person{person:02d}{suffix}")
        yield Marked(path, clip, points[person], clip.keypoint_scores[person] > 0)


def every_frame(sequence: SkeletonSequence) -> SkeletonSequence:
    """Return the sequence with all frames from its first to its last one.

    Formats without a time per row count rows. In frames that were missing, lost ones or those left
    out by a slice, no person is seen; they divide the time between their neighbours evenly.

    Raises:
        SkelactError: if that would be more than two million frames, counted per person.
    """
    if sequence.num_frames == 0:
        return sequence
    first, last = int(sequence.frame_inds[0]), int(sequence.frame_inds[-1])
    num_frames = last - first + 1
    if num_frames == sequence.num_frames:
        return sequence
    if num_frames * max(1, sequence.num_person) > _MAX_FRAMES:
        raise SkelactError(
            f"{sequence.video_id}: its {sequence.num_frames} frames have the numbers {first} to "
            f"{last}: too many are missing for a row each"
        )
    frames = np.arange(first, last + 1)
    there = sequence.frame_inds - first
    before = np.searchsorted(sequence.frame_inds, frames, side="right") - 1

    def spread(values: np.ndarray) -> np.ndarray:
        filled = np.zeros((sequence.num_person, num_frames, *values.shape[2:]), values.dtype)
        filled[:, there] = values
        return filled

    return replace(
        sequence,
        keypoints=spread(sequence.keypoints),
        keypoint_scores=spread(sequence.keypoint_scores),
        bboxes=spread(sequence.bboxes),
        frame_inds=frames,
        pts_seconds=np.interp(frames, sequence.frame_inds, sequence.pts_seconds),
        camera_maps=sequence.camera_maps[before],
        scene_ids=sequence.scene_ids[before],
    )
