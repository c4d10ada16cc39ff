"""Body joints placed by eye on frames of athletes in flight, and how well the annotator repeats.

Draws the frames of ``flight_joints.json`` with their joints as one sheet (left limbs blue, right
ones orange, joints that are not visible as rings), and prints how far apart the two readings of the
frames that were annotated twice lie, in lengths of the torso.

    python benchmarks/flight_joints.py ../shared --out sheet.png
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import Any, Literal

import click
import cv2
import numpy as np
from png_option import PngPath
from rich.console import Console
from rich.table import Table

from skelact.pose_extract.decode.video import open_video
from skelact.pose_extract.layout import COCO_17

JOINTS_FILE = Path(__file__).with_name("flight_joints.json")
# Shoulders to ankles; the points of the head are not annotated.
JOINT_NAMES = COCO_17.keypoint_names[5:]
# A joint as near as this to its place counts as found, in lengths of the torso: the distance of
# PCK@0.2, of which the annotator's own spread has to be a small part.
NEAR_TORSO = 0.2

# RGB, as in skelact's overlays.
_LEFT, _RIGHT, _MIDDLE = (86, 180, 233), (230, 159, 0), (240, 240, 240)
_TILE, _TILES_PER_ROW, _MARGIN = 300, 8, 0.2


@dataclass(frozen=True)
class FlightFrame:
    """One annotated frame.

    Attributes:
        video: Path of the video below the shared folder, with forward slashes.
        frame: Number of the frame, as skelact's decoders count.
        joints: Name to (x, y, visible), pixels of the frame; the centre of the first pixel is
            (0, 0). Left is the athlete's own left. A joint whose place cannot be told is missing;
            one that is hidden and can be told to within a limb's width is not visible.
    """

    video: str
    frame: int
    joints: dict[str, tuple[float, float, bool]]

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.joints) - set(JOINT_NAMES)):
            raise ValueError(
                f"{self.video}, frame {self.frame}: expected joints of {', '.join(JOINT_NAMES)}, "
                f"got {', '.join(unknown)}"
            )

    @property
    def keypoints(self) -> np.ndarray:
        """(17, 2) float64, pixels, in the order of COCO; NaN where there is no annotation."""
        points = np.full((COCO_17.num_keypoints, 2), np.nan)
        for name, (x, y, _) in self.joints.items():
            points[COCO_17.index(name)] = x, y
        return points

    @property
    def visible(self) -> np.ndarray:
        """(17,) bool, true where a joint is annotated and visible."""
        seen = np.zeros(COCO_17.num_keypoints, dtype=bool)
        for name, (_, _, visible) in self.joints.items():
            seen[COCO_17.index(name)] = visible
        return seen

    @property
    def torso(self) -> float:
        """Pixels from mid-shoulder to mid-hip in this frame; NaN where one of the four is missing.

        It is short where the torso points at the camera (``clip_torsos`` is not).
        """
        points = self.keypoints
        return float(np.linalg.norm(points[5:7].mean(axis=0) - points[11:13].mean(axis=0)))


@dataclass(frozen=True)
class Spread:
    """How far apart two readings of the same frames lie.

    Attributes:
        distances: (D,) float64, of the joints that both readings have, in lengths of the torso of
            the first one.
        num_pairs: Pairs of a left and a right joint that both readings have, and that lie farther
            apart than NEAR_TORSO in the first one: nearer ones do not tell the sides.
        num_swapped: Those of them that fit better when left and right are exchanged.
    """

    distances: np.ndarray
    num_pairs: int
    num_swapped: int


def load_flight_joints(
    path: str | Path = JOINTS_FILE, key: Literal["frames", "second_pass"] = "frames"
) -> list[FlightFrame]:
    """Return the annotated frames, by video and frame number.

    Args:
        path: The file, as ``flight_joints.json``.
        key: "frames" are the annotations; "second_pass" is the second reading of some of them.

    Raises:
        ValueError: if a joint's name is none of ``JOINT_NAMES``.
    """
    entries = json.loads(Path(path).read_text())[key]
    return [
        FlightFrame(
            entry["video"],
            entry["frame"],
            {name: (float(x), float(y), bool(v)) for name, (x, y, v) in entry["joints"].items()},
        )
        for entry in entries
    ]


def clip_torsos(frames: Sequence[FlightFrame]) -> dict[str, float]:
    """Return the longest torso of each video in pixels: that of the athlete seen from the side."""
    longest: dict[str, float] = {}
    for frame in frames:
        longest[frame.video] = float(np.fmax(longest.get(frame.video, np.nan), frame.torso))
    return longest


def spread(first: Sequence[FlightFrame], second: Sequence[FlightFrame]) -> Spread:
    """Compare two readings; frames that the second one lacks are passed over."""
    others = {(frame.video, frame.frame): frame.keypoints for frame in second}
    distances, num_pairs, num_swapped = [], 0, 0
    for frame in first:
        if (other := others.get((frame.video, frame.frame))) is None:
            continue
        points = frame.keypoints
        apart = np.linalg.norm(points - other, axis=1) / frame.torso
        distances.append(apart[np.isfinite(apart)])
        for pair in COCO_17.swap_pairs:
            here, there = points[list(pair)], other[list(pair)]
            straight = np.linalg.norm(here - there, axis=1).sum()
            crossed = np.linalg.norm(here - there[::-1], axis=1).sum()
            # False where one of the four is missing: its distances are NaN.
            tells = np.linalg.norm(here[0] - here[1]) > NEAR_TORSO * frame.torso
            counts = bool(tells and np.isfinite(straight))
            num_pairs += int(counts)
            num_swapped += int(counts and crossed < straight)
    return Spread(np.concatenate(distances or [np.zeros(0)]), num_pairs, num_swapped)


def read_frames(shared: Path, frames: Sequence[FlightFrame]) -> list[np.ndarray]:
    """Return the images (H, W, 3) uint8 RGB of annotated frames, which are in order of the videos.

    Raises:
        VideoError: if a video is missing, or one of its frames cannot be decoded.
    """
    images = []
    for video, group in groupby(frames, key=lambda frame: frame.video):
        with open_video(shared / video) as reader:
            for frame in group:
                batch = next(reader.batches(1, frame.frame, frame.frame + 1))
                images.append(batch.frames[0].copy())
    return images


def draw_tile(image: np.ndarray, frame: FlightFrame) -> np.ndarray:
    """Return the athlete's part of an image with the joints on it, a square of _TILE pixels."""
    points, visible = frame.keypoints, frame.visible
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    side = ceil((high - low).max() * (1 + 2 * _MARGIN))
    left, top = np.rint((low + high - side) / 2).astype(int)
    # What lies outside of the frame stays black.
    square = np.zeros((side, side, 3), dtype=np.uint8)
    height, width = image.shape[:2]
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    square[y1 - top : y2 - top, x1 - left : x2 - left] = image[y1:y2, x1:x2]
    tile = cv2.resize(square, (_TILE, _TILE), interpolation=cv2.INTER_CUBIC)
    # The centre of a pixel is half a pixel from its edge, which is what resizing keeps in place.
    placed = (points - (left, top) + 0.5) * (_TILE / side) - 0.5
    known = np.isfinite(points[:, 0])
    names = COCO_17.keypoint_names
    for i, j in COCO_17.edges:
        if known[i] and known[j]:
            color = _color(names[i]) if names[i][0] == names[j][0] else _MIDDLE
            cv2.line(tile, _point(placed[i]), _point(placed[j]), color, 1, cv2.LINE_AA)
    for i in np.flatnonzero(known).tolist():
        cv2.circle(tile, _point(placed[i]), 4, _color(names[i]), -1 if visible[i] else 1)
    text = f"{Path(frame.video).stem[:24]} {frame.frame}"
    cv2.putText(tile, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _MIDDLE, 1, cv2.LINE_AA)
    return tile


def _point(xy: np.ndarray) -> tuple[int, int]:
    x, y = np.rint(xy).astype(int).tolist()
    return x, y


def _color(name: str) -> tuple[int, int, int]:
    return _LEFT if name.startswith("left_") else _RIGHT


def draw_sheet(shared: Path, frames: Sequence[FlightFrame]) -> np.ndarray:
    """Return all frames with their joints as one image, RGB."""
    tiles = [draw_tile(i, f) for i, f in zip(read_frames(shared, frames), frames, strict=True)]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % _TILES_PER_ROW)
    rows = [tiles[i : i + _TILES_PER_ROW] for i in range(0, len(tiles), _TILES_PER_ROW)]
    return np.vstack([np.hstack(row) for row in rows])


@click.command()
@click.argument("shared", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=PngPath(), help="Write the sheet.")
@click.option(
    "--joints",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=JOINTS_FILE,
    help="Other annotations.",
)
def main(shared: Path, out: Path | None, joints: Path) -> None:
    """Draw the annotated frames of the videos below SHARED, and print the annotator's spread."""
    frames = load_flight_joints(joints)
    second = load_flight_joints(joints, "second_pass")
    if out:
        cv2.imwrite(str(out), draw_sheet(shared, frames)[..., ::-1])
    num_joints = sum(len(frame.joints) for frame in frames)
    num_visible = sum(int(frame.visible.sum()) for frame in frames)
    print(f"{len(frames)} frames, {num_joints} joints, {num_visible} of them visible")
    _report(spread(frames, second), len(second))


def _report(found: Spread, num_frames: int) -> None:
    table = Table(title="two readings of the same frames, in torsos", title_justify="left")
    row: dict[str, Any] = {
        "frames": num_frames,
        "joints": len(found.distances),
        "median": f"{np.median(found.distances):.3f}",
        "90 %": f"{np.percentile(found.distances, 90):.3f}",
        f"within {NEAR_TORSO}": f"{(found.distances <= NEAR_TORSO).mean():.1%}",
        "left and right exchanged": f"{found.num_swapped} of {found.num_pairs} pairs",
    }
    for column in row:
        table.add_column(column)
    table.add_row(*map(str, row.values()))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
