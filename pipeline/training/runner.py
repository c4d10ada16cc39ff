"""The training loop that every training of ours runs on, in plain PyTorch.

A run is a function of its config and seed: what is random in a step is drawn from (seed, epoch,
step), so a run that was stopped and resumed ends where an unbroken one ends.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from ... import SkelactError
from ...pose_extract.common.device import choose_device, default_threads, keep_freed_memory
from ..config import OptimConfig, RuntimeConfig, check_seed
from .log import LOG, epoch_log
from .optim import TrainingState, learning_rates, usable_precision
from .processes import (
    distribute,
    from_main_process,
    is_main_process,
    join_processes,
    rank_and_count,
)
from .resume import STATE_NAME, begin, save

# A stop loses no more than this, and an epoch.
_SECONDS_BETWEEN_STATES = 60.0


class Samples(Protocol):
    """What a training learns from."""

    @property
    def names(self) -> Sequence[str]:
        """Name of each sample, for messages."""
        ...

    def __len__(self) -> int: ...


class SeededModule(nn.Module):
    """What all trainings share: data in memory, and one random state per step.

    Its forward takes the numbers of a batch's samples and returns a dictionary of losses by name;
    those with "loss" in their name are summed.

    Attributes:
        store: The training samples.
        epoch: Number of the epoch that the step belongs to.
        best_epoch: Epoch, from 1, whose weights early stopping kept; None without it.
    """

    best_epoch: int | None = None

    def __init__(self, store: Samples) -> None:
        super().__init__()
        self.store = store
        self._step_seed = 0
        self.epoch = 0

    def set_step(self, *key: int) -> None:
        """Derive the random state of the next step from (seed, epoch, step, rank)."""
        self.epoch = key[1]
        self._step_seed = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]) >> 1

    def generator(self) -> torch.Generator:
        """Return the random state of this step, on the module's device."""
        return torch.Generator(next(self.parameters()).device).manual_seed(self._step_seed)

    def compile_networks(self) -> None:
        """Compile what learns; the steps around it, with their random states, stay."""
        for child in self.children():
            child.compile()

    @property
    def has_val_split(self) -> bool:
        """Whether :meth:`figures` has a "val_loss", by which a training is stopped early."""
        return False

    def figures(self) -> dict[str, Any]:
        """Measure on the val split; nothing where there is none."""
        return {}

    def checked(self, loss: Tensor, inds: Sequence[int]) -> Tensor:
        """Return a loss.

        Raises:
            SkelactError: naming the batch, if the loss is not finite.
        """
        if not torch.isfinite(loss):
            samples = ", ".join(self.store.names[i] for i in inds[:8])
            raise SkelactError(
                f"the loss is {loss.item()} in the batch of {samples}"
                f"{', ...' if len(inds) > 8 else ''}: check these samples, or lower optim.lr"
            )
        return loss


M = TypeVar("M", bound=SeededModule)


def train_module(
    module: M,
    optim: OptimConfig,
    runtime: RuntimeConfig,
    work_dir: str | Path,
    *,
    seed: int,
    device: str,
    resume: bool,
    quiet: bool,
) -> M:
    """Train a module and return it, with the moving average of its weights if there is one.

    Args:
        module: What learns, and what it learns from.
        optim: Optimiser and schedule.
        runtime: How training runs.
        work_dir: Gets the resume state ``state.pt``, ``train.log`` and TensorBoard's events.
        seed: Seed of order and steps.
        device: "auto", "cpu", "cuda" or "cuda:N".
        resume: Go on from the state in ``work_dir`` if there is one; the log says so.
        quiet: Log warnings alone.

    Returns:
        The module, on the CPU; ``best_epoch`` says which weights it has.

    Raises:
        SkelactError: if the device or precision is not there, there is no sample, a loss is not
            finite, or the state cannot be resumed from.
    """
    check_seed(seed)
    if not len(module.store):
        raise SkelactError("nothing to learn from: expected training samples, got none")
    if optim.patience and not module.has_val_split:
        raise SkelactError(
            f"optim.patience: got {optim.patience}, and there is no val split to stop by; name one "
            "in data.val_split"
        )
    chosen = choose_device(device)
    torch.set_num_threads(default_threads())
    keep_freed_memory()
    join_processes(chosen)
    work_dir = Path(work_dir)
    precision = usable_precision(runtime.precision, chosen)
    module.to(chosen)
    if runtime.compile:
        module.compile_networks()
    state = TrainingState(module, optim, precision)
    start, how = begin(work_dir, state, seed, optim.epochs, resume)
    network = distribute(module, chosen)
    rates = learning_rates(optim)
    tensorboard = runtime.tensorboard
    with epoch_log(work_dir, quiet=quiet, tensorboard=tensorboard, start=start) as log:
        if precision != runtime.precision:
            LOG.info("training in fp32: this processor has no %s", runtime.precision)
        if runtime.compile and chosen.type == "cpu":
            LOG.warning(
                "runtime.compile is meant for CUDA and was not tested with a processor's compiler; "
                "where a loss is not finite, leave it off"
            )
        if is_main_process():
            for level, sentence in how:
                LOG.log(level, sentence)
        saved = time.monotonic()
        try:
            for epoch in range(start, optim.epochs):
                if from_main_process(state.best is not None and state.best.is_over):
                    break
                began = time.perf_counter()
                state.set_rate(rates[epoch])
                figures = _train_epoch(network, module, state, optim.batch_size, seed, epoch)
                done, is_last = epoch + 1, epoch + 1 == optim.epochs
                # The main process writes and measures; the others wait for its next gradient.
                measures = is_main_process() and (is_last or done % runtime.val_every == 0)
                is_due = is_last or done % runtime.save_every == 0
                is_long = time.monotonic() - saved > _SECONDS_BETWEEN_STATES
                saves = is_main_process() and (is_due or is_long)
                if saves and state.best is None:
                    # First: a stop while it measures loses nothing.
                    save(work_dir / STATE_NAME, state, seed, done)
                if measures:
                    with state.averaged():
                        figures |= module.figures()
                        if state.best is not None:
                            state.best.update(figures["val_loss"], done, module)
                if saves and state.best is not None:
                    save(work_dir / STATE_NAME, state, seed, done)
                if saves:
                    saved = time.monotonic()
                figures |= {"lr": rates[epoch], "seconds": time.perf_counter() - began}
                log(f"epoch {done}/{optim.epochs}", done, figures)
        except KeyboardInterrupt:
            if is_main_process():
                if (work_dir / STATE_NAME).is_file():
                    LOG.warning("stopped; --resume goes on from the last state in %s", work_dir)
                else:
                    LOG.warning("stopped before the first state; runtime.save_every=1 has more")
            raise
    module.best_epoch = state.keep_best()
    # A copy is not compiled: what comes next on the CPU would be compiled anew.
    return copy.deepcopy(module).cpu() if runtime.compile else module.cpu()


def _train_epoch(
    network: nn.Module,
    module: SeededModule,
    state: TrainingState,
    batch_size: int,
    seed: int,
    epoch: int,
) -> dict[str, Any]:
    """Learn from each sample once.

    Args:
        network: The module, or what shares its gradients among processes.
        module: What learns.
        state: Changes it.
        batch_size: Samples per step and process.
        seed: Seed of order and steps.
        epoch: Number of the epoch, from 0.

    Returns:
        Mean of each loss over the steps.
    """
    rank, processes = rank_and_count()
    # Dropout draws from the global state.
    torch.manual_seed(int(np.random.SeedSequence((seed, epoch, rank)).generate_state(1)[0]))
    # In the runs behind the published figures a data loader took one number.
    torch.empty((), dtype=torch.int64).random_()
    network.train()
    sums: dict[str, Tensor] = {}
    batches = epoch_batches(len(module.store), batch_size, seed + epoch, rank, processes)
    for step, inds in enumerate(batches):
        module.set_step(seed, epoch, step, rank)
        with state.autocast():
            losses: dict[str, Tensor] = network(inds)
        losses["loss"] = cast(Tensor, sum(v for name, v in losses.items() if "loss" in name))
        state.step(losses["loss"])
        for name, loss in losses.items():
            sums[name] = loss.detach() + sums.get(name, 0.0)
    return {name: total.item() / len(batches) for name, total in sums.items()}


def epoch_batches(
    length: int, batch_size: int, seed: int, rank: int = 0, processes: int = 1
) -> list[list[int]]:
    """Return the sample numbers of each of a process's batches in one epoch, in random order.

    Each process takes every ``processes``-th sample of the same order. So that all take as many
    steps, the order begins again where ``length`` is no multiple of ``processes``.
    """
    order = torch.randperm(length, generator=torch.Generator().manual_seed(seed)).tolist()
    total = processes * math.ceil(length / processes)
    mine = (order * processes)[rank:total:processes]
    return [mine[first : first + batch_size] for first in range(0, len(mine), batch_size)]
