"""Collect the features inside a network, and feed it with another network's, by forward hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

# Features by the path of the module that gives them.
Features = dict[str, Tensor]


@contextmanager
def feature_hooks(
    modules: Mapping[str, nn.Module], given: Mapping[str, Tensor] | None = None
) -> Iterator[Features]:
    """Collect what modules give while the block runs the network that holds them.

    Args:
        modules: Modules by name; each runs once in the block.
        given: What the modules after each of these receive in place of its own output. None leaves
            the network as it is.

    Yields:
        The modules' own outputs by name, in the order in which they are computed.
    """
    found: Features = {}

    def hook(name: str) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def collect(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            found[name] = output
            return output if given is None else given[name]

        return collect

    handles = [module.register_forward_hook(hook(name)) for name, module in modules.items()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
