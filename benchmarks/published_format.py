"""Runs the configs of the public benchmarks end to end on files in their published format.

    python benchmarks/published_format.py
    python benchmarks/published_format.py --whole --config gym99

Each config pre-trains for three epochs, fine-tunes what came of it for three, and is evaluated with
several test clips; skeletons are made up (``published_files.py``). With --whole the file has the
published number of clips; they are read, in a process of their own, as a fine-tuning reads them
before its first step, and epochs are of 256 of them. What is measured:

- seconds of the processor, summed over threads (others who use the machine add to the clock); an
  epoch is what passes between the log lines of the first and the second;
- the greatest memory of a process.

Seconds of an epoch and of the evaluation are extrapolated in proportion to the clips; what reading
takes is not extrapolated. A GPU is taken for 50 cores. With --read-only nothing is trained.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from published_files import FILES, SHORT, write_file

from skelact.pipeline.config import FinetuneConfig, PretrainConfig, load_config

CONFIGS = (
    "gym99", "gym99_tube", "gym288", "gym288_tube", "diving48", "diving48_tube", "ntu60_xsub",
    "ntu60_xview", "ntu120_xsub", "ntu120_xset",
)  # fmt: skip

# Cores of a processor that a GPU is taken for: a guess, to be replaced by the seconds in the log of
# a training on a GPU gives.
GPU_CORES = 50

# Reads an annotation file and holds its clips as a fine-tuning does before its first step.
_READ = """
import json, sys, time
from skelact.pipeline.config import FinetuneConfig, load_config
from skelact.pipeline.training.prepare import prepare_finetune
name, path = sys.argv[1:]
began = time.process_time()
prepare_finetune(load_config(FinetuneConfig, name, "finetune", [f"data.ann_file={path}"]), 0)
print(json.dumps(time.process_time() - began))
"""
# Pre-trains, fine-tunes and evaluates; prints clips and seconds as JSON.
_TRAIN = """
import json, logging, sys, time
from skelact.pipeline.config import FinetuneConfig, PretrainConfig, load_config
from skelact.pipeline.checkpoints.checkpoint import load_meta
from skelact.pipeline.evaluation.evaluate import evaluate_checkpoint
from skelact.pipeline.training.train import finetune, pretrain

name, path, work, train, val, num_test_clips = sys.argv[1:]
lines = []

class Clock(logging.Handler):
    def emit(self, record):
        if record.msg == "%s: %s":  # of an epoch
            lines.append(time.process_time())

log = logging.getLogger("skelact.pipeline.training")
log.addHandler(Clock())
log.setLevel(logging.INFO)

def epoch_seconds():
    first, second, *_ = lines
    lines.clear()
    return second - first

def settings(kind, epochs, *more):
    data = [f"data.ann_file={path}", f"data.train_split={train}", f"optim.epochs={epochs}"]
    cls = PretrainConfig if kind == "pretrain" else FinetuneConfig
    return load_config(cls, name, kind, [*data, *more])

def evaluate(num_clips):
    began = time.process_time()
    result = evaluate_checkpoint(fine, path, val, device="cpu", num_clips=num_clips)
    return result, time.process_time() - began

# A state is saved, and the val split measured, at the last epoch: not in what is timed.
saved = "runtime.save_every=100"
first = pretrain(settings("pretrain", 3, saved), f"{work}/pre", device="cpu")
found = {"pretrain": epoch_seconds()}
second = settings("finetune", 3, saved, f"data.val_split={val}")
fine = finetune(second, f"{work}/fine", pretrained=first, device="cpu")
found["finetune"] = epoch_seconds()
once, several = evaluate(1), evaluate(int(num_test_clips))
# What does not grow with the test clips is reading.
count = int(num_test_clips)
found["evaluate"] = (several[1] - once[1]) * count / (count - 1)
measured = load_meta(fine).figures["num_clips"]
assert once[0].num_clips == several[0].num_clips == measured, "each clip is counted once"
found["clips"] = [load_meta(fine).data["num_clips"], measured]
print(json.dumps(found))
"""
_GIB = 1 << 30


@dataclass(frozen=True)
class Used:
    """What a process took.

    Attributes:
        said: What its last line says, as JSON.
        memory: Its greatest memory in bytes.
    """

    said: Any
    memory: int


def run(code: str, *arguments: str) -> Used:
    """Run Python code in a process of its own.

    Raises:
        ClickException: if it fails, with its last words.
    """
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], stdout=out, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = out.read()
    if process.returncode:
        raise click.ClickException(f"{' '.join(arguments)}\n{said[-2000:]}")
    # Linux counts memory in KiB.
    return Used(json.loads(said.splitlines()[-1]), usage.ru_maxrss * 1024)


@dataclass(frozen=True)
class Measured:
    """What a config took on its file.

    Attributes:
        file_size: Bytes of the file.
        read: Seconds of reading it; None where it has not the published number of clips.
        train: Clips and seconds of the trainings and the evaluation.
    """

    file_size: int
    read: Used | None
    train: Used


def measure_reading(name: str, folder: Path) -> str:
    """Return a line on reading the whole file of a config's benchmark."""
    file = FILES[load_config(FinetuneConfig, name, "finetune").data.ann_file]
    path = write_file(file, folder)
    read = run(_READ, name, str(path))
    return (
        f"{name}: {file.num_clips:,} clips, {path.stat().st_size / _GIB:.2f} GiB, read in "
        f"{read.said:.0f} s with {read.memory / _GIB:.1f} GiB of memory"
    )


def measure(name: str, folder: Path, num_clips: int, num_test_clips: int) -> Measured:
    """Run a config on a file of its benchmark.

    Args:
        name: Shipped name of the config.
        folder: An empty one, for files and checkpoints.
        num_clips: Clips of the file that is trained on; 0 for the published number, of which the
            short splits are trained on.
        num_test_clips: Test clips of a video.
    """
    data = load_config(FinetuneConfig, name, "finetune").data
    path = write_file(FILES[data.ann_file], folder, num_clips)
    read = None if num_clips else run(_READ, name, str(path))
    splits = (data.train_split, data.val_split) if num_clips else tuple(SHORT)
    trained = run(_TRAIN, name, str(path), str(folder), *splits, str(num_test_clips))
    return Measured(path.stat().st_size, read, trained)


def row(name: str, found: Measured) -> str:
    """Return a line of the table, extrapolated to the published numbers of clips."""
    first = load_config(PretrainConfig, name, "pretrain")
    second = load_config(FinetuneConfig, name, "finetune")
    file = FILES[second.data.ann_file]
    splits = {split: clips for protocol in file.protocols for split, clips in protocol.items()}
    train, val = splits[second.data.train_split], splits[second.data.val_split]
    took = found.train.said
    learned, measured = took["clips"]
    pretrain = took["pretrain"] / learned * train
    finetune = took["finetune"] / learned * train
    evaluate = took["evaluate"] / measured * val
    hours = (first.optim.epochs * pretrain + second.optim.epochs * finetune + evaluate) / 3600
    cells = [
        name,
        f"{train:,} / {val:,}",
        f"{found.file_size / _GIB:.2f}" if found.read else "-",
        f"{found.read.said:.0f}" if found.read else "-",
        f"{found.read.memory / _GIB:.1f}" if found.read else "-",
        f"{found.train.memory / _GIB:.1f}",
        f"{learned / took['pretrain']:.0f}",
        f"{learned / took['finetune']:.0f}",
        f"{measured / took['evaluate']:.1f}",
        f"{pretrain:.0f}",
        f"{finetune:.0f}",
        f"{evaluate:.0f}",
        f"{hours:.0f}",
        f"{hours / GPU_CORES:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


HEAD = (
    "| config | clips | file, GiB | read, s | memory to read, GiB | memory to train here, GiB | "
    "pre-train, clips/s | fine-tune, clips/s | evaluate, clips/s | pre-train, s/epoch | "
    "fine-tune, s/epoch | evaluate, s | whole recipe, h | one GPU, h |\n|" + "---|" * 14
)


@click.command()
@click.option("--config", "configs", multiple=True, type=click.Choice(CONFIGS), help="[all]")
@click.option("--clips", default=320, show_default=True, help="Clips of a file.")
@click.option("--whole", is_flag=True, help="The published number of clips, and short epochs.")
@click.option("--read-only", is_flag=True, help="Read the published number of clips, no more.")
@click.option("--num-test-clips", default=10, show_default=True, help="PYSKL's number.")
def main(
    configs: tuple[str, ...], clips: int, whole: bool, read_only: bool, num_test_clips: int
) -> None:
    """Run the configs, and print a table of what they take on one core."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if not read_only:
        click.echo(HEAD)
    num_clips = 0 if whole else clips
    for name in configs or CONFIGS:
        with tempfile.TemporaryDirectory(prefix="published_") as folder:
            if read_only:
                click.echo(measure_reading(name, Path(folder)))
            else:
                found = measure(name, Path(folder), num_clips, num_test_clips)
                click.echo(row(name, found))


if __name__ == "__main__":
    main()
