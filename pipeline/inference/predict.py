"""From a clip to its action."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from ...pose_extract.common.device import choose_device
from ...pose_extract.common.files import FileState
from ...pose_extract.extract import ClipResult, Extractor, Progress
from ...pose_extract.skeleton import SkeletonSequence
from ...pose_extract.sources import ClipSource
from ...pose_extract.store.source_file import SourceError, source_state
from ..checkpoints.checkpoint import find_checkpoint, load_classifier
from ..checkpoints.gate import Gate
from ..data.annotations import Annotation
from ..data.clip_store import ClipStore
from ..elements.recognise import RecognisedElement, recognise_elements
from .classify import TestProtocol, score_clips
from .clip_skeletons import ClipSkeletons
from .results import ActionPrediction, Family, LabelScore, PersonPrediction
from .segments import Segment, merge_windows

__all__ = ["Predictor", "extract_skeletons", "usual_frames", "window_frames"]


@dataclass(frozen=True, eq=False)
class _ScoredWindows:
    """The windows of a clip, W of them, and what the classifier says of each.

    Attributes:
        frames: Frames of each window.
        scores: (W, num_classes) class probabilities.
        novelty: (W,), or None where the classifier does not measure it.
    """

    frames: list[slice]
    scores: np.ndarray
    novelty: np.ndarray | None

    def part(self, rows: slice) -> _ScoredWindows:
        """Return some of the windows."""
        novelty = None if self.novelty is None else self.novelty[rows]
        return _ScoredWindows(self.frames[rows], self.scores[rows], novelty)

    def of(self, row: int) -> tuple[np.ndarray, float | None]:
        """Return the probabilities and the novelty of one window."""
        return self.scores[row], None if self.novelty is None else float(self.novelty[row])

    def judged(self, gate: Gate) -> tuple[np.ndarray, np.ndarray]:
        """Return calibrated probabilities (W, num_classes), and which windows are unknown (W,)."""
        judgements = [gate.judge(*self.of(row)) for row in range(len(self.frames))]
        unknown = np.array([judgement.unknown for judgement in judgements])
        return np.stack([judgement.probabilities for judgement in judgements]), unknown


class Predictor:
    """Labels clips; preprocessing comes from the classifier's checkpoint.

    With the classifier that ships, a clip in which a dive or a gymnastics element is recognised has
    the words for it as its label. A classifier of one's own labels every clip.

    Args:
        checkpoint: The classifier; None for the shipped one.
        extractor: The chain from video to skeletons; None for one with the default config. Its
            networks are loaded at the first clip, once.
        device: Where the classifier runs: "auto", "cpu", "cuda" or "cuda:N".
        top_k: Labels to give.

    Raises:
        SkelactError: if the checkpoint cannot be used.
        TypeError: if an argument is of another type.
        ValueError: if ``top_k`` is below 1.
    """

    def __init__(
        self,
        checkpoint: str | Path | None = None,
        extractor: Extractor | None = None,
        *,
        device: str = "auto",
        top_k: int = 5,
    ) -> None:
        if not hasattr(top_k, "__index__") or isinstance(top_k, bool):  # numpy's too
            raise TypeError(f"top_k: expected a whole number, got {top_k!r}")
        if top_k < 1:
            raise ValueError(f"top_k: expected at least 1, got {top_k}")
        if not isinstance(checkpoint, (str, os.PathLike, NoneType)):
            raise TypeError(f"checkpoint: expected a path or None, got {checkpoint!r}")
        self._device = choose_device(device)
        path = None if checkpoint is None else Path(checkpoint)
        self._names_elements = path is None
        model, self.meta = load_classifier(path)
        self._model = model.to(self._device)
        self._gate = self.meta.gate or Gate()
        self._name = find_checkpoint(path).stem
        self._given_extractor = extractor
        self._top_k = top_k

    @cached_property
    def extractor(self) -> Extractor:
        """The chain from video to skeletons."""
        return self._given_extractor or Extractor()

    def predict_clips(
        self,
        clips: Iterable[ClipSource],
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Iterator[tuple[ClipResult, ActionPrediction]]:
        """Yield each clip's skeletons and label, in order; a broken clip gives its error."""
        for result, skeletons in extract_skeletons(self.extractor, clips, on_progress):
            yield result, self.predict_skeletons(skeletons)

    def predict_skeletons(self, skeletons: ClipSkeletons) -> ActionPrediction:
        """Label the skeletons of a clip; those of a broken clip give its error."""
        if skeletons.error is not None:
            prediction = self._empty(skeletons.video, skeletons.error)
        else:
            prediction = self.predict_sequence(skeletons.sequence)
        if prediction.error and skeletons.num_lost and skeletons.error is None:
            error = f"{prediction.error} in {len(skeletons)} frames; {skeletons.num_lost} are lost"
            prediction = replace(prediction, error=error)
        return replace(prediction, video=skeletons.video, skeletons=skeletons)

    def failed(self, video: str, error: str) -> ActionPrediction:
        """Return what stands for a clip that cannot be read."""
        empty = self._empty(video, error)
        return replace(empty, skeletons=ClipSkeletons(video, None, error))

    def predict_sequence(self, sequence: SkeletonSequence) -> ActionPrediction:
        """Label a skeleton sequence."""
        if not sequence.is_present().any():
            empty = self._empty(sequence.video_id, "no person was found")
            return replace(empty, skeletons=ClipSkeletons(sequence.video_id, sequence))
        together = Annotation.from_sequence(sequence)
        elements = recognise_elements(sequence)
        named = elements if self._names_elements else ()
        usual, longest = usual_frames(sequence, self.meta.data)
        scored, parts = self._score(together, usual, longest)
        main = _main_element(named)
        best, unknown = self._read(scored, main)
        return ActionPrediction(
            video=sequence.video_id,
            label=None if unknown else best[0].label,
            score=None if unknown else best[0].score,
            top_k=best,
            persons=tuple(
                PersonPrediction(
                    int(track_id),
                    *self._read_person(together, scored, (usual, longest), person, named),
                )
                for person, track_id in enumerate(sequence.track_ids)
            ),
            checkpoint=self._name,
            family="unknown" if unknown else _family(main),
            elements=elements,
            segments=self._segments(sequence, parts, named),
            label_names=tuple(self.meta.label_names),
            skeletons=ClipSkeletons(sequence.video_id, sequence),
        )

    def _score(
        self, annotation: Annotation, usual: int, longest: int
    ) -> tuple[_ScoredWindows, _ScoredWindows]:
        """Classify a clip's windows, or all of it as in training if it is not longer than there.

        Returns:
            What the clip's label is read from, and what its segments are.
        """
        windows = window_frames(annotation, usual)
        whole = slice(0, annotation.keypoints.shape[1])
        if len(windows) == 1 or whole.stop > longest:
            scored = self._classified(annotation, windows)
            return scored, scored
        scored = self._classified(annotation, [whole, *windows])
        surest = scored.scores.max(axis=1)
        # The most that any window has, and not their mean, by which two actions become one more
        # often (benchmarks/robustness.py).
        label = scored.part(slice(0, 1))
        return label, label if surest[0] >= surest[1:].max() else scored.part(slice(1, None))

    def _classified(self, annotation: Annotation, windows: list[slice]) -> _ScoredWindows:
        store = ClipStore([_cut(annotation, window) for window in windows], self.meta.preprocess)
        protocol = TestProtocol.of(self.meta)
        scores, novelty = score_clips(self._model, store, device=self._device, protocol=protocol)
        return _ScoredWindows(windows, scores, novelty)

    def _read(
        self, scored: _ScoredWindows, main: RecognisedElement | None
    ) -> tuple[tuple[LabelScore, ...], bool]:
        """Return the labels, best first, and whether all that is there is unknown.

        They are the readings of the main element, or those of the classifier: the mean over the
        windows that show one of its actions, if half of them or more do.
        """
        if main is not None:
            readings = [main, *main.alternatives][: self._top_k]
            labels = [(reading.element.words, reading.confidence) for reading in readings]
            return tuple(LabelScore(words, round(score, 4)) for words, score in labels), False
        probabilities, unknown = scored.judged(self._gate)
        if unknown.mean() > 0.5:
            return self._best(probabilities.mean(axis=0)), True
        return self._best(probabilities[~unknown].mean(axis=0)), False

    def _read_person(
        self,
        together: Annotation,
        scored: _ScoredWindows,
        lengths: tuple[int, int],
        person: int,
        named: Sequence[RecognisedElement],
    ) -> tuple[tuple[LabelScore, ...], bool]:
        main = _main_element([element for element in named if element.person == person])
        if main is None and len(together.keypoints) > 1:
            scored, _ = self._score(_alone(together, person), *lengths)
        return self._read(scored, main)

    def _segments(
        self,
        sequence: SkeletonSequence,
        scored: _ScoredWindows,
        named: Sequence[RecognisedElement],
    ) -> tuple[Segment, ...]:
        """Merge the windows that show an action of the classifier, and no named element."""
        seconds = sequence.pts_seconds
        probabilities, unknown = scored.judged(self._gate)
        rows = [
            row
            for row, window in enumerate(scored.frames)
            if not unknown[row]
            and not any(
                element.start_seconds <= seconds[window.stop - 1]
                and seconds[window.start] <= element.end_seconds
                for element in named
            )
        ]
        return merge_windows(
            [scored.frames[row] for row in rows],
            probabilities[rows],
            seconds,
            1 / float(sequence.fps),
            self.meta.label_names,
        )

    def _best(self, scores: np.ndarray) -> tuple[LabelScore, ...]:
        order = np.argsort(-scores, kind="stable")[: self._top_k]
        return tuple(
            LabelScore(self.meta.label_names[i], round(float(scores[i]), 4)) for i in order
        )

    def _empty(self, video: str, error: str) -> ActionPrediction:
        names = tuple(self.meta.label_names)
        return ActionPrediction(video, None, None, (), (), self._name, error, label_names=names)


def extract_skeletons(
    extractor: Extractor,
    clips: Iterable[ClipSource],
    on_progress: Callable[[Progress], None] | None = None,
) -> Iterator[tuple[ClipResult, ClipSkeletons]]:
    """Yield each clip's skeletons, in order, with what their file was like before it was read."""
    state: FileState | None = None

    def noting_states() -> Iterator[ClipSource]:
        nonlocal state
        for clip in clips:
            try:
                state = source_state(clip.path)
            except SourceError:
                state = None  # reading it tells why
            yield clip

    extraction = extractor.identity()
    # A clip is asked for when the result of the one before it has been taken.
    for result in extractor.run(noting_states(), on_progress):
        yield result, ClipSkeletons.of_result(result, extraction, state)


def _main_element(elements: Sequence[RecognisedElement]) -> RecognisedElement | None:
    """Return the element that gives a clip its label.

    That is the athlete's; flights before what turns on the ground, and that before handstands.
    """

    def order(element: RecognisedElement) -> tuple[bool, bool, bool, float]:
        kind = element.element.kind
        flies = kind in ("dive", "salto")
        return element.person == 0, flies, kind != "handstand", element.confidence

    return max(elements, key=order, default=None)


def _family(main: RecognisedElement | None) -> Family:
    if main is None:
        return "sport"
    return "dive" if main.element.kind == "dive" else "gymnastics"


def usual_frames(sequence: SkeletonSequence, data: Mapping[str, Any]) -> tuple[int, int]:
    """Return the frames of the median and of the longest clip of the training set.

    Where its frame rate is known, as many as those clips would have at the sequence's.

    Args:
        sequence: Of which its source may have had more frames.
        data: What the checkpoint says of its data.
    """
    fps, seconds = data.get("fps", 0), sequence.pts_seconds
    faster = 1.0
    if fps > 0 and len(seconds) > 1:
        faster = (len(seconds) - 1) / float(seconds[-1] - seconds[0]) / fps
    median, longest = data.get("median_frames", 0), data.get("max_frames", 0)
    return round(median * faster), round(longest * faster)


def window_frames(annotation: Annotation, num_frames: int) -> list[slice]:
    """Cut a clip that is much longer than those of the training set into their length.

    Windows overlap by half; one in which the first person is seen in less than half of the frames
    is left out, unless all are.

    Args:
        annotation: The clip.
        num_frames: Length of a window; 0 leaves the clip whole.

    Returns:
        The frames of each window, in order.
    """
    total = annotation.keypoints.shape[1]
    if num_frames == 0 or total <= 2 * num_frames:
        return [slice(0, total)]
    seen = np.asarray((annotation.keypoint_scores[:1] > 0).any(axis=(0, 2)))
    count = -(-(total - num_frames) // max(num_frames // 2, 1)) + 1
    starts = np.linspace(0, total - num_frames, count).astype(int)
    good = [start for start in starts if seen[start : start + num_frames].mean() >= 0.5]
    return [slice(start, start + num_frames) for start in good] or [slice(0, total)]


def _cut(annotation: Annotation, frames: slice) -> Annotation:
    return replace(
        annotation,
        keypoints=annotation.keypoints[:, frames],
        keypoint_scores=annotation.keypoint_scores[:, frames],
    )


def _alone(annotation: Annotation, person: int) -> Annotation:
    return replace(
        annotation,
        keypoints=annotation.keypoints[person : person + 1],
        keypoint_scores=annotation.keypoint_scores[person : person + 1],
    )
