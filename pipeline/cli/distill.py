"""``skelact distill``: detectors that learn from a teacher network and from labelled frames."""

from __future__ import annotations

from pathlib import Path

import click

from ...pose_extract.common.text import printable
from .measure import FILE
from .outputs import check_outputs
from .terminal import SOME_FAILED
from .training_options import run_options

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group()
def distill() -> None:
    """Label people in videos and images, and train person detectors by distillation."""


@distill.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--out", required=True, type=_FOLDER, help="Folder for the labelled frames.")
@click.option("--jobs", type=click.IntRange(1), help="Processes [free cores].")
def label(sources: tuple[Path, ...], out: Path, jobs: int | None) -> None:
    """Label the people in the videos and images of SOURCES (files or folders).

    Two pose models estimate each person in an upright crop and in its flipped copy; people on whom
    they agree are stored with the frame. Videos and images that have labels are skipped. Those that
    cannot be read stop no other, and make the exit code 3.
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
        raise click.exceptions.Exit(SOME_FAILED)


@distill.command()
@click.argument("config")
@click.option("--labels", required=True, type=_FOLDER, help="Folder of labelled frames.")
@click.option(
    "--init", type=click.Path(path_type=Path), help="JSON of an exported detector to start from."
)
@click.option("--work-dir", type=_FOLDER, help="Folder of results [work_dirs/distill_CONFIG_SEED].")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed.")
@run_options
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
    """Train the detector of CONFIG: detector_rtmdet, then detector_rtmdet_whole; or a YAML file.

    It writes an exported bundle, a .safetensors with its .json, whose .json --detector of `skelact
    extract` takes. Pose models are trained with `skelact train-pose`.
    """
    from ...pose_extract.nets.mmpose_adapter import require_mmpose

    require_mmpose()
    from ..config import load_config
    from ..distill.modules import DistillConfig
    from ..distill.train import distill as run

    settings = load_config(DistillConfig, config, "distill", overrides)
    folder = work_dir or Path("work_dirs") / f"distill_{Path(config).stem}_{seed}"
    check_outputs([("--work-dir", folder / "detector.json")], [init])
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
@click.option("--json", "json_path", type=FILE, help="Write the figures.")
def measure(names: tuple[str, ...], labels: Path, json_path: Path | None) -> None:
    """Measure the detectors NAMES on the held-out sources of --labels.

    A name is the .json of an exported bundle, or rtmdet-nano or skelact-detector-320. The figures
    are the recall of people as they are and rotated in steps of 30 degrees.
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
    for column in ("detector", "recall upright", "mean over 12 angles", "least"):
        table.add_column(column)
    for name in names:
        results[name] = measure_by_name(name, labelled)
        figures = (f"{value:.3f}" for value in results[name].values())
        table.add_row(Text(printable(name)), *figures)
    Console(width=110).print(table)
    if json_path:
        with atomic_write(json_path) as temporary:
            temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
