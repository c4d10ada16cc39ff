"""The clips of benchmarks/unknown.py: known, unknown and made, and what a classifier gives for them."""

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
from skelact.pipeline.data.annotations import Annotation, load_annotations
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
        labels: (N,) int, -1 for other actions.
    """

    features: np.ndarray
    logits: np.ndarray
    novelty: np.ndarray
    labels: np.ndarray

    def scores(self) -> np.ndarray:
        """Return the mean class probabilities, (N, K)."""
        return np.asarray(torch.from_numpy(self.logits).softmax(dim=2).mean(dim=1))


def joined(parts: Sequence[Clips]) -> Clips:
    """Return the clips of several sets as one."""
    names = ("features", "logits", "novelty", "labels")
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
        self._folder = folder / meta.weights_sha256[:12]

    def __call__(self, name: str, clips: Sequence[Annotation]) -> Clips:
        """Return what the classifier gives for the clips that are kept by a name."""
        path = self._folder / f"{name}.npz"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, *self._run(clips), np.array([clip.label for clip in clips]))
            click.echo(f"{name}: {len(clips)} clips", err=True)
        with np.load(path) as file:
            return Clips(*(file[f"arr_{i}"] for i in range(4)))

    @torch.inference_mode()
    def _run(self, clips: Sequence[Annotation]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        store, protocol = ClipStore(clips, self._meta.preprocess), TestProtocol.of(self._meta)
        features = []
        for inds in torch.arange(len(store)).split(_BATCH_SIZE):
            x = clip_views(store, inds.tolist(), torch.device("cpu"), protocol)
            features.append(self._model.pool_clip(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
        found = torch.cat(features)
        assert self._model.novelty is not None
        novelty = self._model.novelty(found.flatten(0, 1)).unflatten(0, found.shape[:2])
        return found.numpy(), self._model.head(found).numpy(), novelty.mean(dim=1).numpy()


def other_actions(clips: Sequence[Annotation], names: Sequence[str]) -> dict[str, list[Annotation]]:
    """Return the clips of each class by its name, in alphabetical order."""
    by_name: dict[str, list[Annotation]] = {name: [] for name in sorted(names)}
    for clip in clips:
        by_name[names[clip.label]].append(clip)
    return by_name


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
        raise SkelactError(f"{checkpoint}: {note}")
    source = Source(model, meta, folder)
    halves = [source(f"dev_val {i}", known[i::2]) for i in (0, 1)]
    worse = {
        name: source(f"dev_val 1, {name}", corrupt(known[1::2], noise, lost, seed=0))
        for name, (noise, lost) in WORSE.items()
    }
    jhmdb = load_annotations(shared_folder() / "data" / "jhmdb14_gt.pkl")
    names = json.loads((shared_folder() / "data" / "jhmdb14_classes.json").read_text())
    others = [other_actions(list(jhmdb.annotations.values()), names)]
    if extracted is not None:
        ucf = load_annotations(extracted)
        others.append(other_actions(list(ucf.annotations.values()), ucf.label_names or ()))
    unknown: dict[str, tuple[Clips, bool]] = {}
    same = {}
    for by_name in others:
        for name in SAME.keys() & by_name.keys():
            label = meta.label_names.index(SAME[name])
            clips = [replace(clip, label=label) for clip in by_name.pop(name)]
            same[name] = source(name, clips)
        for i, (name, clips) in enumerate(by_name.items()):
            clips = [replace(clip, label=-1) for clip in clips]
            unknown[name] = source(name, clips), i % 2 == 0
    made = {name: source(name, clips) for name, clips in made_clips(known[1::2]).items()}
    train = source("dev_train", penn.select("dev_train"))
    return Sets(train, halves[0], halves[1], worse, unknown, same, made), meta.gate
