"""What a training says of itself: a line per epoch, and TensorBoard events if they are wanted."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from ... import SkelactError
from .processes import is_main_process

_LOG = logging.getLogger(__package__)


@contextmanager
def log_file(work_dir: Path, quiet: bool) -> Iterator[None]:
    """Let the training's log go to ``train.log`` and, unless the program logs itself, to stderr.

    Args:
        work_dir: Folder of the log; made if it is not there.
        quiet: Log warnings alone.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = []
    if is_main_process():
        handlers.append(logging.FileHandler(work_dir / "train.log", encoding="utf-8", delay=True))
        if not _LOG.hasHandlers():
            handlers.append(logging.StreamHandler())
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        _LOG.addHandler(handler)
    before = _LOG.level
    _LOG.setLevel(logging.WARNING if quiet or not is_main_process() else logging.INFO)
    try:
        yield
    finally:
        _LOG.setLevel(before)
        for handler in handlers:
            _LOG.removeHandler(handler)
            handler.close()


def as_line(figures: dict[str, Any]) -> str:
    """Return an epoch's figures as a line of the log."""
    return ", ".join(f"{name} {value:.4g}" for name, value in _numbers(figures).items())


def _numbers(figures: dict[str, Any]) -> dict[str, float]:
    # Not the number of clips or the confusion matrix.
    return {name: value for name, value in figures.items() if isinstance(value, float)}


class Events:
    """TensorBoard events of the main process, or nothing.

    Args:
        work_dir: Gets the folder ``tensorboard``.
        wanted: Whether to write.
        epoch: Epochs done; what a stopped run wrote of later ones is left out of the curves.

    Raises:
        SkelactError: if TensorBoard is not installed.
    """

    def __init__(self, work_dir: Path, wanted: bool, epoch: int) -> None:
        self._writer: Any = None
        if not wanted or not is_main_process():
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise SkelactError(
                "runtime.tensorboard: TensorBoard is not installed; run `pip install tensorboard`"
            ) from None
        self._writer = SummaryWriter(str(work_dir / "tensorboard"), purge_step=epoch + 1)

    def __enter__(self) -> Events:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, figures: dict[str, Any], epoch: int) -> None:
        """Write an epoch's figures."""
        if self._writer is not None:
            for name, value in _numbers(figures).items():
                self._writer.add_scalar(name, value, epoch)
