"""``skelact learn``: own clips in, a classifier and what it confuses out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...pose_extract.common.text import printable
from .extract import BatchProgress, make_extractor, pose_options, workers_option
from .outputs import check_folder
from .terminal import SOME_FAILED, ProgressDisplay

if TYPE_CHECKING:
    from ...pose_extract.batch import BatchSummary
    from ...pose_extract.extract import Extractor
    from ...pose_extract.sources import ClipSource
    from ..learn.learn import Learned
    from ..learn.outcome import Outcome

# Of the whole table in a terminal of 80 columns; with more classes the page shows it.
_MOST_COLUMNS = 10
_MOST_CONFUSIONS = 10


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option(
    "--work-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of skeletons and results [work_dirs/learn_DATASET].",
)
@click.option(
    "--pretrained",
    type=click.Path(path_type=Path),
    help="Checkpoint to start from [the shipped classifier].",
)
@click.option(
    "--unknown",
    type=click.Path(exists=True, path_type=Path),
    help="Folder or list of clips of other actions, which the classifier learns to call unknown.",
)
@click.option("--steps", type=int, help="Most steps of a training [200].")
@workers_option
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of split and training.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a setting of configs/finetune_learn.yaml; may be repeated.",
)
@pose_options
def learn(
    dataset: Path,
    work_dir: Path | None,
    pretrained: Path | None,
    unknown: Path | None,
    steps: int | None,
    workers: int,
    seed: int,
    overrides: tuple[str, ...],
    **options: Any,
) -> None:
    """Train a classifier on the labelled clips of DATASET, and measure it.

    DATASET is a folder with a folder of clips per class (DATASET/CLASS/clip.mp4), or a CSV list
    with the columns path,label and, if wanted, group and split.

    A run that was stopped goes on where it was. Clips that cannot be read are left out, and make
    the exit code 3.
    """
    from ...pose_extract.nets.mmpose_adapter import require_mmpose

    require_mmpose()
    from ..learn.learn import learn_with
    from ..learn.recipe import DEFAULT_STEPS

    if work_dir is not None:
        check_folder("--work-dir", work_dir)
    extractor = make_extractor(options)

    def extraction(clips: Sequence[ClipSource], folder: Path) -> BatchSummary:
        return _extract(clips, folder, extractor, workers)

    try:
        learned = learn_with(
            extraction,
            dataset,
            work_dir,
            pretrained=pretrained,
            unknown=unknown,
            steps=DEFAULT_STEPS if steps is None else steps,
            seed=seed,
            device=options["device"] or "auto",
            overrides=overrides,
            on_note=lambda text: click.echo(printable(text), err=True),
        )
    except KeyboardInterrupt:
        click.echo("stopped; what is done is kept, the same command goes on", err=True)
        raise
    _print(learned)
    if learned.left_out:
        raise click.exceptions.Exit(SOME_FAILED)


def _extract(
    clips: Sequence[ClipSource], folder: Path, extractor: Extractor, workers: int
) -> BatchSummary:
    """Extract clips with progress."""
    from ...pose_extract.batch import extract_clips

    with ProgressDisplay() as display:
        progress = BatchProgress(display)
        return extract_clips(
            clips,
            folder,
            extractor,
            workers=workers,
            read_entries=True,
            on_compare=progress.compare,
            on_plan=progress.plan,
            on_progress=progress.progress,
            on_entry=progress.entry,
        )


def _print(learned: Learned) -> None:
    if learned.outcome is not None:
        _print_confusion(learned.outcome)
        click.echo(printable(learned.outcome.spread))
        if learned.outcome.num_unknown is not None:
            count = len(learned.outcome.clips)
            click.echo(f"gate: {learned.outcome.num_unknown} of {count} clips are called unknown")
    click.echo(f"checkpoint: {printable(learned.checkpoint)}")
    click.echo(f"card: {printable(learned.card)}")
    if learned.page is not None:
        click.echo(f"page: {printable(learned.page)}")


def _print_confusion(outcome: Outcome) -> None:
    """Print the confusion matrix, or, of many classes, what is confused most."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    names = outcome.label_names
    if len(names) > _MOST_COLUMNS:
        table = Table(title="confused most", title_justify="left")
        for title in ("shown", "taken for", "clips"):
            table.add_column(title, overflow="fold")
        for count, shown, taken in outcome.confusions[:_MOST_CONFUSIONS]:
            table.add_row(Text(printable(shown)), Text(printable(taken)), str(count))
    else:
        table = Table(title="shown (rows) and taken for (columns)", title_justify="left")
        table.add_column("")
        table.add_column("", overflow="fold")
        for i in range(len(names)):
            table.add_column(str(i + 1), justify="right")
        table.add_column("recall", justify="right", no_wrap=True)
        for i, row in enumerate(outcome.evaluation.confusion_matrix):
            recall = f"{100 * row[i] / sum(row):.0f} %" if sum(row) else ""
            cells = [Text(str(n), style="bold" if i == j else "") for j, n in enumerate(row)]
            table.add_row(str(i + 1), Text(printable(names[i])), *cells, recall)
    Console().print(table)
