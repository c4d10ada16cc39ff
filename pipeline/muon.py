"""Muon: steps of momentum whose matrices are made orthogonal (Jordan et al., 2024)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Muon for kernels and matrices, AdamW for the rest.

    A kernel (out, in, h, w) counts as a matrix (out, in h w); depthwise kernels are none, since
    their rows never meet. Steps are scaled to the length of AdamW's (Liu et al., Muon is scalable
    for LLM training, 2025), so that one rate serves both.

    Args:
        parameters: What to train; depthwise kernels and tensors of one dimension go to AdamW.
        lr: Learning rate.
        weight_decay: Decoupled weight decay.
        momentum: Momentum of the matrices (Nesterov's).
        betas: AdamW's.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        everything = list(parameters)
        groups: list[dict[str, Any]] = [
            {"params": [p for p in everything if _is_matrix(p)], "orthogonal": True},
            {"params": [p for p in everything if not _is_matrix(p)], "orthogonal": False},
        ]
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "betas": betas}
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                change = self._matrix_change if group["orthogonal"] else self._adam_change
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(change(self.state[p], p.grad, group), alpha=-group["lr"])
        return loss

    @staticmethod
    def _matrix_change(state: dict[str, Any], grad: Tensor, group: dict[str, Any]) -> Tensor:
        if not state:
            state["momentum"] = torch.zeros_like(grad)
        momentum = state["momentum"].lerp_(grad, 1 - group["momentum"])
        direction = grad.lerp(momentum, group["momentum"]).reshape(len(grad), -1)
        change = orthogonalised(direction) * (0.2 * math.sqrt(max(direction.shape)))
        return change.reshape(grad.shape)

    @staticmethod
    def _adam_change(state: dict[str, Any], grad: Tensor, group: dict[str, Any]) -> Tensor:
        if not state:
            state["step"] = 0
            state["mean"], state["square"] = torch.zeros_like(grad), torch.zeros_like(grad)
        state["step"] += 1
        first, second = group["betas"]
        state["mean"].lerp_(grad, 1 - first)
        state["square"].lerp_(grad.square(), 1 - second)
        mean = state["mean"] / (1 - first ** state["step"])
        square = state["square"] / (1 - second ** state["step"])
        return mean / (square.sqrt() + 1e-8)


def _is_matrix(p: Tensor) -> bool:
    return p.ndim > 1 and (p.ndim == 2 or p.shape[1] > 1)


def orthogonalised(matrix: Tensor) -> Tensor:
    """Return a matrix (A, B) with its singular values brought near one.

    By Newton-Schulz iterations, whose coefficients trade exactness (values end between about .7 and
    1.2) for speed.
    """
    a, b, c = _COEFFICIENTS
    wide = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    x = wide.float() / (wide.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        squared = x @ x.T
        x = a * x + (b * squared + c * squared @ squared) @ x
    return (x if len(matrix) <= matrix.shape[1] else x.T).to(matrix.dtype)
