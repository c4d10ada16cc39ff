"""The card of a classifier of own clips: what it is made of, and how well it does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from ...pose_extract.common.files import atomic_write
from ...pose_extract.common.text import printable
from ..checkpoints.checkpoint import CheckpointMeta
from .outcome import Outcome
from .recipe import Recipe
from .skeletons import Skeletons
from .split import Plan
from .trainings import Trained


def write_card(
    path: Path,
    meta: CheckpointMeta,
    dataset: Path,
    recipe: Recipe,
    skeletons: Skeletons,
    groups: np.ndarray,
    plan: Plan,
    result: Trained,
    outcome: Outcome | None,
) -> Path:
    """Write the card beside the checkpoint, as Markdown."""
    counts = Counter(clip.label for clip in skeletons.clips)
    classes = ", ".join(f"{name} ({counts[name]})" for name in skeletons.label_names)
    learned_from = recipe.start_meta.data.get("dataset", "unknown")
    rows = {
        "clips": f"{len(skeletons.clips)} of {dataset.name}, in {len(set(groups.tolist()))} "
        f"groups; {len(skeletons.left_out)} left out",
        "classes": classes,
        "model": f"`{meta.model}`, from `{recipe.start.stem}` ({recipe.start_meta.kind} of "
        f"{learned_from})",
        "training": f"{result.num_train} clips, {result.steps} steps of at most {recipe.steps}, "
        f"seed {meta.seed}",
        "gate": _gate(meta),
        "skelact": meta.skelact_version,
    }
    table = "\n".join(f"| {name} | {_cell(text)} |" for name, text in rows.items())
    used = "\n".join(f"- {_cell(sentence)}" for sentence in plan.said)
    text = (
        f"# {_cell(dataset.name)}\n\n"
        f"A classifier of {len(skeletons.label_names)} classes, made by `skelact learn`.\n\n"
        f"| | |\n|---|---|\n{table}\n\n## How the clips were used\n\n{used}\n\n"
        f"## What was measured\n\n{_figures(meta, plan, outcome)}"
    )
    if skeletons.left_out:
        text += "\n## Left out\n\n" + "".join(f"- {_cell(s)}\n" for s in skeletons.left_out)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _cell(text: str) -> str:
    """Return text as it stands in a table; names of files may hold anything."""
    return printable(text).replace("|", "\\|").replace("<", "&lt;")


def _gate(meta: CheckpointMeta) -> str:
    if meta.gate is None:
        return "none: it never says unknown, because there are too few clips to fit one"
    on = {"val": "the val part", "train": "augmented training clips"}[meta.gate.fitted_on]
    others = meta.config["data"].get("unknown_file")
    return f"fitted on {on}" + (
        ", with clips of other actions" if others else "; no clips of other actions were given"
    )


def _figures(meta: CheckpointMeta, plan: Plan, outcome: Outcome | None) -> str:
    if outcome is None:
        return "Nothing.\n"
    evaluation = outcome.evaluation
    lines = [
        f"{outcome.spread}. In brackets the 95 % interval (Wilson) with the groups as samples. "
        f"Mean class accuracy {evaluation.mean_class_accuracy:.1f} %.",
    ]
    if outcome.num_unknown is not None:
        known = len(outcome.clips) - outcome.num_unknown
        lines.append(
            f"The gate accepts {known} of the {len(outcome.clips)} measured clips; the others it "
            "calls unknown, though they are of the classes."
        )
    elif meta.gate is not None:
        lines.append(
            "How many clips of the classes the gate accepts was not measured: the classifiers of "
            "the folds had too few clips for one."
        )
    if plan.kind == "folds":
        lines.append(
            "These are figures of the folds' classifiers: this one learned from all clips, so that "
            "none is left to measure it on."
        )
    lines += ["| class | clips | recall |\n|---|---|---|"]
    for i, (name, row) in enumerate(zip(outcome.label_names, evaluation.confusion_matrix)):
        recall = f"{100 * row[i] / sum(row):.1f} %" if sum(row) else "none measured"
        lines[-1] += f"\n| {_cell(name)} | {sum(row)} | {recall} |"
    return "\n\n".join(lines) + "\n"
