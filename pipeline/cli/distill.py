"""``skelact distill``: small networks of our own, taught by larger ones."""

from __future__ import annotations

from pathlib import Path

import click

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group()
def distill() -> None:
    """Train small pose nets and person finders from other networks' answers."""


@distill.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--out", required=True, type=_FOLDER, help="Folder for the labelled frames.")
@click.option("--jobs", type=click.IntRange(1), help="Processes [free cores].")
def label(sources: tuple[Path, ...], out: Path, jobs: int | None) -> None:
    """Label the people in videos and pictures of SOURCES (files or folders).

    Two pose nets look at each person along the body's own axis, mirrored too; people on whom they
    agree are kept with the frame. What has its labels is not done again.
    """
    from ...pose_extract.nets.mmpose_adapter import require_mmpose

    require_mmpose()
    from rich.progress import track

    from ...pose_extract.common.device import free_cores
    from ..distill.label import LabelConfig, find_jobs, label_folders

    people = failed = 0
    results = label_folders(list(sources), out, LabelConfig(), jobs=jobs or free_cores())
    for job, result in track(results, "labelling", total=len(find_jobs(list(sources)))):
        if isinstance(result, Exception):
            failed += 1
            click.echo(f"{job.name}: {result}", err=True)
        else:
            people += result
    click.echo(f"{out}: {people} people in {len(list(out.glob('*.npz')))} files")
    if failed:
        click.echo(f"sources that could not be read: {failed}", err=True)
        raise click.exceptions.Exit(1)


@distill.command()
@click.argument("config")
@click.option("--labels", required=True, type=_FOLDER, help="Folder of labelled frames.")
@click.option("--init", type=click.Path(path_type=Path), help="Student to start from.")
@click.option("--work-dir", type=_FOLDER, help="Folder of results [work_dirs/distill_CONFIG_SEED].")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--resume", is_flag=True, help="Go on from the last saved state.")
@click.option("--quiet", is_flag=True, help="Log warnings alone.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a setting of the config, such as optim.epochs=20; may be repeated.",
)
def train(
    config: str,
    labels: Path,
    init: Path | None,
    work_dir: Path | None,
    seed: int,
    device: str,
    resume: bool,
    quiet: bool,
    overrides: tuple[str, ...],
) -> None:
    """Train the student of CONFIG: pose_128x96, pose_256x192, finder, aligner, pose_lite_256x192
    and pose_lite_256x192_whole, finder_rtmdet and finder_rtmdet_whole, or a YAML file.

    It writes a pair of files that --pose, --detector or --aligner of `skelact extract` takes.
    """
    from ...pose_extract.nets.mmpose_adapter import require_mmpose

    require_mmpose()
    from ..config import load_config
    from ..distill.modules import DistillConfig
    from ..distill.train import distill as run

    settings = load_config(DistillConfig, config, "distill", overrides)
    folder = work_dir or Path("work_dirs") / f"distill_{Path(config).stem}_{seed}"
    path = run(
        settings,
        labels,
        folder,
        init=init,
        seed=seed,
        device=device,
        resume=resume,
        quiet=quiet,
    )
    click.echo(path)


@distill.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--labels", required=True, type=_FOLDER, help="Folder of labelled frames.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures.")
def measure(names: tuple[str, ...], labels: Path, json_path: Path | None) -> None:
    """Measure NAMES on the sources of --labels from which no student learned.

    A name is a student's .json, or one that --pose, --detector or --aligner of `skelact extract`
    knows: teachers are measured as students are, on people who stand and on the same people
    turned in steps of 30 degrees.
    """
    from ...pose_extract.nets.mmpose_adapter import require_mmpose

    require_mmpose()
    import json

    from rich.console import Console
    from rich.table import Table

    from ...pose_extract.common.files import atomic_write
    from ..distill.held_out import measure_by_name
    from ..distill.labelled_frames import LabelledFrames

    labelled = LabelledFrames.load(labels)
    results: dict[str, dict[str, float]] = {}
    table = Table(title="sources kept back", title_justify="left")
    for column in ("network", "figure", "upright", "mean over 12 angles", "least"):
        table.add_column(column)
    for name in names:
        results[name] = measure_by_name(name, labelled)
        figure = next(iter(results[name])).partition("_")[0]
        table.add_row(name, figure, *(f"{value:.3f}" for value in results[name].values()))
    Console(width=110).print(table)
    if json_path:
        with atomic_write(json_path) as temporary:
            temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
