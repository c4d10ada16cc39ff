"""Find each person's path: the best-scoring way through the candidates of a whole clip.

Frame by frame, a detector loses people in flight or finds others first. Over the whole clip they
can be told apart: the athlete moves against the background, keeps colours and size, and does not
jump. A path's score is the sum of a unary score of each candidate and a pairwise score of each
step; the path of the greatest score is found exactly, by dynamic programming with back-pointers
(Viterbi), so it does not depend on how frames were batched and bridges gaps from both sides. It is
found twice: the first path gives the person's appearance (colours and size), by which the second
one rejects a bystander, or half a body, that was taken for a few frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..common.geometry import pairwise_iou
from .camera_motion import NUM_COLORS
from .candidates import FrameCandidates, scene_ranges

SUBJECTS = ("athlete", "largest", "most-motion", "centre", "all")
# Detection score that stands for a region that only moves: under the score of most detections.
_REGION_SCORE = 0.1
# Added, times the IoU, to candidates that overlap the box asked for: more than all other scores.
_ASKED_SCORE = 1000.0
# A row that stands for no candidate: the box is interpolated.
INTERPOLATED = -1


@dataclass(frozen=True)
class PathConfig:
    """The weights of a path's score; chosen with ``benchmarks/athlete.py`` (docs/design.md).

    The unary score of a candidate is ``presence_weight
    + score_weight * log(detection score / neutral_score)
    + size_weight * log(size / (0.2 * frame diagonal))``, the size being the root of the box's area,
    ``+ motion_weight * log(motion)``, the motion being the change inside the box over the frame's
    mean change, clipped to 0.2 to 5,
    ``+ share_weight * log(share / neutral_share)``, the share being the part of the frame's whole
    change that lies inside the box, and ``+ centre_weight * (0.5 - distance from the middle of the
    frame over half its diagonal)``. The second search adds ``identity_color_weight * (colour
    similarity to the person - neutral_identity_similarity)`` and subtracts ``identity_size_weight *
    log(size / median size of the person in the scene)^2``.

    The pairwise score of a step is ``color_weight * (colour similarity - neutral_similarity)
    - step_weight * (distance / size)^2 / frames - growth_weight * log(ratio of the sizes)^2
    - gap_weight * frames left out``. The distance is that in the scene, with the camera's motion
    taken out, or that in the image where it is smaller: who stands keeps their place in the scene,
    and an athlete whom the camera follows that in the image. Colour similarity is the
    Bhattacharyya coefficient, 0 to 1.

    Attributes:
        presence_weight: Score of having a box at all: a path ends where the rest would score below
            zero.
        score_weight: Weight of the detection score.
        neutral_score: Detection score whose term is zero.
        size_weight: Weight of the box's size.
        motion_weight: Weight of the motion inside the box.
        share_weight: Weight of the share of the frame's change; a box around half a moving body
            has less of it.
        neutral_share: Share whose term is zero.
        centre_weight: Weight of nearness to the middle of the frame.
        step_weight: Weight of the squared displacement from frame to frame.
        growth_weight: Weight of the squared change of size.
        color_weight: Weight of the colour similarity of successive boxes.
        neutral_similarity: Colour similarity whose term is zero.
        identity_color_weight: Weight of the colour similarity to the person over the whole clip.
        neutral_identity_similarity: Such similarity whose term is zero.
        identity_size_weight: Weight of the squared deviation from the person's median size.
        gap_weight: Penalty of each frame that the path leaves out.
        max_gap: Most frames that the path may leave out in a row.
        box: Box of the first frame, xyxy in pixels, in which the first person's path begins; None
            chooses by the scores.
        min_share: Least share of a scene's frames that the path of a person after the first spans.
        min_detected: Least share of a path's boxes that a detector gave, so that no person is made
            of motion alone.
        min_score: Least mean detection score of the first person, since the best path through a
            scene without people is still a path.
        min_other_score: The same for the people after the first.
    """

    presence_weight: float = 0.5
    score_weight: float = 0.5
    neutral_score: float = 0.25
    size_weight: float = 0.2
    motion_weight: float = 0.8
    share_weight: float = 0.15
    neutral_share: float = 0.05
    centre_weight: float = 0.0
    step_weight: float = 2.0
    growth_weight: float = 3.0
    color_weight: float = 1.2
    neutral_similarity: float = 0.6
    identity_color_weight: float = 2.0
    neutral_identity_similarity: float = 0.7
    identity_size_weight: float = 0.5
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
            # The person who was asked for must not be left for one with a better score.
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


@dataclass(frozen=True, eq=False)
class ScenePath:
    """A person's path through the candidates of one scene, without gaps.

    Attributes:
        steps: (S,) int64, successive candidate frames.
        rows: (S,) int64, the candidate's row in each frame; INTERPOLATED where none was taken.
        bboxes: (S, 4) float32 xyxy, pixels.
        path_score: Sum of the unary and pairwise scores; comparable within a clip.
        detection_score: Mean score of its boxes that a detector gave.
    """

    steps: np.ndarray
    rows: np.ndarray
    bboxes: np.ndarray
    path_score: float
    detection_score: float

    @property
    def is_found(self) -> np.ndarray:
        """(S,) bool: False where the box is interpolated."""
        return np.asarray(self.rows != INTERPOLATED)


@dataclass(frozen=True, eq=False)
class PersonTrack:
    """A person's boxes over the frames of a clip; each scene has a run of successive frames.

    Attributes:
        steps: (S,) int64, frames of the clip, rising.
        bboxes: (S, 4) float32 xyxy, pixels.
        is_found: (S,) bool; False where the box is interpolated over a gap.
        path_score: Sum of the path scores of all scenes.
    """

    steps: np.ndarray
    bboxes: np.ndarray
    is_found: np.ndarray
    path_score: float

    @classmethod
    def from_scenes(cls, paths: Sequence[ScenePath], every: int, num_frames: int) -> PersonTrack:
        """Interpolate paths through every n-th frame over all frames.

        A frame in between counts as found if the candidate frames on both sides are. The last box
        of a scene is held until the next candidate frame, or the next scene, begins.

        Args:
            paths: Paths of successive scenes, at least one.
            every: Candidates come from every n-th frame.
            num_frames: Frames of the clip.
        """
        ends = [*(int(path.steps[0]) * every for path in paths[1:]), num_frames]
        runs = [_interpolate(path, every, end) for path, end in zip(paths, ends)]
        steps, bboxes, is_found = (np.concatenate(parts) for parts in zip(*runs))
        return cls(steps, bboxes, is_found, sum(path.path_score for path in paths))


def _interpolate(path: ScenePath, every: int, end: int) -> tuple[np.ndarray, ...]:
    if every == 1:
        return path.steps, path.bboxes, path.is_found
    keys = path.steps * every
    steps = np.arange(keys[0], min(keys[-1] + every, end))
    bboxes = np.stack([np.interp(steps, keys, path.bboxes[:, i]) for i in range(4)], axis=1)
    is_found = np.interp(steps, keys, path.is_found.astype(float)) == 1
    return steps, bboxes.astype(np.float32), is_found


def find_tracks(
    candidates: Sequence[FrameCandidates],
    img_shape: tuple[int, int],
    num_person: int,
    config: PathConfig | None = None,
    *,
    every: int = 1,
    num_frames: int | None = None,
) -> list[PersonTrack]:
    """Return the tracks of the best people, the athlete's first; each goes on after a cut.

    Args:
        candidates: The candidates of every n-th frame of the clip, in order.
        img_shape: (height, width) of the frames in pixels.
        num_person: At most this many people.
        config: The weights of a path's score.
        every: n.
        num_frames: Frames of the clip; None for ``every * len(candidates)``.
    """
    config = config or PathConfig()
    left = list(candidates)
    total = every * len(left) if num_frames is None else num_frames
    tracks: list[PersonTrack] = []
    for _ in range(num_person):
        search = _Search(left, img_shape, config, is_first=not tracks)
        paths = search.best_paths()
        if paths:
            paths = search.best_paths(_Appearance.of(paths, left))
        if not paths:
            break
        tracks.append(PersonTrack.from_scenes(paths, every, total))
        boxes = {int(step): box for path in paths for step, box in zip(path.steps, path.bboxes)}
        left = [frame.without_person(boxes.get(step)) for step, frame in enumerate(left)]
    return tracks


@dataclass(frozen=True, eq=False)
class _Appearance:
    """What a first path tells of a person.

    Attributes:
        colors: (NUM_COLORS,) float32, square roots of the shares of colours over the clip.
        sizes: (frames,) float32, the median size in pixels of the person's boxes in the frame's
            scene; 0 where the scene has no path.
    """

    colors: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(cls, paths: Sequence[ScenePath], candidates: Sequence[FrameCandidates]) -> _Appearance:
        shares = np.zeros(NUM_COLORS)
        sizes = np.zeros(len(candidates), np.float32)
        scenes = scene_ranges(candidates)
        for path in paths:
            for step, row in zip(path.steps.tolist(), path.rows.tolist()):
                if row != INTERPOLATED:
                    shares += candidates[step].colors[row].astype(np.float64) ** 2
            scene = next(scene for scene in scenes if path.steps[0] in scene)
            sizes[scene.start : scene.stop] = np.median(_sizes(path.bboxes))
        return cls(np.sqrt(shares / max(shares.sum(), 1e-9)).astype(np.float32), sizes)

    def unary(self, frame: FrameCandidates, step: int, config: PathConfig) -> np.ndarray:
        """Return (N,) what the appearance adds to the unary scores of a frame."""
        similarity = frame.colors.astype(np.float32) @ self.colors
        score: np.ndarray = config.identity_color_weight * (
            similarity - config.neutral_identity_similarity
        )
        if self.sizes[step] > 0:
            growth = np.log(_sizes(frame.bboxes) / self.sizes[step])
            score = score - config.identity_size_weight * growth**2
        return score


class _Search:
    """The search for one person's path in each scene of a clip."""

    def __init__(
        self,
        candidates: Sequence[FrameCandidates],
        img_shape: tuple[int, int],
        config: PathConfig,
        is_first: bool,
    ) -> None:
        self._candidates = candidates
        self._config = config
        self._is_first = is_first
        self._unary = [
            _unary_scores(frame, img_shape, config, is_start=step == 0)
            for step, frame in enumerate(candidates)
        ]

    def best_paths(self, appearance: _Appearance | None = None) -> list[ScenePath]:
        """Return the best path of each scene that shows a person worth tracking."""
        config = self._config
        unary = self._unary
        if appearance is not None:
            unary = [
                score + appearance.unary(frame, step, config)
                for step, (score, frame) in enumerate(zip(unary, self._candidates))
            ]
        totals, back_pointers = self._forward(unary)
        found = []
        for scene in scene_ranges(self._candidates):
            path = self._backward(totals, back_pointers, scene)
            if path is None or (config.box is not None and self._is_first and scene.start > 0):
                continue
            least = config.min_score if self._is_first else config.min_other_score
            if path.detection_score < least:
                continue
            if self._is_first or len(path.steps) >= config.min_share * len(scene):
                found.append(path)
        # A scene may show no person: besides the best one, a path has to score above zero.
        most = max((path.path_score for path in found), default=0.0)
        return [path for path in found if path.path_score > 0 or path.path_score == most]

    def _forward(
        self, unary: Sequence[np.ndarray]
    ) -> tuple[list[np.ndarray], list[list[tuple[int, int]]]]:
        """Return per frame the best score (N,) of a path up to each candidate, and whence it came.

        A back-pointer is (frame, row); (-1, -1) begins a path.
        """
        totals = [score.copy() for score in unary]
        back_pointers = [[(-1, -1)] * len(score) for score in unary]
        seen: dict[int, _Seen] = {}
        for step, score in enumerate(unary):
            seen[step] = _Seen.of(self._candidates[step])
            seen.pop(step - self._config.max_gap - 2, None)
            # The nearest first: of steps that score alike it is taken.
            befores = [before for before in self._frames_before(step) if len(unary[before])]
            if not len(score) or not befores:
                continue
            pairwise = _pairwise_scores(seen, befores, step, self._config)
            scores = np.concatenate([totals[before] for before in befores])[:, None] + pairwise
            rows = scores.argmax(axis=0)
            best = scores[rows, np.arange(scores.shape[1])] + score
            places = [(before, row) for before in befores for row in range(len(unary[before]))]
            for column in np.flatnonzero(best > totals[step]):
                totals[step][column] = best[column]
                back_pointers[step][column] = places[rows[column]]
        return totals, back_pointers

    def _frames_before(self, step: int) -> Sequence[int]:
        """Return the frames from which a path may come: back to a cut, over at most a gap."""
        steps = []
        for before in range(step - 1, max(step - self._config.max_gap - 2, -1), -1):
            if self._candidates[before + 1].is_cut:
                break
            steps.append(before)
        return steps

    def _backward(
        self,
        totals: Sequence[np.ndarray],
        back_pointers: Sequence[Sequence[tuple[int, int]]],
        scene: range,
    ) -> ScenePath | None:
        """Return the best path that ends in a scene, or None where it is hardly detected."""
        ends = [(float(totals[step].max()), step) for step in scene if len(totals[step])]
        if not ends:
            return None
        path_score, step = max(ends, key=lambda end: (end[0], -end[1]))
        row = int(totals[step].argmax())
        places: list[tuple[int, int]] = []
        while step >= 0:
            places.append((step, row))
            step, row = back_pointers[step][row]
        steps, rows = np.array(places[::-1]).T
        frames = [self._candidates[step] for step in steps]
        scores = np.array([frame.scores[row] for frame, row in zip(frames, rows)])
        detected = scores > 0
        if detected.mean() < self._config.min_detected:
            return None
        bboxes = np.stack([frame.bboxes[row] for frame, row in zip(frames, rows)])
        whole = np.arange(steps[0], steps[-1] + 1)
        filled = np.stack([np.interp(whole, steps, bboxes[:, i]) for i in range(4)], axis=1)
        whole_rows = np.full(len(whole), INTERPOLATED)
        whole_rows[steps - steps[0]] = rows
        return ScenePath(
            steps=whole,
            rows=whole_rows,
            bboxes=filled.astype(np.float32),
            path_score=path_score,
            detection_score=float(np.mean(scores[detected])),
        )


def _unary_scores(
    frame: FrameCandidates, img_shape: tuple[int, int], config: PathConfig, is_start: bool
) -> np.ndarray:
    """Return (N,) the unary score of each candidate of a frame; see ``PathConfig``."""
    height, width = img_shape
    bboxes, diagonal = frame.bboxes, float(np.hypot(height, width))
    score = np.log(np.where(frame.scores > 0, frame.scores, _REGION_SCORE) / config.neutral_score)
    size = np.log(_sizes(bboxes) / (0.2 * diagonal))
    motion = np.log(np.clip(frame.motion, 0.2, 5.0))
    inside = np.clip(bboxes, 0, (width, height, width, height))
    area = np.prod(inside[:, 2:] - inside[:, :2], axis=1) / (width * height)
    share = np.log(np.clip(frame.motion * area, 1e-3, 1.0) / config.neutral_share)
    off = np.linalg.norm(_centers(bboxes) - (width / 2, height / 2), axis=1) / (diagonal / 2)
    asked: np.ndarray | float = 0.0
    if config.box is not None and is_start and len(bboxes):
        overlap = pairwise_iou(np.array([config.box], np.float32), bboxes)[0]
        asked = _ASKED_SCORE * overlap
    unary: np.ndarray = (
        asked
        + config.presence_weight
        + config.score_weight * score
        + config.size_weight * size
        + config.motion_weight * motion
        + config.share_weight * share
        + config.centre_weight * (0.5 - np.minimum(off, 1.0))
    )
    return unary


@dataclass(frozen=True, eq=False)
class _Seen:
    """What steps of paths are scored by, of the N candidates of a frame.

    Attributes:
        centers: (N, 2), pixels.
        sizes: (N,), pixels.
        colors: (N, NUM_COLORS) float32.
        from_previous: (3, 3), how the camera moved since the frame before.
    """

    centers: np.ndarray
    sizes: np.ndarray
    colors: np.ndarray
    from_previous: np.ndarray

    @classmethod
    def of(cls, frame: FrameCandidates) -> _Seen:
        from_previous = np.eye(3)
        from_previous[:2] = frame.from_previous
        colors = frame.colors.astype(np.float32)
        return cls(_centers(frame.bboxes), _sizes(frame.bboxes), colors, from_previous)


def _pairwise_scores(
    seen: Mapping[int, _Seen], befores: Sequence[int], step: int, config: PathConfig
) -> np.ndarray:
    """Return (N, M) the pairwise score of each step to a frame.

    Args:
        seen: Frames by number, all between the earliest and the last.
        befores: The frames from which the steps come, the latest first; together they have N
            candidates.
        step: The frame, which has M.
        config: The weights.
    """
    first, second = [seen[before] for before in befores], seen[step]
    camera, expected, since = np.eye(3), [], step
    for before, frame in zip(befores, first):
        for between in range(since, before, -1):
            camera = camera @ seen[between].from_previous
        since = before
        expected.append(frame.centers @ camera[:2, :2].T + camera[:2, 2])
    centers = np.concatenate([frame.centers for frame in first])
    # (2, N, M): in the scene, and in the image.
    places = np.stack([np.concatenate(expected), centers])
    dx, dy = (places[..., i, None] - second.centers[:, i] for i in range(2))
    nearest = np.sqrt((dx * dx + dy * dy).min(axis=0))
    counts = [len(frame.centers) for frame in first]
    gaps = np.repeat([step - before for before in befores], counts)[:, None]
    sizes, other_sizes = np.concatenate([frame.sizes for frame in first])[:, None], second.sizes
    distance = nearest / np.maximum(sizes, other_sizes) / np.sqrt(gaps)
    growth = np.log(sizes / other_sizes)
    similarity = np.concatenate([frame.colors for frame in first]) @ second.colors.T
    pairwise: np.ndarray = (
        config.color_weight * (similarity - config.neutral_similarity)
        - config.step_weight * distance**2
        - config.growth_weight * growth**2
        - config.gap_weight * (gaps - 1)
    )
    return pairwise


def _parse_box(text: str) -> tuple[float, float, float, float]:
    try:
        x1, y1, x2, y2 = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"subject: expected a box x1,y1,x2,y2, got {text!r}") from None
    if not (x1 < x2 and y1 < y2 and np.isfinite([x1, y1, x2, y2]).all()):
        raise ValueError(f"subject: expected x1 < x2 and y1 < y2, got {text!r}")
    return x1, y1, x2, y2


def _centers(bboxes: np.ndarray) -> np.ndarray:
    centers: np.ndarray = (bboxes[:, :2] + bboxes[:, 2:]) / 2
    return centers


def _sizes(bboxes: np.ndarray) -> np.ndarray:
    """Return (N,) the square roots of the boxes' areas, in pixels."""
    sizes: np.ndarray = np.sqrt(np.maximum(np.prod(bboxes[:, 2:] - bboxes[:, :2], axis=1), 1.0))
    return sizes
