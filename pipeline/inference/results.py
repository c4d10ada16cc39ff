"""What a clip is labelled, and the forms that the answer can be had in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from ... import __version__
from ...pose_extract.skeleton import SkeletonSequence
from ..elements.recognise import RecognisedElement
from .clip_skeletons import ClipSkeletons
from .segments import Segment
from .tables import data_frame, save_by_suffix, write_csv, write_json
from .timeline import timeline_table, write_subtitles

if TYPE_CHECKING:
    import pandas


__all__ = ["ActionPrediction", "Family", "LabelScore", "PersonPrediction"]

_LABEL_COLUMNS = ("clip", "rank", "label", "score", "family", "unknown")
Family = Literal["sport", "dive", "gymnastics", "unknown"]
# Labels on the panel of an overlay: more do not fit a small frame.
_LABELS_DRAWN = 3


@dataclass(frozen=True)
class LabelScore:
    """A label and its probability, 0 to 1."""

    label: str
    score: float


@dataclass(frozen=True)
class PersonPrediction:
    """The labels of one person, classified alone.

    Attributes:
        track_id: Id of the person's track.
        top_k: The most probable labels, best first.
        unknown: Whether the person does none of the classifier's actions.
    """

    track_id: int
    top_k: tuple[LabelScore, ...]
    unknown: bool = False


@dataclass(frozen=True, repr=False)
class ActionPrediction:
    """The action in a clip.

    ``prediction[0]`` is the most probable label with its score, ``prediction[:3]`` the first three;
    ``len()`` is the number of labels, 0 where there is none.

    Attributes:
        video: The clip's id.
        label: The most probable label; None if the clip shows none of the classifier's actions, no
            person was found, or the clip could not be read.
        score: Its probability, 0 to 1; None without a label.
        top_k: The most probable labels, best first, also where the clip is unknown: what it has
            most in common with.
        persons: Each person classified alone, the athlete first.
        checkpoint: The classifier.
        error: Why the clip was not classified, or None.
        skeletons: What was classified; a failed clip has them too, with the same error.
        family: What the label is of: "sport", an action of the classifier; "dive" or "gymnastics",
            the main element in words; "unknown" where it shows none of them, which a classifier
            without a gate never says; None where it was not classified.
        elements: Dives and gymnastics elements of all people, in the order of time.
        segments: Parts of the clip with one action of the classifier each; not where there are
            elements, or what is unknown.
        label_names: The actions that the classifier knows; empty where that is not said.
    """

    video: str
    label: str | None
    score: float | None
    top_k: tuple[LabelScore, ...]
    persons: tuple[PersonPrediction, ...]
    checkpoint: str
    error: str | None = None
    skeletons: ClipSkeletons = field(
        default_factory=lambda: ClipSkeletons("", None, "none are kept"), compare=False
    )
    family: Family | None = None
    elements: tuple[RecognisedElement, ...] = ()
    segments: tuple[Segment, ...] = ()
    label_names: tuple[str, ...] = field(default=(), compare=False)

    @property
    def unknown(self) -> bool:
        """Whether the clip shows nothing that can be named."""
        return self.family == "unknown"

    @property
    def sequence(self) -> SkeletonSequence:
        """The skeletons that were classified.

        Raises:
            SkelactError: if the clip could not be read; ``error`` says why without raising.
        """
        return self.skeletons.sequence

    @property
    def words(self) -> str:
        """The answer in words: a label, what the clip is not, or why there is none."""
        if self.unknown:
            return f"not one of its actions (closest: {self.top_k[0].label})"
        return self.label or self.error or ""

    def __repr__(self) -> str:
        if self.unknown:
            return f"ActionPrediction({self.video!r}, {self.words})"
        if self.label is None:
            return f"ActionPrediction({self.video!r}, error={self.error!r})"
        return f"ActionPrediction({self.video!r}, {self.label!r}, score={self.score})"

    def __len__(self) -> int:
        return len(self.top_k)

    @overload
    def __getitem__(self, rank: int) -> LabelScore: ...

    @overload
    def __getitem__(self, rank: slice) -> tuple[LabelScore, ...]: ...

    def __getitem__(self, rank: int | slice) -> LabelScore | tuple[LabelScore, ...]:
        return self.top_k[rank]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold; of the skeletons boxes and times alone.

        ``path`` is the clip's file as it was named, and ``version`` that of skelact. Lengths are
        those of the frames: ``pts_seconds``, when each of them is shown, from the file's first
        frame, ``frame_inds``, their numbers in the file, and of each person ``bboxes``, xyxy in
        square pixels, to a tenth, None where the person is not seen.
        """

        def plain(labels: Sequence[LabelScore]) -> list[dict[str, Any]]:
            return [{"label": item.label, "score": item.score} for item in labels]

        return {
            "video": self.video,
            **self.skeletons.clip_facts(),
            "family": self.family,
            "unknown": self.unknown,
            "label": self.label,
            "score": self.score,
            "top_k": plain(self.top_k),
            "elements": [element.to_dict() for element in self.elements],
            "segments": [segment.to_dict() for segment in self.segments],
            "persons": [
                {
                    "track_id": person.track_id,
                    "unknown": person.unknown,
                    "top_k": plain(person.top_k),
                    "bboxes": self.skeletons.plain_bboxes(index),
                }
                for index, person in enumerate(self.persons)
            ],
            "checkpoint": self.checkpoint,
            "version": __version__,
            "lost_frames": self.skeletons.num_lost,
            "error": self.error,
        }

    def to_df(self) -> pandas.DataFrame:
        """Return a table with one row per label, best first; none for a clip without labels.

        Its columns are clip, rank (from 1), label, score, and of the whole clip family and
        unknown: where that is true, the labels are those that the clip has most in common with.
        ``prediction.skeletons.to_df()`` is the table of the keypoints.

        Raises:
            SkelactError: if pandas is not installed.
        """
        return data_frame(self._columns())

    def timeline(self) -> dict[str, list[Any]]:
        """Return columns of equal length with one row per segment and element, in order of time.

        They are clip, start_seconds, end_seconds (of the source file, from its first frame),
        person (None for a segment), kind ("segment", or that of the element), label (of an element
        its words), score (of an element its confidence), and of an element takeoff,
        half_somersaults, half_twists, position, code and diving48_class. A clip without segments
        and elements has no rows. ``pandas.DataFrame(prediction.timeline())`` is the table.
        """
        return timeline_table(self.video, [*self.segments, *self.elements])

    def _columns(self) -> dict[str, list[Any]]:
        rows = [
            (self.video, rank, item.label, item.score, self.family, self.unknown)
            for rank, item in enumerate(self.top_k, 1)
        ]
        return {name: [row[i] for row in rows] for i, name in enumerate(_LABEL_COLUMNS)}

    def plot(self, frame: int = 0, image: np.ndarray | None = None) -> np.ndarray:
        """Return a frame with its people and labels drawn on it; see :meth:`ClipSkeletons.plot`."""
        return self.skeletons._draw(frame, image, self._lines(), self._person_labels())

    def save(self, path: str | Path) -> Path:
        """Write the prediction, whole or not at all, and return the path.

        The suffix says what is written: ``.json`` :meth:`to_dict`; ``.csv`` the rows of
        :meth:`to_df`; ``.srt`` segments and elements as subtitles of the clip's file; ``.mp4`` the
        clip with its people and labels drawn on it; ``.npz`` its skeletons, as
        :meth:`ClipSkeletons.save` does.

        Raises:
            SkelactError: if the suffix is another one; for ``.srt``, ``.mp4`` and ``.npz`` if the
                clip failed.
        """
        writers: dict[str, Callable[[Path], None]] = {
            ".csv": lambda target: write_csv(target, self._columns()),
            ".json": lambda target: write_json(target, self.to_dict()),
            ".mp4": self._write_overlay,
            ".npz": self.skeletons._write_cache_entry,
            ".srt": self._write_subtitles,
        }
        return save_by_suffix(Path(path), writers, self.skeletons.source)

    def save_overlay(
        self,
        path: str | Path,
        *,
        slow: float = 1,
        angles: bool = False,
        crop: Literal["athlete"] | None = None,
        on_frame: Callable[[int, int], None] | None = None,
    ) -> Path:
        """Write the clip with its people, labels and time drawn on it; return the path.

        Args:
            path: Target, ending in .mp4.
            slow: How many times slower than the clip it runs, 1 to 100; slow motion is silent.
            angles: Draw the athlete's angles, in degrees.
            crop: "athlete" shows a window that follows the athlete.
            on_frame: Told after each frame how many are done, and of how many.

        Raises:
            SkelactError: if the clip failed, its file is not there, or the path has another suffix.
            ValueError: if an option cannot be.
        """
        from ..drawing.overlay import OverlayStyle

        style = OverlayStyle(slow, angles, crop)
        writers = {".mp4": partial(self._write_overlay, style=style, on_frame=on_frame)}
        return save_by_suffix(Path(path), writers, self.skeletons.source)

    def _write_overlay(self, path: Path, **options: Any) -> None:
        lines = self._lines() or [self.error or ""]
        self.skeletons._write_overlay(path, lines, self._person_labels(), **options)

    def _write_subtitles(self, path: Path) -> None:
        if self.error:
            self.sequence  # noqa: B018 - raises where the clip could not be read
        write_subtitles(path, [*self.segments, *self.elements])

    def _lines(self) -> list[str]:
        if self.unknown:
            return [self.words]
        return [f"{item.label}  {100 * item.score:.1f} %" for item in self.top_k[:_LABELS_DRAWN]]

    def _person_labels(self) -> dict[int, str]:
        def text(person: PersonPrediction) -> str:
            best = person.top_k[0]
            return "unknown" if person.unknown else f"{best.label} {100 * best.score:.0f} %"

        return {i: text(person) for i, person in enumerate(self.persons)}
