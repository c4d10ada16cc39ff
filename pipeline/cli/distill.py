"""``skelact distill``: small networks that learn from larger teacher networks."""

from __future__ import annotations

from pathlib import Path

import click

from ...pose_extract.common.text import printable
from .outputs import check_outputs

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group()
def distill() -> None:
    """Train small pose models, detectors and aligners by distillation."""


@distill.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--out", required=True, type=_FOLDER, help="Folder for the labelled frames.")
@click.option("--jobs", type=click.IntRange(1), help="Processes [free cores].")
def label(sources: tuple[Path, ...], out: Path, jobs: int | None) -> None:
    """Label the people in the videos and images of SOURCES (files or folders).

    Two pose models estimate each person in an upright crop and in its flipped copy; people on whom
    they agree are stored with the frame. Videos and images that have labels are skipped.
    """
    from ...pose_extract.nets.mmpose_adapter import require_mmpose

    require_mmpose()
    from rich.progress import track

    from ...pose_extract.common.device import free_cores
    from ..distill.label import label_folders
    from ..distill.label_sources import find_jobs
    from ..distill.teachers import LabelConfig

    people = failed = 0
    results = label_folders(list(sources), out, LabelConfig(), jobs=jobs or free_cores())
    for job, result in track(results, "labelling", total=len(find_jobs(list(sources)))):
        if isinstance(result, Exception):
            failed += 1
            click.echo(printable(f"{job.name}: {result}"), err=True)
        else:
            people += result
    click.echo(printable(f"{out}: {people} people in {len(list(out.glob('*.npz')))} files"))
    if failed:
        click.echo(f"sources that could not be read: {failed}", err=True)
        raise click.exceptions.Exit(1)


@distill.command()
@click.argument("config")
@click.option("--labels", required=True, type=_FOLDER, help="Folder of labelled frames.")
@click.option(
    "--init", type=click.Path(path_type=Path), help="JSON of an exported network to start from."
)
@click.option("--work-dir", type=_FOLDER, help="Folder of results [work_dirs/distill_CONFIG_SEED].")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--resume", is_flag=True, help="Continue from the last saved state.")
@click.option("--quiet", is_flag=True, help="Log warnings only.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the config, such as optim.epochs=20; may be repeated.",
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
    """Train the network of CONFIG: pose_lite_256x192, then pose_lite_256x192_whole;
    detector_rtmdet, then detector_rtmdet_whole; aligner; or a YAML file.

    It writes an exported bundle, a .safetensors with its .json, whose .json --pose, --detector or
    --aligner of `skelact extract` takes.
    """
    from ...pose_extract.nets.mmpose_adapter import require_mmpose

    require_mmpose()
    from ..config import load_config
    from ..distill.modules import DistillConfig
    from ..distill.train import distill as run

    settings = load_config(DistillConfig, config, "distill", overrides)
    folder = work_dir or Path("work_dirs") / f"distill_{Path(config).stem}_{seed}"
    check_outputs([("--work-dir", folder / f"{settings.kind}.json")], [init])
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
    click.echo(printable(path))


@distill.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--labels", required=True, type=_FOLDER, help="Folder of labelled frames.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures.")
def measure(names: tuple[str, ...], labels: Path, json_path: Path | None) -> None:
    """Measure NAMES on the held-out sources of --labels.

    A name is the .json of an exported bundle, or one that --pose, --detector or --aligner of
    `skelact extract` knows, such as a teacher's. The figures are for people as they are and
    rotated in steps of 30 degrees: OKS of a pose model, recall of a detector, and the share of an
    aligner's axes within 30 degrees.
    """
    from ...pose_extract.nets.mmpose_adapter import require_mmpose

    require_mmpose()
    import json

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ...pose_extract.common.files import atomic_write
    from ..distill.held_out import measure_by_name
    from ..distill.labelled_frames import LabelledFrames

    check_outputs([("--json", json_path)], names)
    labelled = LabelledFrames.load(labels)
    results: dict[str, dict[str, float]] = {}
    table = Table(title="held-out sources", title_justify="left")
    for column in ("network", "figure", "upright", "mean over 12 angles", "least"):
        table.add_column(column)
    for name in names:
        results[name] = measure_by_name(name, labelled)
        figure = next(iter(results[name])).partition("_")[0]
        table.add_row(
            Text(printable(name)), figure, *(f"{value:.3f}" for value in results[name].values())
        )
    Console(width=110).print(table)
    if json_path:
        with atomic_write(json_path) as temporary:
            temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
