"""What a report says of a clip, as plain values: an index, and its frames in chunks.

A browser loads the index first, and of the chunks those around the frame that is shown.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ... import __version__
from ...pose_extract.common.text import printable
from ...pose_extract.skeleton import SkeletonSequence
from ..elements.course import PHASE_NAMES, BodyCourse
from ..elements.recognise import RecognisedElement
from ..inference.results import ActionPrediction, LabelScore
from ..inference.timeline import element_text
from .curves import clip_curves, curve_kinds
from .video_copy import VideoCopy
from .words import in_words

# Frames of a chunk: ten seconds at 25 fps, 200 kB for two people.
CHUNK_FRAMES = 256
# Of what is said of elements; see ``Element``.
_ELEMENT_KINDS = (
    "dives", "saltos", "flic-flacs", "walkovers", "cartwheels", "rolls", "giants", "handstands",
)  # fmt: skip


def clip_chunks(sequence: SkeletonSequence, courses: list[BodyCourse]) -> Iterator[dict[str, str]]:
    """Yield the frames, ``CHUNK_FRAMES`` at a time: arrays as base64 of little-endian float32.

    They are keypoints (M, N, V, 2) in pixels, keypoint_scores (M, N, V), bboxes (M, N, 4) and
    curves (M, N, C) in degrees, in the order of ``curve_kinds``, NaN where not known.

    Args:
        sequence: The clip's people.
        courses: The course of each.
    """
    curves = clip_curves(sequence, courses)
    for start in range(0, sequence.num_frames, CHUNK_FRAMES):
        part = slice(start, start + CHUNK_FRAMES)
        yield {
            "keypoints": _base64(sequence.keypoints[:, part], "<f4"),
            "keypoint_scores": _base64(sequence.keypoint_scores[:, part], "<f4"),
            "bboxes": _base64(sequence.bboxes[:, part], "<f4"),
            "curves": _base64(curves[:, part], "<f4"),
        }


def clip_index(
    prediction: ActionPrediction,
    copy: VideoCopy,
    courses: Sequence[BodyCourse],
    relabel: Sequence[Mapping[str, Any] | None],
    video_name: str,
) -> dict[str, Any]:
    """Return all that a report says of a clip but its frames; JSON can hold it.

    Args:
        prediction: The clip's labels and skeletons.
        copy: Its video.
        courses: The course of each person.
        relabel: How each person becomes the athlete; see ``relabel_command``.
        video_name: The file of the video, relative to the page.
    """
    sequence = prediction.sequence
    return {
        "program": f"skelact {__version__}",
        "id": _identity(prediction),
        "name": printable(prediction.video),
        "video": {
            "file": video_name,
            "width": copy.covers_wh[0],
            "height": copy.covers_wh[1],
            "is_encoded": copy.is_encoded,
            "has_sound": copy.has_sound,
        },
        "fps": float(sequence.fps),
        "num_lost": prediction.skeletons.num_lost,
        "chunk_frames": CHUNK_FRAMES,
        # When each frame is shown in the copy; its time and its number in the source file.
        "video_seconds": _base64(copy.seconds, "<f8"),
        "seconds": _base64(sequence.pts_seconds, "<f8"),
        "frame_inds": _base64(sequence.frame_inds, "<i4"),
        "cuts": (np.flatnonzero(np.diff(sequence.scene_ids)) + 1).tolist(),
        "keypoint_names": list(sequence.keypoint_layout.keypoint_names),
        "edges": [list(edge) for edge in sequence.keypoint_layout.edges],
        "curves": curve_kinds(),
        "phase_names": {str(key): name for key, name in PHASE_NAMES.items()},
        "answer": {
            "words": printable(prediction.words),
            "unknown": prediction.unknown,
            "family": prediction.family,
            "error": prediction.error,
            "labels": _labels(prediction.top_k),
        },
        "knows": {
            "actions": [printable(name) for name in prediction.label_names],
            "elements": list(_ELEMENT_KINDS),
            "checkpoint": printable(prediction.checkpoint),
        },
        "people": [
            _person(prediction, person, course, command)
            for person, (course, command) in enumerate(zip(courses, relabel))
        ],
        "elements": [_element(sequence, found) for found in prediction.elements],
        "segments": [
            {
                "words": printable(segment.label),
                "confidence": round(segment.score, 4),
                "confidence_words": in_words(segment.score),
                **_steps(sequence, segment.start_seconds, segment.end_seconds),
            }
            for segment in prediction.segments
        ],
    }


def _person(
    prediction: ActionPrediction,
    person: int,
    course: BodyCourse,
    command: Mapping[str, Any] | None,
) -> dict[str, Any]:
    sequence = prediction.sequence
    labels: tuple[LabelScore, ...] = ()
    unknown = False
    if person < len(prediction.persons):
        labels, unknown = prediction.persons[person].top_k, prediction.persons[person].unknown
    return {
        "track_id": int(sequence.track_ids[person]),
        "unknown": unknown,
        "labels": _labels(labels),
        # [value, first step, step after the last]
        "seen": [span[1:] for span in _runs(sequence.is_present()[person]) if span[0]],
        "phases": [span for span in _runs(course.phases) if span[0]],
        "relabel": command,
    }


def _element(sequence: SkeletonSequence, found: RecognisedElement) -> dict[str, Any]:
    return {
        "words": element_text(found),
        "kind": found.element.kind,
        "person": found.person,
        "confidence": round(found.confidence, 4),
        "confidence_words": in_words(found.confidence),
        "alternatives": [
            {"words": element_text(other), "confidence": round(other.confidence, 4)}
            for other in found.alternatives
        ],
        **_steps(sequence, found.start_seconds, found.end_seconds),
    }


def _labels(labels: Sequence[LabelScore]) -> list[dict[str, Any]]:
    return [
        {
            "words": printable(item.label),
            "confidence": item.score,
            "confidence_words": in_words(item.score),
        }
        for item in labels
    ]


def _steps(sequence: SkeletonSequence, start: float, end: float) -> dict[str, Any]:
    """Return times of the source file with the steps that they hold."""
    half = 0.5 / float(sequence.fps)
    first, last = np.searchsorted(sequence.pts_seconds, (start - half, end + half))
    return {
        "start_seconds": round(start, 3),
        "end_seconds": round(end, 3),
        "first": int(min(first, sequence.num_frames - 1)),
        "last": int(max(last - 1, first)),
    }


def _runs(values: np.ndarray) -> list[list[int]]:
    """Return [value, start, stop] of each run of equal values (T,)."""
    edges = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    return [[int(values[start]), start, stop] for start, stop in pairwise(edges) if stop > start]


def _identity(prediction: ActionPrediction) -> str:
    """Return what tells a clip's notes from those of others, also when it is labelled anew."""
    sequence = prediction.sequence
    digest = hashlib.sha256(prediction.video.encode("utf-8", "backslashreplace"))
    digest.update(np.ascontiguousarray(sequence.pts_seconds).tobytes())
    digest.update(repr(tuple(map(int, sequence.img_shape))).encode())
    return digest.hexdigest()[:16]


def _base64(array: np.ndarray, dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype).tobytes()).decode("ascii")
