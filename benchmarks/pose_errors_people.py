"""People whose joints are annotated, and the poses that a model gives them, for its errors.

Nobody here was trained on: people of the Leeds Sports Pose Extended set that are held out (`dev` of
`flight_people.py`), and of PoseTrack18's three frames, as people at rest; a dive's 35 frames and
frames of athletes in flight annotated by eye, as people who move. Boxes are given. The last two are
also clips, which are followed end to end, for what becomes of errors over time.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from flight_clips import extract_all
from flight_joints import JOINTS_FILE, clip_torsos, load_flight_joints, read_frames
from flight_people import JOINTS, estimate, load_divers, load_lspet, scored
from flight_truths import athlete_keypoints, load_diver, load_hand, set_clips

from skelact import SkelactError
from skelact.pipeline.pose_training.people import AnnotatedPeople, read_corrections
from skelact.pose_extract.common.files import atomic_write
from skelact.pose_extract.common.geometry import torso_lengths
from skelact.pose_extract.effort import DEFAULT_EFFORT
from skelact.pose_extract.extract import ExtractConfig
from skelact.pose_extract.layout import COCO_17
from skelact.pose_extract.pose.estimator import PoseEstimator
from skelact.pose_extract.skeleton import SkeletonSequence

# Frames of a video that are neighbours show nearly the same pose: they are halved by such blocks.
_BLOCK_FRAMES = 5


@dataclass(frozen=True, eq=False)
class Measured:
    """P annotated people and their poses.

    Attributes:
        truth: (P, 17, 2) float64 pixels.
        visible: (P, 17) bool, which joints of them are annotated; none of the face.
        found: (P, 17, 2) float64 pixels, of the pose model; NaN where there is none.
        scores: (P, 17) its scores.
        torsos: (P,) pixels, the unit of errors.
        sides_known: (P,) bool, whether left and right of the annotation can be relied on.
        moving: (P,) bool, frames of a video of an athlete in flight.
        hidden: (P, 17) bool, annotated joints that cannot be seen; only where ``tells_hidden``.
        tells_hidden: (P,) bool.
        half: (P,) 0 or 1, for a fit on one half and a comparison on the other.
        clip: (P,) number of the clip, -1 for an image.
        seconds: (P,) time in it.
    """

    truth: np.ndarray
    visible: np.ndarray
    found: np.ndarray
    scores: np.ndarray
    torsos: np.ndarray
    sides_known: np.ndarray
    moving: np.ndarray
    hidden: np.ndarray
    tells_hidden: np.ndarray
    half: np.ndarray
    clip: np.ndarray
    seconds: np.ndarray

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, rows: np.ndarray) -> Measured:
        """Return some of the people, by number or mask."""
        return Measured(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @staticmethod
    def joined(parts: list[Measured]) -> Measured:
        """Return all people as one."""
        return Measured(
            **{f.name: np.concatenate([getattr(p, f.name) for p in parts])
               for f in fields(Measured)}
        )  # fmt: skip


def measured_of(
    people: AnnotatedPeople,
    found: tuple[np.ndarray, np.ndarray],
    half: np.ndarray,
    *,
    torsos: np.ndarray | None = None,
    moving: bool = False,
    hidden: np.ndarray | None = None,
) -> Measured:
    """Return people with their poses (P, 17, 2) and scores (P, 17); images unless told else."""
    truth, count = people.keypoints.astype(float), len(people)
    visible = people.visible & np.isin(np.arange(17), JOINTS)
    return Measured(
        truth,
        visible,
        found[0].astype(float),
        found[1].astype(float),
        torso_lengths(truth, COCO_17) if torsos is None else torsos,
        ~people.sides_unknown,
        np.full(count, moving),
        np.zeros_like(visible) if hidden is None else hidden & visible,
        np.full(count, hidden is not None),
        half,
        np.full(count, -1),
        np.zeros(count),
    )


def measure_people(shared: Path, pose: str, cache: Path, limit: int | None) -> Measured:
    """Return everyone in given boxes; poses that ``cache`` has are not estimated again.

    Raises:
        SkelactError: if a file is missing or the model cannot be run.
    """
    cv2.setNumThreads(1)
    estimator = PoseEstimator(pose, device="cpu", num_threads=1)
    estimator.load()

    def found(name: str, people: AnnotatedPeople) -> tuple[np.ndarray, np.ndarray]:
        return _estimated(estimator, people, cache / f"{name}.npz")

    def some(people: AnnotatedPeople) -> AnnotatedPeople:
        return people.take(np.arange(min(len(people), limit or len(people))))

    lspet = some(scored(load_lspet(shared, "dev", read_corrections("lspet"))))
    grounded = some(scored(load_posetrack(shared / "data" / "pose_gt" / "posetrack18")))
    divers = some(scored(load_divers(shared)))
    hand, hidden, torsos = load_hand_people(shared)
    return Measured.joined([
        # Numbers of this part are 3, 23, 43, ...
        measured_of(lspet, found("lspet", lspet), lspet.numbers // 20 % 2),
        measured_of(grounded, found("posetrack18", grounded), np.arange(len(grounded)) % 2),
        measured_of(divers, found("divers", divers),
                    np.arange(len(divers)) // _BLOCK_FRAMES % 2, moving=True),
        measured_of(some(hand), found("hand", some(hand)),
                    hand.numbers[:limit] // _BLOCK_FRAMES % 2,
                    torsos=torsos[:limit], moving=True, hidden=hidden[:limit]),
    ])  # fmt: skip


def _estimated(
    estimator: PoseEstimator, people: AnnotatedPeople, path: Path
) -> tuple[np.ndarray, np.ndarray]:
    if path.exists():
        with np.load(path, allow_pickle=False) as file:
            if len(file["keypoints"]) == len(people):
                return file["keypoints"], file["scores"]
    poses = estimate(estimator, people, DEFAULT_EFFORT, 16)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, keypoints=poses.keypoints, scores=poses.scores)
    return poses.keypoints, poses.scores


def load_posetrack(folder: Path) -> AnnotatedPeople:
    """Return the people of PoseTrack18's frames, whose points 5 to 16 are those of COCO."""
    path = folder / "annotations" / "test_posetrack18_val.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        files = {image["id"]: folder / image["file_name"] for image in values["images"]}
        people = [person for person in values["annotations"] if person["num_keypoints"]]
        images = [files[person["image_id"]].read_bytes() for person in people]
    except (OSError, ValueError, KeyError) as error:
        raise SkelactError(f"{path}: expected PoseTrack18's annotations: {error!r}") from error
    points = np.array([person["keypoints"] for person in people], np.float32).reshape(-1, 17, 3)
    visible = points[..., 2] > 0
    visible[:, :5] = False
    return AnnotatedPeople(
        images,
        [str(person["id"]) for person in people],
        np.arange(len(people)),
        np.ascontiguousarray(points[..., :2]),
        visible,
        np.zeros(len(people), bool),
    )


def load_hand_people(shared: Path) -> tuple[AnnotatedPeople, np.ndarray, np.ndarray]:
    """Return the people annotated by eye, their hidden joints (P, 17) and torsos (P,) pixels.

    A torso that points at the camera is short: at least half of the clip's longest is the measure.
    """
    frames = load_flight_joints()
    longest = clip_torsos(frames)
    images = []
    for image in read_frames(shared, frames):
        images.append(cv2.imencode(".png", image[..., ::-1])[1].tobytes())
    points = np.stack([frame.keypoints for frame in frames])
    visible = np.isfinite(points).all(axis=-1)
    torsos = np.fmax(torso_lengths(points, COCO_17), [longest[frame.video] / 2 for frame in frames])
    people = AnnotatedPeople(
        images,
        [f"{frame.video} {frame.frame}" for frame in frames],
        np.array([frame.frame for frame in frames]),
        np.where(visible[..., None], points, 0).astype(np.float32),
        visible,
        np.zeros(len(frames), bool),
    )
    seen = np.stack([frame.visible for frame in frames])
    complete = np.flatnonzero(np.isfinite(torso_lengths(points, COCO_17)))
    return people.take(complete), (visible & ~seen)[complete], torsos[complete]


def measure_clips(shared: Path, pose: str, cache: Path) -> Measured:
    """Return the annotated frames of clips with what the whole chain finds in them.

    Frames without a skeleton have NaN keypoints. ``half`` means nothing here.

    Raises:
        SkelactError: if a clip cannot be read.
    """
    config, parts = ExtractConfig(pose=pose, device="cpu", num_threads=1), []
    for name in ("divers", "hand"):
        clips = set_clips(shared, name, JOINTS_FILE, cache)
        sequences = extract_all(clips, config, cache / name)
        truths = load_diver(shared) if name == "divers" else load_hand(JOINTS_FILE, sequences)
        for video, truth in truths.items():
            points = truth.keypoints
            visible = np.isfinite(points).all(axis=-1)
            complete = np.isfinite(torso_lengths(points, COCO_17))
            found = athlete_keypoints(sequences[video], truth.frames)
            scores = _athlete_scores(sequences[video], truth.frames)
            count, number = len(points), len(parts)
            parts.append(
                Measured(
                    np.where(visible[..., None], points, 0),
                    visible & np.isin(np.arange(17), JOINTS),
                    found,
                    scores,
                    truth.torsos,
                    np.ones(count, bool),
                    np.ones(count, bool),
                    np.zeros_like(visible),
                    np.zeros(count, bool),
                    np.zeros(count, int),
                    np.full(count, number),
                    truth.frames / float(sequences[video].fps),
                ).take(complete)
            )
    return Measured.joined(parts)


def _athlete_scores(sequence: SkeletonSequence, frames: np.ndarray) -> np.ndarray:
    """Return (T, 17) scores of the first skeleton in some frames, 0 where there is none."""
    if not sequence.num_person or not sequence.num_frames:
        return np.zeros((len(frames), 17))
    steps = np.searchsorted(sequence.frame_inds, frames).clip(max=sequence.num_frames - 1)
    there = (sequence.frame_inds[steps] == frames)[:, None]
    return np.asarray(np.where(there, sequence.keypoint_scores[0, steps], 0.0))


def simulated(people: Measured, draw: Callable[..., tuple[np.ndarray, np.ndarray]]) -> Measured:
    """Return the same people with other poses, those of ``draw(keypoints, hidden, moving)``.

    Joints that are not annotated are put in the middle of the others. Each person is a clip of one
    frame.
    """
    shown = people.visible[..., None]
    middle = (people.truth * shown).sum(axis=1) / np.maximum(shown.sum(axis=1), 1)
    points = np.where(shown, people.truth, middle[:, None]).astype(np.float32)
    found, scores = draw(points[:, None], people.hidden[:, None], people.moving[:, None])
    values = {f.name: getattr(people, f.name) for f in fields(people)}
    return Measured(**values | {"found": found[:, 0].astype(float), "scores": scores[:, 0]})
