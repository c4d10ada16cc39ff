"""From a clip to its action."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...pose_extract.common.device import choose_device
from ...pose_extract.extract import ClipResult, Extractor, Progress
from ...pose_extract.skeleton import SkeletonSequence
from ...pose_extract.sources import ClipSource
from ..checkpoints.checkpoint import find_checkpoint, load_classifier
from ..data.annotations import Annotation
from .classify import classify


@dataclass(frozen=True)
class LabelScore:
    """A label and its probability, 0 to 1."""

    label: str
    score: float


@dataclass(frozen=True)
class PersonPrediction:
    """What one person does, judged alone.

    Attributes:
        track_id: Id of the person's track.
        top_k: The likeliest labels, best first.
    """

    track_id: int
    top_k: tuple[LabelScore, ...]


@dataclass(frozen=True)
class ActionPrediction:
    """What happens in a clip.

    Attributes:
        video: The clip's id.
        label: The likeliest label; None if nobody was found, or the clip could not be read.
        score: Its probability.
        top_k: The likeliest labels, best first.
        persons: Each person judged alone, the athlete first.
        checkpoint: The classifier.
        error: Why there is no label, or None.
    """

    video: str
    label: str | None
    score: float | None
    top_k: tuple[LabelScore, ...]
    persons: tuple[PersonPrediction, ...]
    checkpoint: str
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


class Predictor:
    """Labels clips; preprocessing comes from the classifier's checkpoint.

    Args:
        checkpoint: The classifier; None for the shipped one.
        extractor: The chain from video to skeletons; needed for videos alone.
        device: Where the classifier runs: "auto", "cpu", "cuda" or "cuda:N".
        top_k: Labels to give.

    Raises:
        SkelactError: if the checkpoint cannot be used.
    """

    def __init__(
        self,
        checkpoint: Path | None = None,
        extractor: Extractor | None = None,
        *,
        device: str = "auto",
        top_k: int = 5,
    ) -> None:
        if top_k < 1:
            raise ValueError(f"top_k: expected at least 1, got {top_k}")
        self._device = choose_device(device)
        model, self.meta = load_classifier(checkpoint)
        self._model = model.to(self._device)
        self._name = find_checkpoint(checkpoint).stem
        self._extractor = extractor
        self._top_k = top_k

    def predict_clips(
        self,
        clips: Iterable[ClipSource],
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Iterator[tuple[ClipResult, ActionPrediction]]:
        """Yield each clip's skeletons and label, in order; a broken clip gives its error."""
        extractor = self._extractor or Extractor()
        for result in extractor.run(clips, on_progress):
            if result.sequence is None:
                reason = (str(result.error).splitlines() or [type(result.error).__name__])[0]
                yield result, self._empty(result.clip.clip_id, reason)
            else:
                yield result, self.predict_sequence(result.sequence)

    def predict_sequence(self, sequence: SkeletonSequence) -> ActionPrediction:
        """Label a skeleton sequence."""
        if not sequence.is_present().any():
            return self._empty(sequence.video_id, "no person was found")
        together = Annotation.from_sequence(sequence)
        people = [together, *(_alone(together, i) for i in range(sequence.num_person))]
        scores = [self._scores(person) for person in people]
        best = self._best(scores[0])
        return ActionPrediction(
            video=sequence.video_id,
            label=best[0].label,
            score=best[0].score,
            top_k=best,
            persons=tuple(
                PersonPrediction(int(track_id), self._best(row))
                for track_id, row in zip(sequence.track_ids, scores[1:])
            ),
            checkpoint=self._name,
        )

    def _scores(self, annotation: Annotation) -> np.ndarray:
        """Return class probabilities (num_classes,), the mean over the windows of a long clip."""
        windows = cut_windows(annotation, self.meta.data.get("median_frames", 0))
        scores = classify(self._model, self.meta, windows, device=self._device)
        mean: np.ndarray = scores.mean(axis=0)
        return mean

    def _best(self, scores: np.ndarray) -> tuple[LabelScore, ...]:
        order = np.argsort(-scores, kind="stable")[: self._top_k]
        return tuple(
            LabelScore(self.meta.label_names[i], round(float(scores[i]), 4)) for i in order
        )

    def _empty(self, video: str, error: str) -> ActionPrediction:
        return ActionPrediction(video, None, None, (), (), self._name, error)


def cut_windows(annotation: Annotation, num_frames: int) -> list[Annotation]:
    """Cut a clip that is much longer than what the classifier learnt from into such lengths.

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
