"""Skeleton files of public benchmarks, in their published format, with made-up skeletons.

What is known of a file says where it is known from:

- [doc] the description of PYSKL's files, ``tools/data/README.md`` of its repository, and its script
  ``tools/data/custom_2d_skeleton.py``: float16 arrays, one row of persons per detection of a frame,
  zeros where a frame has fewer, ``num_person_raw``. mmcv, which writes them, uses protocol 2.
- [lists] the published lists of clips: FineGym's (8,521 clips of Gym99's val split), Diving48 V2's
  (1,970 test clips of 24 to 331 frames, half of them up to 103), NTU's of clips without skeletons
  (302 of 56,880 and 535 of 114,480, which the splits leave out).
- [card] the description of Gym288-skeleton (FineTec, AAAI 2026).
- [open] what none of these says, and is assumed here.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# A standing person, in units of half its height: x and y of the 17 COCO keypoints.
_BODY = np.array(
    [[0, -.9], [-.03, -.93], [.03, -.93], [-.07, -.9], [.07, -.9], [-.2, -.7], [.2, -.7],
     [-.26, -.45], [.26, -.45], [-.3, -.2], [.3, -.2], [-.12, -.2], [.12, -.2], [-.14, .3],
     [.14, .3], [-.15, .8], [.15, .8]],
    np.float32,
)  # fmt: skip
# Share of the frames in which no person was found [open].
_LOST = 0.03
# Number of clips of the short splits, which a file of the full size has beyond the published ones.
SHORT = {"short": 256, "short_val": 128}


@dataclass(frozen=True)
class PublishedFile:
    """What a file of a benchmark is like.

    Attributes:
        name: File name, as its authors call it.
        protocols: Pairs of splits, each over all clips: {name: clips} of training and measuring.
        num_classes: Number of classes.
        lengths: Frames of the shortest clip, and of quantiles up to the longest.
        quantiles: Which quantiles these are, 0 first and 1 last.
        img_shape: (height, width) in pixels.
        persons: "one", "mutual" (two in the classes of ``mutual``) or "detections" (0 to 4).
        mutual: Classes of two people.
        has_extra_poses: With ``kp_wo_gt`` and ``kp_w_gt`` of float32.
        writes_num_raw: With ``num_person_raw`` and without ``original_shape``.
        protocol: Of the pickle.
    """

    name: str
    protocols: tuple[dict[str, int], ...]
    num_classes: int
    lengths: tuple[int, ...]
    quantiles: tuple[float, ...]
    img_shape: tuple[int, int]
    persons: str = "one"
    mutual: tuple[int, ...] = ()
    has_extra_poses: bool = False
    writes_num_raw: bool = False
    protocol: int = 2

    @property
    def num_clips(self) -> int:
        """Clips of the published file."""
        return sum(self.protocols[0].values())


# Gym99: of the 29,005 records 19,437 have fewer than 48 frames and 1,999 have 96 or more, as a
# public script counted; FineGym (CVPR 2020) has 20,484 and 8,521 clips. Gym288's lengths [open].
_GYM = {"lengths": (10, 48, 96, 200), "quantiles": (0.0, 0.67, 0.93, 1.0), "img_shape": (720, 1280)}
# NTU (CVPR 2016, TPAMI 2020): 4 million frames of 56,880 clips, 8 of 114,480, so 70 each; at most
# 300. Two people in A50 to A60 and A106 to A120.
_NTU: dict[str, Any] = {
    "lengths": (30, 70, 100, 300),
    "quantiles": (0.0, 0.6, 0.95, 1.0),
    "img_shape": (1080, 1920),
    "persons": "mutual",
    "mutual": (*range(49, 60), *range(105, 120)),
}

FILES = {
    file.name: file
    for file in (
        PublishedFile("gym_hrnet.pkl", ({"train": 20484, "val": 8521},), 99, **_GYM),
        PublishedFile(
            "gym288_skeleton.pkl", ({"train": 28739, "test": 9484},), 288, **_GYM,
            has_extra_poses=True, protocol=4,
        ),
        PublishedFile(
            "diving48_hrnet.pkl", ({"train": 15027, "test": 1970},), 48,
            (24, 103, 194, 331), (0.0, 0.5, 0.95, 1.0), (256, 454),  # the size is [open]
            persons="detections", writes_num_raw=True,
        ),
        PublishedFile(
            "ntu60_hrnet.pkl",
            ({"xsub_train": 40091, "xsub_val": 16487}, {"xview_train": 37646, "xview_val": 18932}),
            60, **_NTU,
        ),
        PublishedFile(
            "ntu120_hrnet.pkl",
            ({"xsub_train": 63026, "xsub_val": 50919}, {"xset_train": 54468, "xset_val": 59477}),
            120, **_NTU,
        ),
    )
}  # fmt: skip


def write_file(file: PublishedFile, folder: Path, num_clips: int = 0, seed: int = 0) -> Path:
    """Write a file with its published quirks.

    Args:
        file: Which.
        folder: Where to, under its own name.
        num_clips: Clips in it, at least one of each class; 0 for the published number.
        seed: Of everything that is drawn.

    Returns:
        Its path.
    """
    rng = np.random.default_rng(seed)
    count = num_clips or file.num_clips
    # Each class occurs among the first clips of a split: they come in turns.
    labels = np.arange(count) % file.num_classes
    records = list(_records(file, labels, rng))
    names = np.array([record["frame_dir"] for record in records])
    splits: dict[str, list[str]] = {}
    for protocol in file.protocols:
        (train, _), (val, of_val) = protocol.items()
        num_val = round(count * of_val / file.num_clips)
        order = rng.permutation(count)
        splits |= {train: names[order[num_val:]].tolist(), val: names[order[:num_val]].tolist()}
    start = 0
    for name, size in SHORT.items():
        splits[name] = names[start : start + size].tolist()
        start += size
    path = folder / file.name
    with path.open("wb") as stream:
        pickle.dump({"split": splits, "annotations": records}, stream, protocol=file.protocol)
    return path


def _records(
    file: PublishedFile, labels: np.ndarray, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    height, width = file.img_shape
    lengths = np.interp(rng.random(len(labels)), file.quantiles, file.lengths).astype(int)
    for i, (label, num_frames) in enumerate(zip(labels.tolist(), lengths.tolist())):
        num_person = _num_person(file, label, rng)
        keypoints = _move(label, num_person, num_frames, height, rng)
        keypoints[..., 0] += width / 2
        keypoints[..., 1] += height / 2
        scores = rng.random(keypoints.shape[:3], np.float32)
        # A frame without anybody, and one with fewer people than the fullest, is zeros.
        found = rng.random((num_person, num_frames)) >= _LOST
        keypoints *= found[..., None, None]
        scores *= found[..., None]
        record: dict[str, Any] = {
            "frame_dir": f"clip_{i:06d}_{label:03d}",
            "label": label,
            "img_shape": file.img_shape,
            "original_shape": file.img_shape,
            "total_frames": num_frames,
            "keypoint": keypoints.astype(np.float16),
            "keypoint_score": scores.astype(np.float16),
        }
        if file.writes_num_raw:
            del record["original_shape"]
            record["num_person_raw"] = num_person
        if file.has_extra_poses:
            pose = np.concatenate([keypoints[0], scores[0][..., None]], axis=-1)
            record |= {"kp_wo_gt": np.zeros_like(pose), "kp_w_gt": pose}
        yield record


def _num_person(file: PublishedFile, label: int, rng: np.random.Generator) -> int:
    if file.persons == "detections":
        # Nobody is found in a whole clip now and then: (0, T, 17, 2) [open how often].
        return int(rng.choice([0, 1, 2, 3, 4], p=[0.01, 0.39, 0.3, 0.2, 0.1]))
    return 2 if file.persons == "mutual" and label in file.mutual else 1


def _move(
    label: int, num_person: int, num_frames: int, height: int, rng: np.random.Generator
) -> np.ndarray:
    """Return (M, T, 17, 2) float32, pixels about the middle of the image.

    A class is a rate of rotation and a joint that swings; its clips differ in size and phase.
    """
    time = np.linspace(0, 2 * np.pi, num_frames, dtype=np.float32)
    angle = time * (label % 7 - 3) / 2 + rng.normal(0, 0.3)
    cos, sin = np.cos(angle), np.sin(angle)
    body = np.repeat(_BODY[None], num_frames, axis=0)
    body[:, label % 17, 1] += 0.4 * np.sin(time * (1 + label // 17) + rng.uniform(0, 6))
    body += rng.normal(0, 0.02, body.shape).astype(np.float32)
    turn = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)
    body = (body @ turn) * np.float32(height * rng.uniform(0.1, 0.25))
    out = np.repeat(body[None].astype(np.float32), num_person, axis=0)
    out[1:, ..., 0] += height / 5
    return out
