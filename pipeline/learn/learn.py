"""Own clips in one call: extract, split by groups, train, measure, and write what came of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ... import SkelactError, __version__
from ...pose_extract.batch import BatchSummary, extract_clips, load_done
from ...pose_extract.common.files import atomic_write, sha256_of
from ...pose_extract.extract import ExtractConfig, Extractor
from ...pose_extract.sources import ClipSource, find_sources
from ..checkpoints.checkpoint import load_classifier, save_checkpoint
from ..config import check_seed
from ..data.annotations import write_sequences
from ..inference.pipeline import extract_config
from .card import write_card
from .dataset import check_classes, read_dataset
from .groups import find_groups
from .outcome import Outcome, sum_up
from .page import write_page
from .recipe import DEFAULT_STEPS, Recipe, make_recipe
from .skeletons import Skeletons, read_skeletons, warn_of_few
from .split import Plan, plan_splits
from .trainings import ANNOTATIONS, Trained, train_plan, write_clips

__all__ = ["Learned", "learn", "learn_with"]

# A class with fewer clips is warned of: one wrong clip is then more than five per cent of it.
_FEW_CLIPS = 20
_PLAN = "plan.json"
_LOG = logging.getLogger(__name__)

Extraction = Callable[[Sequence[ClipSource], Path], BatchSummary]


@dataclass(frozen=True)
class Learned:
    """What came of own clips.

    Attributes:
        checkpoint: The classifier, for ``skelact predict --checkpoint`` and ``Pipeline``.
        card: What it is made of and how well it does, as Markdown.
        page: The confusion matrix with links to the clips, as HTML; None if nothing was measured.
        outcome: The figures, and a row per measured clip; None if nothing was measured.
        said: How the clips were used, in sentences.
        left_out: A sentence for each clip that could not be used.
    """

    checkpoint: Path
    card: Path
    page: Path | None
    outcome: Outcome | None
    said: tuple[str, ...]
    left_out: tuple[str, ...]


def learn(
    dataset: str | Path,
    work_dir: str | Path | None = None,
    *,
    pretrained: str | Path | None = None,
    unknown: str | Path | None = None,
    steps: int = DEFAULT_STEPS,
    seed: int = 0,
    config: ExtractConfig | None = None,
    **options: Any,
) -> Learned:
    """Train a classifier on own clips, and measure it on clips that it has not learned from.

    A call that was stopped goes on where it was; one that is repeated does nothing again. Other
    clips or settings get a folder of their own beside the results that are there.

    Args:
        dataset: A folder with a folder of clips per class, or a CSV list with the columns
            ``path,label`` and, if wanted, ``group`` and ``split``.
        work_dir: Folder of skeletons and results; None for ``work_dirs/learn_NAME``.
        pretrained: Checkpoint to start from; None for the shipped classifier.
        unknown: Clips of other actions, as a folder or a list: the gate learns to tell them.
        steps: Most steps of a training; most are stopped earlier by their val part.
        seed: Seed of the split, order and augmentation.
        config: How skeletons are extracted.
        options: Fields of ``ExtractConfig`` that replace those of ``config``, such as
            ``effort="fast"``; ``device`` is that of the training, too.

    Raises:
        SkelactError: if the data set has not two classes with clips that can be used, or the
            checkpoint to start from cannot be.
        TypeError: for an option that there is none of.
    """
    chosen = extract_config(config, options)
    extractor = Extractor(chosen)

    def run(clips: Sequence[ClipSource], folder: Path) -> BatchSummary:
        return extract_clips(clips, folder, extractor, read_entries=True)

    return learn_with(
        run,
        dataset,
        work_dir,
        pretrained=pretrained,
        unknown=unknown,
        steps=steps,
        seed=seed,
        device=chosen.device,
        on_note=_LOG.info,
    )


def learn_with(
    extraction: Extraction,
    dataset: str | Path,
    work_dir: str | Path | None = None,
    *,
    pretrained: str | Path | None = None,
    unknown: str | Path | None = None,
    steps: int = DEFAULT_STEPS,
    seed: int = 0,
    device: str = "auto",
    overrides: Sequence[str] = (),
    on_note: Callable[[str], None],
) -> Learned:
    """Do what :func:`learn` does with an extraction of the caller's.

    Args:
        extraction: Called with clips and the folder of their results.
        dataset, work_dir, pretrained, unknown, steps, seed: See :func:`learn`.
        device: Of the training.
        overrides: ``key.subkey=value`` settings of the config ``learn``.
        on_note: Called with a sentence for what the user has to know.
    """
    check_seed(seed)
    dataset = Path(dataset)
    whole = Path(os.path.abspath(dataset))  # "." has no name
    name = whole.stem if whole.is_file() else whole.name
    work = Path(work_dir) if work_dir is not None else Path("work_dirs") / f"learn_{name}"
    clips = read_dataset(dataset, on_note, work)
    others = find_sources(unknown, on_note) if unknown is not None else []
    recipe = make_recipe(pretrained, steps, name, overrides)
    summary = extraction(clips, work / "skeletons")
    skeletons = read_skeletons(clips, summary, work / "skeletons")
    for sentence in skeletons.left_out:
        on_note(f"left out: {sentence}")
    check_classes(f"{dataset}, without what is left out", skeletons.clips)
    warn_of_few(skeletons, _FEW_CLIPS, on_note)
    unknown_file = _extract_unknown(extraction, others, work) if others else ""
    recipe = _for_data(recipe, fps=skeletons.fps, unknown_file=unknown_file)
    groups = find_groups(skeletons.clips, skeletons.contents, on_note)
    labels = np.array([annotation.label for annotation in skeletons.annotations])
    plan = plan_splits(labels, groups, [clip.split for clip in skeletons.clips], seed)
    for sentence in plan.said:
        on_note(sentence)
    run = _run_folder(work, _digest(skeletons, groups, plan, recipe, seed))
    if not (run / ANNOTATIONS).is_file():
        write_clips(run / ANNOTATIONS, skeletons, plan)
    result, scored = train_plan(
        run / "trainings",
        skeletons,
        groups,
        plan,
        recipe,
        seed=seed,
        device=device,
        on_note=on_note,
    )
    outcome = sum_up(scored, skeletons.label_names) if scored else None
    return _write(run, dataset, recipe, skeletons, groups, plan, result, outcome)


def _for_data(recipe: Recipe, **changes: Any) -> Recipe:
    data = dataclasses.replace(recipe.config.data, **changes)
    return dataclasses.replace(recipe, config=dataclasses.replace(recipe.config, data=data))


def _extract_unknown(extraction: Extraction, others: Sequence[ClipSource], work: Path) -> str:
    """Extract clips of other actions, and return their annotation file."""
    folder = work / "unknown_skeletons"
    bare = [dataclasses.replace(clip, label=None, split=None) for clip in others]
    summary = extraction(bare, folder)
    path = folder / "annotations.pkl"
    if not write_sequences(path, load_done(summary, folder), {}):
        raise SkelactError("unknown: none of its clips could be read")
    return str(path)


def _digest(skeletons: Skeletons, groups: np.ndarray, plan: Plan, recipe: Recipe, seed: int) -> str:
    """Return a hash of all that the trainings depend on."""
    unknown = recipe.config.data.unknown_file
    values = {
        "clips": [clip.clip_id for clip in skeletons.clips],
        "labels": [clip.label for clip in skeletons.clips],
        "contents": skeletons.contents,
        "extractions": skeletons.extractions,
        "groups": groups.tolist(),
        "plan": [plan.kind, *map(dataclasses.asdict, plan.folds)],
        "config": dataclasses.asdict(recipe.config),
        "steps": recipe.steps,
        "start": recipe.start_meta.weights_sha256,
        "unknown": sha256_of(unknown) if unknown else "",
        "seed": seed,
        "version": __version__,
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _run_folder(work: Path, digest: str) -> Path:
    """Return the folder of these clips and settings: the one that was begun, or the next one."""
    number = 1
    while (folder := work / f"run_{number}").exists():
        try:
            values = json.loads((folder / _PLAN).read_text(encoding="utf-8"))
            if values["digest"] == digest:
                return folder
        except (OSError, ValueError, LookupError, TypeError):
            pass  # not one of ours, or one that was not begun
        number += 1
    with atomic_write(folder / _PLAN) as temporary:
        temporary.write_text(json.dumps({"digest": digest}) + "\n", encoding="utf-8")
    return folder


def _write(
    run: Path,
    dataset: Path,
    recipe: Recipe,
    skeletons: Skeletons,
    groups: np.ndarray,
    plan: Plan,
    result: Trained,
    outcome: Outcome | None,
) -> Learned:
    """Write the checkpoint with the figures of its test clips, its card, and the page."""
    module, meta = load_classifier(result.checkpoint)
    figures: dict[str, Any] = {}
    if outcome is not None:
        with atomic_write(run / "figures.json") as temporary:
            text = json.dumps(outcome.to_json(), indent=1)
            temporary.write_text(text + "\n", encoding="utf-8")
        figures = {
            name: getattr(outcome.evaluation, name)
            for name in ("num_clips", "top1", "top5", "mean_class_accuracy")
        }
    meta = dataclasses.replace(meta, figures=figures, data=meta.data | {"used": list(plan.said)})
    checkpoint = save_checkpoint(run / "classifier", module, meta)
    page = write_page(run / "confusion.html", outcome, dataset.name, plan) if outcome else None
    card = write_card(
        run / "classifier.md", meta, dataset, recipe, skeletons, groups, plan, result, outcome
    )
    return Learned(checkpoint, card, page, outcome, plan.said, skeletons.left_out)
