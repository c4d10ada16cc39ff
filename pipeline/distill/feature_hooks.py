"""Collect the features inside a network, and feed it with another network's, by forward hooks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

# What a module gives: a tensor, or one for each branch.
Output = Tensor | list[Tensor]


@contextmanager
def feature_hooks(
    modules: Mapping[str, nn.Module],
    given: Mapping[str, Output] | None = None,
    changed: Collection[str] = (),
) -> Iterator[dict[str, Output]]:
    """Collect what modules give while the block runs the network that holds them.

    Args:
        modules: Modules by name; each runs once in the block.
        given: What the modules after each of these receive in place of its own output. None leaves
            the network as it is.
        changed: Names of modules whose output the network changes in place afterwards; it gets a
            copy of it.

    Yields:
        The modules' own outputs by name, in the order in which they are computed.
    """
    found: dict[str, Output] = {}

    def hook(name: str) -> Callable[[nn.Module, Any, Output], Output]:
        def collect(module: nn.Module, inputs: Any, output: Output) -> Output:
            found[name] = output
            passed_on = output if given is None else given[name]
            if isinstance(passed_on, list):
                # MMPose's modules write into the list that they receive.
                return list(passed_on)
            return passed_on.clone() if name in changed else passed_on

        return collect

    handles = [module.register_forward_hook(hook(name)) for name, module in modules.items()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
