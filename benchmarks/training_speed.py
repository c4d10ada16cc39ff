"""Training steps of this source tree against those of another one, interleaved.

    git worktree add ../before 61be3b2
    python benchmarks/training_speed.py ../before

A step is that of `skelact pretrain` or `finetune`: batch from memory, augmentation, masks, loss,
backward and optimiser. Each tree trains in a process of its own that stays; the trees take turns,
and who goes first alternates. A ratio is that of the two times of a round; what is printed is the
median over rounds with its quartiles.

Times are those of the processor, summed over threads: others who use the machine add to the clock.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import click
from source_tree import ROOT, SourceTree

# Kind and name of a shipped config, and a precision that is not the config's.
WAYS = {
    "tube, pre-training": ("pretrain", "penn_action_tube", ""),
    "tube, fine-tuning": ("finetune", "penn_action_tube", ""),
    "tube, pre-training, fp32": ("pretrain", "penn_action_tube", "fp32"),
    "tube, fine-tuning, fp32": ("finetune", "penn_action_tube", "fp32"),
    "ssl, pre-training": ("pretrain", "penn_action", ""),
    "ssl, fine-tuning": ("finetune", "penn_action", ""),
    "ssl, pre-training, bf16": ("pretrain", "penn_action", "bf16"),
    "ssl, fine-tuning, bf16": ("finetune", "penn_action", "bf16"),
    "stgcn, fine-tuning": ("finetune", "penn_action_stgcn", ""),
    "stgcn, fine-tuning, bf16": ("finetune", "penn_action_stgcn", "bf16"),
    "protogcn, fine-tuning": ("finetune", "penn_action_protogcn", ""),
}

# Reads a number of steps per line; answers with processor seconds, wall seconds and the last loss.
_SERVER = """
import inspect, json, sys, time
import torch
from skelact.pipeline.checkpoints.networks import build_classifier, build_mae
from skelact.pipeline.config import FinetuneConfig, PretrainConfig, load_config
from skelact.pipeline.data.annotations import annotation_path, load_annotations
from skelact.pipeline.data.clip_store import ClipStore
from skelact.pipeline.inference.classify import TestProtocol
from skelact.pipeline.training.objectives import FinetuneModule, PretrainModule
from skelact.pipeline.training.optim import TrainingState
from skelact.pose_extract.common.device import keep_freed_memory

kind, name, precision, threads, batch = json.loads(sys.argv[1])
torch.set_num_threads(threads)
keep_freed_memory()
settings = [f"runtime.precision={precision}"] if precision else []
settings += [f"optim.batch_size={batch}"] if batch else []
kind_of = PretrainConfig if kind == "pretrain" else FinetuneConfig
config = load_config(kind_of, name, kind, settings)
data = load_annotations(annotation_path(config.data.ann_file))
clips = data.select(config.data.train_split)[:256]
store = ClipStore(clips, config.preprocess)
torch.manual_seed(0)
if kind == "pretrain":
    network = build_mae(config.preprocess, config.network, config.mask)
    # Trees up to 0f9bdc5 take the sections of the config one by one.
    takes_config = "config" in inspect.signature(PretrainModule).parameters
    sections = (config, store) if takes_config else (config.mask, store, config.augment)
    module = PretrainModule(network, *sections)
else:
    classes = 1 + max(clip.label for clip in clips)
    network = build_classifier(config.preprocess, config.network, config.classifier, classes)
    smoothing = config.optim.label_smoothing
    module = FinetuneModule(network, store, config.augment, None, smoothing, TestProtocol(1, False))
module.train()
state = TrainingState(module, config.optim, config.runtime.precision)
size, done = config.optim.batch_size, 0
for line in sys.stdin:
    clock, processor = time.perf_counter(), time.process_time()
    for _ in range(int(line)):
        first = size * done % (len(store) - size + 1)
        module.set_step(0, 0, done, 0)
        with state.autocast():
            loss = module(list(range(first, first + size)))["loss"]
        state.step(loss)
        done += 1
    spent = time.process_time() - processor, time.perf_counter() - clock
    print(json.dumps([*spent, float(loss.detach()), size]), flush=True)
"""


def compare(before: Path, job: list[object], rounds: int, steps: int) -> str:
    """Return one line: clips a second of both trees, their ratio, and their losses."""
    with tempfile.TemporaryDirectory() as work:
        old = SourceTree(before, Path(work) / "old", _SERVER, job)
        new = SourceTree(ROOT, Path(work) / "new", _SERVER, job)
        seconds: dict[SourceTree, list[float]] = {old: [], new: []}
        for tree in seconds:
            first_loss = tree.ask(1)[2]
            click.echo(f"    loss of the first step {first_loss:.6f}")
        for turn in range(rounds):
            for tree in (old, new) if turn % 2 else (new, old):
                processor, _, _, size = tree.ask(steps)
                seconds[tree].append(processor)
        for tree in seconds:
            tree.close()
    ratios = [one / two for one, two in zip(seconds[old], seconds[new])]
    low, _, high = statistics.quantiles(ratios, n=4)
    rates = [steps * size / statistics.median(times) for times in seconds.values()]
    return (
        f"{rates[0]:.1f} clips/s before, {rates[1]:.1f} now: "
        f"{statistics.median(ratios):.2f} times [{low:.2f}, {high:.2f}]"
    )


@click.command()
@click.argument("before", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--way", "ways", multiple=True, type=click.Choice(list(WAYS)), help="[all]")
@click.option("--rounds", default=7, show_default=True)
@click.option("--steps", default=2, show_default=True, help="Steps of a round.")
@click.option("--threads", default=1, show_default=True)
@click.option("--batch-size", default=0, help="Clips of a step; 0 takes the config's.")
def main(
    before: Path, ways: tuple[str, ...], rounds: int, steps: int, threads: int, batch_size: int
) -> None:
    """Time training of this tree against the tree BEFORE."""
    for way in ways or WAYS:
        line = compare(before, [*WAYS[way], threads, batch_size], rounds, steps)
        click.echo(f"{way}: {line}")


if __name__ == "__main__":
    main()
