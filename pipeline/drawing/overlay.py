"""Draw skeletons, boxes and labels on a video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path

import cv2
import numpy as np

from ... import SkelactError
from ...pose_extract.common.files import atomic_write, check_is_no_source
from ...pose_extract.decode.video import open_video
from ...pose_extract.skeleton import SkeletonSequence
from ...pose_extract.sources import ClipSource
from .h264 import H264Writer, copy_clock

# RGB; told apart by people who do not see red and green (Okabe and Ito).
_LEFT, _RIGHT, _MIDDLE = (86, 180, 233), (230, 159, 0), (240, 240, 240)
_BOX, _TEXT, _PANEL = (0, 158, 115), (255, 255, 255), (20, 20, 24)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FRAMES_PER_BATCH = 16
# Text cannot be read on a smaller frame: it is enlarged by a whole number.
_LEAST_SIDE = 320


def draw_people(
    frame: np.ndarray,
    sequence: SkeletonSequence,
    step: int,
    *,
    person_labels: Mapping[int, str] | None = None,
    score_thr: float = 0.3,
) -> np.ndarray:
    """Return a copy of a frame with its people drawn on it.

    Left limbs are blue, right ones orange; the athlete's lines are thicker.

    Args:
        frame: (H, W, 3) uint8 RGB.
        sequence: The skeletons.
        step: Which step of the sequence the frame is.
        person_labels: Text for a person's box, by index.
        score_thr: Joints with a lower score are not drawn.
    """
    canvas = frame.copy()
    present = sequence.is_present()[:, step]
    # The athlete last, on top.
    for person in reversed(np.flatnonzero(present).tolist()):
        thickness = _unit(frame) * (2 if person == 0 else 1)
        _draw_box(canvas, sequence, person, step, (person_labels or {}).get(person))
        draw_skeleton(canvas, sequence, person, step, thickness, score_thr)
    return canvas


def _unit(frame: np.ndarray) -> int:
    """Return a line's width in pixels for a frame of this size."""
    return max(1, round(min(frame.shape[:2]) / 360))


def draw_skeleton(
    canvas: np.ndarray,
    sequence: SkeletonSequence,
    person: int,
    step: int,
    thickness: int,
    score_thr: float,
) -> None:
    """Draw one person's bones and joints on a frame, in place."""
    layout = sequence.keypoint_layout
    points = np.rint(sequence.keypoints[person, step]).astype(int)
    seen = sequence.keypoint_scores[person, step] >= score_thr
    colors = [_side_color(name) for name in layout.keypoint_names]
    for i, j in layout.edges:
        if seen[i] and seen[j]:
            color = colors[i] if colors[i] == colors[j] else _MIDDLE
            cv2.line(canvas, _point(points[i]), _point(points[j]), color, thickness, cv2.LINE_AA)
    for point, color, shown in zip(points, colors, seen):
        if shown:
            cv2.circle(canvas, _point(point), thickness + 1, color, -1, cv2.LINE_AA)


def _point(xy: np.ndarray) -> tuple[int, int]:
    return int(xy[0]), int(xy[1])


def _side_color(name: str) -> tuple[int, int, int]:
    if name.startswith("left_"):
        return _LEFT
    return _RIGHT if name.startswith("right_") else _MIDDLE


def _draw_box(
    canvas: np.ndarray, sequence: SkeletonSequence, person: int, step: int, label: str | None
) -> None:
    x1, y1, x2, y2 = np.rint(sequence.bboxes[person, step]).astype(int).tolist()
    unit = _unit(canvas)
    cv2.rectangle(canvas, (x1, y1), (x2, y2), _BOX, unit, cv2.LINE_AA)
    text = f"#{sequence.track_ids[person]}" + (f" {label}" if label else "")
    scale = 0.42 * _text_scale(canvas)
    (width, height), base = cv2.getTextSize(text, _FONT, scale, unit)
    top = max(y1 - height - base - unit, 0)
    cv2.rectangle(canvas, (x1, top), (x1 + width + 2 * unit, top + height + base), _BOX, -1)
    cv2.putText(canvas, text, (x1 + unit, top + height), _FONT, scale, _TEXT, unit, cv2.LINE_AA)


def _text_scale(frame: np.ndarray) -> float:
    return max(0.75, min(frame.shape[:2]) / 480)


def draw_panel(frame: np.ndarray, lines: Sequence[str]) -> np.ndarray:
    """Return a copy of a frame with lines of text on a dark panel at its top left.

    The first line is larger. Text that is too wide is cut.
    """
    if not lines:
        return frame.copy()
    canvas = frame.copy()
    scale, unit = _text_scale(frame), _unit(frame)
    pad = round(8 * scale)
    sizes = [0.62 * scale] + [0.45 * scale] * (len(lines) - 1)
    fitted = [_fit(line, size, unit, frame.shape[1] - 4 * pad) for line, size in zip(lines, sizes)]
    extents = [cv2.getTextSize(text, _FONT, size, unit) for text, size in zip(fitted, sizes)]
    heights = [height + base + round(3 * scale) for (_, height), base in extents]
    width = max(width for (width, _), _ in extents) + 2 * pad
    height = min(sum(heights) + 2 * pad, frame.shape[0])
    panel = canvas[:height, : min(width, frame.shape[1])]
    panel[:] = (0.25 * panel + 0.75 * np.array(_PANEL)).astype(np.uint8)
    y = pad
    for text, size, line_height, ((_, text_height), _) in zip(fitted, sizes, heights, extents):
        cv2.putText(canvas, text, (pad, y + text_height), _FONT, size, _TEXT, unit, cv2.LINE_AA)
        y += line_height
    return canvas


def _fit(text: str, scale: float, thickness: int, width: int) -> str:
    # OpenCV's font has no other letters.
    text = text.encode("ascii", "replace").decode()
    if cv2.getTextSize(text, _FONT, scale, thickness)[0][0] <= width:
        return text
    while text and cv2.getTextSize(text + "...", _FONT, scale, thickness)[0][0] > width:
        text = text[:-1]
    return text + "..."


def read_frame(path: str | Path, index: int) -> np.ndarray:
    """Return one frame of a video, (H, W, 3) uint8 RGB; ``index`` counts from the file's start.

    Raises:
        SkelactError: if the file cannot be read, or has no such frame.
    """
    with open_video(Path(path)) as reader:
        frame: np.ndarray = next(reader.batches(1, index, index + 1)).frames[0]
        return frame


def write_overlay(
    sequence: SkeletonSequence,
    source: ClipSource,
    out: str | Path,
    *,
    lines: Sequence[str] = (),
    person_labels: Mapping[int, str] | None = None,
) -> None:
    """Write the clip with its people and some text drawn on it.

    H.264 in constant memory, whole or not at all. It runs as the clip does: each frame is shown at
    the clip's own time, also where the frame rate varies or frames were lost. Its frames have
    square pixels, so people have their shape in any player. A small frame is enlarged by a whole
    number, so that text can be read. Browsers play even sizes alone: an odd one loses its last row
    or column. The file is marked as ours (``is_own_output``).

    Args:
        sequence: The skeletons of the clip.
        source: The clip.
        out: Target, ending in .mp4.
        lines: Text for the panel at the top left.
        person_labels: Text for a person's box, by index.

    Raises:
        SkelactError: if the clip cannot be read, its frames are not those of the skeletons, or the
            target is the clip or cannot be written.
    """
    out = Path(out)
    check_is_no_source(out, [source.path])
    steps = {int(frame): step for step, frame in enumerate(sequence.frame_inds)}
    enlarged = _enlarged(sequence)
    with open_video(source.path) as reader, atomic_write(out) as temporary:
        start, stop = source.frame_range(reader.info)
        time_base, ticks = copy_clock(reader.info.pts_seconds[start:stop], sequence.fps)
        with H264Writer(
            temporary, enlarged.img_shape, sequence.fps, time_base, f"{out}: the overlay"
        ) as encoder:
            for batch in reader.batches(_FRAMES_PER_BATCH, start, stop):
                _check_size(batch.frames, sequence, source)
                for frame, index in zip(batch.frames, batch.frame_inds.tolist()):
                    canvas = _resized(frame, enlarged.img_shape)
                    if index in steps:
                        canvas = draw_people(
                            canvas, enlarged, steps[index], person_labels=person_labels
                        )
                    encoder.add(draw_panel(canvas, lines), int(ticks[index - start]))


def _check_size(frames: np.ndarray, sequence: SkeletonSequence, source: ClipSource) -> None:
    height, width = sequence.img_shape
    if frames.shape[1:3] != (height, width):
        raise SkelactError(
            f"{source.path}: expected frames of {height}x{width} as in its skeletons, "
            f"got {frames.shape[1]}x{frames.shape[2]}"
        )


def _resized(frame: np.ndarray, img_shape: tuple[int, int]) -> np.ndarray:
    return np.asarray(cv2.resize(frame, img_shape[::-1], interpolation=cv2.INTER_CUBIC))


def _enlarged(sequence: SkeletonSequence) -> SkeletonSequence:
    factor = max(1, ceil(_LEAST_SIDE / min(sequence.img_shape)))
    height, width = sequence.img_shape
    return replace(
        sequence,
        keypoints=sequence.keypoints * np.float32(factor),
        bboxes=sequence.bboxes * np.float32(factor),
        img_shape=(height * factor, width * factor),
    )
