"""Try settings of fine-tuning on the fixed fifth of a data set's training clips.

    python benchmarks/few_labels_tuning.py spread --share 0.01 --pretrained work_dirs/contrast_0 \
        --set data.spread_from=work_dirs/contrast_0 --set classifier.pooling=mean_std
    python benchmarks/few_labels_tuning.py peer --config diving_synth_protogcn --share 1 --draw 100

Draws of the labels out of the other four fifths are none of those of the tables, and dev_val is not
looked at. Each call adds a line to ``docs/few_labels_tuning.jsonl``: the settings, the top-1 of
each draw, and what it cost. A folder of an earlier call, whose networks labels spread from, is
named with "{draw}" for the draw.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import mean

import click
from ablation_arms import DATA
from ablation_tuning import tuning_file
from ablations import Bench

from skelact.pipeline.checkpoints.checkpoint import load_meta
from skelact.pipeline.config import FinetuneConfig, load_config
from skelact.pipeline.training.train import finetune

_LOG = Path(__file__).resolve().parent.parent / "docs" / "few_labels_tuning.jsonl"


@click.command()
@click.argument("name")
@click.option("--config", "config_name", default="penn_action_tube", show_default=True)
@click.option("--share", type=float, required=True, help="Of the labels.")
@click.option("--pretrained", type=click.Path(path_type=Path), help="Else random weights.")
@click.option("--draw", "draws", multiple=True, type=int, default=(100, 101), show_default=True)
@click.option("--set", "settings", multiple=True)
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("work_dirs/ablations"))
def main(
    name: str,
    config_name: str,
    share: float,
    pretrained: Path | None,
    draws: tuple[int, ...],
    settings: tuple[str, ...],
    work_dir: Path,
) -> None:
    """Fine-tune one network per draw, and keep its top-1 on the fifth."""
    found = [key for key, (start, _, _) in DATA.items() if config_name.startswith(start)]
    if not found:
        starts = " or ".join(start for start, _, _ in DATA.values())
        raise click.ClickException(f"config: expected one of {starts}, got {config_name}")
    data = found[0]
    fixed = (
        f"data.ann_file={tuning_file(Bench(work_dir, 'cpu'), data)}",
        "data.train_split=tune_train",
        "data.val_split=tune_val",
        f"data.label_fraction={share}",
        "runtime.val_every=100000",
        "runtime.save_every=100000",
    )
    top1, start = [], time.process_time()
    for draw in draws:
        own = [text.replace("{draw}", str(draw)) for text in settings]
        if share < 1:
            own.append(f"data.label_draw={draw}")
        config = load_config(FinetuneConfig, config_name, "finetune", [*fixed, *own])
        folder = work_dir / "few_labels" / f"{name}_{draw}"
        info = finetune(config, folder, pretrained=pretrained, seed=draw, quiet=True, gate=False)
        top1.append(round(load_meta(info).figures["top1"], 2))
        click.echo(f"{name}, draw {draw}: {top1[-1]}")
    line = {
        "name": name,
        "config": config_name,
        "share": share,
        "pretrained": "" if pretrained is None else pretrained.name,
        "draws": draws,
        "top1": top1,
        "mean": round(mean(top1), 2),
        "seconds_per_draw": round((time.process_time() - start) / len(draws)),
        "settings": settings,
    }
    with _LOG.open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
