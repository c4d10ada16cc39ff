"""How well, and how fast, settings of the camera's motion tell how frames follow from each other.

    python benchmarks/camera_motion.py ../shared/videos/gym ../shared/videos/people
    python benchmarks/camera_motion.py ../shared/videos/ucf101_train --every 6
    python benchmarks/camera_motion.py ../shared/videos/aerial --frames 200

A frame that is moved by the camera's motion differs from the next one by what moves in it alone, so
the setting that leaves the least difference is the most accurate. Clips of one size are read as one
video: where another begins, there is a cut; all are to be found, and none within a clip.
"""

from __future__ import annotations

import itertools
import statistics
from pathlib import Path
from unittest import mock

import click
import cv2
import numpy as np
from effort import first_frames, one_core
from interleave import interleave, report
from rich.console import Console
from rich.table import Table

from skelact.pose_extract.decode.video import open_video
from skelact.pose_extract.sources import ClipSource, find_sources
from skelact.pose_extract.track import camera_motion
from skelact.pose_extract.track.camera_motion import CueReader, FrameCues

# Corners at most, their least distance, the window's side, and the steps of the search.
_SETTINGS = (
    (300, 7, 21, 30, 0.01),
    (300, 7, 21, 10, 0.03),
    (300, 7, 15, 10, 0.03),
    (300, 7, 11, 10, 0.03),
    (150, 10, 21, 10, 0.03),
    (150, 10, 15, 10, 0.03),
    (150, 10, 11, 10, 0.03),
    (100, 12, 15, 10, 0.03),
    (100, 12, 11, 10, 0.03),
)
# Pixels at the border that a moved frame does not show.
_BORDER = 8


@click.command()
@click.argument("videos", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--rounds", default=3, show_default=True)
@click.option("--frames", default=24, show_default=True, help="Frames of each clip to use.")
@click.option("--every", default=1, show_default=True, help="Use each n-th clip.")
def main(videos: tuple[Path, ...], rounds: int, frames: int, every: int) -> None:
    """Print the differences that are left in VIDEOS, the cuts, and the times."""
    one_core()
    read = [_downscaled(first_frames(one, frames)) for one in find_sources(videos)[::every]]
    clips = sorted(read, key=_shape)
    table = Table("corners", "difference left", "cuts found", "cuts within clips")
    ways = {}
    for setting in _SETTINGS:
        name = "{}, {} px apart, {} px, {} steps".format(*setting)
        ways[name] = lambda setting=setting: _cues(clips, setting)
        cues = _cues(clips, setting)
        left = [_differences(clip, found) for clip, found in zip(clips, cues)]
        begins = [
            cue[0].is_cut
            for before, clip, cue in zip(clips, clips[1:], cues[1:])
            if _shape(before) == _shape(clip)
        ]
        within = sum(cue.is_cut for found in cues for cue in found[1:])
        difference = statistics.mean(itertools.chain.from_iterable(left))
        table.add_row(name, f"{difference:.3f}", f"{sum(begins)} of {len(begins)}", str(within))
    Console(width=100).print(table)
    total = sum(map(len, clips))
    report(f"{len(clips)} clips", interleave(ways, rounds), total, "frames")


def _downscaled(clip: ClipSource) -> list[np.ndarray]:
    """Return a clip's frames (h, w, 3) uint8 at the size at which motion is measured."""
    with open_video(clip.path) as reader:
        return [
            camera_motion._downscale(frame)[0]
            for batch in reader.batches(16, clip.start_frame or 0, clip.end_frame)
            for frame in batch.frames
        ]


def _cues(
    clips: list[list[np.ndarray]], setting: tuple[int, int, int, int, float]
) -> list[list[FrameCues]]:
    """Return the cues of each frame of clips that are sorted by shape."""
    corners, distance, window, steps, precision = setting
    search = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, steps, precision)
    with mock.patch.multiple(
        camera_motion,
        _MAX_CORNERS=corners,
        _CORNER_DISTANCE=distance,
        _WINDOW=window,
        _SEARCH=search,
    ):
        cues: list[FrameCues | None] = []
        for _, alike in itertools.groupby(clips, _shape):
            reader = CueReader()
            cues += [*map(reader.add, itertools.chain.from_iterable(alike)), reader.finish()]
    following = (cue for cue in cues if cue is not None)
    return [list(itertools.islice(following, len(clip))) for clip in clips]


def _shape(clip: list[np.ndarray]) -> tuple[int, ...]:
    return clip[0].shape


def _differences(frames: list[np.ndarray], cues: list[FrameCues]) -> list[float]:
    """Return the mean difference of each frame from the one before, moved as the camera moves."""
    grays = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    inner = np.s_[_BORDER:-_BORDER, _BORDER:-_BORDER]
    found = []
    for before, after, cue in zip(grays, grays[1:], cues[1:]):
        moved = cv2.warpAffine(
            before, cue.from_previous, after.shape[::-1], borderMode=cv2.BORDER_REPLICATE
        )
        found.append(float(cv2.absdiff(moved, after)[inner].mean()))
    return found


if __name__ == "__main__":
    main()
