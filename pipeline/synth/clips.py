"""Simulated clips of dives and gymnastics, with labels per frame and per element.

Everything here is synthetic: no athlete and no video.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ... import SkelactError
from ..elements.element import Element
from .camera import Film, film
from .dive_scripts import dive_script
from .gymnastics_scripts import gymnastics_script
from .motion import Motion, simulate
from .pose_errors import add_pose_errors
from .script import Script
from .visibility import visible

# Common sizes of images, (height, width), and frame rates in fps.
_IMG_SHAPES = np.array([(360, 640), (480, 640), (540, 960), (720, 1280), (1280, 720)])
_RATES = np.array([24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60.0])
_RATE_SHARES = np.array([0.15, 0.25, 0.25, 0.15, 0.1, 0.1])
# Some bodies cannot do the hardest twists: two and a half off a vault one in five, all else two in
# five and more.
MAX_DRAWS = 16
# Keypoints (N, T, 17, 2), scores (N, T, 17), depth (N, T, 17), fps (N,) and a random state become
# keypoints and scores with errors.
PoseErrors = Callable[
    [np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.random.Generator],
    tuple[np.ndarray, np.ndarray],
]


@dataclass(frozen=True)
class ClipConfig:
    """How clips are cut and filmed.

    Attributes:
        noise: Size and rate of the errors of the poses: 1 is like a light pose model, 0 exact.
        errors: What adds the errors instead of ``noise``, such as a table of measured ones.
        lead_seconds: Least and most time before the first element; what the script has at most. A
            negative time begins inside the element.
        tail_seconds: The same after the last element.
        slow_motion: Chance of a clip to be in slow motion, 2 to 8 times.
        cut_chance: Chance of a cut to another camera within the clip.
        max_frames: No clip has more; the end is left out.
    """

    noise: float = 1.0
    errors: PoseErrors | None = None
    lead_seconds: tuple[float, float] = (0.0, 4.0)
    tail_seconds: tuple[float, float] = (0.0, 3.0)
    slow_motion: float = 0.06
    cut_chance: float = 0.08
    max_frames: int = 400

    def __post_init__(self) -> None:
        if not 0 <= self.noise <= 5:
            raise SkelactError(f"noise: expected 0 to 5, got {self.noise}")
        for name in ("lead_seconds", "tail_seconds"):
            low, high = getattr(self, name)
            if low > high:
                raise SkelactError(f"{name}: expected the least time first, got {low} and {high}")
        for name in ("slow_motion", "cut_chance"):
            if not 0 <= getattr(self, name) <= 1:
                raise SkelactError(f"{name}: expected 0 to 1, got {getattr(self, name)}")
        if self.max_frames < 2:
            raise SkelactError(f"max_frames: expected at least 2, got {self.max_frames}")


@dataclass(frozen=True)
class LabelledSpan:
    """An element and its frames: ``start`` to before ``end``, cut to the clip.

    Attributes:
        element: What it is.
        start: First frame.
        end: Frame after its last.
        is_whole: Whether all of it lies in the clip.
    """

    element: Element
    start: int
    end: int
    is_whole: bool


@dataclass(frozen=True, eq=False)
class SynthClip:
    """One simulated clip of T frames and one person.

    Attributes:
        keypoints: (T, 17, 2) float32 pixels; 0 where a joint is missing.
        keypoint_scores: (T, 17) float32; 0 where a joint is missing.
        depth: (T, 17) float32 metres from the camera, exact.
        img_shape: (height, width) in pixels.
        fps: Frames per second of the file.
        slow_motion: How many times slower than real the clip shows the athlete.
        phase: (T,) int8: 0 other, 1 on the board or apparatus, 2 flight, 3 entry or landing.
        elements: Elements with their frames, in order.
        rotation: (T, 3) float32 degrees, unwrapped: pitch, tilt, twist; see ``motion.py``.
        board: (T, 2, 2) float32 pixels; see :class:`camera.Film`.
        water: (T, 2, 2) float32 pixels.
        camera_motion: (T, 4) float32.
        is_cut: (T,) bool, first frames of another camera.
        has_water: Whether the clip is of a dive.
    """

    keypoints: np.ndarray
    keypoint_scores: np.ndarray
    depth: np.ndarray
    img_shape: tuple[int, int]
    fps: float
    slow_motion: float
    phase: np.ndarray
    elements: tuple[LabelledSpan, ...]
    rotation: np.ndarray
    board: np.ndarray
    water: np.ndarray
    camera_motion: np.ndarray
    is_cut: np.ndarray
    has_water: bool


def make_clips(
    elements: Sequence[Element], rng: np.random.Generator, config: ClipConfig | None = None
) -> list[SynthClip]:
    """Simulate and film elements.

    Args:
        elements: One per clip, the one that the clip is made for; others may come with it.
        rng: Random state; equal states give equal clips.
        config: How to cut and film.

    Raises:
        SkelactError: for a dive or salto of which a factor is not known, or one that no draw of a
            body and a board could do.
    """
    clips = draw_clips(elements, rng, config)
    for element, clip in zip(elements, clips):
        if clip is None:
            raise SkelactError(f"no body can do: {element.words}; expected fewer twists")
    return [clip for clip in clips if clip is not None]


def draw_clips(
    elements: Sequence[Element], rng: np.random.Generator, config: ClipConfig | None = None
) -> list[SynthClip | None]:
    """Simulate and film elements as :func:`make_clips` does; None for what no body can do.

    Args:
        elements, rng, config: See :func:`make_clips`.

    Raises:
        SkelactError: for a dive or salto of which a factor is not known.
    """
    config = config or ClipConfig()
    if not elements:
        return []
    fps = rng.choice(_RATES, len(elements), p=_RATE_SHARES)
    slow = np.where(rng.random(len(elements)) < config.slow_motion,
                    rng.choice([2.0, 4.0, 8.0], len(elements)), 1.0)  # fmt: skip
    clips: dict[int, SynthClip] = {}
    left = np.arange(len(elements))
    for _ in range(MAX_DRAWS):
        made = _draw([elements[int(i)] for i in left], fps[left], slow[left], rng, config)
        clips |= {int(i): clip for i, clip in zip(left, made) if clip is not None}
        left = np.array([i for i in left if int(i) not in clips], int)
        if not len(left):
            break
    return [clips.get(i) for i in range(len(elements))]


def draw_script(element: Element, rng: np.random.Generator) -> Script:
    """Draw the script of any element whose factors are known.

    Raises:
        SkelactError: if a factor of a dive or salto is not known.
    """
    if element.kind in ("dive", "salto"):
        for name in ("takeoff", "half_somersaults", "half_twists", "position"):
            if getattr(element, name) is None:
                raise SkelactError(f"{element.words}: expected {name}, got None")
        if "_or_" in str(element.takeoff):
            raise SkelactError(f"{element.words}: expected one take-off, got two")
    return (dive_script if element.kind == "dive" else gymnastics_script)(element, rng)


def _draw(
    elements: Sequence[Element],
    fps: np.ndarray,
    slow: np.ndarray,
    rng: np.random.Generator,
    config: ClipConfig,
) -> list[SynthClip | None]:
    """Return a clip for each element, None where its flight could not be solved."""
    scripts = [draw_script(element, rng) for element in elements]
    rate = fps * slow
    times = [_frame_times(script, r, rng, config) for script, r in zip(scripts, rate)]
    motion = simulate(scripts, times, rng)
    img_shapes = _IMG_SHAPES[rng.integers(len(_IMG_SHAPES), size=len(scripts))]
    scenes = [script.scene for script in scripts]
    seen = film(
        motion.joints,
        motion.center,
        1 / rate,
        motion.height,
        scenes,
        img_shapes,
        np.array([len(t) for t in times]),
        config.cut_chance,
        rng,
    )
    entry = np.array([s.elements[-1].end if s.scene.has_water else np.nan for s in scripts])
    shown = visible(motion.joints, seen.keypoints, motion.times, entry, img_shapes, rng)
    scores = shown.astype(np.float32)
    keypoints = seen.keypoints
    errors = config.errors or (partial(_light_errors, noise=config.noise) if config.noise else None)
    if errors is not None:
        keypoints, scores = errors(keypoints, scores, seen.depth, rate, rng)
    keypoints = np.where((scores > 0)[..., None], keypoints, 0).astype(np.float32)
    return [
        _clip(i, len(t), motion, seen, keypoints, scores, img_shapes, fps, slow)
        if motion.solved[i] else None
        for i, t in enumerate(times)
    ]  # fmt: skip


def _light_errors(
    keypoints: np.ndarray,
    scores: np.ndarray,
    depth: np.ndarray,
    fps: np.ndarray,
    rng: np.random.Generator,
    *,
    noise: float,
) -> tuple[np.ndarray, np.ndarray]:
    return add_pose_errors(keypoints, scores, depth, fps, noise, rng)


def _frame_times(
    script: Script, rate: float, rng: np.random.Generator, config: ClipConfig
) -> np.ndarray:
    first, last = script.elements[0].start, script.elements[-1].end
    start = max(first - rng.uniform(*config.lead_seconds), 0.0)
    end = min(last + rng.uniform(*config.tail_seconds), script.time)
    count = int(np.clip(np.floor((end - start) * rate) + 1, 2, config.max_frames))
    out: np.ndarray = start + np.arange(count) / rate
    return out


def _clip(
    i: int,
    count: int,
    motion: Motion,
    seen: Film,
    keypoints: np.ndarray,
    scores: np.ndarray,
    img_shapes: np.ndarray,
    fps: np.ndarray,
    slow: np.ndarray,
) -> SynthClip:
    script, times = motion.scripts[i], motion.times[i, :count]
    spans = []
    for span in script.elements:
        start, end = (int(np.searchsorted(times, t - 1e-9)) for t in (span.start, span.end))
        if end > start:
            whole = times[0] <= span.start and span.end <= times[-1]
            spans.append(LabelledSpan(span.element, start, end, bool(whole)))
    rotation = np.stack([motion.pitch, motion.tilt, motion.twist], -1)
    return SynthClip(
        keypoints=keypoints[i, :count],
        keypoint_scores=scores[i, :count],
        depth=seen.depth[i, :count],
        img_shape=(int(img_shapes[i, 0]), int(img_shapes[i, 1])),
        fps=float(fps[i]),
        slow_motion=float(slow[i]),
        phase=motion.phase[i, :count],
        elements=tuple(spans),
        rotation=rotation[i, :count],
        board=seen.board[i, :count],
        water=seen.water[i, :count],
        camera_motion=seen.camera_motion[i, :count],
        is_cut=seen.is_cut[i, :count],
        has_water=script.scene.has_water,
    )
