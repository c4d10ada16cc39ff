"""How well athletes in clips are found, followed and posed end to end, boxes not given.

`clips` extracts skeletons as `skelact extract` does and scores the first one where joints are
known: on the frames of one platform dive (`divers`), on frames in flight annotated by eye (`hand`),
and on the measured joints of parkour clips (`parkour`), whose cameras are fitted to the poses
themselves: see `flight_truths.load_parkour`. Where the athlete is not found, or the first skeleton
is another person, all joints of the frame are missed. How well boxes alone are held is the matter
of `athlete.py`.

    python benchmarks/flight.py clips ../shared --cache work_dirs/flight
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from flight_camera import CameraFit
from flight_figures import NEAR_TORSOS, TILTS, Share, share_of
from flight_joints import JOINTS_FILE
from flight_options import measure_options
from flight_people import JOINTS
from flight_truths import (
    SETS,
    Sequences,
    Truth,
    athlete_keypoints,
    load_diver,
    load_hand,
    load_parkour,
    measured_joints,
    set_clips,
)
from rich.console import Console
from rich.table import Table

from skelact import SkelactError
from skelact.pose_extract.batch import extract_clips, load_done
from skelact.pose_extract.common.files import atomic_write
from skelact.pose_extract.common.geometry import body_angles
from skelact.pose_extract.effort import DEFAULT_EFFORT, EFFORTS, Effort
from skelact.pose_extract.extract import ExtractConfig, Extractor
from skelact.pose_extract.layout import COCO_17
from skelact.pose_extract.skeleton import SkeletonSequence
from skelact.pose_extract.sources import ClipSource

# A body counts as exchanged if the exchange gives at least this many joints more: one pair is also
# exchanged by legs that cross.
MIN_EXCHANGED = 3
# Elbows, wrists, knees and ankles, whose measured places are those that COCO's annotators mark.
LIMBS = np.array([7, 8, 9, 10, 13, 14, 15, 16])
# A fifth of a second at 25 fps: about as long as a body in flight keeps its position, and with it
# the errors of its pose.
_BLOCK_FRAMES = 5


@dataclass(frozen=True, eq=False)
class Hits:
    """What was found of the athlete in F frames.

    Attributes:
        near: (F, 17) bool, joints within .2 torsos of their place.
        near_exchanged: (F, 17) bool, the same with all left and right joints of the pose exchanged.
        known: (F, 17) bool, joints whose place is known.
        followed: (F,) bool, whether the middle of the pose's joints lies within a torso of that of
            the athlete's: it is the athlete, however posed.
        tilts: (F,) degrees, 0 to 180, of the athlete's torso from head up; NaN where not known.
        blocks: (F,) which frames are resampled together.
    """

    near: np.ndarray
    near_exchanged: np.ndarray
    known: np.ndarray
    followed: np.ndarray
    tilts: np.ndarray
    blocks: np.ndarray

    @property
    def exchanged(self) -> np.ndarray:
        """(F,) bool, frames in which left and right of the whole body are exchanged."""
        gain = self.near_exchanged.sum(axis=1) - self.near.sum(axis=1)
        return np.asarray(gain >= MIN_EXCHANGED)

    @property
    def free(self) -> np.ndarray:
        """(F, 17) bool, as ``near``, with left and right of each frame as they fit better."""
        better = self.near_exchanged.sum(axis=1) > self.near.sum(axis=1)
        return np.where(better[:, None], self.near_exchanged, self.near)

    @property
    def posed(self) -> np.ndarray:
        """(F,) bool, frames in which more than half of the known joints are in place.

        Left and right are free.
        """
        return np.asarray(2 * self.free.sum(axis=1) > self.known.sum(axis=1))


def hits_of(truth: Truth, keypoints: np.ndarray) -> Hits:
    """Compare poses (T, 17, 2), NaN where there is none, with the truth of the same frames."""
    known = np.isfinite(truth.keypoints).all(axis=-1)
    known[:, np.setdiff1d(np.arange(17), JOINTS)] = False
    reach = truth.torsos[:, None]

    def near(points: np.ndarray) -> np.ndarray:
        away = np.linalg.norm(points - truth.keypoints, axis=-1)
        return np.asarray(known & (away <= NEAR_TORSOS * reach))  # NaN is not near

    both = (known & np.isfinite(keypoints).all(axis=-1))[..., None]
    counts = np.maximum(both.sum(axis=1), 1)
    away = np.where(both, keypoints - truth.keypoints, 0).sum(axis=1) / counts
    return Hits(
        near(keypoints),
        near(keypoints[:, COCO_17.flip_inds()]),
        known,
        both.any(axis=(1, 2)) & (np.linalg.norm(away, axis=-1) <= truth.torsos),
        np.abs(body_angles(truth.keypoints, COCO_17)),
        truth.frames // _BLOCK_FRAMES,
    )


def joined(parts: Sequence[Hits]) -> Hits:
    """Return the hits of several clips as one; blocks of two clips stay apart."""
    start, blocks = 0, []
    for part in parts:
        blocks.append(part.blocks + start)
        start += int(part.blocks.max(initial=0)) + 1
    fields = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("near", "near_exchanged", "known", "followed", "tilts")
    }
    return Hits(**fields, blocks=np.concatenate(blocks))


@dataclass(frozen=True)
class ClipFigures:
    """What was found of athletes in a group of frames; intervals are over blocks of frames.

    Attributes:
        num_frames: How many frames.
        num_joints: How many joints are known in them.
        share: Share of these that is within .2 torsos.
        free: The same with left and right of the whole body as they fit better, per frame.
        posed: Share of frames in which more than half of the joints are, left and right free.
        followed: Share of frames in which the first skeleton is on the athlete.
        exchanged: Share of frames in which left and right of the whole body are exchanged.
        gain: What ``share`` gains over that of the first model in the same frames; None in it.
    """

    num_frames: int
    num_joints: int
    share: Share
    free: Share
    posed: Share
    followed: Share
    exchanged: Share
    gain: Share | None


def figures_of(hits: Hits, first: Hits | None, seed: int) -> dict[str, ClipFigures]:
    """Return the figures of all frames, of the limbs in them, and by the tilt of the athlete.

    Args:
        hits: Those of a model.
        first: Those of the first model, in the same frames, for gains over it.
        seed: Of the bootstrap.
    """
    everything = np.ones(len(hits.tilts), bool)
    groups = {"all": (everything, JOINTS), "limbs": (everything, LIMBS)}
    for name, (low, high) in TILTS.items():
        groups[name] = ((hits.tilts > low) & (hits.tilts <= high), JOINTS)
    return {
        name: _figures(hits, first, rows, joints, seed) for name, (rows, joints) in groups.items()
    }


def _figures(
    hits: Hits, first: Hits | None, rows: np.ndarray, joints: np.ndarray, seed: int
) -> ClipFigures:
    _, blocks = np.unique(hits.blocks[rows], return_inverse=True)
    num_blocks = int(blocks.max(initial=-1)) + 1

    def share(found: np.ndarray, counts: np.ndarray) -> Share:
        found, counts = (np.bincount(blocks, part[rows], num_blocks) for part in (found, counts))
        return share_of(found, counts, seed)

    def sums(values: np.ndarray) -> np.ndarray:
        return np.asarray(values[:, joints].sum(axis=1))

    known, frames = sums(hits.known), np.ones(len(rows))
    return ClipFigures(
        num_frames=int(rows.sum()),
        num_joints=int(known[rows].sum()),
        share=share(sums(hits.near), known),
        free=share(sums(hits.free), known),
        posed=share(hits.posed, frames),
        followed=share(hits.followed, frames),
        exchanged=share(hits.exchanged, frames),
        gain=None if first is None else share(sums(hits.near) - sums(first.near), known),
    )


def extract_all(
    clips: Sequence[ClipSource], config: ExtractConfig, folder: Path
) -> dict[str, SkeletonSequence]:
    """Return the skeletons of clips by their names; those in ``folder`` are not made again.

    Raises:
        SkelactError: if one cannot be read.
    """
    summary = extract_clips(
        clips,
        folder,
        Extractor(config),
        read_entries=True,
        on_entry=lambda entry: click.echo(f"{config.pose}, {entry.video}", err=True),
    )
    if summary.failed:
        raise SkelactError(f"{summary.failed[0].video}: {summary.failed[0].error}")
    return {entry.video: sequence for entry, sequence in load_done(summary, folder)}


def short_names(poses: Sequence[str]) -> list[str]:
    """Return the names of pose models: of files those without the folder, unless two are equal."""
    short = [Path(pose).stem if pose.endswith((".json", ".py")) else pose for pose in poses]
    return short if len(set(short)) == len(poses) else [pose.replace("/", "_") for pose in poses]


def config_of(pose: str, checkpoint: str | None, base: ExtractConfig) -> ExtractConfig:
    """Return how a pose model, by its name or file, is run."""
    # Models that have weights of their own take no others.
    checkpoint = checkpoint if pose.endswith(".py") else None
    return replace(base, pose=pose, pose_checkpoint=checkpoint)


def score(
    truths: Mapping[str, Truth], models: Mapping[str, Sequences], seed: int
) -> dict[str, dict[str, ClipFigures]]:
    """Return the figures of each model by group of frames."""
    results: dict[str, dict[str, ClipFigures]] = {}
    first: Hits | None = None
    for model, sequences in models.items():
        parts = [
            hits_of(truth, athlete_keypoints(sequences[clip], truth.frames))
            for clip, truth in truths.items()
        ]
        hits = joined(parts)
        results[model] = figures_of(hits, first, seed)
        first = first or hits
    return results


def figure_table(title: str, results: Mapping[str, Mapping[str, ClipFigures]]) -> Table:
    """Return a row per group of frames and model; all figures are in %, or per 100 frames."""
    table = Table(title=title, title_justify="left")
    for column in ("", "frames", "model"):
        table.add_column(column, no_wrap=True)
    for column in ("joints", "left/right free", "posed", "followed", "exchanged", "gain"):
        table.add_column(column, no_wrap=True, justify="right")
    for group in next(iter(results.values())):
        for index, (model, groups) in enumerate(results.items()):
            row = groups[group]
            if not row.num_frames:
                continue
            shares = (row.share, row.free, row.posed, row.followed, row.exchanged, row.gain)
            head = ("", "") if index else (group, str(row.num_frames))
            table.add_row(*head, model, *map(_percent, shares))
        table.add_section()
    return table


def _percent(share: Share | None) -> str:
    if share is None or math.isnan(share.value):
        return "-"
    return f"{100 * share.value:.1f} [{100 * share.low:.0f}, {100 * share.high:.0f}]"


def fit_line(fits: Mapping[str, CameraFit | None], focal: float) -> str:
    """Return in words how well the cameras fit."""
    good = [fit for fit in fits.values() if fit is not None]
    failed = [name for name, fit in fits.items() if fit is None]
    words = f"{len(failed)} of {len(fits)} clips left out, their cameras do not fit"
    if failed:
        words += f" ({', '.join(failed)})"
    if not good:
        return words
    residuals = [fit.residual for fit in good]
    return (
        f"{words}; focal length {focal:.0f} px; median residual of the joints fitted to, those of "
        f"all models in even frames: {np.median(residuals):.3f} torsos, by clip "
        f"{min(residuals):.3f} to {max(residuals):.3f}. The cameras are fitted to these poses: "
        "agreement, not accuracy"
    )


def as_json(results: Mapping[str, Mapping[str, ClipFigures]]) -> dict[str, Any]:
    """Return figures as plain values."""
    return {
        model: {group: asdict(row) for group, row in groups.items()}
        for model, groups in results.items()
    }


def fits_as_json(fits: Mapping[str, CameraFit | None], focal: float) -> dict[str, Any]:
    """Return the cameras' fits as plain values; null is one that has failed."""
    names = ("offset", "rate", "residual", "inliers")
    return {
        "focal": focal,
        "clips": {
            clip: None if fit is None else {name: getattr(fit, name) for name in names}
            for clip, fit in fits.items()
        },
    }


def _plain(value: Any) -> Any:
    """Return a value of JSON with rounded numbers, and null for NaN, which JSON has not."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value


@click.command("clips")
@click.option(
    "--effort",
    "efforts",
    multiple=True,
    type=click.Choice(list(EFFORTS)),
    default=(DEFAULT_EFFORT,),
    show_default=True,
)
@click.option("--detector", default=ExtractConfig.detector, show_default=True)
@click.option("--set", "names", multiple=True, type=click.Choice(SETS), default=SETS)
@click.option(
    "--joints",
    default=JOINTS_FILE,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Joints annotated by eye.",
)
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep skeletons here, so that a second run extracts nothing.",
)
@measure_options
def clips_command(
    shared: Path,
    poses: tuple[str, ...],
    efforts: tuple[Effort, ...],
    detector: str,
    pose_checkpoint: str | None,
    trust_config: bool,
    names: tuple[str, ...],
    joints: Path,
    limit: int | None,
    cache: Path | None,
    device: str,
    threads: int,
    seed: int,
    json_path: Path | None,
) -> None:
    """Measure athletes in clips of the folder SHARED, end to end."""
    base = ExtractConfig(
        detector=detector, trust_config=trust_config, device=device, num_threads=threads
    )
    configs = {
        f"{short}, {effort}": replace(config_of(pose, pose_checkpoint, base), effort=effort)
        for pose, short in zip(poses, short_names(poses))
        for effort in efforts
    }
    console, values = Console(width=200), {}
    with nullcontext(cache) if cache else tempfile.TemporaryDirectory() as folder:
        for name in names:
            try:
                values[name] = _measure_set(
                    shared, name, configs, joints, limit, Path(folder), seed, console
                )
            except SkelactError as error:
                raise click.ClickException(str(error)) from error
    if json_path:
        settings = {"limit": limit, "seed": seed, "detector": detector}
        with atomic_write(json_path) as temporary:
            text = json.dumps(_plain({"settings": settings, "sets": values}), indent=1)
            temporary.write_text(text + "\n", encoding="utf-8")


def _measure_set(
    shared: Path,
    name: str,
    configs: Mapping[str, ExtractConfig],
    joints: Path,
    limit: int | None,
    folder: Path,
    seed: int,
    console: Console,
) -> dict[str, Any]:
    """Extract the clips of a set with each model, print its figures and return them."""
    clips = set_clips(shared, name, joints, folder)[:limit]
    models = {
        model: extract_all(clips, config, folder / name / model.replace(", ", "-"))
        for model, config in configs.items()
    }
    first = next(iter(models.values()))
    values: dict[str, Any] = {}
    if name == "divers":
        truths = load_diver(shared)
    elif name == "hand":
        truths = load_hand(joints, first)
    else:
        measured = measured_joints(shared / "videos" / "parkour")
        truths, fits, focal = load_parkour(measured, list(models.values()), seed)
        console.print(fit_line(fits, focal))
        values["fits"] = fits_as_json(fits, focal)
    if truths:
        results = score(truths, models, seed)
        title = (
            f"{name}, {len(truths)} clips: joints within {NEAR_TORSOS} torsos, frames posed, "
            "followed and exchanged, % [95 % interval]"
        )
        console.print(figure_table(title, results))
        values["models"] = as_json(results)
    return values
