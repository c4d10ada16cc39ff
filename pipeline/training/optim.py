"""How weights change: optimiser, learning rates, precision, and the weights' moving average."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ... import SkelactError
from ...pose_extract.common.device import has_bf16
from ..config import OptimConfig
from .early_stop import BestSoFar
from .muon import Muon

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def build_optimizer(module: nn.Module, optim: OptimConfig) -> torch.optim.Optimizer:
    """Return the optimiser of a config, for the parameters that learn.

    With an ``encoder_rate`` there is a group of parameters for the head, and one for the rest.
    """
    parameters = _parameters(module, optim.encoder_rate)
    shared: dict[str, Any] = {"lr": optim.lr, "weight_decay": optim.weight_decay}
    if optim.kind == "sgd":
        return torch.optim.SGD(parameters, momentum=0.9, nesterov=optim.nesterov, **shared)
    if optim.kind == "muon":
        return Muon(parameters, **shared)
    cls = torch.optim.Adam if optim.kind == "adam" else torch.optim.AdamW
    return cls(parameters, **shared)


def _parameters(module: nn.Module, encoder_rate: float) -> list[Any]:
    """Return the parameters that learn; those of a rate of their own in a group with its factor."""
    learning = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    if encoder_rate == 1:
        return [p for _, p in learning]
    # Side by side, names have slashes for dots.
    head = [p for name, p in learning if "head" in name.replace("/", ".").split(".")]
    if not head:
        raise SkelactError(
            f"optim.encoder_rate: expected 1, got {encoder_rate:g}: no parameter is in a 'head'"
        )
    in_head = {id(p) for p in head}
    rest = [p for _, p in learning if id(p) not in in_head]
    return [{"params": head, "factor": 1.0}, {"params": rest, "factor": encoder_rate}]


def learning_rates(optim: OptimConfig) -> list[float]:
    """Return the learning rate of each epoch.

    Warm-up over ``n`` epochs begins at ``lr / (n + 1)`` and is at ``lr`` in its last epoch (for n
    of 1, in the one after). From then on "cosine" falls to what would be zero after the last epoch.
    Each rate is made from the one before, as PyTorch's schedulers do: closed forms round otherwise,
    and no published figure would come out to the last digit.
    """
    warmup = min(optim.warmup_epochs, optim.epochs - 1)
    first, rises = 1 / (warmup + 1), max(warmup, 2) - 1
    falls = optim.epochs - warmup

    def height(epoch: int) -> float:
        return 1 + math.cos(math.pi * epoch / falls)

    rate = optim.lr * first if warmup else optim.lr
    rates = []
    for epoch in range(optim.epochs):
        if warmup and 0 < epoch <= rises:
            rate *= 1 + (1 - first) / (rises * first + (epoch - 1) * (1 - first))
        if optim.schedule == "step":
            rate *= 0.1 ** optim.milestones.count(epoch)
        elif optim.schedule == "cosine" and epoch > warmup:
            rate = height(epoch - warmup) / height(epoch - warmup - 1) * rate
        rates.append(rate)
    return rates


def usable_precision(precision: str, device: torch.device) -> str:
    """Return a precision, or "fp32" for bfloat16 that a processor would do in software.

    Raises:
        SkelactError: for float16 without CUDA.
    """
    if precision == "fp16" and device.type != "cuda":
        raise SkelactError(
            f"runtime.precision: fp16 needs CUDA, got device {device}; take bf16 or fp32"
        )
    return "fp32" if precision == "bf16" and device.type == "cpu" and not has_bf16() else precision


@runtime_checkable
class ClipsGradients(Protocol):
    """A module that limits the norm of its gradients in a way of its own."""

    def clip_gradients(self, limit: float) -> None:
        """Limit the norm, or norms, to ``limit``."""
        ...


class MovingAverage:
    """Exponential moving average of a module's weights and buffers.

    The first update copies; each later one moves the average by ``momentum`` towards the module.
    Whole numbers, such as counts of batches, stay those of the first.

    Args:
        momentum: Weight of a new value, above 0 to 1.
    """

    def __init__(self, momentum: float) -> None:
        self.momentum = momentum
        self.values: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the module's values, all tensors in one operation."""
        theirs = module.state_dict()
        if not self.values:
            self.values = {name: value.clone() for name, value in theirs.items()}
            return
        names = [name for name, value in self.values.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [self.values[name] for name in names], [theirs[name] for name in names], self.momentum
        )

    @contextmanager
    def shown_by(self, module: nn.Module) -> Iterator[None]:
        """Put the average into the module while the block runs."""
        own = {name: value.clone() for name, value in module.state_dict().items()}
        module.load_state_dict(self.values)
        try:
            yield
        finally:
            module.load_state_dict(own)


class TrainingState:
    """All that a step changes: weights, their moving average, and the optimiser's memory.

    Args:
        module: What learns, on its device.
        optim: Optimiser, limit of gradients and weight of the moving average.
        precision: "fp32", "bf16" or "fp16", see :func:`usable_precision`.
    """

    def __init__(self, module: nn.Module, optim: OptimConfig, precision: str) -> None:
        self.module = module
        self.optimizer = build_optimizer(module, optim)
        self.average = MovingAverage(optim.ema_momentum) if optim.ema_momentum else None
        self.best = BestSoFar(optim.patience) if optim.patience else None
        self._limit = optim.clip_grad_norm
        self._device = next(module.parameters()).device
        self._dtype = _DTYPES.get(precision)
        # float16 alone loses small gradients unless the loss is scaled up.
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=precision == "fp16")

    def autocast(self) -> torch.autocast:
        """Return the context in which the loss is computed."""
        enabled = self._dtype is not None
        return torch.autocast(
            self._device.type, dtype=self._dtype or torch.bfloat16, enabled=enabled
        )

    def set_rate(self, rate: float) -> None:
        """Set the learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("factor", 1.0)

    def step(self, loss: Tensor) -> None:
        """Change the weights by the gradient of a loss."""
        self._scaler.scale(loss).backward()
        if self._limit:
            self._scaler.unscale_(self.optimizer)
            self._limit_gradients()
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update(self.module)

    def _limit_gradients(self) -> None:
        if isinstance(self.module, ClipsGradients):
            self.module.clip_gradients(self._limit)
        else:
            parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(parameters, self._limit)

    def averaged(self) -> AbstractContextManager[None]:
        """Return a context in which the module has its averaged weights, if there are any."""
        return self.average.shown_by(self.module) if self.average else nullcontext()

    def keep_average(self) -> None:
        """Give the module its averaged weights for good, if there are any."""
        if self.average and self.average.values:
            self.module.load_state_dict(self.average.values)

    def keep_best(self) -> int | None:
        """Give the module the weights of the lowest loss on the val split; return their epoch.

        Without early stopping they are the averaged ones, and None is returned.
        """
        if self.best is None or not self.best.values:
            self.keep_average()
            return None
        self.module.load_state_dict(self.best.values)
        return self.best.epoch

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs: plain data and tensors."""
        values = {
            "module": self.module.state_dict(),
            "average": self.average.values if self.average else {},
            "optimizer": self.optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
        }
        return values | ({"best": self.best.state_dict()} if self.best else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take what :meth:`state_dict` gave.

        Raises:
            LookupError, TypeError, ValueError, RuntimeError: if it is of another run; a step would
                fail later, or change weights by another's momentum.
        """
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        for parameter, memory in self.optimizer.state.items():
            for name, value in memory.items():
                if isinstance(value, Tensor) and value.ndim and value.shape != parameter.shape:
                    raise ValueError(
                        f"optimizer: expected {tuple(parameter.shape)} as the weights are, {name} "
                        f"is {tuple(value.shape)}"
                    )
        self._scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            own = {name: value.to(self._device) for name, value in state["average"].items()}
            shapes = {name: value.shape for name, value in self.module.state_dict().items()}
            if own and {name: value.shape for name, value in own.items()} != shapes:
                raise ValueError("average: expected the weights of the module, got others")
            self.average.values = own
        if self.best is not None:
            self.best.load_state_dict(state["best"])
