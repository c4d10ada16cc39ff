"""Early stopping: the weights of the lowest loss on the val split, and when to seek no further."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn


class BestSoFar:
    """The lowest loss on the val split, with its weights.

    Args:
        patience: Measurements without a lower loss after which training stops.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.loss = math.inf
        self.epoch = 0
        self.num_since = 0
        self.values: dict[str, Tensor] = {}

    @property
    def is_over(self) -> bool:
        """Whether training is to stop."""
        return self.num_since >= self.patience

    def update(self, loss: float, epoch: int, module: nn.Module) -> None:
        """Take in the loss after an epoch, counted from 1, of the weights that the module has."""
        if loss < self.loss:
            self.loss, self.epoch, self.num_since = loss, epoch, 0
            self.values = {name: value.clone() for name, value in module.state_dict().items()}
        else:
            self.num_since += 1

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs: plain data and tensors."""
        names = ("loss", "epoch", "num_since", "values")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take what :meth:`state_dict` gave.

        Raises:
            LookupError, TypeError, ValueError: if it is something else.
        """
        self.loss, self.epoch = float(state["loss"]), int(state["epoch"])
        self.num_since, self.values = int(state["num_since"]), dict(state["values"])
