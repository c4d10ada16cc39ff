"""From a clip to its action."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import NoneType

import numpy as np

from ...pose_extract.common.device import choose_device
from ...pose_extract.extract import ClipResult, Extractor, Progress
from ...pose_extract.skeleton import SkeletonSequence
from ...pose_extract.sources import ClipSource
from ...pose_extract.store.source_file import FileState, SourceError, source_state
from ..checkpoints.checkpoint import find_checkpoint, load_classifier
from ..checkpoints.gate import Gate, Judgement
from ..data.annotations import Annotation
from ..data.clip_store import ClipStore
from .classify import TestProtocol, score_clips
from .results import ActionPrediction, ClipSkeletons, LabelScore, PersonPrediction

__all__ = ["Predictor", "cut_windows", "extract_skeletons"]


class Predictor:
    """Labels clips; preprocessing comes from the classifier's checkpoint.

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
        people = [together, *(_alone(together, i) for i in range(sequence.num_person))]
        judged = [self._judge(person) for person in people]
        best, unknown = self._best(judged[0].probabilities), judged[0].unknown
        return ActionPrediction(
            video=sequence.video_id,
            label=None if unknown else best[0].label,
            score=None if unknown else best[0].score,
            top_k=best,
            persons=tuple(
                PersonPrediction(int(track_id), self._best(one.probabilities), one.unknown)
                for track_id, one in zip(sequence.track_ids, judged[1:])
            ),
            checkpoint=self._name,
            unknown=unknown,
            skeletons=ClipSkeletons(sequence.video_id, sequence),
        )

    def _judge(self, annotation: Annotation) -> Judgement:
        """Judge a clip by the mean over its windows."""
        windows = cut_windows(annotation, self.meta.data.get("median_frames", 0))
        store = ClipStore(windows, self.meta.preprocess)
        protocol = TestProtocol.of(self.meta)
        scores, novelty = score_clips(self._model, store, device=self._device, protocol=protocol)
        distance = None if novelty is None else float(novelty.mean())
        return self._gate.judge(scores.mean(axis=0), distance)

    def _best(self, scores: np.ndarray) -> tuple[LabelScore, ...]:
        order = np.argsort(-scores, kind="stable")[: self._top_k]
        return tuple(
            LabelScore(self.meta.label_names[i], round(float(scores[i]), 4)) for i in order
        )

    def _empty(self, video: str, error: str) -> ActionPrediction:
        return ActionPrediction(video, None, None, (), (), self._name, error)


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


def cut_windows(annotation: Annotation, num_frames: int) -> list[Annotation]:
    """Cut a clip that is much longer than those of the training set into their length.

    Windows overlap by half; one in which the first person is seen in less than half of the frames
    is left out, unless all are.

    Args:
        annotation: The clip.
        num_frames: Length of a window; 0 leaves the clip whole.
    """
    total = annotation.keypoints.shape[1]
    if num_frames == 0 or total <= 2 * num_frames:
        return [annotation]
    seen = np.asarray((annotation.keypoint_scores[:1] > 0).any(axis=(0, 2)))
    count = -(-(total - num_frames) // max(num_frames // 2, 1)) + 1
    starts = np.linspace(0, total - num_frames, count).astype(int)
    good = [start for start in starts if seen[start : start + num_frames].mean() >= 0.5]
    windows = [slice(start, start + num_frames) for start in good]
    return [
        replace(
            annotation,
            keypoints=annotation.keypoints[:, window],
            keypoint_scores=annotation.keypoint_scores[:, window],
        )
        for window in windows
    ] or [annotation]


def _alone(annotation: Annotation, person: int) -> Annotation:
    return replace(
        annotation,
        keypoints=annotation.keypoints[person : person + 1],
        keypoint_scores=annotation.keypoint_scores[person : person + 1],
    )
