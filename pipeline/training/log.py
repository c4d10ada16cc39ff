"""What a training says of itself: a line per epoch, and TensorBoard events if they are wanted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ... import SkelactError
from .processes import is_main_process

LOG = logging.getLogger(__package__)


@contextmanager
def console_log(quiet: bool) -> Iterator[None]:
    """Log to stderr, unless the program logs by itself; warnings alone if ``quiet``."""
    with ExitStack() as stack:
        if not LOG.hasHandlers():
            _add_handler(stack, logging.StreamHandler())
        stack.callback(LOG.setLevel, LOG.level)
        LOG.setLevel(logging.WARNING if quiet else logging.INFO)
        yield


def _add_handler(stack: ExitStack, handler: logging.Handler) -> None:
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    LOG.addHandler(handler)
    stack.callback(handler.close)
    stack.callback(LOG.removeHandler, handler)


@contextmanager
def epoch_log(
    work_dir: Path, *, quiet: bool, tensorboard: bool, start: int
) -> Iterator[Callable[[str, int, dict[str, Any]], None]]:
    """Give a function that logs an epoch: its title, its number and its figures.

    A line goes to ``train.log`` and, unless the program logs by itself, to stderr. Only the main
    process logs.

    Args:
        work_dir: Gets ``train.log`` and the folder ``tensorboard``; made if it is not there.
        quiet: Log warnings alone.
        tensorboard: Write TensorBoard events, too.
        start: Epochs done; what a stopped run wrote of later ones is left out of the curves.

    Raises:
        SkelactError: if TensorBoard is wanted and not installed.
    """
    if not is_main_process():
        yield lambda title, epoch, figures: None
        return
    work_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        writer = _summary_writer(work_dir / "tensorboard", start) if tensorboard else None
        if writer is not None:
            stack.callback(writer.close)
        stack.enter_context(console_log(quiet))
        path = work_dir / "train.log"
        _add_handler(stack, logging.FileHandler(path, encoding="utf-8", delay=True))

        def log(title: str, epoch: int, figures: dict[str, Any]) -> None:
            # Not the number of clips or the confusion matrix.
            numbers = {name: v for name, v in figures.items() if isinstance(v, float)}
            LOG.info("%s: %s", title, ", ".join(f"{name} {v:.4g}" for name, v in numbers.items()))
            if writer is not None:
                for name, value in numbers.items():
                    writer.add_scalar(name, value, epoch)

        yield log


def _summary_writer(folder: Path, start: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise SkelactError(
            "runtime.tensorboard: TensorBoard is not installed; run `pip install tensorboard`"
        ) from None
    return SummaryWriter(str(folder), purge_step=start + 1)
