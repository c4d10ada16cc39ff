"""Simulated flights as the counter finds them, with their factors: what the network learns from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...models.flight import FACTORS
from ..elements.calibration import POSITIONS
from ..elements.element import Element, Position, diving48_elements
from ..elements.flight_window import FlightWindow, flight_window
from ..elements.flights import FlightSpan
from ..elements.followed import FollowedBody, follow_body, spans_to_read
from ..synth.camera import camera_maps
from ..synth.choices import dive_shares, saltos
from ..synth.clips import ClipConfig, SynthClip, draw_clips

NAMES = tuple(FACTORS)
# Clips that are simulated at once; the draws of a clip depend on it.
CHUNK = 96
# Label of a factor that cannot be told.
UNKNOWN = -1
# Of the classes of Diving48, dives of real competitions and saltos.
_KINDS = (0.5, 0.3, 0.2)
# Share of them with counts and shapes that are drawn anew, and these shapes.
_VARIED_SHARE = 0.35
_SHAPES: tuple[Position, ...] = ("straight", "pike", "tuck")
# Sizes of the errors of poses, see ``ClipConfig``.
_NOISES, _NOISE_SHARES = (0.0, 0.5, 1.0, 1.5, 2.0), (0.08, 0.12, 0.5, 0.15, 0.15)
# Errors of an estimate of the camera's motion, pixels per frame.
_CAMERA_NOISES = (0.1, 1.0)
# Share of the clips that are cut anywhere, and seconds that are left of them at least.
_CUT_SHARE, _LEAST_SECONDS = 1 / 3, 0.5
# Least intersection over union of a flight and the window that shows it.
_MIN_OVERLAP = 0.4
# Shoulders and hips, and the share of a flight in which they have to be in the image.
_TORSO, _MIN_SHOWN = [5, 6, 11, 12], 0.9


@dataclass(frozen=True, eq=False)
class LabelledWindow:
    """A window with the number of each factor's value, ``UNKNOWN`` where it cannot be told."""

    window: FlightWindow
    labels: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class SimulatedClip:
    """What the counter sees of a simulated clip, and the flights that are in it.

    Attributes:
        keypoints: (T, 17, 2) float32 pixels.
        scores: (T, 17) float32.
        seconds: (T,) float64.
        camera_maps: (T, 2, 3) float32.
        flights: Elements, their first frames in flight and the frames after their last; outside the
            clip where it is cut.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    seconds: np.ndarray
    camera_maps: np.ndarray
    flights: tuple[tuple[Element, int, int], ...]


def simulated_clips(chunk: int, seed: int) -> list[SimulatedClip]:
    """Simulate a chunk of clips of dives and saltos, some of them cut anywhere.

    There are fewer than ``CHUNK`` where no body can do what was drawn.
    """
    rng = np.random.default_rng([seed, chunk])
    noise = float(rng.choice(_NOISES, p=_NOISE_SHARES))
    config = ClipConfig(noise, lead_seconds=(0.1, 2.5), tail_seconds=(0.1, 1.5), cut_chance=0)
    clips = draw_clips(_draw_elements(CHUNK, rng), rng, config)
    return [_cut(_simulated(clip, rng), rng) for clip in clips if clip is not None]


def labelled_windows(chunk: int, seed: int) -> list[LabelledWindow]:
    """Return the flights that the counter finds in a chunk of clips, and neighbours as one."""
    return [
        LabelledWindow(flight_window(followed, span, clip.seconds), labels)
        for clip in simulated_clips(chunk, seed)
        for followed, span, labels in labelled_spans(clip)
    ]


def _draw_elements(count: int, rng: np.random.Generator) -> list[Element]:
    dives, shares = dive_shares()
    # Rare dives more often than they are done.
    shares = np.sqrt(shares) / np.sqrt(shares).sum()
    skills = saltos()
    pools: tuple[tuple[Sequence[Element], np.ndarray | None], ...] = (
        (diving48_elements()[1], None), (dives, shares), (skills, None)
    )  # fmt: skip
    kinds = rng.choice(len(pools), count, p=_KINDS)
    drawn = [pools[k][0][int(rng.choice(len(pools[k][0]), p=pools[k][1]))] for k in kinds]
    return [varied(element, rng) if rng.random() < _VARIED_SHARE else element for element in drawn]


def varied(element: Element, rng: np.random.Generator) -> Element:
    """Return an element with other counts, or another shape, than those that are done.

    The network is not to take one factor from what is usual with the others.
    """
    # Who does a salto lands on the feet.
    step = 2 if element.kind == "salto" else 1
    halves = int(element.half_somersaults or step) + step * int(rng.integers(-1, 2))
    twists = int(element.half_twists or 0) + int(rng.integers(-2, 3))
    halves = min(max(halves, step), FACTORS["half_somersaults"] - 1)
    twists = min(max(twists, 0), FACTORS["half_twists"] - 1)
    position = element.position
    if not twists:
        position = _SHAPES[int(rng.integers(len(_SHAPES)))]
    elif not element.half_twists:
        # Where bodies that twist have no other shape.
        position = "free" if element.kind == "dive" else "straight"
    return replace(element, half_somersaults=halves, half_twists=twists, position=position)


def _simulated(clip: SynthClip, rng: np.random.Generator) -> SimulatedClip:
    motion = clip.camera_motion.copy()
    size = rng.uniform(*_CAMERA_NOISES)
    motion[:, :2] += rng.normal(0, size, (len(clip.phase), 2))
    flights = tuple(
        (span.element, span.start, span.end)
        for span in clip.elements
        if span.element.kind in ("dive", "salto")
    )
    return SimulatedClip(
        clip.keypoints, clip.keypoint_scores, np.arange(len(clip.phase)) / clip.fps,
        camera_maps(motion, clip.img_shape), flights,
    )  # fmt: skip


def _cut(clip: SimulatedClip, rng: np.random.Generator) -> SimulatedClip:
    if rng.random() >= _CUT_SHARE:
        return clip
    frames = len(clip.seconds)
    least = max(round(_LEAST_SECONDS / clip.seconds[1]), 8)
    start = int(rng.integers(0, max(frames // 2, 1)))
    end = int(rng.integers(min(start + least, frames), frames + 1))
    part = slice(start, end)
    return SimulatedClip(
        clip.keypoints[part], clip.scores[part], clip.seconds[part], clip.camera_maps[part],
        tuple((element, one - start, two - start) for element, one, two in clip.flights),
    )  # fmt: skip


def labelled_spans(
    clip: SimulatedClip,
) -> Iterator[tuple[FollowedBody, FlightSpan, tuple[int, ...]]]:
    """Yield what is followed in a clip, with each span that is read of it and its labels.

    A flight is shown by the span that overlaps most with it; the other spans show none.
    """
    followed = follow_body(clip.keypoints, clip.scores, clip.seconds, clip.camera_maps)
    spans = spans_to_read(followed, clip.seconds) if followed else []
    if followed is None or not spans:
        return
    shown: dict[int, tuple[int, ...]] = {}
    for element, start, end in clip.flights:
        overlaps = [_overlap(span, start, end) for span in spans]
        best = int(np.argmax(overlaps))
        if overlaps[best] >= _MIN_OVERLAP:
            shown[best] = (*_factors(element, _is_shown(clip, start, end)), 1)
    nothing = (*[UNKNOWN] * (len(NAMES) - 1), 0)
    for number, span in enumerate(spans):
        yield followed, span, shown.get(number, nothing)


def _overlap(span: FlightSpan, start: int, end: int) -> float:
    """Return intersection over union of a span and the frames from start to before end."""
    common = min(end, span.end) - max(start, span.start)
    return max(common, 0) / (max(end, span.end) - min(start, span.start))


def _is_shown(clip: SimulatedClip, start: int, end: int) -> bool:
    if start < 0 or end > len(clip.seconds):
        return False
    torso = (clip.scores[start:end, _TORSO] > 0).all(axis=1)
    return bool(torso.mean() >= _MIN_SHOWN)


def _factors(element: Element, is_shown: bool) -> tuple[int, ...]:
    """Return the labels of all factors but the last; counts of what is not shown are unknown."""
    counts = [element.half_somersaults, element.half_twists] if is_shown else [UNKNOWN] * 2
    forward, takeoff = element.rotates_forward, element.takeoff or ""
    # With the head, or in an armstand the feet, to where it flies: the group of dives says so.
    tells = element.kind == "dive" and takeoff != "armstand_forward"
    return (
        *(UNKNOWN if count is None else int(count) for count in counts),
        POSITIONS.index(str(element.position)),
        UNKNOWN if forward is None else int(forward),
        int(takeoff in ("forward", "back", "armstand_back")) if tells else UNKNOWN,
    )
