"""Clips of athletes whose joints are known, and where these are in some of the frames.

Three sets: the frames of one platform dive (`divers`), frames in flight annotated by eye (`hand`),
and clips whose joints were measured in metres (`parkour`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from flight_camera import CameraFit, Views, fit_cameras
from flight_joints import clip_torsos, load_flight_joints
from flight_people import JOINTS, load_divers

from skelact.pipeline.inference.frame_spool import write_frames
from skelact.pose_extract.common.files import atomic_write
from skelact.pose_extract.common.geometry import torso_lengths
from skelact.pose_extract.layout import COCO_17
from skelact.pose_extract.skeleton import SkeletonSequence
from skelact.pose_extract.sources import ClipSource, find_sources

SETS = ("divers", "hand", "parkour")
# The 35 frames show about 1.4 s, as long as a dive from the platform takes.
_DIVER_FPS = Fraction(25)

Sequences = Mapping[str, SkeletonSequence]


@dataclass(frozen=True, eq=False)
class Truth:
    """Where the athlete's joints are in T frames of a clip.

    Attributes:
        frames: (T,) numbers of the frames.
        keypoints: (T, 17, 2) float64, square pixels; NaN where it is not known.
        torsos: (T,) the length that distances are measured by, pixels.
    """

    frames: np.ndarray
    keypoints: np.ndarray
    torsos: np.ndarray


def athlete_keypoints(sequence: SkeletonSequence, frames: np.ndarray) -> np.ndarray:
    """Return (T, 17, 2) pixels of the first skeleton in some frames; NaN where it is not seen."""
    result = np.full((len(frames), 17, 2), np.nan)
    if not sequence.num_person or not sequence.num_frames:
        return result
    steps = np.searchsorted(sequence.frame_inds, frames).clip(max=sequence.num_frames - 1)
    seen = (sequence.frame_inds[steps] == frames)[:, None] & (sequence.keypoint_scores[0] > 0)[
        steps
    ]
    result[seen] = sequence.keypoints[0, steps][seen]
    return result


def set_clips(shared: Path, name: str, joints: Path, folder: Path) -> list[ClipSource]:
    """Return the clips of a set."""
    if name == "divers":
        return [diver_clip(shared, folder)]
    if name == "parkour":
        return find_sources([shared / "videos" / "parkour"])
    videos = sorted({frame.video for frame in load_flight_joints(joints)})
    return [ClipSource(shared / video, video) for video in videos]


def diver_clip(shared: Path, folder: Path) -> ClipSource:
    """Return the frames of the diver as a clip without loss; it is written to ``folder`` once."""
    path = folder / "diver1.mkv"
    if not path.exists():
        people = load_divers(shared)
        with atomic_write(path) as temporary:
            write_frames(temporary, map(people.image, range(len(people))), _DIVER_FPS)
    return ClipSource(path, path.name)


def load_diver(shared: Path) -> dict[str, Truth]:
    """Return the annotated joints of the dive, by clip; each frame's torso is the measure."""
    people = load_divers(shared)
    keypoints = np.where(people.visible[..., None], people.keypoints, np.nan)
    return {
        "diver1.mkv": Truth(np.arange(len(keypoints)), keypoints, torso_lengths(keypoints, COCO_17))
    }


def load_hand(joints: Path, sequences: Sequences) -> dict[str, Truth]:
    """Return the joints annotated by eye, by clip, in square pixels.

    A torso that points at the camera is short: at least half of the clip's longest is the measure.
    """
    frames = load_flight_joints(joints)
    longest, truths = clip_torsos(frames), {}
    for video, sequence in sequences.items():
        mine = [frame for frame in frames if frame.video == video]
        keypoints = np.stack([frame.keypoints for frame in mine])
        keypoints[..., 0] *= float(sequence.pixel_aspect)
        torsos = np.fmax(torso_lengths(keypoints, COCO_17), longest[video] / 2)
        truths[video] = Truth(np.array([frame.frame for frame in mine]), keypoints, torsos)
    return truths


def measured_joints(folder: Path) -> dict[str, np.ndarray]:
    """Return the measured joints (S, 17, 3) of parkour clips in metres, by clip; no face (NaN)."""
    with np.load(folder / "joints_3d.npz") as file:
        names = file["joint_names"].tolist()
        clips = {name: file[name] for name in file.files if name not in ("joint_names", "fps")}
    order = [
        names.index(COCO_17.keypoint_names[joint].replace("left_", "l_").replace("right_", "r_"))
        for joint in JOINTS
    ]
    result = {}
    for name, joints in clips.items():
        points = np.full((len(joints), 17, 3), np.nan)
        points[:, JOINTS] = joints[:, order]
        result[f"{name}.mp4"] = points
    return result


def views_of(joints: np.ndarray, sequences: Sequence[SkeletonSequence]) -> Views:
    """Return what the camera of a clip is fitted to: the poses of all models in even frames."""
    even = [sequence.frame_inds[sequence.frame_inds % 2 == 0] for sequence in sequences]
    poses = [athlete_keypoints(*pair) for pair in zip(sequences, even)]
    keypoints = np.concatenate(poses)
    lengths = torso_lengths(keypoints, COCO_17)
    lengths = lengths[np.isfinite(lengths)]
    return Views(
        keypoints[:, JOINTS],
        np.concatenate(even),
        joints[:, JOINTS],
        sequences[0].num_frames,
        sequences[0].img_shape,
        float(np.median(lengths)) if len(lengths) else np.nan,
    )


def load_parkour(
    joints: Mapping[str, np.ndarray], models: Sequence[Sequences], seed: int
) -> tuple[dict[str, Truth], dict[str, CameraFit | None], float]:
    """Return where the measured joints are in the odd frames of parkour clips.

    The dataset has no cameras. One per clip is fitted to the poses of the even frames, of all
    models together, so that all are measured by the same truth; the odd frames alone are scored.
    Errors that a model makes in all frames alike are in the camera, too, so that the shares are
    upper bounds in this respect: they say how well poses agree with a moving body. Cameras fitted
    to either of two models place joints .035 torsos apart in the median, and .08 at most for nine
    in ten.

    All twelve joints take part in the fit. Shoulders and hips alone, side by side in a view from
    the side, leave the camera free to rotate: by cameras fitted to them 41 % of the limbs of odd
    frames are in place, and 67 % by cameras fitted to all joints. In another respect the shares are
    too low: the measured hips lie .1 to .2 torsos above those that models trained on COCO find.
    Limbs do not have this offset.

    Args:
        joints: (S, 17, 3) measured joints in metres, by clip.
        models: The skeletons of the same clips by each model.
        seed: Of the fits.

    Returns:
        The truth of each clip whose fit has not failed, the fits, and the focal length in pixels.
    """
    views = {
        name: views_of(joints[name], [sequences[name] for sequences in models])
        for name in models[0]
    }
    fits, focal = fit_cameras(views, seed)
    truths = {}
    for name, fit in fits.items():
        if fit is None:
            continue
        frames = models[0][name].frame_inds
        frames = frames[frames % 2 == 1]
        keypoints = fit.project(joints[name], frames)
        torsos = torso_lengths(keypoints, COCO_17)
        inside = np.isfinite(torsos)
        torsos = np.fmax(torsos, np.max(torsos[inside], initial=0) / 2)
        truths[name] = Truth(frames[inside], keypoints[inside], torsos[inside])
    return truths, fits, focal
