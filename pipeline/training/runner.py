"""MMEngine's Runner, built from objects: what every training of ours runs on.

A run is a function of its config and seed: what is random in a step is drawn from (seed, epoch,
step), so a run that was stopped and resumed ends where an unbroken one ends.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import uuid4

import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import CheckpointHook, EMAHook, Hook, LoggerHook
from mmengine.model import BaseModel, ExponentialMovingAverage, MMDistributedDataParallel
from mmengine.optim import (
    AmpOptimWrapper,
    CosineAnnealingLR,
    LinearLR,
    MultiStepLR,
    OptimWrapper,
)
from mmengine.registry import MODELS
from mmengine.runner import Runner
from mmengine.visualization import TensorboardVisBackend, Visualizer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ... import SkelactError
from ...pose_extract.common.device import (
    choose_device,
    default_threads,
    has_bf16,
    keep_freed_memory,
)
from ..config import OptimConfig, RuntimeConfig
from ..data.clip_store import IndexDataset, collate_inds
from ..evaluation.metrics import measure
from .muon import Muon


class Samples(Protocol):
    """What a training learns from."""

    @property
    def names(self) -> Sequence[str]:
        """Name of each sample, for messages."""
        ...

    def __len__(self) -> int: ...


class SeededModule(BaseModel):
    """What all trainings share: data in memory, and one random state per step.

    Attributes:
        store: What is learned from.
        epoch: Number of the epoch that the step belongs to.
    """

    def __init__(self, store: Samples) -> None:
        super().__init__()
        self.store = store
        self._step_seed = 0
        self.epoch = 0

    def set_step(self, *key: int) -> None:
        """Derive the random state of the next step from (seed, epoch, step, rank)."""
        self.epoch = key[1]
        self._step_seed = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)

    def generator(self) -> torch.Generator:
        """Return the source of chance of this step, on the module's device."""
        return torch.Generator(next(self.parameters()).device).manual_seed(self._step_seed)

    def compile_networks(self) -> None:
        """Compile what learns; the steps around it, with their sources of chance, stay."""
        for name, child in self.named_children():
            if name != "data_preprocessor":
                child.compile()

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


class _Figures(BaseMetric):
    """Hands the val scores to :func:`measure`, for the log."""

    default_prefix = ""

    def process(self, data_batch: Any, data_samples: Sequence[Any]) -> None:
        self.results.extend(data_samples)

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        scores, labels = zip(*results)
        found = measure(np.stack(scores), np.array(labels))
        return {name: getattr(found, name) for name in ("top1", "top5", "mean_class_accuracy")}


class _Reproducible(Hook):
    """Seeds each epoch and step, and keeps resume states loadable without executing anything."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def before_train_epoch(self, runner: Runner) -> None:
        key = (self.seed, runner.epoch, runner.rank)
        # Dropout draws from the global state.
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        model = runner.model.module if hasattr(runner.model, "module") else runner.model
        model.set_step(self.seed, runner.epoch, batch_idx, runner.rank)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        # The log history is the only part of a state that is not plain data.
        hub = checkpoint["message_hub"]
        checkpoint["message_hub"] = {**hub, "log_scalars": {}, "resumed_keys": {}}
        checkpoint["message_hub"]["runtime_info"] = {
            # NumPy's numbers would need its code to be loaded again.
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in hub["runtime_info"].items()
            if isinstance(value, (int, float, str, bool, np.generic))
        }


@MODELS.register_module()
class _MovingAverage(ExponentialMovingAverage):
    """MMEngine's, of all tensors in one operation."""

    def update_parameters(self, model: nn.Module) -> None:
        if self.steps == 0:
            super().update_parameters(model)
            return
        source = model.state_dict()
        names = [name for name, mine in self.avg_parameters.items() if mine.is_floating_point()]
        mine, theirs = ([state[name] for name in names] for state in (self.avg_parameters, source))
        torch._foreach_lerp_(mine, theirs, self.momentum)
        self.steps += 1


class _Runner(Runner):
    """MMEngine's Runner without the parts that speak of a config file it did not read."""

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        """Do nothing: ``skelact doctor`` tells the environment, without calling compilers."""

    def dump_config(self) -> None:
        """Do nothing: the resolved config is part of the checkpoint."""


def train_module(
    module: Any,
    optim: OptimConfig,
    runtime: RuntimeConfig,
    work_dir: Path,
    *,
    seed: int,
    device: str,
    resume: bool,
    quiet: bool,
) -> Any:
    """Train a module and return it, or its moving average, on the CPU.

    Args:
        module: A ``SeededModule``; its forward takes numbers of samples and gives the loss. One
            with a ``val_store`` is measured on it, by the (scores, label) of mode "predict".
        optim: Optimiser and schedule.
        runtime: How training runs.
        work_dir: Gets resume states and logs.
        seed: Seed of order and steps.
        device: "auto", "cpu", "cuda" or "cuda:N".
        resume: Go on from the last state in ``work_dir`` if there is one.
        quiet: Log warnings alone.
    """
    chosen = choose_device(device)
    torch.set_num_threads(default_threads())
    keep_freed_memory()
    launcher = _join_processes(chosen)
    ema = (
        EMAHook("_MovingAverage", momentum=optim.ema_momentum, update_buffers=True)
        if optim.ema_momentum
        else None
    )
    precision = usable_precision(runtime.precision, chosen)
    wrapper = optim_wrapper(module, optim, precision)
    val_store = getattr(module, "val_store", None)
    if runtime.compile:
        module.compile_networks()
    runner = _Runner(
        model=_distribute(module.to(chosen), chosen) if launcher == "pytorch" else module,
        work_dir=str(work_dir),
        train_dataloader=_loader(len(module.store), optim.batch_size, seed, shuffle=True),
        val_dataloader=_loader(len(val_store), 64, seed, shuffle=False) if val_store else None,
        train_cfg={
            "by_epoch": True,
            "max_epochs": optim.epochs,
            "val_interval": runtime.val_every if val_store else optim.epochs + 1,
        },
        val_cfg={} if val_store else None,
        val_evaluator=Evaluator([_Figures()]) if val_store else None,
        optim_wrapper=wrapper,
        param_scheduler=_schedulers(wrapper, optim) or None,
        default_hooks={
            "logger": LoggerHook(interval=10**9, ignore_last=False),
            "checkpoint": CheckpointHook(interval=runtime.save_every, max_keep_ckpts=1),
        },
        custom_hooks=[_Reproducible(seed), *([ema] if ema else [])],
        resume=resume,
        launcher=launcher,
        # What it says of its own set-up is left out.
        log_level="ERROR",
        visualizer=_visualizer(work_dir, runtime.tensorboard),
        randomness={"seed": seed},
        experiment_name=f"{work_dir.name}_{uuid4().hex[:8]}",
    )
    _set_log_level(runner.logger, quiet)
    if precision != runtime.precision:
        runner.logger.info(f"training in fp32: this processor has no {runtime.precision}")
    runner.model.to(chosen)
    with _only_plain_states():
        runner.train()
    trained = ema.ema_model.module if ema else runner.model
    trained = trained.module if hasattr(trained, "module") else trained
    # A copy is not compiled: what comes next on the CPU would be compiled anew.
    return copy.deepcopy(trained).cpu() if runtime.compile else trained.cpu()


@contextmanager
def _only_plain_states() -> Iterator[None]:
    """Make torch.load refuse to execute, also where MMEngine calls it on an older torch."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _join_processes(device: torch.device) -> Literal["none", "pytorch"]:
    """Join the processes that torchrun started; return MMEngine's name of the launcher."""
    if "LOCAL_RANK" not in os.environ:
        return "none"
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return "pytorch"


def _distribute(module: nn.Module, device: torch.device) -> MMDistributedDataParallel:
    return MMDistributedDataParallel(
        module,
        device_ids=[int(os.environ["LOCAL_RANK"])] if device.type == "cuda" else None,
        broadcast_buffers=False,
        # A batch without second persons leaves their encoders out.
        find_unused_parameters=True,
    )


def _set_log_level(logger: logging.Logger, quiet: bool) -> None:
    """Log a line per epoch and real warnings, not those about MMEngine's own parts."""
    noise = (
        "FileClient",
        "HardDiskBackend",
        "save_param_scheduler",
        "Exp name",
        "Checkpoints will",
        "has no metainfo",
    )
    for handler in logger.handlers:
        handler.addFilter(lambda record: not any(text in record.getMessage() for text in noise))
        handler.setLevel("WARNING" if quiet else "INFO")
    logger.setLevel("WARNING" if quiet else "INFO")


def _loader(length: int, batch_size: int, seed: int, shuffle: bool) -> DataLoader[int]:
    dataset = IndexDataset(length)
    sampler = DefaultSampler(dataset, shuffle=shuffle, seed=seed, round_up=shuffle)
    return DataLoader(dataset, batch_size, sampler=sampler, collate_fn=collate_inds)


class _Bf16OptimWrapper(OptimWrapper):
    """Mixed precision with bfloat16, on CPUs too; unlike float16 it needs no scaled gradients."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16):
            yield


def usable_precision(precision: str, device: torch.device) -> str:
    """Return a precision, or "fp32" for bfloat16 that a processor would do in software."""
    return "fp32" if precision == "bf16" and device.type == "cpu" and not has_bf16() else precision


def optim_wrapper(module: nn.Module, optim: OptimConfig, precision: str) -> OptimWrapper:
    """Return the optimiser of a config, with its precision and limit of gradients."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer: torch.optim.Optimizer
    if optim.kind == "sgd":
        optimizer = torch.optim.SGD(
            parameters,
            lr=optim.lr,
            momentum=0.9,
            nesterov=optim.nesterov,
            weight_decay=optim.weight_decay,
        )
    elif optim.kind == "muon":
        optimizer = Muon(parameters, lr=optim.lr, weight_decay=optim.weight_decay)
    else:
        cls = torch.optim.Adam if optim.kind == "adam" else torch.optim.AdamW
        optimizer = cls(parameters, lr=optim.lr, weight_decay=optim.weight_decay)
    clip = {"max_norm": optim.clip_grad_norm} if optim.clip_grad_norm else None
    if precision == "fp32":
        return OptimWrapper(optimizer, clip_grad=clip)
    if precision == "bf16":
        return _Bf16OptimWrapper(optimizer, clip_grad=clip)
    return AmpOptimWrapper(optimizer=optimizer, dtype="float16", clip_grad=clip)


def _schedulers(wrapper: OptimWrapper, optim: OptimConfig) -> list[Any]:
    schedulers: list[Any] = []
    warmup = min(optim.warmup_epochs, optim.epochs - 1)
    if warmup > 0:
        # MMEngine reaches the full rate one epoch before the end, and never with an end of one.
        end = max(warmup, 2)
        schedulers.append(LinearLR(wrapper, start_factor=1 / (warmup + 1), end=end))
    if optim.schedule == "step":
        schedulers.append(MultiStepLR(wrapper, milestones=list(optim.milestones), gamma=0.1))
    elif optim.schedule == "cosine":
        span = optim.epochs - warmup
        schedulers.append(
            CosineAnnealingLR(wrapper, T_max=span, eta_min=0.0, begin=warmup, end=optim.epochs)
        )
    return schedulers


def _visualizer(work_dir: Path, tensorboard: bool) -> Visualizer | None:
    if not tensorboard:
        return None
    backend = TensorboardVisBackend(save_dir=str(work_dir / "tensorboard"))
    return Visualizer(vis_backends=[backend], name=uuid4().hex)
