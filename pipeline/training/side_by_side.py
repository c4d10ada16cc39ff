"""Several classifiers of one shape trained side by side, each on labels of its own.

On a GPU a step with few clips is bound by the number of operations and not by their size. So the
weights of K classifiers are stacked along a first axis, and each operation serves all of them
(``torch.func.vmap``). Each learns as it would alone, from its own clips in its own order; what
differs is the order of additions, and which features dropout drops. A CPU gains little
(``benchmarks/side_by_side.py``).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from ... import SkelactError
from ...models.classifier import SkeletonClassifier
from ...pose_extract.common.device import choose_device, default_threads, keep_freed_memory
from ..config import FinetuneConfig, OptimConfig, check_seed
from .log import LOG, console_log
from .objectives import FinetuneModule
from .optim import TrainingState, learning_rates, usable_precision
from .prepare import prepare_finetune
from .runner import epoch_batches


@dataclass(frozen=True)
class Draw:
    """One of the classifiers.

    Attributes:
        label_draw: Which clips have labels; see ``data.label_draw``.
        seed: Seed of its weights, order and augmentation.
        pretrained: A checkpoint of pre-training; None starts from random weights.
        spread_from: A checkpoint in whose features labels spread; see ``data.spread_from``.
    """

    label_draw: int
    seed: int
    pretrained: Path | None = None
    spread_from: Path | None = None


def finetune_side_by_side(
    config: FinetuneConfig, draws: Sequence[Draw], *, device: str = "auto", quiet: bool = False
) -> list[dict[str, Any]]:
    """Fine-tune one classifier per draw, all at once, and measure each on the val split.

    Args:
        config: What to do; its ``data.label_draw`` gives way to that of each draw.
        draws: The classifiers.
        device: "auto", "cpu", "cuda" or "cuda:N".
        quiet: Log warnings alone.

    Returns:
        For each draw the figures of its last weights, as ``finetune`` writes them to
        ``metrics.json``, and the number of clips ``num_clips`` that it learned from.

    Raises:
        SkelactError: if the config, the data or a checkpoint cannot be used, a loss is not finite,
            or the optimiser is "muon", for which a stack of matrices is another thing.
    """
    if not draws:
        raise SkelactError("side by side: expected one draw of labels or more, got none")
    chosen = choose_device(device)
    torch.set_num_threads(default_threads())
    keep_freed_memory()
    modules = []
    with console_log(quiet):
        for draw in draws:
            check_seed(draw.seed)
            data = replace(config.data, label_draw=draw.label_draw)
            if draw.spread_from:
                data = replace(data, spread_from=str(draw.spread_from))
            own = replace(config, data=data)
            prepared = prepare_finetune(own, draw.seed, draw.pretrained)
            LOG.info("seed %d %s", draw.seed, prepared.said)
            modules.append(prepared.module.to(chosen))
    precision = usable_precision(config.runtime.precision, chosen)
    train_side_by_side(modules, [draw.seed for draw in draws], config.optim, precision)
    return [module.figures() | {"num_clips": len(module.store)} for module in modules]


def train_side_by_side(
    modules: Sequence[FinetuneModule], seeds: Sequence[int], optim: OptimConfig, precision: str
) -> None:
    """Train classifiers of one shape side by side; each gets its weights at the end.

    Args:
        modules: The classifiers on their device, each with as many clips as the others.
        seeds: Seed of the order and augmentation of each.
        optim: Optimiser and schedule.
        precision: "fp32" or "bf16".

    Raises:
        SkelactError: see :func:`finetune_side_by_side`.
    """
    if optim.patience:
        raise SkelactError("side by side: optim.patience is not supported; expected 0")
    if optim.kind == "muon":
        raise SkelactError("side by side: optim.kind 'muon' is not supported; expected another")
    kind = type(modules[0].classifier)
    if kind.loss is not SkeletonClassifier.loss:
        raise SkelactError(
            f"side by side: {kind.__name__} adds to the cross-entropy, which is not supported; "
            "train one after another"
        )
    sizes = {len(module.store) for module in modules}
    if len(sizes) > 1:
        raise SkelactError(f"side by side: expected as many clips in each, got {sorted(sizes)}")
    stack = Stack([module.classifier for module in modules], modules[0].label_smoothing)
    state = TrainingState(stack, optim, precision)
    (count,) = sizes
    torch.manual_seed(seeds[0])  # of dropout
    for epoch, rate in enumerate(learning_rates(optim)):
        state.set_rate(rate)
        orders = [epoch_batches(count, optim.batch_size, seed + epoch) for seed in seeds]
        for step, inds in enumerate(zip(*orders)):
            x, labels = _batch(modules, seeds, epoch, step, inds)
            with state.autocast():
                losses = stack(x, labels)
            for module, loss, own in zip(modules, losses, inds):
                module.checked(loss, own)
            state.step(losses.sum())
    state.keep_average()
    stack.hand_back([module.classifier for module in modules])


def _batch(
    modules: Sequence[FinetuneModule],
    seeds: Sequence[int],
    epoch: int,
    step: int,
    inds: Sequence[list[int]],
) -> tuple[Tensor, Tensor]:
    """Return augmented clips (K, N, M, T, V, C) and labels (K, N), each module's own."""
    clips, labels = [], []
    for module, seed, own in zip(modules, seeds, inds):
        module.set_step(seed, epoch, step, 0)
        clips.append(module.training_batch(own)[0])
        labels.append(module.store.labels[torch.as_tensor(own)])
    x = torch.stack(clips)
    return x, torch.stack(labels).to(x.device)


class _Loss(nn.Module):
    """A classifier with its loss, as ``functional_call`` needs it.

    Args:
        classifier: Whose weights are given in each call.
        label_smoothing: Of the cross-entropy.
    """

    def __init__(self, classifier: SkeletonClassifier, label_smoothing: float) -> None:
        super().__init__()
        self.classifier = classifier
        self.label_smoothing = label_smoothing

    def forward(self, x: Tensor, labels: Tensor, all_present: bool) -> Tensor:
        logits = self.classifier.logits_of_present(x) if all_present else self.classifier(x)
        return F.cross_entropy(logits.float(), labels, label_smoothing=self.label_smoothing)


class Stack(nn.Module):
    """The weights and buffers of K classifiers, each stacked along a first axis.

    Args:
        classifiers: The classifiers, of one shape.
        label_smoothing: Of their cross-entropy.
    """

    def __init__(self, classifiers: Sequence[SkeletonClassifier], label_smoothing: float) -> None:
        super().__init__()
        parameters, buffers = stack_module_state(list(classifiers))
        # Names of modules may not hold dots.
        self._names = {name.replace(".", "/"): name for name in (*parameters, *buffers)}
        for name, value in parameters.items():
            self.register_parameter(name.replace(".", "/"), nn.Parameter(value.detach()))
        for name, value in buffers.items():
            self.register_buffer(name.replace(".", "/"), value)
        # Autocast does not reach the weights of PyTorch's own convolutions under vmap.
        self._has_conv = any(type(module) is nn.Conv2d for module in classifiers[0].modules())
        # In a list, so that it is no part of this module.
        self._loss_of = [_Loss(copy.deepcopy(classifiers[0]).to("meta").train(), label_smoothing)]

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each classifier.

        Args:
            x: (K, N, M, T, V, C) clips.
            labels: (K, N) int64.

        Returns:
            (K,) float32.
        """
        parameters: dict[str, Tensor] = {
            self._names[name]: value for name, value in self.named_parameters()
        }
        buffers = {self._names[name]: value for name, value in self.named_buffers()}
        in_turn = len(x) == 1 or (self._has_conv and torch.is_autocast_enabled(x.device.type))
        if not in_turn and bool((x != 0).flatten(3).any(dim=-1).all()):
            losses = vmap(self._loss, in_dims=(0, 0, 0, 0, None), randomness="different")
            out: Tensor = losses(parameters, buffers, x, labels, True)
            return out
        # In turn, too, where a person is absent: which one differs among the classifiers.
        return torch.stack(
            [
                self._loss(
                    {name: value[k] for name, value in parameters.items()},
                    {name: value[k] for name, value in buffers.items()},
                    x[k],
                    labels[k],
                    False,
                )
                for k in range(len(x))
            ]
        )

    def _loss(
        self,
        parameters: dict[str, Tensor],
        buffers: dict[str, Tensor],
        x: Tensor,
        labels: Tensor,
        all_present: bool,
    ) -> Tensor:
        state = {f"classifier.{name}": value for name, value in (parameters | buffers).items()}
        loss: Tensor = functional_call(self._loss_of[0], state, (x, labels, all_present))
        return loss

    def clip_gradients(self, limit: float) -> None:
        """Limit the norm of the gradient of each classifier, as ``clip_grad_norm_`` does of one."""
        grads = [p.grad for p in self.parameters() if p.grad is not None]
        norms = torch.stack([grad.view(len(grad), -1).square().sum(dim=1) for grad in grads]).sum(
            dim=0
        )
        shrunk = (limit / (norms.sqrt() + 1e-6)).clamp(max=1.0)  # (K,)
        for grad in grads:
            grad.mul_(shrunk.view(-1, *[1] * (grad.ndim - 1)))

    def hand_back(self, classifiers: Sequence[SkeletonClassifier]) -> None:
        """Give each classifier its weights and buffers."""
        for k, classifier in enumerate(classifiers):
            own = {self._names[name]: value[k] for name, value in self.state_dict().items()}
            classifier.load_state_dict(own, strict=False)  # buffers that are not persistent stay
