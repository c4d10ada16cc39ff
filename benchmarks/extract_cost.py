"""What a change costs: this source tree against another one, on the same clips, interleaved.

git worktree add ../before 1d5c5c8
python benchmarks/extract_cost.py ../before ../shared/videos/ucf101_train --clips 100

Both trees extract each clip in processes of their own that stay, so that networks are loaded once;
who goes first alternates. The ratio of a clip is that of its fastest rounds; a clip is measured
until both trees had all rounds.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import click
from source_tree import ROOT, SourceTree

# Reads a clip's path per line, answers with the seconds that its skeletons took.
_SERVER = """
import json, sys, time
from skelact.pose_extract.extract import ExtractConfig, Extractor
from skelact.pose_extract.sources import ClipSource
answers = sys.stdout
sys.stdout = sys.stderr
extractor = Extractor(ExtractConfig(**json.loads(sys.argv[1])))
for line in sys.stdin:
    path = line.rstrip("\\n")
    start = time.perf_counter()
    (result,) = extractor.run([ClipSource(path, path)])
    seconds = time.perf_counter() - start
    frames = result.sequence.num_frames if result.sequence else 0
    print(json.dumps([seconds, frames, str(result.error or "")]), file=answers, flush=True)
"""


@click.command()
@click.argument("before", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--clips", default=100, show_default=True)
@click.option("--rounds", default=2, show_default=True)
@click.option("--effort", default="fast", show_default=True)
@click.option("--detector", default="auto", show_default=True)
def main(before: Path, folder: Path, clips: int, rounds: int, effort: str, detector: str) -> None:
    """Time this tree against the tree BEFORE on the first clips of FOLDER."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".avi", ".mp4"))[:clips]
    config = {"effort": effort, "detector": detector}
    ratios, old_seconds, new_seconds, frames = [], 0.0, 0.0, 0
    with tempfile.TemporaryDirectory() as work:
        old = SourceTree(before, Path(work) / "old", _SERVER, config)
        new = SourceTree(ROOT, Path(work) / "new", _SERVER, config)
        for tree in (old, new):
            tree.ask(paths[0].resolve())
        for i, path in enumerate(paths):
            fastest: dict[SourceTree, float] = {}
            for turn in range(rounds):
                order = (old, new) if (i + turn) % 2 else (new, old)
                for tree in order:
                    seconds, num_frames, error = tree.ask(path.resolve())
                    if error:
                        raise click.ClickException(f"{path}: {error}")
                    fastest[tree] = min(seconds, fastest.get(tree, seconds))
            frames += num_frames
            ratios.append(fastest[new] / fastest[old])
            old_seconds, new_seconds = old_seconds + fastest[old], new_seconds + fastest[new]
        old.close()
        new.close()
    quarter, half, three = statistics.quantiles(ratios, n=4)
    click.echo(
        f"{len(paths)} clips, {frames} frames, {rounds} rounds, effort {effort}: "
        f"{old_seconds:.1f} s before, {new_seconds:.1f} s now, "
        f"ratio {new_seconds / old_seconds:.3f}; "
        f"per clip median {half:.3f} ({quarter:.3f} to {three:.3f})"
    )


if __name__ == "__main__":
    main()
