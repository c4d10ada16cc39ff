"""The clips of benchmarks/unknown.py, and what a classifier gives for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
import torch

from skelact import SkelactError
from skelact.models.classifier import SkeletonClassifier
from skelact.pipeline.checkpoints.checkpoint import CheckpointMeta, load_classifier
from skelact.pipeline.checkpoints.gate import Gate
from skelact.pipeline.data.annotations import (
    Annotation,
    AnnotationFile,
    load_annotations,
    write_annotations,
)
from skelact.pipeline.data.clip_store import ClipStore
from skelact.pipeline.evaluation.evaluate import corrupt
from skelact.pipeline.evaluation.trained_on import training_note
from skelact.pipeline.inference.classify import TestProtocol, clip_views
from skelact.pipeline.synth.dataset import make_dives
from skelact.pose_extract.common.files import shared_folder

# Classes of JHMDB and UCF101 that are Penn Action's, too.
SAME = {"golf": "golf_swing", "pullup": "pullup", "BaseballPitch": "baseball_pitch"}
WORSE = {"noise 2 %": (0.02, 0.0), "noise 5 %": (0.05, 0.0), "75 % of frames lost": (0.0, 0.75)}
# Clips that are made, of each kind.
_NUM_MADE = 60
_BATCH_SIZE = 32


@dataclass(frozen=True, eq=False)
class Clips:
    """What the classifier gives for some clips.

    Attributes:
        features: (N, P, D) float32, of P views.
        logits: (N, P, K) float32.
        novelty: (N,) float32, the classifier's own.
        distance: (N,) float32, the part of it that knows no other actions.
        labels: (N,) int, -1 for other actions.
    """

    features: np.ndarray
    logits: np.ndarray
    novelty: np.ndarray
    distance: np.ndarray
    labels: np.ndarray

    def scores(self) -> np.ndarray:
        """Return the mean class probabilities, (N, K)."""
        return np.asarray(torch.from_numpy(self.logits).softmax(dim=2).mean(dim=1))


def joined(parts: Sequence[Clips]) -> Clips:
    """Return the clips of several sets as one."""
    names = ("features", "logits", "novelty", "distance", "labels")
    return Clips(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


class Source:
    """Annotations to outputs of the classifier; what was computed is kept in a folder.

    Args:
        model: The classifier.
        meta: Its checkpoint's JSON.
        folder: Where outputs are kept; a file per set.
    """

    def __init__(self, model: SkeletonClassifier, meta: CheckpointMeta, folder: Path) -> None:
        self._model, self._meta = model, meta
        # The gate is not in the key: it can be fitted anew.
        weights = torch.cat([p.detach().flatten().double() for p in model.encoder.parameters()])
        key = f"{meta.data['split']}-{float(weights.square().sum()):.6f}"
        self._folder = folder / key

    def __call__(
        self, name: str, clips: Sequence[Annotation], protocol: TestProtocol | None = None
    ) -> Clips:
        """Return what the classifier gives for the clips that are kept by a name."""
        path = self._folder / f"{name}.npy"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, self._features(clips, protocol or TestProtocol.of(self._meta)))
            click.echo(f"{name}: {len(clips)} clips", err=True)
        return self._outputs(np.load(path), np.array([clip.label for clip in clips]))

    @torch.inference_mode()
    def _features(self, clips: Sequence[Annotation], protocol: TestProtocol) -> np.ndarray:
        store = ClipStore(clips, self._meta.preprocess)
        features = []
        for inds in torch.arange(len(store)).split(_BATCH_SIZE):
            x = clip_views(store, inds.tolist(), torch.device("cpu"), protocol)
            features.append(self._model.pool_clip(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
        return torch.cat(features).numpy()

    @torch.inference_mode()
    def _outputs(self, features: np.ndarray, labels: np.ndarray) -> Clips:
        x, measure = torch.from_numpy(features), self._model.novelty
        assert measure is not None
        novelty, distance = (
            of(x.flatten(0, 1)).unflatten(0, x.shape[:2]).mean(dim=1).numpy()
            for of in (measure, measure.distance)
        )
        return Clips(features, self._model.head(x).numpy(), novelty, distance, labels)


def other_clips(
    extracted: Path | None,
) -> tuple[dict[str, list[Annotation]], dict[str, tuple[list[Annotation], bool]]]:
    """Return the clips of other data sets by class: known ones, and unknown ones.

    Unknown classes come with whether they set: every other one of JHMDB, in alphabetical order.

    Args:
        extracted: Annotation file of clips of UCF101; None for JHMDB alone.
    """
    jhmdb = load_annotations(shared_folder() / "data" / "jhmdb14_gt.pkl")
    names = json.loads((shared_folder() / "data" / "jhmdb14_classes.json").read_text())
    of_jhmdb = _by_name(jhmdb, names)
    of_ucf: dict[str, list[Annotation]] = {}
    if extracted is not None:
        ucf = load_annotations(extracted)
        of_ucf = _by_name(ucf, ucf.label_names or ())
    same = {
        name: clips.pop(name)
        for clips in (of_jhmdb, of_ucf)
        for name in sorted(SAME.keys() & clips.keys())
    }
    unknown = {name: (clips, i % 2 == 0) for i, (name, clips) in enumerate(of_jhmdb.items())}
    return same, unknown | {name: (clips, False) for name, clips in of_ucf.items()}


def _by_name(data: AnnotationFile, names: Sequence[str]) -> dict[str, list[Annotation]]:
    """Return the clips by class, in alphabetical order, without their labels."""
    found: dict[str, list[Annotation]] = {name: [] for name in sorted(names)}
    for clip in data.annotations.values():
        found[names[clip.label]].append(replace(clip, label=-1))
    return found


def write_setting(out: Path) -> int:
    """Write the unknown clips of the setting classes as an annotation file; return their number."""
    clips = [clip for some, sets in other_clips(None)[1].values() if sets for clip in some]
    return write_annotations(out, clips, {"all": [clip.frame_dir for clip in clips]})


def made_clips(clips: Sequence[Annotation]) -> dict[str, list[Annotation]]:
    """Return clips that show none of the actions, made of known ones, and simulated dives."""
    rng = np.random.default_rng(0)
    steps: dict[str, Callable[[int], np.ndarray]] = {
        "static": lambda count: np.full(count, count // 2),
        "frames shuffled": rng.permutation,
    }
    made = {
        name: [_of_frames(clip, of) for clip in clips[:_NUM_MADE]] for name, of in steps.items()
    }
    dives = [replace(clip, label=-1) for clip in make_dives("train", _NUM_MADE)]
    return made | {"simulated dives": dives}


def _of_frames(clip: Annotation, steps: Callable[[int], np.ndarray]) -> Annotation:
    frames = steps(clip.keypoints.shape[1])
    return replace(
        clip,
        label=-1,
        keypoints=clip.keypoints[:, frames],
        keypoint_scores=clip.keypoint_scores[:, frames],
    )


@dataclass(frozen=True)
class Sets:
    """All clips by what they serve.

    Attributes:
        train: Training clips, of which measures are fitted.
        setting, reporting: Known clips of either half.
        worse: The reporting half with degraded skeletons, by what was done to them.
        unknown: Unknown clips by class; each class with True if it sets.
        same: Known classes of other data sets.
        made: See :func:`made_clips`.
    """

    train: Clips
    setting: Clips
    reporting: Clips
    worse: Mapping[str, Clips]
    unknown: Mapping[str, tuple[Clips, bool]]
    same: Mapping[str, Clips]
    made: Mapping[str, Clips]

    def of_unknown(self, sets: bool) -> Clips:
        """Return the unknown clips of the classes that set, or of those that are reported."""
        return joined([clips for clips, is_setting in self.unknown.values() if is_setting == sets])


def load_sets(checkpoint: Path, extracted: Path | None, folder: Path) -> tuple[Sets, Gate]:
    """Run the classifier over all clips, or take what is kept."""
    model, meta = load_classifier(checkpoint)
    if not isinstance(model, SkeletonClassifier) or meta.gate is None:
        raise SkelactError(f"{checkpoint}: expected a pair of files with a gate")
    penn = load_annotations(shared_folder() / "data" / "penn_action_train.pkl")
    known = penn.select("dev_val")
    if note := training_note(meta, penn, known):
        click.echo(f"{note}: the rows of dev_val and calibration are void", err=True)
    source = Source(model, meta, folder)
    halves = [source(f"dev_val {i}", known[i::2]) for i in (0, 1)]
    worse = {
        name: source(f"dev_val 1, {name}", corrupt(known[1::2], noise, lost, seed=0))
        for name, (noise, lost) in WORSE.items()
    }
    same, others = other_clips(extracted)
    unknown = {name: (source(name, clips), sets) for name, (clips, sets) in others.items()}
    labelled = {
        name: [replace(clip, label=meta.label_names.index(SAME[name])) for clip in clips]
        for name, clips in same.items()
    }
    of_same = {name: source(name, clips) for name, clips in labelled.items()}
    made = {name: source(name, clips) for name, clips in made_clips(known[1::2]).items()}
    train = source("dev_train", penn.select("dev_train"), TestProtocol())  # one view
    return Sets(train, halves[0], halves[1], worse, unknown, of_same, made), meta.gate
