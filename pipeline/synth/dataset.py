"""Synthetic data sets: simulated dives, filmed by a moving camera, with a pose net's faults.

Everything here is synthetic: nobody ever dived so. It serves to test methods where anyone can.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.signal import lfilter

from ... import SkelactError
from ...pose_extract.common.files import atomic_write
from ...pose_extract.layout import COCO_17
from ...pose_extract.skeleton import SkeletonSequence
from ...pose_extract.store.export import pyskl_record
from ..config import load_label_names
from ..data.annotations import NO_LABEL, Annotation
from ..drawing.overlay import draw_panel, draw_skeleton
from .diving import Dive, simulate_dives

_CHUNK = 256
_IMG_SHAPES = np.array([(360, 640), (480, 640), (540, 960), (720, 1280)])
_RATES = np.array([24.0, 25.0, 30000 / 1001, 30.0])
# How far apart people place a joint, of the square root of the person's area (COCO's OKS).
_SPREAD = np.array(
    [26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89], np.float32
) / 1000  # fmt: skip
_LIMBS = ("elbow", "wrist"), ("knee", "ankle")


@dataclass(frozen=True)
class SynthConfig:
    """How dives are filmed.

    Attributes:
        noise: How faulty the poses are: 1 is like a light pose net, 0 exact. It scales the joints'
            noise and how often joints jump, sides are exchanged and frames are lost.
        lead_seconds: Least and greatest time shown before the take-off.
        tail_seconds: Least and greatest time shown after the entry.
    """

    noise: float = 1.0
    lead_seconds: tuple[float, float] = (0.1, 0.7)
    tail_seconds: tuple[float, float] = (0.05, 0.3)

    def __post_init__(self) -> None:
        if not 0 <= self.noise <= 5:
            raise SkelactError(f"noise: expected 0 to 5, got {self.noise}")


def diving_labels() -> tuple[tuple[str, ...], tuple[Dive, ...]]:
    """Return the 48 class names of Diving48 and the dives that they name."""
    names = load_label_names("diving48")
    return names, tuple(Dive.parse(name) for name in names)


def film_dives(
    dives: Sequence[Dive],
    rng: np.random.Generator,
    config: SynthConfig | None = None,
) -> list[Annotation]:
    """Simulate and film dives.

    Args:
        dives: What to dive.
        rng: Random state; the result is a function of it.
        config: How to film.

    Returns:
        One clip of one person per dive, without name and label; joints under water have score 0.
    """
    config = config or SynthConfig()
    count = len(dives)
    fps = rng.choice(_RATES, count)
    lead = rng.uniform(*config.lead_seconds, count)
    tail = rng.uniform(*config.tail_seconds, count)
    # The longest flight is from ten metres with a strong jump: 2 s.
    motion = simulate_dives(dives, fps, int(np.ceil((lead + 2.0 + tail).max() * 30)), lead, rng)
    lengths = np.ceil((lead + motion.flight_seconds + tail) * fps).astype(int)
    longest = int(lengths.max())
    img_shapes = _IMG_SHAPES[rng.integers(len(_IMG_SHAPES), size=count)]
    joints, center = motion.joints[:, :longest], motion.center[:, :longest]
    keypoints, depth = _film(joints, center, motion.height, img_shapes, rng)
    scores = (joints[..., 1] > 0).astype(np.float32)
    if config.noise:
        keypoints, scores = _blemish(keypoints, scores, depth, fps, config.noise, rng)
    keypoints = np.where((scores > 0)[..., None], keypoints, 0).astype(np.float32)
    return [
        Annotation(
            frame_dir="",
            label=NO_LABEL,
            keypoints=keypoints[i : i + 1, :n],
            keypoint_scores=scores[i : i + 1, :n],
            img_shape=(int(img_shapes[i, 0]), int(img_shapes[i, 1])),
        )
        for i, n in enumerate(lengths)
    ]


def _film(
    joints: np.ndarray,
    center: np.ndarray,
    height: np.ndarray,
    img_shapes: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Project (N, T, 17, 3) joints; return pixels (N, T, 17, 2) and the depth (N, T, 17) in m.

    The camera stands to one side of the board and pans after the diver, late and not steadily.
    """
    count, steps = center.shape[:2]
    side = rng.choice([-90.0, 90.0], count)
    azimuth = np.radians(side + rng.normal(0, 22, count))
    distance = rng.uniform(9, 25, count)
    eye = np.stack(
        [
            distance * np.cos(azimuth),
            rng.uniform(0.5, 1.0, count) * center[:, 0, 1],
            distance * np.sin(azimuth),
        ],
        -1,
    )[:, None].astype(np.float32)
    late = _follow(center, 0.5)
    sway = _red_noise((count, steps, 3), 0.95, rng) * rng.uniform(0, 0.12, (count, 1, 1))
    look = (late + sway - eye).astype(np.float32)
    look /= np.linalg.norm(look, axis=-1, keepdims=True)
    right = np.cross(look, np.array([0, 1, 0], np.float32))
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    down = np.cross(look, right)
    # (N, T, 17, 3) @ (N, T, 3, 3): along the picture, down it, and away from the camera.
    seen = (joints - eye[:, :, None]) @ np.stack([right, down, look], axis=-1)
    plane, depth = seen[..., :2], seen[..., 2]
    # A diver fills a quarter to a half of the picture's height.
    share = rng.uniform(0.25, 0.5, count)
    focal = (share * img_shapes[:, 0] * distance / height).astype(np.float32)
    pixels = plane * (focal[:, None, None] / depth)[..., None]
    return pixels + (img_shapes[:, None, None, ::-1] / 2).astype(np.float32), depth


def _follow(values: np.ndarray, rate: float) -> np.ndarray:
    """Return (N, T, C) values smoothed over time by a first-order lag."""
    start = values[:, :1] * (1 - rate)
    out: np.ndarray = lfilter([rate], [1, rate - 1], values, axis=1, zi=start)[0]
    return out


def _red_noise(shape: tuple[int, ...], keep: float, rng: np.random.Generator) -> np.ndarray:
    """Return unit noise (N, T, ...) in which a step keeps the share ``keep`` of the last."""
    out = rng.standard_normal(shape, dtype=np.float32)
    fresh = np.float32(np.sqrt(1 - keep**2))
    for step in range(1, shape[1]):
        out[:, step] *= fresh
        out[:, step] += np.float32(keep) * out[:, step - 1]
    return out


def _bursts(
    starts: np.ndarray, mean_frames: float, rng: np.random.Generator, most: int = 12
) -> np.ndarray:
    """Return (N, T) bool: runs of random length from each start (N, T)."""
    last = np.minimum(rng.geometric(1 / mean_frames, starts.shape), most)
    left = np.where(starts, last, 0)
    out = left > 0
    for _ in range(most - 1):
        left = np.maximum(left - 1, 0)
        left[:, 1:] = np.maximum(left[:, :-1], 0)
        left[:, 0] = 0
        out |= left > 0
    return out


def _blemish(
    keypoints: np.ndarray,
    scores: np.ndarray,
    depth: np.ndarray,
    fps: np.ndarray,
    noise: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Add what pose nets get wrong, more of it when the body is upside down, fast or turned away.

    Returns:
        Pixels (N, T, 17, 2) and scores (N, T, 17).
    """
    count, steps = keypoints.shape[:2]
    trouble = _trouble(keypoints, fps)
    extent = keypoints.max(axis=2) - keypoints.min(axis=2)
    size = np.maximum(extent[..., :1], extent[..., 1:])  # (N, T, 1)
    # Limbs on the far side of the body are hidden by it.
    hidden = depth > (depth[:, :, 11] + depth[:, :, 12])[..., None] / 2 + 0.06
    hidden = hidden.astype(np.float32)
    spread = (noise * 0.2 * _SPREAD) * (size * trouble[..., None]) * (1 + 0.5 * hidden)
    # Half of the noise's power comes and goes slowly.
    moved = rng.standard_normal(keypoints.shape, dtype=np.float32)
    moved += _red_noise(keypoints.shape, 0.8, rng)
    moved *= spread[..., None]
    moved += keypoints
    certainty = 0.97 - 0.1 * trouble[..., None] - 0.08 * hidden
    certainty += 0.05 * rng.standard_normal(scores.shape, dtype=np.float32)

    sides = _bursts(rng.random((count, steps), dtype=np.float32) < noise * 0.008 * trouble, 4, rng)
    moved = _exchange(moved, sides, rng)

    jumps = rng.random(scores.shape, dtype=np.float32) < noise * 0.012 * trouble[..., None]
    clip, step, _ = place = np.nonzero(jumps)
    wild = 0.3 * rng.standard_normal((len(clip), 2), dtype=np.float32) * size[clip, step]
    moved[place] = keypoints.mean(axis=2)[clip, step] + wild
    certainty[place] = rng.uniform(0.03, 0.4, len(clip))

    lost = _bursts(rng.random((count, steps), dtype=np.float32) < noise * 0.006 * trouble, 3, rng)
    seen = (scores > 0) & ~lost[..., None]
    return moved, np.where(seen, certainty.clip(0.03, 1.0), 0).astype(np.float32)


def _trouble(keypoints: np.ndarray, fps: np.ndarray) -> np.ndarray:
    """Return (N, T): 1 for a body at rest upright, more where it is inverted or turns fast."""
    trunk = keypoints[:, :, 5] + keypoints[:, :, 6] - keypoints[:, :, 11] - keypoints[:, :, 12]
    angle = np.unwrap(np.arctan2(trunk[..., 0], -trunk[..., 1]), axis=1)
    inverted = (1 - np.cos(angle)) / 2
    speed = np.abs(np.gradient(angle, axis=1)) * fps[:, None]  # radians per second
    return (1 + inverted + (speed / 12).clip(0, 1.5)).astype(np.float32)


def _exchange(points: np.ndarray, where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exchange left and right arms, legs or both in the chosen frames (N, T)."""
    kind = rng.integers(3, size=(len(points), 1))
    out = points.copy()
    for limb, names in enumerate(_LIMBS):
        clip, step = np.nonzero(where & (kind != limb))
        for name in names:
            left, right = COCO_17.index(f"left_{name}"), COCO_17.index(f"right_{name}")
            out[clip, step, left] = points[clip, step, right]
            out[clip, step, right] = points[clip, step, left]
    return out


def write_diving(
    path: Path,
    splits: Mapping[str, int],
    *,
    seed: int = 0,
    config: SynthConfig | None = None,
) -> int:
    """Write a PYSKL annotation file of dives, all 48 classes of Diving48 equally often.

    A clip is a function of the seed, the split's name and its number, so a larger split begins with
    the clips of a smaller one.

    Args:
        path: Target.
        splits: Number of clips of each split.
        seed: Seed.
        config: How to film.

    Returns:
        The number of clips.

    Raises:
        SkelactError: for a split without a clip.
    """
    for name, count in splits.items():
        if count < 1:
            raise SkelactError(f"split {name!r}: expected at least 1 clip, got {count}")
    names, _ = diving_labels()
    data: dict[str, Any] = {
        "split": {},
        "annotations": [],
        "label_names": list(names),
        "synthetic": "simulated dives; no video, no athlete",
    }
    for split, count in splits.items():
        clips = list(make_dives(split, count, seed=seed, config=config))
        data["split"][split] = [clip.frame_dir for clip in clips]
        data["annotations"] += [_record(clip) for clip in clips]
    with atomic_write(path) as temporary, temporary.open("wb") as stream:
        pickle.dump(data, stream, protocol=4)
    return len(data["annotations"])


def make_dives(
    split: str, count: int, *, seed: int = 0, config: SynthConfig | None = None
) -> Iterator[Annotation]:
    """Yield the first ``count`` labelled dives of a split; see :func:`write_diving`."""
    _, dives = diving_labels()
    for start in range(0, count, _CHUNK):
        rng = np.random.default_rng([seed, start, *split.encode()])
        # Whole rounds of all classes, each in an order of its own.
        rounds = [rng.permutation(len(dives)) for _ in range(-(-_CHUNK // len(dives)))]
        labels = np.concatenate(rounds)[:_CHUNK]
        clips = film_dives([dives[label] for label in labels], rng, config)
        for i, (clip, label) in enumerate(zip(clips[: count - start], labels.tolist())):
            yield replace(clip, frame_dir=f"{split}_{start + i:06d}", label=label)


def _record(clip: Annotation) -> dict[str, Any]:
    return pyskl_record(
        clip.frame_dir,
        clip.label,
        clip.img_shape,
        clip.keypoints.astype(np.float16),
        clip.keypoint_scores.astype(np.float16),
    )


def draw_sheet(path: Path, names: Sequence[str], *, seed: int = 0, noise: float = 0.0) -> None:
    """Draw dives, one row each, twelve moments from before the take-off to the entry.

    Args:
        path: Target, a picture.
        names: The dives as Diving48 writes them.
        seed: Seed.
        noise: See :class:`SynthConfig`.
    """
    if not cv2.haveImageWriter(str(path)):
        raise SkelactError(f"{path}: expected a picture's name, such as dives.png")
    config = SynthConfig(noise=noise, lead_seconds=(0.3, 0.3), tail_seconds=(0.05, 0.05))
    clips = film_dives([Dive.parse(name) for name in names], np.random.default_rng(seed), config)
    rows = [_draw_row(clip, name) for clip, name in zip(clips, names)]
    data = cv2.imencode(path.suffix, np.concatenate(rows)[..., ::-1])[1]
    with atomic_write(path) as temporary:
        temporary.write_bytes(data.tobytes())


def _draw_row(clip: Annotation, name: str, moments: int = 12, side: int = 130) -> np.ndarray:
    """Return a strip (side, moments * side, 3) uint8 RGB of moments of a dive."""
    present = np.flatnonzero((clip.keypoint_scores[0] > 0).sum(axis=1) > 4)
    steps = present[np.linspace(0, len(present) - 1, moments).round().astype(int)]
    points, scores = clip.keypoints[:, steps], clip.keypoint_scores[:, steps]
    seen = np.where(scores[..., None] > 0, points, np.nan)
    low, high = np.nanmin(seen, axis=2), np.nanmax(seen, axis=2)
    scale = 0.8 * side / (high - low).max()
    middle = (low + high)[:, :, None] / 2
    cells = np.arange(moments)[None, :, None, None] * np.array([side, 0])
    placed = (points - middle) * scale + side / 2 + cells
    strip = np.full((side, moments * side, 3), 40, np.uint8)
    sequence = SkeletonSequence(
        keypoints=np.where(scores[..., None] > 0, placed, 0).astype(np.float32),
        keypoint_scores=scores,
        bboxes=np.zeros((1, moments, 4), np.float32),
        track_ids=np.zeros(1, np.int64),
        frame_inds=np.arange(moments),
        img_shape=strip.shape[:2],
        fps=Fraction(25),
        layout=COCO_17.name,
        video_id=name,
    )
    for step in range(moments):
        draw_skeleton(strip, sequence, 0, step, 2, 1e-6)
    return draw_panel(strip, [name])
