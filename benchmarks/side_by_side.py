"""Classifiers trained side by side against the same ones in turn, on few clips.

    python benchmarks/side_by_side.py --count 20 --clips 15

Steps are those of `skelact finetune` on simulated dives: batch from memory, augmentation, loss,
backward and optimiser. The two ways alternate; the ratio is that of the median round.
"""

from __future__ import annotations

import click
import torch
from interleave import interleave, report

from skelact.pipeline.checkpoints.networks import build_classifier
from skelact.pipeline.config import FinetuneConfig, load_config
from skelact.pipeline.data.clip_store import ClipStore
from skelact.pipeline.inference.classify import TestProtocol
from skelact.pipeline.synth.dataset import make_dives
from skelact.pipeline.training.objectives import FinetuneModule
from skelact.pipeline.training.optim import TrainingState
from skelact.pipeline.training.side_by_side import train_side_by_side
from skelact.pose_extract.common.device import choose_device, free_cores, keep_freed_memory


@click.command()
@click.option("--config", default="diving_synth_tube", show_default=True)
@click.option("--count", default=20, show_default=True, help="Classifiers.")
@click.option("--clips", default=15, show_default=True, help="Clips of a step.")
@click.option("--steps", default=2, show_default=True, help="Steps of a round.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--threads", default=0, help="0 takes the free cores.")
@click.option("--precision", default="", help="In place of the config's.")
@click.option("--device", default="auto", show_default=True)
def main(
    config: str,
    count: int,
    clips: int,
    steps: int,
    rounds: int,
    threads: int,
    precision: str,
    device: str,
) -> None:
    """Time classifiers side by side and in turn."""
    torch.set_num_threads(threads or free_cores())
    keep_freed_memory()
    settings = [f"optim.epochs={steps}", f"optim.batch_size={clips}", "optim.warmup_epochs=0"]
    settings += [f"runtime.precision={precision}"] if precision else []
    loaded = load_config(FinetuneConfig, config, "finetune", settings)
    chosen = choose_device(device)
    store = ClipStore(list(make_dives("train", clips)), loaded.preprocess)
    modules = []
    for seed in range(count):
        torch.manual_seed(seed)
        network = build_classifier(loaded.preprocess, loaded.network, loaded.classifier, 48)
        smoothing, protocol = loaded.optim.label_smoothing, TestProtocol(1, False)
        module = FinetuneModule(network, store, loaded.augment, None, smoothing, protocol)
        modules.append(module.to(chosen).train())
    states = [TrainingState(module, loaded.optim, loaded.runtime.precision) for module in modules]

    def in_turn() -> None:
        for seed, (module, state) in enumerate(zip(modules, states)):
            for step in range(steps):
                module.set_step(seed, step, 0, 0)
                with state.autocast():
                    loss = module(list(range(clips)))["loss"]
                state.step(loss)

    def together() -> None:
        train_side_by_side(modules, range(count), loaded.optim, loaded.runtime.precision)

    seconds = interleave({"in turn": in_turn, f"{count} side by side": together}, rounds)
    title = f"{count} classifiers, {clips} clips a step, {loaded.runtime.precision}, {chosen}"
    report(title, seconds, count * steps, "steps")


if __name__ == "__main__":
    main()
