"""The skeletons of a clip, and the forms they can be had in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import SkelactError
from ...pose_extract.common.files import sha256_of
from ...pose_extract.extract import ClipResult
from ...pose_extract.skeleton import SkeletonSequence
from ...pose_extract.sources import ClipSource
from .tables import data_frame, keypoint_table, save_by_suffix, write_csv, write_json

if TYPE_CHECKING:
    import pandas
    import supervision

    from ...pose_extract.common.files import FileState

__all__ = ["ClipSkeletons"]

_ARRAYS = (
    "track_ids", "frame_inds", "pts_seconds", "keypoints", "keypoint_scores", "bboxes",
    "camera_maps", "scene_ids",
)  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class ClipSkeletons:
    """The skeletons of one clip, or why there are none.

    ``len()`` is the number of frames, 0 for a clip that failed. ``skeletons[10:20]`` is the same
    people over some of the frames; the slice counts frames of the clip, from 0.

    Attributes:
        video: The clip's id.
        error: Why there are no skeletons, or None.
        source: The clip; None for frames that were in memory.
        num_lost: Frames that could not be decoded.
        facts: What the chain found out besides; see ``ClipResult``.
        extraction: What shaped the skeletons, JSON-able; see ``Extractor.identity``.
        source_state: What the clip's file was like before it was read; None where it is not known.
    """

    video: str
    _sequence: SkeletonSequence | None
    error: str | None = None
    source: ClipSource | None = None
    num_lost: int = 0
    facts: Mapping[str, float | str] = field(default_factory=dict)
    extraction: Mapping[str, Any] = field(default_factory=dict)
    source_state: FileState | None = None

    @classmethod
    def of_result(
        cls,
        result: ClipResult,
        extraction: Mapping[str, Any],
        source_state: FileState | None = None,
    ) -> ClipSkeletons:
        """Return what the chain gave for a clip."""
        return cls(
            result.clip.clip_id,
            result.sequence,
            None if result.sequence is not None else _first_line(result.error),
            result.clip,
            result.num_lost,
            result.facts,
            extraction,
            source_state,
        )

    @property
    def sequence(self) -> SkeletonSequence:
        """The arrays: keypoints, scores, boxes, tracks.

        Raises:
            SkelactError: if the clip failed; ``error`` says why without raising.
        """
        if self._sequence is None:
            raise SkelactError(f"{self.video} has no skeletons: {self.error}")
        return self._sequence

    def __repr__(self) -> str:
        if self._sequence is None:
            return f"ClipSkeletons({self.video!r}, error={self.error!r})"
        people = self._sequence.num_person
        return (
            f"ClipSkeletons({self.video!r}, {people} {'person' if people == 1 else 'people'}, "
            f"{len(self)} frames, {float(self._sequence.fps):.5g} fps)"
        )

    def __len__(self) -> int:
        return 0 if self._sequence is None else self._sequence.num_frames

    def __getitem__(self, frames: slice) -> ClipSkeletons:
        # A part that is saved is not what ``skelact extract`` would find done.
        extraction = {**self.extraction, "is_part": True}
        return replace(self, _sequence=self.sequence[frames], extraction=extraction)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold; arrays become lists, None for a failed clip.

        The fields of :class:`SkeletonSequence` keep their names: ``pts_seconds`` are the frames'
        real times; keypoints and boxes are in square pixels, ``pixel_aspect`` is the shape of
        those that the file stores.
        """
        values: dict[str, Any] = {
            "video": self.video,
            "error": self.error,
            "lost_frames": self.num_lost,
        }
        sequence = self._sequence
        if sequence is None:
            none = ("layout", "fps", "img_shape", "pixel_aspect", *_ARRAYS)
            return values | dict.fromkeys(none)
        values["layout"] = sequence.layout
        values["fps"] = float(sequence.fps)
        values["img_shape"] = [int(side) for side in sequence.img_shape]
        values["pixel_aspect"] = float(sequence.pixel_aspect)
        return values | {name: getattr(sequence, name).tolist() for name in _ARRAYS}

    def clip_facts(self) -> dict[str, Any]:
        """Return path, size, rate and times of the clip, as JSON can hold them; None if unknown."""
        names = ("fps", "img_shape", "duration_seconds", "frame_inds", "pts_seconds")
        facts: dict[str, Any] = {"path": None if self.source is None else str(self.source.path)}
        sequence = self._sequence
        if sequence is None:
            return facts | dict.fromkeys(names)
        return facts | {
            "fps": float(sequence.fps),
            "img_shape": [int(side) for side in sequence.img_shape],
            "duration_seconds": round(sequence.duration_seconds, 6),
            "frame_inds": sequence.frame_inds.tolist(),
            "pts_seconds": np.round(sequence.pts_seconds, 6).tolist(),
        }

    def plain_bboxes(self, person: int) -> list[list[float] | None] | None:
        """Return a person's box in each frame, xyxy to a tenth of a pixel; None where not seen.

        None for a clip without skeletons.
        """
        sequence = self._sequence
        if sequence is None:
            return None
        present = sequence.is_present()[person]
        boxes = np.round(sequence.bboxes[person].astype(np.float64), 1).tolist()
        return [box if seen else None for box, seen in zip(boxes, present)]

    def to_df(self) -> pandas.DataFrame:
        """Return a table with one row per person, frame and joint; none for a failed clip.

        Its columns are clip, person, frame, seconds, joint, x, y and score, as in the tables of
        ``skelact export``. ``person`` is an index, 0 the athlete: ``sequence.track_ids[person]`` is
        the person's track. ``frame`` counts from the file's start and ``seconds`` is its
        presentation time from there; x and y are square pixels, NaN where the joint is not seen.

        Raises:
            SkelactError: if pandas is not installed.
        """
        return data_frame(keypoint_table(self._sequence))

    @classmethod
    def from_df(
        cls, table: pandas.DataFrame, *, fps: float | Fraction, img_shape: tuple[int, int]
    ) -> ClipSkeletons:
        """Return skeletons from a table of one clip with the columns of :meth:`to_df`.

        See :func:`~skelact.pipeline.inference.convert.from_table`.
        """
        from .convert import from_table

        sequence = from_table(table, fps=fps, img_shape=img_shape)
        return cls(sequence.video_id, sequence)

    def to_supervision(self, frame: int = 0) -> supervision.KeyPoints:
        """Return the people of a frame, counted from 0 in the clip, as supervision's KeyPoints.

        Raises:
            IndexError: if the clip has no such frame.
            SkelactError: if the clip failed, or supervision 0.29 or later is not installed.
        """
        from .convert import to_supervision

        return to_supervision(self.sequence, self._step(frame))

    @classmethod
    def from_supervision(
        cls,
        frames: Iterable[supervision.KeyPoints],
        *,
        fps: float | Fraction,
        img_shape: tuple[int, int],
        video: str = "frames",
    ) -> ClipSkeletons:
        """Return skeletons from supervision's KeyPoints, one for each frame of a clip.

        See :func:`~skelact.pipeline.inference.convert.from_supervision`.
        """
        from .convert import from_supervision

        sequence = from_supervision(frames, fps=fps, img_shape=img_shape, video_id=video)
        return cls(video, sequence)

    def plot(self, frame: int = 0, image: np.ndarray | None = None) -> np.ndarray:
        """Return a frame with its people drawn on it, (H, W, 3) uint8 RGB.

        Args:
            frame: Which frame of the clip, counted from 0 as in ``skeletons[10:20]``; a negative
                number counts from its end.
            image: (H, W, 3) uint8 RGB to draw on. None reads the frame from the clip's file, and
                draws on black where there is no such file.

        Raises:
            IndexError: if the clip has no such frame.
            SkelactError: if the clip failed, or the image is of another size than its frames.
        """
        return self._draw(frame, image)

    def save(self, path: str | Path) -> Path:
        """Write the skeletons, whole or not at all, and return the path.

        The suffix says what is written: ``.npz`` an entry of the skeleton cache, which
        ``load_sequence`` reads; ``.json`` :meth:`to_dict`; ``.csv`` the rows of :meth:`to_df`;
        ``.mp4`` the clip with its people drawn on it.

        Raises:
            SkelactError: if the suffix is another one, the clip failed, or for ``.mp4`` its file is
                not there.
        """
        writers: dict[str, Callable[[Path], None]] = {
            ".csv": lambda target: write_csv(target, keypoint_table(self.sequence)),
            ".json": lambda target: write_json(target, self.to_dict()),
            ".mp4": self._write_overlay,
            ".npz": self._write_cache_entry,
        }
        return save_by_suffix(Path(path), writers, self.source)

    def of_frames(self, fps: Fraction) -> ClipSkeletons:
        """Return these skeletons as those of frames that were in memory at a rate."""
        sequence = self._sequence
        if sequence is not None:
            # The file that they went through has times in whole milliseconds.
            pts_seconds = sequence.frame_inds / float(fps)
            sequence = replace(sequence, fps=fps, pts_seconds=pts_seconds)
        return replace(self, source=None, _sequence=sequence)

    def _step(self, frame: int) -> int:
        """Return a frame's place in the sequence; a negative number counts from the end."""
        count = self.sequence.num_frames
        if not -count <= frame < count:
            raise IndexError(f"{self.video}: expected a frame below {count}, got {frame}")
        return frame % count

    def _draw(
        self,
        frame: int,
        image: np.ndarray | None,
        lines: Sequence[str] = (),
        person_labels: Mapping[int, str] | None = None,
    ) -> np.ndarray:
        from ..drawing.overlay import draw_panel, draw_people, read_frame

        sequence, step = self.sequence, self._step(frame)
        if image is None and self.source is not None and self.source.path.is_file():
            image = read_frame(self.source.path, int(sequence.frame_inds[step]))
        elif image is None:
            image = np.zeros((*sequence.img_shape, 3), np.uint8)
        if image.shape != (*sequence.img_shape, 3) or image.dtype != np.uint8:
            raise SkelactError(
                f"{self.video}: expected an image {(*sequence.img_shape, 3)} uint8 as its frames, "
                f"got {image.shape} {image.dtype}"
            )
        return draw_panel(draw_people(image, sequence, step, person_labels=person_labels), lines)

    def _write_cache_entry(self, path: Path) -> None:
        from ...pose_extract.store.npz import save_sequence
        from ...pose_extract.store.results import entry_config

        config: dict[str, Any] = {"extraction": dict(self.extraction)}
        if self.source is not None and self.source.path.is_file():
            # As ``skelact extract`` writes it, which then finds the clip done.
            sha256, extraction = self._source_sha256(self.source.path), config["extraction"]
            config = entry_config(self.source, sha256, extraction, self.num_lost, self.facts)
        save_sequence(path, self.sequence, config)

    def _source_sha256(self, path: Path) -> str:
        """Return the hash of the content that the skeletons are of."""
        from ...pose_extract.store.source_file import source_state

        sha256 = sha256_of(path)
        if self.source_state is not None and source_state(path) != self.source_state:
            raise SkelactError(
                f"{path} was written to or replaced since its frames were read: an entry would "
                "hold the skeletons of another video; extract them again"
            )
        return sha256

    def _write_overlay(
        self,
        path: Path,
        lines: Sequence[str] = (),
        person_labels: Mapping[int, str] | None = None,
        **options: Any,
    ) -> None:
        from ..drawing.overlay import write_overlay

        sequence = self.sequence
        if self.source is None:
            raise SkelactError(
                f"{path}: an .mp4 is drawn on the clip's file, and these frames were in memory; "
                "draw them with plot(frame, image)"
            )
        write_overlay(
            sequence, self.source, path, lines=lines, person_labels=person_labels, **options
        )


def _first_line(error: Exception | None) -> str:
    # Engines add pages of stack to their messages.
    return (str(error).splitlines() or [type(error).__name__])[0]
