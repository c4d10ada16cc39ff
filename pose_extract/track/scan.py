"""The first pass over a clip: which frames show something new, and who may be in them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..decode.frames import FrameBatch
from ..decode.video import VideoReader, prefetch
from ..detect.base import Detections, PersonDetector
from ..detect.rotated_views import RotatedViewsDetector
from ..sources import ClipSource
from .camera_motion import CueReader, FrameCues
from .candidates import FrameCandidates
from .repeats import RepeatDetector

# Frames decoded and detected at a time: 16 frames of 1080p are 100 MB.
FRAMES_PER_BATCH = 16


@dataclass(frozen=True, eq=False)
class ScannedClip:
    """What the first pass over a clip finds.

    Attributes:
        frame_inds: (T,) int64, numbers of its frames.
        is_repeat: (T,) bool, frames that repeat the one before; see ``RepeatDetector``.
        candidates: Of every n-th of the frames that do not.
    """

    frame_inds: np.ndarray
    is_repeat: np.ndarray
    candidates: list[FrameCandidates]

    @property
    def new_inds(self) -> np.ndarray:
        """(N,) int64: numbers of the frames that do not repeat."""
        return self.frame_inds[~self.is_repeat]

    @property
    def share_new(self) -> float:
        """0 to 1: how many of the frames do not repeat."""
        return float((~self.is_repeat).mean()) if len(self.is_repeat) else 1.0

    @property
    def shown_inds(self) -> np.ndarray:
        """(T,) int64: what each frame shows, as an index into ``new_inds``."""
        shown: np.ndarray = (~self.is_repeat).cumsum() - 1
        return shown


def find_candidates(
    clip: ClipSource,
    reader: VideoReader,
    detector: PersonDetector,
    every: int,
    frames_per_batch: int = FRAMES_PER_BATCH,
    *,
    use_motion: bool = True,
    on_frames: Callable[[int], None] | None = None,
) -> ScannedClip:
    """Read a clip, and find the candidates of every n-th frame that shows something new.

    Args:
        clip: The clip.
        reader: Its file, opened.
        detector: Gives the boxes.
        every: n.
        frames_per_batch: Frames decoded at a time.
        use_motion: Leave repeated frames out, and see ``FrameCandidates.from_cues``.
        on_frames: Called with the number of frames read.
    """
    start, stop = clip.frame_range(reader.info)
    candidates: list[FrameCandidates] = []
    cue_reader, repeat_detector = CueReader(), RepeatDetector()
    cues: deque[FrameCues] = deque()
    waiting: FrameBatch | None = None
    frame_inds: list[np.ndarray] = []
    repeats: list[np.ndarray] = []
    done = num_new = 0

    def detect(keys: FrameBatch) -> None:
        of_frames = [cues.popleft() for _ in keys.frames]
        for found, moves in zip(_detect(detector, keys, clip.clip_id, of_frames), of_frames):
            candidates.append(
                FrameCandidates.from_cues(found.bboxes, found.scores, moves, use_motion=use_motion)
            )

    for batch in prefetch(reader.batches(frames_per_batch, start, stop), depth=1):
        is_repeat = np.array([use_motion and repeat_detector.add(f) for f in batch.frames], bool)
        new = np.flatnonzero(~is_repeat)
        keys = batch.take(new[-num_new % every :: every])
        num_new += len(new)
        if len(keys.frames):
            # A frame's cues come one frame late: its change is told from both neighbours. So a
            # batch waits for the next one.
            cues.extend(known for frame in keys.frames if (known := cue_reader.add(frame)))
            if waiting is not None:
                detect(waiting)
            waiting = keys
        frame_inds.append(batch.frame_inds)
        repeats.append(is_repeat)
        done += len(batch.frames)
        if on_frames:
            on_frames(done)
    if (known := cue_reader.finish()) is not None and waiting is not None:
        cues.append(known)
        detect(waiting)
    inds = np.concatenate(frame_inds).astype(np.int64)
    return ScannedClip(inds, np.concatenate(repeats), candidates)


def _detect(
    detector: PersonDetector, frames: FrameBatch, clip_id: str, cues: list[FrameCues]
) -> list[Detections]:
    if not isinstance(detector, RotatedViewsDetector):
        return detector.detect(frames, clip_id)
    return detector.detect(frames, clip_id, lambda row, bboxes: cues[row].holds_motion(bboxes))
