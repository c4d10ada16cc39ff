"""Choose rate and batch of the arms of the ablations on a fixed fifth of the training clips.

    python benchmarks/ablation_tuning.py fifth --data penn     # once: names of the fifth
    python benchmarks/ablation_tuning.py run --data penn       # resumes
    python benchmarks/ablation_tuning.py choose                # writes ablation_tuned.json

Each arm (model, start, share of the labels) has the same budget: the same pairs of rate and batch,
the same draws of the labels out of the other four fifths. The val split is not looked at.
Pre-training has seen the skeletons of all five fifths, without labels. The names of the fifth lie
in ``ablation_fifth.json``.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from statistics import mean

import click
from ablation_arms import DATA, FIFTH_FILE, PEERS, SHARES, TUNED_FILE, Arm, Run, without_fifth
from ablations import Bench

from skelact.pipeline.config import FinetuneConfig, load_config
from skelact.pipeline.data.annotations import (
    annotation_path,
    label_fraction,
    load_annotations,
    write_annotations,
)
from skelact.pipeline.training.side_by_side import Draw, finetune_side_by_side
from skelact.pose_extract.common.device import choose_device
from skelact.pose_extract.common.files import atomic_write

# Around the rate of the config, by factors of 3 as is usual, at two sizes of a batch.
_FACTORS = (1 / 3, 1.0, 3.0)
_BATCHES = (16, 32)
_DRAWS = (100, 101, 102)  # none of those of the tables


def tuned_arms(data: str) -> list[Arm]:
    """Return the arms with a rate and batch of their own."""
    starts: tuple[tuple[str, tuple[str, ...] | None], ...] = (("random", None), ("pretrained", ()))
    return [
        Arm("tuning", name, model, settings, fraction=share)
        for model, shares in SHARES.items()
        for share in shares
        for name, settings in starts
        if settings is None or model not in PEERS
    ]


def tuning_file(bench: Bench, data: str) -> Path:
    """Return the annotation file with the splits "tune_train" and "tune_val", made once."""
    path = bench.folder / f"tuning_{data}.pkl"
    if not path.exists():
        name, train_split, _ = DATA[data]
        config = load_config(FinetuneConfig, name, "finetune", bench.ann_file(data))
        source = load_annotations(annotation_path(config.data.ann_file))
        clips = source.select(train_split)
        train, val = without_fifth(data, clips)
        parts = {
            "tune_train": [clip.frame_dir for clip in train],
            "tune_val": [clip.frame_dir for clip in val],
        }
        names = list(source.label_names)
        write_annotations(path, clips, parts, label_names=names or None)
    return path


@click.group()
def main() -> None:
    """Rates and batches of the ablations."""


_WORK = click.option(
    "--work-dir", type=click.Path(path_type=Path), default=Path("work_dirs/ablations")
)


@main.command()
@click.option("--data", type=click.Choice(list(DATA)), required=True)
@_WORK
def fifth(data: str, work_dir: Path) -> None:
    """Draw a fifth of the training clips of each class, and keep their names."""
    name, train_split, _ = DATA[data]
    config = load_config(FinetuneConfig, name, "finetune", Bench(work_dir, "cpu").ann_file(data))
    clips = load_annotations(annotation_path(config.data.ann_file)).select(train_split)
    known = json.loads(FIFTH_FILE.read_text()) if FIFTH_FILE.exists() else {}
    known[data] = sorted(clip.frame_dir for clip in label_fraction(clips, 0.2, 0))
    with atomic_write(FIFTH_FILE) as temporary:
        temporary.write_text(json.dumps(known, indent=0) + "\n", encoding="utf-8")
    click.echo(f"{len(known[data])} of {len(clips)} clips")


@main.command()
@click.option("--data", multiple=True, type=click.Choice(list(DATA)), default=list(DATA))
@click.option("--model", "models", multiple=True, default=tuple(SHARES))
@click.option("--device", default="auto", show_default=True)
@_WORK
def run(data: tuple[str, ...], models: tuple[str, ...], device: str, work_dir: Path) -> None:
    """Train each arm with each pair of rate and batch."""
    bench = Bench(work_dir, device)
    folder = work_dir / "tuning"
    folder.mkdir(exist_ok=True)
    for name in data:
        for arm in tuned_arms(name):
            if arm.model not in models:
                continue
            for factor, batch in itertools.product(_FACTORS, _BATCHES):
                key = f"{name} {arm.model} {arm.name} {arm.fraction:g} {factor:.2f} {batch}"
                path = folder / f"{key}.json"
                with bench.claim(path.stem) as mine:
                    if mine and not path.exists():
                        found = _trained(bench, Run(name, arm, _DRAWS[0]), factor, batch, device)
                        with atomic_write(path) as temporary:
                            temporary.write_text(json.dumps(found), encoding="utf-8")
                        click.echo(f"{key}: {found['top1']:.2f}")


def _trained(bench: Bench, run: Run, factor: float, batch: int, device: str) -> dict:
    name, settings = run.finetune_settings()
    config = load_config(FinetuneConfig, name, "finetune", settings)
    # As many steps with either size of batch.
    clips = load_annotations(tuning_file(bench, run.data)).select("tune_train")
    count = run.arm.fraction * len(clips)
    before, now = (max(1, round(count / size)) for size in (config.optim.batch_size, batch))
    epochs = max(1, round(config.optim.epochs * before / now))
    optim = replace(
        config.optim, lr=config.optim.lr * factor, batch_size=batch, epochs=epochs,
        milestones=tuple(
            max(1, round(m * epochs / config.optim.epochs)) for m in config.optim.milestones
        ),
    )  # fmt: skip
    data = replace(
        config.data,
        ann_file=str(tuning_file(bench, run.data)),
        train_split="tune_train",
        val_split="tune_val",
    )
    config = replace(config, optim=optim, data=data)
    draws = [Draw(draw, draw, bench.pretrained(replace(run, seed=draw))) for draw in _DRAWS]
    # In turn on a CPU, which gains nothing from more at once.
    groups = [[draw] for draw in draws] if choose_device(device).type == "cpu" else [draws]
    found = [
        figures
        for group in groups
        for figures in finetune_side_by_side(config, group, device=device, quiet=True)
    ]
    return {
        "top1": mean(figures["top1"] for figures in found),
        "lr": optim.lr,
        "batch_size": batch,
    }


@main.command()
@_WORK
def choose(work_dir: Path) -> None:
    """Keep the best pair of each arm; of equal ones the first.

    An arm of which not all pairs have been trained has not had the budget of the others.
    """
    best: dict[str, list[dict]] = defaultdict(list)
    for path in sorted((work_dir / "tuning").glob("*.json")):
        best[path.stem.rsplit(" ", 2)[0]].append(json.loads(path.read_text(encoding="utf-8")))
    for arm, found in best.items():
        if len(found) < len(_FACTORS) * len(_BATCHES):
            raise click.ClickException(f"{arm}: {len(found)} pairs of rate and batch are done")
    chosen = {arm: max(found, key=lambda one: one["top1"]) for arm, found in sorted(best.items())}
    with atomic_write(TUNED_FILE) as temporary:
        temporary.write_text(json.dumps(chosen, indent=1) + "\n", encoding="utf-8")
    click.echo(f"{len(chosen)} arms")


if __name__ == "__main__":
    main()
