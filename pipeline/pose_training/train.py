"""``skelact train-pose``: from annotated people to a pose model, the mean of several runs."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ... import SkelactError
from ...pose_extract.common.files import atomic_write, sha256_of
from ...pose_extract.common.plain import changes, parse_json, read_text
from ...pose_extract.layout import COCO_17
from ...pose_extract.nets.lite_hrnet import LiteHRNet
from ...pose_extract.nets.mmpose_adapter import build_pose_model
from ...pose_extract.pose.estimator import PoseEstimator
from ...pose_extract.weights.bundle import BundleMeta, is_bundle, save_bundle
from ...pose_extract.weights.table import WEIGHTS
from ..config import check_seed
from ..distill.labelled_frames import LabelledFrames, read_teachers
from ..distill.warp import SEEN_SCORE
from ..training.log import LOG, console_log
from ..training.processes import is_main_process
from ..training.runner import train_module
from .faces import FACES_NAME, find_faces
from .folding import folded, load_folded
from .module import InputFormat, PoseTraining, TrainPoseConfig, measure
from .people import AnnotatedPeople, corrected, read_corrections
from .people_files import read_people
from .pose_samples import PoseSamples

_FACE = slice(0, 5)
# The stored square shows a person's longer side with as many pixels as a crop of usual padding has,
# over four fifths: the images of Leeds Sports Pose Extended show about 150.
_STORED_SHARE = 1.25
# In the work_dir: what its runs learn, and how.
RUNS_NAME = "runs.json"
# How many settings that changed are named.
_MAX_NAMED = 3


def train_pose(
    config: TrainPoseConfig,
    annotations: Sequence[str | Path],
    work_dir: str | Path,
    *,
    labels: str | Path | None = None,
    seeds: Sequence[int] = (0,),
    device: str = "auto",
    resume: bool = False,
    quiet: bool = False,
) -> Path:
    """Train a pose model with each seed and export the mean of their weights.

    Args:
        config: What to do.
        annotations: Files of annotated people, see :func:`read_people`.
        work_dir: Gets the result, a folder per seed with its state and logs, and what the start
            model says of the faces.
        labels: Folder of labelled frames (`skelact distill label`), whose people are mixed in.
        seeds: Seed of each run's order and samples. All start from the same weights, so their
            weights can be averaged (Wortsman et al., Model soups, ICML 2022).
        device: "auto", "cpu", "cuda" or "cuda:N".
        resume: Go on from the last states in ``work_dir``.
        quiet: Log warnings alone.

    Returns:
        Path of the JSON of an exported bundle ``pose``, or, for an MMPose model, of its checkpoint
        ``pose.pth``.

    Raises:
        SkelactError: if there is nobody to learn from, files cannot be read or would be written
            over, or the runs in ``work_dir`` are of other data or settings.
    """
    work_dir = Path(work_dir)
    if not seeds:
        raise SkelactError("seeds: expected at least one")
    for seed in seeds:
        check_seed(seed)
    if labels is not None and Path(labels).resolve() == work_dir.resolve():
        raise SkelactError(f"{work_dir}: expected another folder for the results than the labels'")
    with console_log(quiet):
        return _train_pose(config, annotations, work_dir, labels, seeds, device, resume, quiet)


def _train_pose(
    config: TrainPoseConfig,
    annotations: Sequence[str | Path],
    work_dir: Path,
    labels: str | Path | None,
    seeds: Sequence[int],
    device: str,
    resume: bool,
    quiet: bool,
) -> Path:
    """Train with arguments that were checked; see :func:`train_pose`."""
    labelled = LabelledFrames.load(labels) if labels is not None else None
    start = PoseEstimator(config.start)
    network, network_config = start.build()
    network.eval()
    format = InputFormat.of(network_config)
    people = _chosen_people(config, annotations)
    train_rows, val_rows = _split(people, config)
    data: dict[str, Any] = {
        "annotations": [
            {"name": Path(path).name, "sha256": sha256_of(Path(path))} for path in annotations
        ],
        "images_sha256": _sha256(people.images),
        "started_from": start.identity(),
        "teachers": read_teachers(labels) if labels is not None else None,
        "labels_sha256": _sha256(_arrays(labelled)) if labelled is not None else None,
    }
    if is_main_process():
        _begin_runs(work_dir / RUNS_NAME, _settings(config) | data, resume)
    LOG.info(
        "%d people to learn from, %d to measure on; faces are looked for first",
        len(train_rows),
        len(val_rows),
    )
    side = round(_STORED_SHARE * max(format.input_wh))
    faces = find_faces(config.start, people, device, work_dir / FACES_NAME)
    samples = people_as_frames(people, faces)
    held_out = PoseSamples(samples, val_rows, side) if val_rows else None
    weights: list[dict[str, Tensor]] = []
    figures: dict[str, Any] = {}
    learned_from = 0
    for seed in seeds:
        frames, rows = samples, list(train_rows)
        if labelled is not None and config.labelled_share:
            drawn = _draw_people(labelled, config.labelled_share * len(train_rows), seed)
            rows += [len(samples.person_frames) + i for i in range(len(drawn.person_frames))]
            frames = LabelledFrames.concatenate([samples, drawn])
        unknown = np.zeros(len(rows), bool)
        unknown[: len(train_rows)] = people.sides_unknown[train_rows]
        learned_from = len(rows)
        module = PoseTraining(
            PoseSamples(frames, rows, side), unknown, held_out, folded(network), format, config
        )
        module = train_module(
            module,
            config.optim,
            config.runtime,
            work_dir / f"seed_{seed}",
            seed=seed,
            device=device,
            resume=resume,
            quiet=quiet,
        ).eval()
        weights.append({k: v.detach().clone() for k, v in module.net.state_dict().items()})
        if held_out is not None:
            figures[f"seed_{seed}"] = measure(module.net, format, held_out)
            LOG.info("seed %d: %s", seed, figures[f"seed_{seed}"])
    if not is_main_process():
        return _result_path(config, work_dir)
    average = folded(network)
    average.load_state_dict(mean_weights(weights, average.state_dict(), config.start_weight))
    if held_out is not None:
        figures = {**measure(average, format, held_out), **figures}
    load_folded(network, average)
    data |= {
        "annotated_people": len(train_rows),
        "learned_from": learned_from,
        "held_out": len(val_rows),
        "seeds": list(seeds),
    }
    return _export(network, config, work_dir, data, figures, format)


def _sha256(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _arrays(labelled: LabelledFrames) -> Iterator[bytes]:
    for field in dataclasses.fields(labelled):
        yield getattr(labelled, field.name).tobytes()


def _settings(config: TrainPoseConfig) -> dict[str, Any]:
    """Return the settings that a run cannot change on its way, JSON-able."""
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    # Longer runs go on from shorter ones, and the start's weight counts after the last epoch.
    for name in ("runtime", "start_weight"):
        del values[name]
    del values["optim"]["epochs"]
    return {"config": values}


def _begin_runs(path: Path, record: dict[str, Any], resume: bool) -> None:
    """Write what the runs in a folder learn and how, or check it where they go on.

    Raises:
        SkelactError: naming what differs.
    """
    record = json.loads(json.dumps(record))
    if resume and path.is_file():
        before = parse_json(read_text(path), str(path))
        for name, value in record.items():
            if before.get(name) != value:
                why = "; ".join([*changes(before.get(name), value, name)][:_MAX_NAMED])
                raise SkelactError(
                    f"{path}: the runs there began with other {name} ({why}); take them up with "
                    "what they began with, or name another --work-dir"
                )
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def mean_weights(
    runs: Sequence[dict[str, Tensor]], start: dict[str, Tensor], start_weight: float
) -> dict[str, Tensor]:
    """Return the mean of several runs' weights, moved by a share of the way to their start's."""
    mean = {}
    for name, first in start.items():
        if first.is_floating_point():
            average = torch.stack([run[name] for run in runs]).mean(dim=0)
            mean[name] = average.lerp(first, start_weight)
        else:
            mean[name] = first
    return mean


def _chosen_people(config: TrainPoseConfig, annotations: Sequence[str | Path]) -> AnnotatedPeople:
    if not annotations:
        raise SkelactError("expected at least one file of annotated people")
    people = everyone = AnnotatedPeople.concatenate([read_people(path) for path in annotations])
    if config.excluded:
        divisor, remainder = config.excluded
        people = people.take(np.flatnonzero(people.numbers % divisor != remainder))
    count = len(people)
    if config.corrections:
        people = corrected(people, read_corrections(config.corrections))
    LOG.info(
        "%d annotated people: %d excluded by number, %d unusable by the corrections %r",
        len(everyone),
        len(everyone) - count,
        count - len(people),
        config.corrections,
    )
    return _inside_images(people)


def _inside_images(people: AnnotatedPeople) -> AnnotatedPeople:
    """Return people without the joints that lie outside their images, which teach nothing."""
    outside = people.joints_outside()
    if not outside.any():
        return people
    LOG.warning(
        "%d of %d annotated joints, of %d of %d people, lie outside their images and are not "
        "learned: are all keypoints in pixels of these images?",
        outside.sum(),
        people.visible.sum(),
        outside.any(axis=1).sum(),
        len(people),
    )
    inside = dataclasses.replace(people, visible=people.visible & ~outside)
    rows = np.flatnonzero(inside.visible.any(axis=1))
    if not len(rows):
        raise SkelactError(
            "all annotated joints lie outside their images: expected keypoints in pixels of the "
            "images, x from the left and y from the top"
        )
    return inside.take(rows)


def _split(people: AnnotatedPeople, config: TrainPoseConfig) -> tuple[list[int], list[int]]:
    """Return the rows of people to learn from and of those to measure on."""
    is_held_out = np.zeros(len(people), bool)
    if config.held_out:
        divisor, remainder = config.held_out
        is_held_out = people.numbers % divisor == remainder
    train = np.flatnonzero(~is_held_out).tolist()
    if not train:
        raise SkelactError("nobody to learn from: all annotated people are excluded or held out")
    return train, np.flatnonzero(is_held_out & ~people.sides_unknown).tolist()


def people_as_frames(
    people: AnnotatedPeople, faces: tuple[np.ndarray, np.ndarray]
) -> LabelledFrames:
    """Return annotated people as labelled frames, one frame each.

    Args:
        people: The people.
        faces: Keypoints (N, 17, 2) and scores (N, 17) of a model, for joints of the face that are
            not annotated.
    """
    is_face = np.zeros(COCO_17.num_keypoints, bool)
    is_face[_FACE] = True
    taken = is_face & ~people.visible & (faces[1] >= SEEN_SCORE)
    keypoints = np.where(taken[..., None], faces[0], people.keypoints)
    peaks = np.where(taken, np.minimum(faces[1], 1.0), people.visible).astype(np.float32)
    return LabelledFrames(
        jpegs=np.frombuffer(b"".join(people.images), np.uint8),
        jpeg_ends=np.cumsum([len(image) for image in people.images], dtype=np.int64),
        names=np.array(people.names, np.str_),
        person_frames=np.arange(len(people), dtype=np.int64),
        bboxes=people.bboxes(),
        keypoints=keypoints.astype(np.float32),
        peaks=peaks,
        weights=(taken | people.visible).astype(np.float32),
        ignored_frames=np.zeros(0, np.int64),
        ignored=np.zeros((0, 4), np.float32),
    )


def _draw_people(labelled: LabelledFrames, count: float, seed: int) -> LabelledFrames:
    """Return labelled frames with people drawn at random."""
    total = len(labelled.person_frames)
    rows = np.sort(np.random.default_rng(seed).permutation(total)[: round(min(count, total))])
    return dataclasses.replace(
        labelled,
        person_frames=labelled.person_frames[rows],
        bboxes=labelled.bboxes[rows],
        keypoints=labelled.keypoints[rows],
        peaks=np.minimum(labelled.peaks[rows], 1.0),
        weights=labelled.weights[rows],
    )


def _is_ours(start: str) -> bool:
    return start in WEIGHTS or is_bundle(start)


def _result_path(config: TrainPoseConfig, work_dir: Path) -> Path:
    return work_dir / ("pose.json" if _is_ours(config.start) else "pose.pth")


def _export(
    network: Any,
    config: TrainPoseConfig,
    work_dir: Path,
    data: dict[str, Any],
    figures: dict[str, Any],
    format: InputFormat,
) -> Path:
    record = json.loads(json.dumps(dataclasses.asdict(config)))
    path = _result_path(config, work_dir)
    if _is_ours(config.start):
        meta = BundleMeta(
            kind="pose",
            input_wh=format.input_wh,
            network=LiteHRNet(),
            config=record,
            data=data,
            seed=data["seeds"][0],
            figures=figures,
        )
        plain = build_pose_model(LiteHRNet().pose_config(format.input_wh)["model"])
        plain.load_state_dict(network.state_dict())
        return save_bundle(path.with_suffix(""), plain, meta)
    meta_values = {"config": record, "data": data, "figures": figures}
    with atomic_write(path) as temporary:
        torch.save(
            {"state_dict": copy.deepcopy(network.state_dict()), "meta": meta_values}, temporary
        )
    return path
