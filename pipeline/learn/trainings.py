"""The trainings of a plan, one after the other; those that are done are not done again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from ...pose_extract.common.device import choose_device
from ..checkpoints.checkpoint import load_classifier, load_meta
from ..data.annotations import write_annotations
from ..data.clip_store import ClipStore
from ..inference.classify import TestProtocol, score_clips
from ..training.resume import STATE_NAME
from ..training.train import finetune
from .outcome import Scored
from .recipe import Recipe
from .skeletons import Skeletons
from .split import Fold, Plan

ANNOTATIONS = "clips.pkl"


@dataclass(frozen=True)
class Trained:
    """A training that is done.

    Attributes:
        checkpoint: Its classifier.
        num_train: Clips that it learned from.
        steps: Steps after which its weights were taken.
    """

    checkpoint: Path
    num_train: int
    steps: int


def write_clips(path: Path, skeletons: Skeletons, plan: Plan) -> None:
    """Write the clips as an annotation file, with the splits of each fold."""
    names = [annotation.frame_dir for annotation in skeletons.annotations]
    splits = {"all": names}
    for number, fold in enumerate(plan.folds, 1):
        for part in ("train", "val", "test"):
            inds = getattr(fold, part)
            splits |= {_split(part, number): [names[i] for i in inds]} if inds else {}
    write_annotations(path, skeletons.annotations, splits, skeletons.label_names)


def _split(part: str, number: int) -> str:
    return f"{part}_{number}"


def train_plan(
    folder: Path,
    skeletons: Skeletons,
    groups: np.ndarray,
    plan: Plan,
    recipe: Recipe,
    *,
    seed: int,
    device: str,
    on_note: Callable[[str], None],
) -> tuple[Trained, list[Scored]]:
    """Run the trainings of a plan; return the one that is the result, and what was measured.

    Args:
        folder: Gets a folder per training.
        skeletons: The clips.
        groups: (N,) int, their groups.
        plan: Which of them are learned from.
        recipe: How.
        seed: Seed of all trainings.
        device: "auto", "cpu", "cuda" or "cuda:N".
        on_note: Called with a sentence before and after each training.
    """
    settings = _Settings(folder, recipe, seed, device)
    done, scored = [], []
    for number, fold in enumerate(plan.folds, 1):
        name = f"training {number} of {len(plan.folds) + plan.trains_on_all}"
        on_note(
            f"{name}: {len(fold.train)} clips to learn from, {len(fold.val)} to stop by, "
            f"{len(fold.test)} to measure on"
        )
        val = _split("val", number) if fold.val else ""
        done.append(settings.train(f"fold_{number}", _split("train", number), val, len(fold.train)))
        scored.append(_score_fold(done[-1], fold, skeletons, groups, device))
        right = int((scored[-1].scores.argmax(axis=1) == scored[-1].labels).sum())
        on_note(f"{name}: {right} of {len(fold.test)} right, after {done[-1].steps} steps")
    if not plan.trains_on_all:
        return done[0], scored
    count = len(skeletons.annotations)
    steps = None
    if plan.folds and all(fold.val for fold in plan.folds):
        # Measured in passes over the clips there would be more steps for more clips.
        steps = round(median(training.steps for training in done))
    on_note(f"training on all {count} clips, {steps or recipe.steps} steps")
    return settings.train("all", "all", "", count, steps), scored


@dataclass(frozen=True)
class _Settings:
    """What all trainings of a plan share."""

    folder: Path
    recipe: Recipe
    seed: int
    device: str

    def train(
        self, name: str, split: str, val: str, num_train: int, steps: int | None = None
    ) -> Trained:
        """Run a training, or find it done; see :meth:`Recipe.for_clips`."""
        folder = self.folder / name
        info = folder / "classifier.json"
        ann_file = self.folder.parent / ANNOTATIONS
        config = self.recipe.for_clips(ann_file, split, val, num_train, steps)
        if not info.is_file():
            info = finetune(
                config,
                folder,
                pretrained=self.recipe.start,
                seed=self.seed,
                device=self.device,
                resume=(folder / STATE_NAME).is_file(),
                quiet=True,
            )
        # Only a run that goes on needs it, and it is larger than the checkpoint.
        (folder / STATE_NAME).unlink(missing_ok=True)
        epochs = int(load_meta(info).figures.get("best_epoch", config.optim.epochs))
        return Trained(info, num_train, self.recipe.steps_of(epochs, num_train))


def _score_fold(
    trained: Trained, fold: Fold, skeletons: Skeletons, groups: np.ndarray, device: str
) -> Scored:
    """Measure a training on the test part of its fold."""
    model, meta = load_classifier(trained.checkpoint)
    chosen = choose_device(device)
    clips = [skeletons.annotations[i] for i in fold.test]
    store = ClipStore(clips, meta.preprocess)
    scores, novelty = score_clips(
        model.to(chosen), store, device=chosen, protocol=TestProtocol.of(meta)
    )
    return Scored(
        [clip.frame_dir for clip in clips],
        [str(skeletons.clips[i].path) for i in fold.test],
        [int(groups[i]) for i in fold.test],
        np.array([clip.label for clip in clips]),
        scores,
        novelty,
        meta,
    )
