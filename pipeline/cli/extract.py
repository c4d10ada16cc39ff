"""``skelact extract``, and the options that it shares with ``skelact predict``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from ...pose_extract.common.collector import collector_paused
from ...pose_extract.common.device import EngineName, Precision
from ...pose_extract.common.text import printable
from ...pose_extract.effort import DEFAULT_EFFORT, EFFORTS, effort_table
from .outputs import check_outputs, files_of
from .terminal import SOME_FAILED, ProgressDisplay, note, quiet_option, say

if TYPE_CHECKING:
    from ...pose_extract.batch import BatchSummary
    from ...pose_extract.extract import ExtractConfig, Extractor, Progress
    from ...pose_extract.sources import ClipSource
    from ...pose_extract.store.manifest import ManifestEntry
    from ...pose_extract.store.plan import BatchPlan

F = TypeVar("F", bound=Callable[..., Any])

# One list for both commands. Defaults stand in ExtractConfig alone: an option that is not given
# is None here and left out.
_POSE_OPTIONS = [
    click.option(
        "--effort",
        type=click.Choice(list(EFFORTS)),
        help="How much is done to find and pose the athlete; `skelact extract --help` has a table "
        f"[{DEFAULT_EFFORT}].",
    ),
    click.option(
        "--subject",
        metavar="NAME|X1,Y1,X2,Y2",
        help="Who comes first: athlete [default], largest, most-motion, centre, or the person in a "
        "box of the first frame; all keeps everyone.",
    ),
    click.option(
        "--decoder", type=click.Choice(["auto", "decord", "pyav"]), help="Video decoder [auto]."
    ),
    click.option(
        "--detector",
        metavar="NAME|FILE|URL",
        help="rtmdet-nano, skelact-detector-320, whole-frame, mmdet-faster-rcnn, an ONNX file, or "
        "a detector of your own [the first that is here].",
    ),
    click.option(
        "--boxes",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Ground-truth boxes (JSON, or PYSKL's pickle) in place of a detector.",
    ),
    click.option(
        "--det-score-thr",
        type=float,
        help="Detections with a lower score are no candidates [0.08].",
    ),
    click.option("--max-det", type=int, help="At most this many candidates per frame [15]."),
    click.option(
        "--pose",
        metavar="NAME|FILE",
        help="skelact-litehrnet18-256x192 [default], litehrnet18-coco-256x192, an MMPose model "
        "name such as td-hm_hrnet-w32_8xb64-210e_coco-256x192, an MMPose config file, or a pose "
        "model of your own.",
    ),
    click.option(
        "--pose-checkpoint", metavar="FILE|URL", help="Weights for an MMPose config file."
    ),
    click.option(
        "--trust-config",
        is_flag=True,
        default=None,
        help="Run the MMPose config file that --pose names: it is Python code.",
    ),
    click.option("--flip-test", is_flag=True, default=None, help="Average with the mirror image."),
    click.option(
        "--engine",
        type=click.Choice(get_args(EngineName)),
        help="What runs the networks [auto: on a processor the fastest, on a GPU CUDA graphs].",
    ),
    click.option(
        "--precision",
        type=click.Choice(get_args(Precision)),
        help="Arithmetic of the pose model [auto: fp16 on a GPU, else fp32].",
    ),
    click.option(
        "--num-person", type=int, help="People kept, the athlete first [2; 16 with --subject all]."
    ),
    click.option("--smooth", is_flag=True, default=None, help="Smooth the keypoints over time."),
    click.option("--device", help="auto [default], cpu, cuda or cuda:N."),
    click.option("--batch-size", type=int, help="Crops per batch of the pose model [16; GPU 128]."),
    click.option("--num-threads", type=int, help="Threads of the networks [the free cores]."),
]


workers_option = click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Extract so many clips side by side, each in a process [the free cores].",
)


def _effort_epilog() -> str:
    """Return the table of efforts as click prints it, line for line."""
    rows = effort_table()
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in rows]
    return "\b\n" + "\n".join(line.rstrip() for line in lines)


def pose_options(command: F) -> F:
    """Add the options of :class:`ExtractConfig` to a click command."""
    for option in reversed(_POSE_OPTIONS):
        command = option(command)
    return command


def make_extractor(options: dict[str, Any]) -> Extractor:
    """Build the chain from video to skeletons from given options; those that are None are left out.

    Raises:
        SkelactError: if an option's value cannot be.
    """
    from ... import SkelactError
    from ...pose_extract.extract import Extractor

    try:
        return Extractor(_extract_config(options))
    except ValueError as error:
        raise SkelactError(str(error)) from None


def _extract_config(options: dict[str, Any]) -> ExtractConfig:
    from ...pose_extract.extract import ExtractConfig

    return ExtractConfig(**{name: value for name, value in options.items() if value is not None})


def find_clips(
    sources: Sequence[str], is_new: Callable[[ClipSource], bool] = lambda clip: True
) -> list[ClipSource]:
    """Return the clips of a command's arguments; say what is passed over, and wrong cuts.

    Args:
        sources: Files, folders and lists.
        is_new: Whether a clip is going to be read: the cuts of those alone are checked.
    """
    from ...pose_extract.sources import check_cuts, find_sources

    clips = find_sources(sources, lambda line: note(printable(line)))
    for line in check_cuts(filter(is_new, clips)):
        click.echo(f"will fail: {printable(line)}", err=True)
    return clips


@click.command(epilog=_effort_epilog())
@click.argument("sources", nargs=-1, required=True, type=click.Path())
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the results: a .npz per clip and manifest.jsonl.",
)
@click.option(
    "--annotations",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write all clips to one annotation file.",
)
@click.option(
    "--format",
    "annotation_format",
    type=click.Choice(["pyskl", "coco"]),
    default="pyskl",
    show_default=True,
    help="Form of the annotation file: PYSKL's pickle or COCO keypoint JSON.",
)
@click.option("--shard", default="1/1", metavar="I/N", help="Work on part I of N of the clips.")
@workers_option
@click.option(
    "--ray",
    metavar="HOST:PORT|auto|local",
    help="Extract on the nodes of a Ray cluster (extra ray); --workers is then the most processes "
    "over all nodes [as many as there is room for], each with --num-threads CPUs [1].",
)
@click.option("--retry-failed", is_flag=True, help="Try broken videos again though unchanged.")
@quiet_option
@pose_options
def extract(
    sources: tuple[str, ...],
    out: Path,
    annotations: Path | None,
    annotation_format: str,
    shard: str,
    workers: int,
    ray: str | None,
    retry_failed: bool,
    **options: Any,
) -> None:
    """Turn videos into cached skeleton sequences.

    SOURCES are video files, folders of them, and CSV lists (columns path, label, split, and
    start_seconds, end_seconds or start_frame, end_frame for cuts of long videos).

    A run that was stopped goes on where it was; what is there and unchanged is not done again.
    Broken videos are listed, stop nothing, and make the exit code 3.
    """
    from ...pose_extract.nets.mmpose_adapter import require_mmpose

    require_mmpose()
    with collector_paused():
        from ...pose_extract.batch import Shard, extract_clips
        from ...pose_extract.store.npz import cache_path
        from ..data.annotations import label_index

    clips = find_clips(sources, lambda clip: not os.path.exists(cache_path(out, clip.clip_id)))
    inputs = [*sources, *(clip.path for clip in clips), *files_of(options), out / "manifest.jsonl"]
    check_outputs([("--annotations", annotations)], inputs)
    if annotations:
        label_index(clip.label for clip in clips)  # labels that cannot be are told before the run
    extractor = make_extractor(options)
    part = Shard.parse(shard)
    try:
        with ProgressDisplay() as display:
            progress = BatchProgress(display)
            summary = extract_clips(
                clips,
                out,
                extractor,
                shard=part,
                workers=workers,
                ray=ray,
                retry_failed=retry_failed,
                read_entries=annotations is not None,
                on_compare=progress.compare,
                on_plan=progress.plan,
                on_progress=progress.progress,
                on_entry=progress.entry,
            )
    except KeyboardInterrupt:
        click.echo("stopped; finished clips are kept, the same command goes on", err=True)
        raise
    if annotations:
        _write_annotations(annotations, annotation_format, summary, out)
    _report(summary, out)


def _write_annotations(path: Path, form: str, summary: BatchSummary, out: Path) -> None:
    from ...pose_extract.batch import load_done
    from ...pose_extract.store.export import write_coco
    from ..data.annotations import label_index, write_sequences

    items = load_done(summary, out)
    if form == "coco":
        count = write_coco(path, items)
    else:
        labels = label_index(entry.label for entry in summary.entries)
        count = write_sequences(path, items, labels)
    say(f"{printable(path)}: {count} annotations")


def _report(summary: BatchSummary, out: Path) -> None:
    failed = summary.failed
    done = len(summary.entries) - len(failed)
    say(
        f"{done} of {len(summary.entries)} clips done ({summary.num_new} worked on now), "
        f"{len(failed)} failed; see {printable(out / 'manifest.jsonl')}"
    )
    for entry in failed:
        click.echo(printable(f"  failed: {entry.video}: {entry.error}"), err=True)
    if failed:
        raise click.exceptions.Exit(SOME_FAILED)


class BatchProgress:
    """What a batch tells of itself: all clips, those that are read, and people per second."""

    def __init__(self, display: ProgressDisplay) -> None:
        self._display = display
        self._began = time.monotonic()
        self._num_compared = self._num_done = self._num_failed = self._num_todo = 0

    def compare(self, clip: ClipSource) -> None:
        """Show that a video is read to see whether its result still holds."""
        self._num_compared += 1
        self._display.show("all", "compared with results", self._num_compared, None, "videos")

    def plan(self, plan: BatchPlan) -> None:
        """Print what is going to be done."""
        self._display.pause()
        for line in plan.lines():
            say(printable(line))
        self._num_todo, self._began = plan.num_todo, time.monotonic()

    def progress(self, progress: Progress) -> None:
        """Show how far a clip is."""
        self._show_clips()
        seconds = time.monotonic() - self._began
        unit = f"frames, {progress.people_done / max(seconds, 1e-9):.0f} people/s"
        name = progress.clip.clip_id
        self._display.show(name, name, progress.frames_done, progress.frames_total, unit)

    def entry(self, entry: ManifestEntry) -> None:
        """Show that a clip is done, or has failed."""
        self._num_done += 1
        self._num_failed += entry.status != "done"
        self._display.end(entry.video)
        self._show_clips()
        if not self._display.has_bars:
            # A log shows no bars: it gets a line per clip.
            say(f"{printable(entry.video)}: {printable(entry.error or entry.status)}")

    def _show_clips(self) -> None:
        failed = f", {self._num_failed} failed" if self._num_failed else ""
        self._display.show("all", "all", self._num_done, self._num_todo, f"clips{failed}")
