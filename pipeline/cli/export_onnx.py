"""``skelact export-onnx``: a classifier as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...pose_extract.common.text import printable
from .measure import FILE
from .outputs import check_outputs

if TYPE_CHECKING:
    from ..data.annotations import Annotation

# Clips that the export is checked on.
_NUM_CLIPS = 32


@click.command()
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    metavar="[CHECKPOINT] FILE",
    type=click.Path(path_type=Path),
)
@click.option("--ann-file", type=FILE, help="Check on clips of this file [simulated dives].")
@click.option("--split", help="Split of the file to check on; with --ann-file.")
def export_onnx(paths: tuple[Path, ...], ann_file: Path | None, split: str | None) -> None:
    """Write the classifier CHECKPOINT (the shipped one by default) as the ONNX file FILE.

    A FILE that is there is replaced if CHECKPOINT is given. The batch size is dynamic, and the
    logits are checked against torch. `skelact predict` and `skelact evaluate` take the file as a
    checkpoint.
    """
    from ..data.annotations import load_annotations
    from ..inference.export_onnx import check_onnx_path
    from ..inference.export_onnx import export_onnx as write_onnx

    if len(paths) > 2:
        raise click.UsageError(f"expected [CHECKPOINT] FILE, got {len(paths)} paths")
    checkpoint, out = (None, paths[0]) if len(paths) == 1 else paths
    if checkpoint is None and out.exists():
        # Maybe the classifier that was meant.
        raise click.UsageError(f"{out} is there: give CHECKPOINT FILE to replace it, or a new FILE")
    if (ann_file is None) != (split is None):
        raise click.UsageError("--ann-file and --split belong together")
    check_outputs([("FILE", out)], [checkpoint, ann_file])
    check_onnx_path(out)
    if ann_file is None or split is None:
        clips = simulated_clips(_NUM_CLIPS)
    else:
        clips = load_annotations(ann_file).select(split)[:_NUM_CLIPS]
    worst = write_onnx(checkpoint, out, clips)
    click.echo(f"{printable(out)}: differs from torch by at most {worst:.1e} on {len(clips)} clips")


def simulated_clips(count: int) -> list[Annotation]:
    """Return simulated dives to check on where no annotation file is given."""
    import numpy as np

    from ..elements.element import diving48_elements
    from ..synth.dataset import film_dives

    _, dives = diving48_elements()
    return film_dives(dives[:count], np.random.default_rng(0))
