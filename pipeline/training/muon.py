"""Muon: steps of momentum whose matrices are made orthogonal (Jordan et al., 2024)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

# Of a step of Newton-Schulz, and steps, from Jordan's code (https://kellerjordan.github.io/posts/muon).
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
        """Take a step, of all tensors together: far fewer operations than one by one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            grads = [p.grad for p in params]
            changes = self._matrix_changes if group["orthogonal"] else self._adam_changes
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
            states = [self.state[p] for p in params]
            torch._foreach_add_(params, changes(states, grads, group), alpha=-group["lr"])
        return loss

    @staticmethod
    def _matrix_changes(
        states: list[dict[str, Any]], grads: list[Tensor], group: dict[str, Any]
    ) -> list[Tensor]:
        for state, grad in zip(states, grads):
            if not state:
                state["momentum"] = torch.zeros_like(grad)
        momenta = [state["momentum"] for state in states]
        torch._foreach_lerp_(momenta, grads, 1 - group["momentum"])
        changes = list(torch._foreach_lerp(grads, momenta, group["momentum"]))
        alike: dict[tuple[int, int], list[int]] = {}
        for number, change in enumerate(changes):
            alike.setdefault((len(change), change[0].numel()), []).append(number)
        for shape, numbers in alike.items():
            matrices = orthogonalised(torch.stack([changes[i].flatten(1) for i in numbers]))
            for i, matrix in zip(numbers, matrices * (0.2 * math.sqrt(max(shape)))):
                changes[i] = matrix.view(grads[i].shape)
        return changes

    @staticmethod
    def _adam_changes(
        states: list[dict[str, Any]], grads: list[Tensor], group: dict[str, Any]
    ) -> list[Tensor]:
        for state, grad in zip(states, grads):
            if not state:
                state["step"] = 0
                state["mean"], state["square"] = torch.zeros_like(grad), torch.zeros_like(grad)
            state["step"] += 1
        means, squares = ([state[name] for state in states] for name in ("mean", "square"))
        first, second = group["betas"]
        torch._foreach_lerp_(means, grads, 1 - first)
        torch._foreach_lerp_(squares, torch._foreach_mul(grads, grads), 1 - second)
        sizes = torch._foreach_div(squares, [1 - second ** state["step"] for state in states])
        torch._foreach_sqrt_(sizes)
        torch._foreach_add_(sizes, 1e-8)
        changes = torch._foreach_div(means, [1 - first ** state["step"] for state in states])
        torch._foreach_div_(changes, sizes)
        return list(changes)


def _is_matrix(p: Tensor) -> bool:
    return p.ndim > 1 and (p.ndim == 2 or p.shape[1] > 1)


def orthogonalised(matrices: Tensor) -> Tensor:
    """Return matrices (..., A, B) with their singular values brought near one.

    By Newton-Schulz iterations, whose coefficients trade exactness (values end between about .7 and
    1.2) for speed.
    """
    a, b, c = _COEFFICIENTS
    is_wide = matrices.shape[-2] <= matrices.shape[-1]
    x = (matrices if is_wide else matrices.mT).float()
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(_ITERATIONS):
        squared = x @ x.mT
        x = a * x + (b * squared + c * squared @ squared) @ x
    return (x if is_wide else x.mT).to(matrices.dtype)
