"""Draw skeletons, boxes and labels on a video."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from ... import SkelactError
from ...pose_extract.common.files import atomic_write, check_is_no_source
from ...pose_extract.decode.video import open_video
from ...pose_extract.skeleton import SkeletonSequence
from ...pose_extract.sources import ClipSource
from ..angles import ANGLES, angle_names, measure_angles
from .crop import Window, athlete_window
from .h264 import H264Writer, copy_clock
from .streams import copy_sound

# RGB; told apart by people who do not see red and green (Okabe and Ito). A person's box, label and
# trunk have the person's colour, and their limbs those of the sides.
_LEFT, _RIGHT = (86, 180, 233), (230, 159, 0)
_PEOPLE = ((0, 158, 115), (204, 121, 167), (240, 228, 66), (213, 94, 0), (0, 114, 178))
_TEXT, _DARK_TEXT, _PANEL = (255, 255, 255), (0, 0, 0), (20, 20, 24)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FRAMES_PER_BATCH = 16
# Text cannot be read on a smaller frame: it is enlarged by a whole number.
_LEAST_SIDE = 320
# Joints of a lower score are not drawn, and angles of such joints neither.
_SCORE_THR = 0.3
_MOST_SLOW = 100
_TRUNK = ("left_hip", "right_hip", "left_shoulder", "right_shoulder")


@dataclass(frozen=True)
class OverlayStyle:
    """How an overlay shows a clip.

    Attributes:
        slow: How many times slower than the clip it runs, 1 to 100.
        angles: Draw the athlete's angles beside the joints, in degrees.
        crop: "athlete" shows a window that follows the athlete; None the whole frame.

    Raises:
        ValueError: if a value cannot be; the message names it.
    """

    slow: float = 1
    angles: bool = False
    crop: Literal["athlete"] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.slow <= _MOST_SLOW:
            raise ValueError(f"slow: expected 1 to {_MOST_SLOW}, got {self.slow}")
        if self.crop not in (None, "athlete"):
            raise ValueError(f"crop: expected 'athlete' or None, got {self.crop!r}")


def draw_people(
    frame: np.ndarray,
    sequence: SkeletonSequence,
    step: int,
    *,
    person_labels: Mapping[int, str] | None = None,
    score_thr: float = _SCORE_THR,
) -> np.ndarray:
    """Return a copy of a frame with its people drawn on it.

    Left limbs are blue, right ones orange; box, label, trunk and head have a colour of the person.
    The athlete's lines are thicker.

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
    own = person_color(person)
    colors = [_side_color(name) or own for name in layout.keypoint_names]
    for i, j in layout.edges:
        if seen[i] and seen[j]:
            color = colors[i] if colors[i] == colors[j] else own
            cv2.line(canvas, _point(points[i]), _point(points[j]), color, thickness, cv2.LINE_AA)
    for point, color, shown in zip(points, colors, seen):
        if shown:
            cv2.circle(canvas, _point(point), thickness + 1, color, -1, cv2.LINE_AA)


def _point(xy: np.ndarray) -> tuple[int, int]:
    return int(xy[0]), int(xy[1])


def person_color(person: int) -> tuple[int, int, int]:
    """Return the colour of a person by index, RGB; from the sixth on they come again."""
    return _PEOPLE[person % len(_PEOPLE)]


def _side_color(name: str) -> tuple[int, int, int] | None:
    if name.startswith("left_"):
        return _LEFT
    return _RIGHT if name.startswith("right_") else None


def _draw_box(
    canvas: np.ndarray, sequence: SkeletonSequence, person: int, step: int, label: str | None
) -> None:
    x1, y1, x2, y2 = np.rint(sequence.bboxes[person, step]).astype(int).tolist()
    unit, color = _unit(canvas), person_color(person)
    cv2.rectangle(canvas, (x1, y1), (x2, y2), color, unit, cv2.LINE_AA)
    text = f"#{sequence.track_ids[person]}" + (f" {label}" if label else "")
    scale = 0.42 * _text_scale(canvas)
    (width, height), base = cv2.getTextSize(text, _FONT, scale, unit)
    top = max(y1 - height - base - unit, 0)
    cv2.rectangle(canvas, (x1, top), (x1 + width + 2 * unit, top + height + base), color, -1)
    # Rec. 601 luma: text is dark on light colours.
    luma = float(np.dot(color, (0.299, 0.587, 0.114)))
    ink = _DARK_TEXT if luma > 128 else _TEXT
    cv2.putText(canvas, text, (x1 + unit, top + height), _FONT, scale, ink, unit, cv2.LINE_AA)


def draw_angles(canvas: np.ndarray, sequence: SkeletonSequence, step: int) -> None:
    """Write the athlete's angles of a frame beside their joints, in degrees, in place.

    Those of neck and trunk have their names, the trunk's in its middle. Those of joints with a
    score below .3 are left out. They are angles in the image; see ``pipeline/angles.py``.
    """
    degrees, scores = measure_angles(sequence[step : step + 1])
    if not len(degrees):
        return
    layout = sequence.keypoint_layout
    unit, scale = _unit(canvas), 0.4 * _text_scale(canvas)
    for name, value, score in zip(angle_names(), degrees[0, 0], scores[0, 0]):
        if score < _SCORE_THR or np.isnan(value):
            continue
        joints = ANGLES[name].joint if name in ANGLES else _TRUNK
        indices = [layout.index(joint) for joint in joints]
        x, y = np.rint(sequence.keypoints[0, step, indices].mean(axis=0)).astype(int).tolist()
        text = f"{value:.0f}" if len(joints) == 1 else f"{name} {value:.0f}"
        place = (x + 4 * unit, y)
        # A dark edge, so that it can be read on any ground.
        for ink, width in ((_DARK_TEXT, 3 * unit), (_TEXT, unit)):
            cv2.putText(canvas, text, place, _FONT, scale, ink, width, cv2.LINE_AA)


def draw_clock(canvas: np.ndarray, text: str) -> None:
    """Write a line on a dark ground at the bottom left of a frame, in place."""
    unit, scale = _unit(canvas), 0.45 * _text_scale(canvas)
    text = _fit(text, scale, unit, canvas.shape[1] - 4 * unit)
    (width, height), base = cv2.getTextSize(text, _FONT, scale, unit)
    pad, bottom = 3 * unit, canvas.shape[0]
    top = max(bottom - height - base - 2 * pad, 0)
    cv2.rectangle(canvas, (0, top), (width + 2 * pad, bottom), _PANEL, -1)
    place = (pad, bottom - base - pad)
    cv2.putText(canvas, text, place, _FONT, scale, _TEXT, unit, cv2.LINE_AA)


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
    style: OverlayStyle | None = None,
    on_frame: Callable[[int, int], None] | None = None,
) -> None:
    """Write the clip with its people, its time and some text drawn on it, and with its sound.

    H.264 in constant memory, whole or not at all. It runs as the clip does: each frame is shown at
    the clip's own time, also where the frame rate varies or frames were lost. Its frames have
    square pixels, so people have their shape in any player. A small frame is enlarged by a whole
    number, so that text can be read. Browsers play even sizes alone: an odd one loses its last row
    or column. Time and number of the frame are those in the clip's file. Slow motion is silent. The
    file is marked as ours (``is_own_output``).

    Args:
        sequence: The skeletons of the clip.
        source: The clip.
        out: Target, ending in .mp4.
        lines: Text for the panel at the top left.
        person_labels: Text for a person's box, by index.
        style: How the clip is shown; None for all of it at its own speed.
        on_frame: Told after each frame how many are done, and of how many.

    Raises:
        SkelactError: if the clip cannot be read, its frames are not those of the skeletons, or the
            target is the clip or cannot be written.
    """
    out, style = Path(out), style or OverlayStyle()
    check_is_no_source(out, [source.path])
    scene = _Scene.of(sequence, style, person_labels, lines)
    slow = Fraction(style.slow).limit_denominator(1000)
    with ExitStack() as stack:
        reader = stack.enter_context(open_video(source.path))
        temporary = stack.enter_context(atomic_write(out))
        start, stop = source.frame_range(reader.info)
        seconds = reader.info.pts_seconds[start:stop]
        time_base, ticks = copy_clock(seconds, sequence.fps)
        sound = None
        if slow == 1 and len(seconds):
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir=out.parent))
            sound = copy_sound(source, seconds, sequence.fps, Path(folder))
        encoder = H264Writer(
            temporary,
            scene.img_shape,
            sequence.fps / slow,
            time_base * slow,
            f"{out}: the overlay",
            sound=sound,
        )
        stack.enter_context(encoder)
        for batch in reader.batches(_FRAMES_PER_BATCH, start, stop):
            _check_size(batch.frames, sequence, source)
            for frame, index in zip(batch.frames, batch.frame_inds.tolist()):
                image = scene.draw(frame, index, float(seconds[index - start]))
                encoder.add(image, int(ticks[index - start]))
                if on_frame is not None:
                    on_frame(index - start + 1, len(seconds))


@dataclass(frozen=True, eq=False)
class _Scene:
    """What is drawn on the frames of a clip.

    Attributes:
        people: The people in pixels of what is shown.
        steps: Step of each frame of the file that has one.
        window: The part of each frame that is shown, before it is enlarged.
        style, person_labels, lines: See ``write_overlay``.
    """

    people: SkeletonSequence
    steps: Mapping[int, int]
    window: Window | None
    style: OverlayStyle
    person_labels: Mapping[int, str] | None
    lines: Sequence[str]

    @classmethod
    def of(
        cls,
        sequence: SkeletonSequence,
        style: OverlayStyle,
        person_labels: Mapping[int, str] | None,
        lines: Sequence[str],
    ) -> _Scene:
        window = athlete_window(sequence) if style.crop and sequence.num_frames else None
        if style.crop:
            sequence = _athlete_alone(sequence)
        people = _enlarged(sequence if window is None else window.moved(sequence))
        steps = {int(frame): step for step, frame in enumerate(sequence.frame_inds)}
        return cls(people, steps, window, style, person_labels, lines)

    @property
    def img_shape(self) -> tuple[int, int]:
        return self.people.img_shape

    def draw(self, frame: np.ndarray, index: int, seconds: float) -> np.ndarray:
        """Return what is shown of a frame (H, W, 3) uint8 RGB of this number and time."""
        step = self.steps.get(index)
        if self.window is not None:
            inds = self.people.frame_inds
            nearest = step if step is not None else int(np.abs(inds - index).argmin())
            frame = self.window.cut(frame, nearest)
        canvas = _resized(frame, self.img_shape)
        if step is not None:
            labels = self.person_labels
            canvas = draw_people(canvas, self.people, step, person_labels=labels)
            if self.style.angles:
                draw_angles(canvas, self.people, step)
        canvas = draw_panel(canvas, self.lines)
        minutes = int(seconds // 60)
        pace = f"  1/{self.style.slow:g}x" if self.style.slow != 1 else ""
        draw_clock(canvas, f"{minutes}:{seconds - 60 * minutes:06.3f}  frame {index}{pace}")
        return canvas


def _check_size(frames: np.ndarray, sequence: SkeletonSequence, source: ClipSource) -> None:
    height, width = sequence.img_shape
    if frames.shape[1:3] != (height, width):
        raise SkelactError(
            f"{source.path}: expected frames of {height}x{width} as in its skeletons, "
            f"got {frames.shape[1]}x{frames.shape[2]}"
        )


def _resized(frame: np.ndarray, img_shape: tuple[int, int]) -> np.ndarray:
    return np.asarray(cv2.resize(frame, img_shape[::-1], interpolation=cv2.INTER_CUBIC))


def _athlete_alone(sequence: SkeletonSequence) -> SkeletonSequence:
    return replace(
        sequence,
        keypoints=sequence.keypoints[:1],
        keypoint_scores=sequence.keypoint_scores[:1],
        bboxes=sequence.bboxes[:1],
        track_ids=sequence.track_ids[:1],
    )


def _enlarged(sequence: SkeletonSequence) -> SkeletonSequence:
    factor = max(1, ceil(_LEAST_SIDE / min(sequence.img_shape)))
    height, width = sequence.img_shape
    return replace(
        sequence,
        keypoints=sequence.keypoints * np.float32(factor),
        bboxes=sequence.bboxes * np.float32(factor),
        img_shape=(height * factor, width * factor),
    )
