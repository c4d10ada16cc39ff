"""Linear probe of pre-trained networks with few labels, the same for each network.

    skelact pretrain penn_action_contrast --seed 0 --seed 1 --seed 2
    python benchmarks/few_labels.py "contrast=work_dirs/pretrain_penn_action_contrast_*" \
        "tubes=work_dirs/pretrain_penn_action_tube_*" "random=work_dirs/random_*"

Draw n of the labels is the same clips for each network, which is the one with seed n modulo their
number: intervals hold for these pre-trainings. Features are standardised by all training clips,
whose labels that takes none of. Choices are made on the fixed fifth of the training clips
(`--on fifth`, networks pre-trained on all of them without labels); dev_val is looked at once.
`--data diving` takes the simulated dives that benchmarks/ablations.py keeps in its folder.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

import click
import torch
from ablation_arms import DATA, without_fifth
from ablation_tables import difference, markdown_table, spread
from ablations import Bench
from torch import Tensor

from skelact.pipeline.config import FinetuneConfig, load_config
from skelact.pipeline.data.annotations import (
    Annotation,
    annotation_path,
    label_fraction,
    load_annotations,
)
from skelact.pipeline.evaluation.probe import clip_features, fit_linear


def clips_of(
    data: str, on: str, settings: Sequence[str] = ()
) -> tuple[list[Annotation], list[Annotation]]:
    """Return the clips to fit on and to measure on, the val split or the fifth."""
    name, train_split, val_split = DATA[data]
    config = load_config(FinetuneConfig, name, "finetune", settings)
    source = load_annotations(annotation_path(config.data.ann_file))
    train = source.select(train_split)
    return (train, source.select(val_split)) if on == "val" else without_fifth(data, train)


class Features:
    """Standardised features of a network: of the clips to fit on, and of those to measure on."""

    def __init__(
        self, checkpoint: Path, train: Sequence[Annotation], val: Sequence[Annotation]
    ) -> None:
        device = torch.device("cpu")
        self._fitted, self._labels = clip_features(checkpoint, train, device)
        measured, self._val_labels = clip_features(checkpoint, val, device)
        middle, spread = self._fitted.mean(dim=0), self._fitted.std(dim=0).clamp(min=1e-6)
        self._fitted = (self._fitted - middle) / spread
        self._measured = (measured - middle) / spread
        self._rows = {clip.frame_dir: row for row, clip in enumerate(train)}

    def top1(self, drawn: Sequence[Annotation]) -> float:
        """Return the top-1 accuracy in per cent of a linear classifier fitted on some clips."""
        rows = torch.tensor([self._rows[clip.frame_dir] for clip in drawn])
        linear = fit_linear(self._fitted[rows], self._labels[rows])
        with torch.no_grad():
            predicted: Tensor = linear(self._measured).argmax(dim=1)
        return 100 * float((predicted == self._val_labels).float().mean())


@click.command()
@click.argument("networks", nargs=-1, required=True, metavar="NAME=FOLDERS...")
@click.option("--data", type=click.Choice(list(DATA)), default="penn", show_default=True)
@click.option("--on", type=click.Choice(["fifth", "val"]), default="fifth", show_default=True)
@click.option("--draws", default=20, show_default=True)
@click.option("--share", "shares", multiple=True, type=float, default=(0.01, 0.1, 1.0))
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("work_dirs/ablations"))
def main(
    networks: tuple[str, ...],
    data: str,
    on: str,
    draws: int,
    shares: tuple[float, ...],
    work_dir: Path,
) -> None:
    """Print a table: a row per network, gains over the last one."""
    torch.set_num_threads(1)
    train, val = clips_of(data, on, Bench(work_dir, "cpu").ann_file(data))
    features = {}
    for text in networks:
        name, _, pattern = text.partition("=")
        folders = sorted(glob.glob(pattern))
        if not folders:
            raise click.ClickException(f"{text}: expected NAME=FOLDERS of `skelact pretrain`")
        features[name] = [Features(Path(folder), train, val) for folder in folders]
    for share in shares:
        found = {name: _top1(of_seeds, train, share, draws) for name, of_seeds in features.items()}
        *_, reference = found.values()
        rows = [
            (name, spread(top1), "" if top1 is reference else difference(reference, top1))
            for name, top1 in found.items()
        ]
        count = len(label_fraction(train, share, 0))
        click.echo(f"\n{count} of {len(train)} labels, {len(val)} clips measured\n")
        click.echo(markdown_table(("network", "top-1", "gain"), rows))


def _top1(
    of_seeds: Sequence[Features], train: list[Annotation], share: float, draws: int
) -> dict[int, float]:
    """Return the top-1 of each draw; with all labels there is one per network."""
    numbers = range(draws) if share < 1 else range(len(of_seeds))
    return {
        draw: of_seeds[draw % len(of_seeds)].top1(label_fraction(train, share, draw))
        for draw in numbers
    }


if __name__ == "__main__":
    main()
