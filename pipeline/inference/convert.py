"""Skeletons from and to other libraries: tables of pandas, KeyPoints of supervision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import SkelactError
from ...pose_extract.layout import COCO_17, KeypointLayout
from ...pose_extract.skeleton import SkeletonSequence
from .frame_spool import parse_fps

if TYPE_CHECKING:
    import pandas
    import supervision

__all__ = ["from_supervision", "from_table", "to_supervision"]

_NEEDED = ("person", "frame", "joint", "x", "y", "score")
# Where to_supervision keeps who is who, and from_supervision looks.
_PERSON, _TRACK = "person", "track_id"


def from_table(
    table: pandas.DataFrame | Mapping[str, Any],
    *,
    fps: float | Fraction,
    img_shape: tuple[int, int],
    layout: KeypointLayout = COCO_17,
) -> SkeletonSequence:
    """Return the skeletons of a table like that of ``keypoint_table``.

    Rows may come in any order. A joint that has no row, no x or y, or a score of 0 is not seen.
    People are numbered anew in the order of their numbers, which become their track ids; boxes are
    those of the seen joints.

    Args:
        table: Columns person, frame, joint, x, y, score; clip and seconds if they are there.
        fps: Nominal frame rate; also gives the times where there are no seconds.
        img_shape: (height, width) of the frames in pixels.
        layout: Names of the joints.

    Raises:
        SkelactError: if a column is missing, a joint is unknown, a joint has two rows in a frame,
            or there is more than one clip.
        ValueError: if ``fps`` is no rate.
    """
    if missing := [name for name in _NEEDED if name not in table]:
        raise SkelactError(f"table: expected the columns {', '.join(_NEEDED)}; no {missing[0]}")
    people, person = np.unique(_whole(table, "person"), return_inverse=True)
    frames, step = np.unique(_whole(table, "frame"), return_inverse=True)
    names, index = np.unique(np.asarray(table["joint"], np.str_), return_inverse=True)
    joint = np.array([layout.index(name) for name in names.tolist()], np.int64)[index]
    shape = (len(people), len(frames), layout.num_keypoints)
    places = np.ravel_multi_index((person, step, joint), shape) if len(joint) else joint
    if len(np.unique(places)) != len(places):
        raise SkelactError("table: expected a row per person, frame and joint, and there are two")
    points = np.column_stack([np.asarray(table[name], np.float32) for name in ("x", "y")])
    scores = np.asarray(table["score"], np.float32)
    is_seen = np.isfinite(points).all(axis=1) & (scores > 0)
    keypoints, keypoint_scores = np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32)
    keypoints[person[is_seen], step[is_seen], joint[is_seen]] = points[is_seen]
    keypoint_scores[person[is_seen], step[is_seen], joint[is_seen]] = scores[is_seen]
    return _sequence(
        keypoints,
        keypoint_scores,
        fps=fps,
        img_shape=img_shape,
        layout=layout.name,
        track_ids=people,
        frame_inds=frames,
        video_id=_clip(table),
        pts_seconds=_seconds(table, step, len(frames)),
    )


def _whole(table: Any, name: str) -> np.ndarray:
    values = np.asarray(table[name])
    if values.size and (values.dtype.kind not in "iuf" or (values != np.floor(values)).any()):
        raise SkelactError(f"table: expected whole numbers in the column {name}")
    return values.astype(np.int64)


def _clip(table: Any) -> str:
    clips = np.unique(np.asarray(table["clip"], np.str_)).tolist() if "clip" in table else []
    if len(clips) > 1:
        raise SkelactError(
            f"table: expected one clip, got {len(clips)}; take them one by one, "
            f"as table[table['clip'] == {clips[0]!r}]"
        )
    return clips[0] if clips else "table"


def _seconds(table: Any, step: np.ndarray, num_frames: int) -> np.ndarray | None:
    if "seconds" not in table:
        return None
    seconds = np.zeros(num_frames)
    seconds[step] = np.asarray(table["seconds"], np.float64)
    return seconds


def to_supervision(sequence: SkeletonSequence, step: int) -> supervision.KeyPoints:
    """Return the people seen in a frame as KeyPoints of the library supervision.

    Args:
        sequence: The skeletons.
        step: The frame, counted from 0 in the sequence.

    Returns:
        ``xy`` (N, V, 2) float32 pixels, ``keypoint_confidence`` (N, V) float32, ``visible`` (N, V)
        bool, and in ``data`` the index of each of the N people and the id of the track.

    Raises:
        SkelactError: if supervision is missing, or older than 0.29.
    """
    try:
        import supervision
    except ImportError:
        raise SkelactError(
            "to_supervision needs supervision, which is not installed: pip install supervision"
        ) from None
    people = np.flatnonzero(sequence.is_present()[:, step])
    scores = sequence.keypoint_scores[people, step]
    try:
        return supervision.KeyPoints(
            xy=sequence.keypoints[people, step],
            keypoint_confidence=scores,
            visible=scores > 0,
            class_id=np.zeros(len(people), np.int64),
            data={_PERSON: people, _TRACK: sequence.track_ids[people]},
        )
    except TypeError:
        raise SkelactError(
            f"expected supervision 0.29 or later, got {supervision.__version__}"
        ) from None


def from_supervision(
    frames: Iterable[supervision.KeyPoints],
    *,
    fps: float | Fraction,
    img_shape: tuple[int, int],
    layout: KeypointLayout = COCO_17,
    video_id: str = "frames",
) -> SkeletonSequence:
    """Return the skeletons of frames that follow each other at a rate, from KeyPoints.

    Who is who is told by ``data["track_id"]``, and without it by the place in the frame, so that
    people have to be tracked before. People come in the order in which they are first seen, or by
    ``data["person"]`` where :func:`to_supervision` left it. Keypoints that are not ``visible`` or
    have confidence 0 are not seen; without confidences, those at (0, 0) are not, and the others
    have 1.

    Raises:
        SkelactError: if a frame has another number of keypoints, or a track twice.
        ValueError: if ``fps`` is no rate.
    """
    found = [_read_frame(frame, layout) for frame in frames]
    order: dict[int, int] = {}
    for tracks, ranks, *_ in found:
        for track, rank in zip(tracks, ranks):
            order.setdefault(track, rank)
    # Stable: those of equal rank stay in the order in which they were seen.
    ids = sorted(order, key=order.__getitem__)
    rows = {track: row for row, track in enumerate(ids)}
    shape = (len(ids), len(found), layout.num_keypoints)
    keypoints, scores = np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32)
    for step, (tracks, _, xy, confidence) in enumerate(found):
        inds = [rows[track] for track in tracks]
        keypoints[inds, step], scores[inds, step] = xy, confidence
    return _sequence(
        keypoints,
        scores,
        fps=fps,
        img_shape=img_shape,
        layout=layout.name,
        track_ids=np.array(ids, np.int64),
        frame_inds=np.arange(len(found)),
        video_id=video_id,
    )


def _read_frame(
    frame: Any, layout: KeypointLayout
) -> tuple[Sequence[int], Sequence[int], np.ndarray, np.ndarray]:
    """Return tracks and ranks of N people, keypoints (N, V, 2) and scores (N, V), 0 unseen."""
    xy = np.asarray(frame.xy, np.float32)
    if not xy.size:
        xy = np.zeros((0, layout.num_keypoints, 2), np.float32)
    if xy.ndim != 3 or xy.shape[1:] != (layout.num_keypoints, 2):
        raise SkelactError(
            f"KeyPoints: expected (N, {layout.num_keypoints}, 2) of {layout.name}, got {xy.shape}"
        )
    confidence = frame.keypoint_confidence
    if confidence is None:
        confidence = (xy != 0).any(axis=2)
    scores = np.asarray(confidence, np.float32).reshape(xy.shape[:2])
    if frame.visible is not None:
        scores = np.where(np.asarray(frame.visible).reshape(scores.shape), scores, 0)
    scores = np.where(np.isfinite(xy).all(axis=2), scores, 0).astype(np.float32)
    tracks = np.asarray(frame.data.get(_TRACK, np.arange(len(xy)))).tolist()
    if len(set(tracks)) != len(xy):
        raise SkelactError(f"KeyPoints: expected a track for each of {len(xy)} people: {tracks}")
    ranks = np.asarray(frame.data.get(_PERSON, np.zeros(len(xy), np.int64))).tolist()
    return tracks, ranks, np.where(scores[..., None] > 0, xy, 0), scores


def _sequence(
    keypoints: np.ndarray, keypoint_scores: np.ndarray, *, fps: float | Fraction, **fields: Any
) -> SkeletonSequence:
    """Return checked skeletons, with the boxes of what is seen."""
    rate = parse_fps(fps)
    seen = (keypoint_scores > 0)[..., None]
    low = np.where(seen, keypoints, np.inf).min(axis=2, initial=np.inf)
    high = np.where(seen, keypoints, -np.inf).max(axis=2, initial=-np.inf)
    bboxes = np.where(seen.any(axis=2), np.concatenate([low, high], axis=-1), 0)
    try:
        return SkeletonSequence(
            keypoints=keypoints,
            keypoint_scores=keypoint_scores,
            bboxes=bboxes.astype(np.float32),
            fps=rate,
            **fields,
        )
    except ValueError as error:
        raise SkelactError(str(error)) from None
