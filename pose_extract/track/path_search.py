"""Follow the athlete: the one path through a clip's candidates that hangs together best.

Frame by frame, a detector loses people in flight or finds others first. Over the whole clip they
can be told: the athlete moves against the background, keeps colours and size, and does not jump.
The path with the greatest sum of what each box is worth and how well successive boxes fit is found
exactly, by dynamic programming, so it does not depend on how frames were batched and runs over gaps
from both sides. It is found twice: the first path tells the person's colours and size, by which the
second leaves a bystander, or half a body, that was taken for a few frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..common.geometry import pairwise_iou
from .camera_motion import NUM_COLORS, FrameCues

SUBJECTS = ("athlete", "largest", "most-motion", "centre", "all")
# What a region that only moves counts for, as a detection score.
_REGION_SCORE = 0.1
# What it is worth that a path begins in the box asked for: more than all else.
_BOX_WORTH = 1000.0


@dataclass(frozen=True)
class PathConfig:
    """What a path is worth.

    Attributes:
        presence_weight: Of each frame in which a box is found: paths end where they are worth less
            than nothing.
        typical_score: Detection score that is worth nothing either way.
        score_weight: Of the logarithm of the detection score.
        size_weight: Of the logarithm of the box's size over a fifth of the frame's diagonal.
        motion_weight: Of the logarithm of the change inside the box that is not the camera's.
        share_weight: Of the logarithm of the share of the picture's change that lies inside the
            box, over ``typical_share``: a box that holds half a moving body has less of it.
        typical_share: Share that is worth nothing either way.
        centre_weight: Of nearness to the frame's middle, 0 to 1.
        step_weight: Against the squared way between frames, in box sizes, camera motion taken out.
        growth_weight: Against the squared logarithm of the change of size.
        color_weight: Of the likeness of colours, above ``typical_likeness``.
        typical_likeness: Likeness of colours that is worth nothing either way.
        known_color_weight: Of the likeness to the person's colours over the whole clip, above
            ``typical_known_likeness``.
        typical_known_likeness: Such likeness that is worth nothing either way.
        known_size_weight: Against the squared logarithm of the box's size over the median of the
            person's in the scene.
        gap_weight: Against each frame that the path leaves out.
        max_gap: Most frames that the path may leave out in a row.
        box: The path begins with whom this box of the first frame holds, xyxy in pixels.
        min_share: Least share of a scene's frames in which a person after the first is seen.
        min_detected: Least share of a path's boxes that a detector gave: nobody is made of motion
            alone.
        min_score: Least mean detection score of the first person: the best path through a scene
            without people is still a path.
        min_other_score: The same for a person after the first: what is left when the athlete is
            gone may be nobody.
    """

    presence_weight: float = 0.5
    typical_score: float = 0.25
    score_weight: float = 0.5
    size_weight: float = 0.2
    motion_weight: float = 0.8
    share_weight: float = 0.15
    typical_share: float = 0.05
    centre_weight: float = 0.0
    step_weight: float = 2.0
    growth_weight: float = 3.0
    color_weight: float = 1.2
    typical_likeness: float = 0.6
    known_color_weight: float = 2.0
    typical_known_likeness: float = 0.7
    known_size_weight: float = 0.5
    gap_weight: float = 0.25
    max_gap: int = 8
    box: tuple[float, float, float, float] | None = None
    min_share: float = 0.2
    min_detected: float = 0.1
    min_score: float = 0.15
    min_other_score: float = 0.35

    @classmethod
    def for_subject(cls, subject: str) -> PathConfig:
        """Return the weights that look for one kind of person.

        Args:
            subject: One of SUBJECTS, or a box of the first frame, "x1,y1,x2,y2" in pixels.

        Raises:
            ValueError: for another subject.
        """
        if "," in subject:
            # Who was asked for must not be left for somebody worthier.
            return cls(box=_parse_box(subject), step_weight=3.0, color_weight=2.0)
        weights: dict[str, dict[str, float]] = {
            "athlete": {},
            "all": {},
            "largest": {"size_weight": 1.5, "motion_weight": 0.1, "share_weight": 0.0},
            "most-motion": {"size_weight": 0.0, "motion_weight": 1.2},
            "centre": {"centre_weight": 2.0, "motion_weight": 0.2, "share_weight": 0.0},
        }
        if subject not in weights:
            raise ValueError(
                f"subject: expected one of {', '.join(SUBJECTS)}, or a box x1,y1,x2,y2 of the "
                f"first frame, got {subject!r}"
            )
        return cls(**weights[subject])  # type: ignore[arg-type]


@dataclass(eq=False)
class Candidates:
    """All boxes of a clip that may hold a person, frame by frame.

    Attributes:
        img_shape: (height, width) of the frames.
        bboxes: Per frame, (N, 4) float32 xyxy, pixels, widened to what moves around them.
        detected: Per frame, (N, 4) the same boxes as they were detected.
        scores: Per frame, (N,) float32; 0 for a region that no detector gave.
        motion: Per frame, (N,) change inside the box over the frame's mean.
        colors: Per frame, (N, NUM_COLORS) float16 root shares of colours.
        from_previous: Per frame, (2, 3) map from the previous frame's pixels.
        cuts: Per frame, whether another scene begins.
        use_motion: Widen the boxes that are added to what moves around them, and add the region in
            which most moves; boxes that were given are right, and all there are.
    """

    img_shape: tuple[int, int]
    bboxes: list[np.ndarray] = field(default_factory=list)
    detected: list[np.ndarray] = field(default_factory=list)
    scores: list[np.ndarray] = field(default_factory=list)
    motion: list[np.ndarray] = field(default_factory=list)
    colors: list[np.ndarray] = field(default_factory=list)
    from_previous: list[np.ndarray] = field(default_factory=list)
    cuts: list[bool] = field(default_factory=list)
    use_motion: bool = True

    def __len__(self) -> int:
        return len(self.bboxes)

    def add(self, bboxes: np.ndarray, scores: np.ndarray, cues: FrameCues) -> None:
        """Add a frame."""
        detected = bboxes
        if self.use_motion:
            region = cues.moving_region()
            bboxes = np.concatenate([cues.widened(bboxes), region])
            detected = np.concatenate([detected, region])
            scores = np.concatenate([scores, np.zeros(len(region), np.float32)])
        self.detected.append(detected)
        self.bboxes.append(bboxes)
        self.scores.append(scores)
        self.motion.append(cues.motion_in(bboxes).astype(np.float32))
        # Half precision: an hour of video has half a million candidates.
        self.colors.append(cues.colors_in(bboxes).astype(np.float16))
        self.from_previous.append(cues.from_previous)
        self.cuts.append(cues.is_cut)

    def without(self, path: Path) -> Candidates:
        """Return what is left when the boxes on a path, and those that overlap them, are gone.

        The others stand beside the one who moves: their boxes are as detected.
        """
        left = Candidates(self.img_shape, from_previous=self.from_previous, cuts=self.cuts)
        at = {int(step): bbox for step, bbox in zip(path.steps, path.bboxes)}
        for step, bboxes in enumerate(self.bboxes):
            keep = np.ones(len(bboxes), bool)
            if step in at and len(bboxes):
                keep = pairwise_iou(at[step][None], bboxes)[0] < 0.3
            left.bboxes.append(self.detected[step][keep])
            left.detected.append(self.detected[step][keep])
            left.scores.append(self.scores[step][keep])
            left.motion.append(self.motion[step][keep])
            left.colors.append(self.colors[step][keep])
        return left


@dataclass(frozen=True, eq=False)
class Path:
    """A person's way through a clip.

    Attributes:
        steps: (S,) int64, frames of the clip, rising; by one within a scene.
        bboxes: (S, 4) float32 xyxy, pixels.
        found: (S,) bool; False where no candidate was, and the box is filled in between.
        begins: (S,) bool, True at the first step and at the first one after a cut.
        score: Mean detection score of its boxes that a detector gave.
        worth: What the path is worth; comparable within a clip.
    """

    steps: np.ndarray
    bboxes: np.ndarray
    found: np.ndarray
    begins: np.ndarray
    score: float
    worth: float

    @classmethod
    def join(cls, scenes: Sequence[Path]) -> Path:
        """Return the paths through successive scenes as one."""
        sizes = [len(path.steps) for path in scenes]
        return cls(
            np.concatenate([path.steps for path in scenes]),
            np.concatenate([path.bboxes for path in scenes]),
            np.concatenate([path.found for path in scenes]),
            np.concatenate([path.begins for path in scenes]),
            float(np.average([path.score for path in scenes], weights=sizes)),
            sum(path.worth for path in scenes),
        )

    def spread(self, every: int, num_frames: int) -> Path:
        """Return the path over all frames of a clip of which it saw every n-th.

        A frame in between counts as found if the frames on both sides are.
        """
        if every == 1:
            return self
        firsts = np.flatnonzero(self.begins)
        stops = [*firsts[1:].tolist(), len(self.steps)]
        ends = [*(self.steps[firsts[1:]] * every).tolist(), num_frames]
        return Path.join(
            [
                self._spread_scene(slice(first, stop), every, end)
                for first, stop, end in zip(firsts.tolist(), stops, ends)
            ]
        )

    def _spread_scene(self, rows: slice, every: int, end: int) -> Path:
        keys, bboxes, found = self.steps[rows] * every, self.bboxes[rows], self.found[rows]
        steps = np.arange(keys[0], min(keys[-1] + every, end))
        spread = np.stack([np.interp(steps, keys, bboxes[:, i]) for i in range(4)], axis=1)
        return Path(
            steps,
            spread.astype(np.float32),
            np.interp(steps, keys, found.astype(float)) == 1,
            steps == steps[0],
            self.score,
            self.worth * len(keys) / len(self.steps),
        )


@dataclass(frozen=True, eq=False)
class _Person:
    """What a first path tells of a person.

    Attributes:
        colors: (NUM_COLORS,) float32 root shares of colours over the clip.
        sizes: Per frame, the median size of the boxes in its scene, pixels; 0 where the scene has
            no path.
    """

    colors: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(cls, scenes: Sequence[Path], candidates: Candidates) -> _Person:
        shares = np.zeros(NUM_COLORS)
        sizes = np.zeros(len(candidates), np.float32)
        spans = _scenes(candidates)
        for path in scenes:
            for step, bbox in zip(path.steps[path.found].tolist(), path.bboxes[path.found]):
                row = int((candidates.bboxes[step] == bbox).all(axis=1).argmax())
                shares += candidates.colors[step][row].astype(np.float64) ** 2
            start, stop = next(span for span in spans if span[0] <= path.steps[0] < span[1])
            sizes[start:stop] = np.median(_sizes(path.bboxes))
        return cls(np.sqrt(shares / max(shares.sum(), 1e-9)).astype(np.float32), sizes)

    def worth(self, candidates: Candidates, step: int, config: PathConfig) -> np.ndarray:
        """Return (N,) how much more each box of a frame is worth for being like the person."""
        likeness = candidates.colors[step].astype(np.float32) @ self.colors
        worth: np.ndarray = config.known_color_weight * (likeness - config.typical_known_likeness)
        if self.sizes[step] > 0:
            growth = np.log(_sizes(candidates.bboxes[step]) / self.sizes[step])
            worth = worth - config.known_size_weight * growth**2
        return worth


def follow(candidates: Candidates, num_person: int, config: PathConfig | None = None) -> list[Path]:
    """Return the best paths, the athlete's first; each goes on in every scene after a cut.

    Args:
        candidates: All boxes of the clip.
        num_person: At most this many people.
        config: What a path is worth.
    """
    config = config or PathConfig()
    paths: list[Path] = []
    for _ in range(num_person):
        scenes = _best_paths(candidates, config, is_first=not paths)
        if scenes:
            person = _Person.of(scenes, candidates)
            scenes = _best_paths(candidates, config, is_first=not paths, person=person)
        if not scenes:
            break
        paths.append(Path.join(scenes))
        candidates = candidates.without(paths[-1])
    return paths


def _best_paths(
    candidates: Candidates, config: PathConfig, is_first: bool, person: _Person | None = None
) -> list[Path]:
    """Return the best path of each scene that has somebody worth following."""
    worths = [_worth(candidates, step, config) for step in range(len(candidates))]
    if person is not None:
        worths = [
            worth + person.worth(candidates, step, config) for step, worth in enumerate(worths)
        ]
    best = [worth.copy() for worth in worths]
    came_from: list[list[tuple[int, int]]] = [[(-1, -1)] * len(worth) for worth in worths]
    for step in range(len(candidates)):
        if not len(worths[step]):
            continue
        for before in _steps_before(candidates, step, config.max_gap):
            if not len(worths[before]):
                continue
            total = best[before][:, None] + _fit(candidates, before, step, config)
            rows = total.argmax(axis=0)
            values = total[rows, np.arange(total.shape[1])] + worths[step]
            for column in np.flatnonzero(values > best[step]):
                best[step][column] = values[column]
                came_from[step][column] = (before, int(rows[column]))
    found = []
    for start, stop in _scenes(candidates):
        path = _best_path(candidates, best, came_from, range(start, stop), config.min_detected)
        if path is None or (config.box is not None and is_first and start > 0):
            continue
        if path.score < (config.min_score if is_first else config.min_other_score):
            continue
        if is_first or len(path.steps) >= config.min_share * (stop - start):
            found.append(path)
    # A scene may show nobody: besides the best one, a path has to be worth something.
    most = max((path.worth for path in found), default=0.0)
    return [path for path in found if path.worth > 0 or path.worth == most]


def _scenes(candidates: Candidates) -> list[tuple[int, int]]:
    """Return where each scene starts and stops."""
    starts = [step for step in range(len(candidates)) if step == 0 or candidates.cuts[step]]
    return list(zip(starts, [*starts[1:], len(candidates)]))


def _best_path(
    candidates: Candidates,
    best: Sequence[np.ndarray],
    came_from: Sequence[Sequence[tuple[int, int]]],
    scene: range,
    min_detected: float,
) -> Path | None:
    ends = [(float(best[step].max()), step) for step in scene if len(best[step])]
    if not ends:
        return None
    worth, step = max(ends, key=lambda end: (end[0], -end[1]))
    row = int(best[step].argmax())
    steps, bboxes, scores = [], [], []
    while step >= 0:
        steps.append(step)
        bboxes.append(candidates.bboxes[step][row])
        scores.append(candidates.scores[step][row])
        step, row = came_from[step][row]
    detected = np.array(scores) > 0
    if detected.mean() < min_detected:
        return None
    score = float(np.mean(np.array(scores)[detected]))
    return _fill(np.array(steps[::-1]), np.stack(bboxes[::-1]), score, worth)


def _steps_before(candidates: Candidates, step: int, max_gap: int) -> Sequence[int]:
    """Return the frames from which a path may come: back to a cut, over at most a gap."""
    steps = []
    for before in range(step - 1, max(step - max_gap - 2, -1), -1):
        if candidates.cuts[before + 1]:
            break
        steps.append(before)
    return steps


def _worth(candidates: Candidates, step: int, config: PathConfig) -> np.ndarray:
    """Return (N,) what each box of a frame is worth by itself."""
    height, width = candidates.img_shape
    bboxes, diagonal = candidates.bboxes[step], float(np.hypot(height, width))
    scores = candidates.scores[step]
    score = np.log(np.where(scores > 0, scores, _REGION_SCORE) / config.typical_score)
    size = np.log(_sizes(bboxes) / (0.2 * diagonal))
    motion = np.log(np.clip(candidates.motion[step], 0.2, 5.0))
    inside = np.clip(bboxes, 0, (width, height, width, height))
    area = np.prod(inside[:, 2:] - inside[:, :2], axis=1) / (width * height)
    share = np.log(np.clip(candidates.motion[step] * area, 1e-3, 1.0) / config.typical_share)
    off = np.linalg.norm(_centers(bboxes) - (width / 2, height / 2), axis=1) / (diagonal / 2)
    asked: np.ndarray | float = 0.0
    if config.box is not None and step == 0 and len(bboxes):
        overlap = pairwise_iou(np.array([config.box], np.float32), bboxes)[0]
        asked = _BOX_WORTH * overlap
    worth: np.ndarray = (
        asked
        + config.presence_weight
        + config.score_weight * score
        + config.size_weight * size
        + config.motion_weight * motion
        + config.share_weight * share
        + config.centre_weight * (0.5 - np.minimum(off, 1.0))
    )
    return worth


def _fit(candidates: Candidates, before: int, step: int, config: PathConfig) -> np.ndarray:
    """Return (N, M): how well each box of a later frame goes on from each of an earlier one."""
    first, second = candidates.bboxes[before], candidates.bboxes[step]
    camera = np.eye(3)
    for between in range(before + 1, step + 1):
        camera = np.vstack([candidates.from_previous[between], [0, 0, 1]]) @ camera
    expected = _centers(first) @ camera[:2, :2].T + camera[:2, 2]
    sizes, other_sizes = _sizes(first)[:, None], _sizes(second)[None]
    way = np.linalg.norm(expected[:, None] - _centers(second)[None], axis=-1)
    gap = step - before
    way = way / np.maximum(sizes, other_sizes) / np.sqrt(gap)
    growth = np.log(sizes / other_sizes)
    likeness = candidates.colors[before].astype(np.float32) @ candidates.colors[step].T
    fit: np.ndarray = (
        config.color_weight * (likeness - config.typical_likeness)
        - config.step_weight * way**2
        - config.growth_weight * growth**2
        - config.gap_weight * (gap - 1)
    )
    return fit


def _parse_box(text: str) -> tuple[float, float, float, float]:
    try:
        x1, y1, x2, y2 = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"subject: expected a box x1,y1,x2,y2, got {text!r}") from None
    if x2 <= x1 or y2 <= y1:
        raise ValueError(f"subject: expected x1 < x2 and y1 < y2, got {text!r}")
    return x1, y1, x2, y2


def _centers(bboxes: np.ndarray) -> np.ndarray:
    centers: np.ndarray = (bboxes[:, :2] + bboxes[:, 2:]) / 2
    return centers


def _sizes(bboxes: np.ndarray) -> np.ndarray:
    sizes: np.ndarray = np.sqrt(np.maximum(np.prod(bboxes[:, 2:] - bboxes[:, :2], axis=1), 1.0))
    return sizes


def _fill(steps: np.ndarray, bboxes: np.ndarray, score: float, worth: float) -> Path:
    """Fill the gaps of a path with boxes in between."""
    whole = np.arange(steps[0], steps[-1] + 1)
    filled = np.stack([np.interp(whole, steps, bboxes[:, i]) for i in range(4)], axis=1)
    return Path(
        whole,
        filled.astype(np.float32),
        np.isin(whole, steps),
        whole == whole[0],
        score,
        worth,
    )
