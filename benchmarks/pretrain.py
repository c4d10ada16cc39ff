"""Frames a second of pre-training steps: the shipped configs against the paper's in fp32.

    python benchmarks/pretrain.py [--threads 2]

A frame is one person in one frame. Steps are those of `skelact pretrain`: batch from memory,
augmentation, masks, loss, backward and optimiser, on simulated dives.
"""

from __future__ import annotations

import click
import torch
from interleave import interleave, report

from skelact.pipeline.checkpoints.networks import build_mae
from skelact.pipeline.config import PretrainConfig, load_config
from skelact.pipeline.data.clip_store import ClipStore
from skelact.pipeline.synth.dataset import make_dives
from skelact.pipeline.training.objectives import PretrainModule
from skelact.pipeline.training.optim import TrainingState
from skelact.pose_extract.common.device import free_cores, keep_freed_memory

_WAYS = {
    "diving_synth, fp32": ("diving_synth", ()),
    "diving_synth, bf16": ("diving_synth", ("runtime.precision=bf16",)),
    "diving_synth_tube, bf16": ("diving_synth_tube", ()),
}


class Steps:
    """Steps of one config.

    Args:
        name: Shipped pre-training config.
        settings: Overrides.
        num_frames: Frames of one call, a multiple of those of a step.
    """

    def __init__(self, name: str, settings: tuple[str, ...], num_frames: int) -> None:
        config = load_config(PretrainConfig, name, "pretrain", settings)
        self.batch = config.optim.batch_size
        store = ClipStore(list(make_dives("train", 8 * self.batch)), config.preprocess)
        mae = build_mae(config.preprocess, config.network, config.mask)
        self.module = PretrainModule(mae, config, store).train()
        self.state = TrainingState(self.module, config.optim, config.runtime.precision)
        per_step = self.batch * config.preprocess.clip_len
        self.steps = num_frames // per_step

    def __call__(self) -> None:
        """Do the steps."""
        for step in range(self.steps):
            self.module.set_step(0, step)
            first = self.batch * (step % 8)
            with self.state.autocast():
                loss = self.module(list(range(first, first + self.batch)))["loss"]
            self.state.step(loss)


@click.command()
@click.option("--threads", type=int, default=0, help="Threads; 0 takes the free cores.")
@click.option(
    "--frames",
    type=int,
    default=16384,
    show_default=True,
    help="Frames a round; a multiple of 4096.",
)
@click.option("--rounds", type=int, default=7, show_default=True)
def main(threads: int, frames: int, rounds: int) -> None:
    """Measure pre-training."""
    torch.set_num_threads(threads or free_cores())
    keep_freed_memory()
    ways = {name: Steps(*way, frames) for name, way in _WAYS.items()}
    seconds = interleave(ways, rounds)
    report("Pre-training", seconds, frames, "frames")


if __name__ == "__main__":
    main()
