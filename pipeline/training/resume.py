"""The state that a stopped training goes on from: written, read, and said how.

A state is one file, ``state.pt``, of plain data and tensors; it is the last one or the one before,
whole. Versions on MMEngine wrote ``epoch_N.pth``, which cannot be taken up.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from ... import SkelactError
from ...pose_extract.common.files import atomic_write, discard_leftovers
from .optim import TrainingState
from .processes import is_main_process

# In the work_dir.
STATE_NAME = "state.pt"

_OLD_STATE = re.compile(r"epoch_\d+\.pth")
_OLD_POINTER = "last_checkpoint"

_READ_ERRORS = (
    OSError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    RuntimeError,
    UnpicklingError,
)


def begin(
    work_dir: Path, state: TrainingState, seed: int, epochs: int, resume: bool
) -> tuple[int, list[tuple[int, str]]]:
    """Make a work_dir ready for a run: take its state up, remove what killed runs left.

    Args:
        work_dir: Folder of the run; need not be there.
        state: Takes the values of the file.
        seed: Seed of the run, which has to be the state's.
        epochs: Epochs that the run is to have.
        resume: Whether to go on from the state that is there.

    Returns:
        The number of epochs done, and sentences with their logging levels that say how the run
        begins.

    Raises:
        SkelactError: if the state cannot be resumed from.
    """
    path = work_dir / STATE_NAME
    start = 0
    how: list[tuple[int, str]] = []
    if resume and path.is_file():
        start = _load(path, state, seed, epochs)
        how.append((logging.INFO, f"resumed from epoch {start} of {epochs} ({path})"))
    elif resume:
        _refuse_old_states(work_dir)
        begins = f"nothing to resume from in {work_dir}: training begins at epoch 1"
        how.append((logging.WARNING, begins))
    elif path.is_file():
        begins = f"training begins at epoch 1 and replaces {path}, which --resume would go on from"
        how.append((logging.INFO, begins))
    if is_main_process():
        discard_leftovers(path)
        if removed := _remove_old_states(work_dir):
            names = ", ".join(removed)
            how.append((logging.WARNING, f"removed states of an earlier version: {names}"))
    return start, how


def save(path: Path, state: TrainingState, seed: int, epoch: int) -> None:
    """Write all that later epochs depend on; the file is the last state or this one, whole."""
    with atomic_write(path) as temporary:
        torch.save({"epoch": epoch, "seed": seed, **state.state_dict()}, temporary)


def _load(path: Path, state: TrainingState, seed: int, epochs: int) -> int:
    """Take the state of a stopped run and return the number of epochs that it has done."""
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
        done = values["epoch"]
        if values["seed"] != seed:
            raise ValueError(f"expected seed {seed}, got {values['seed']}")
        if isinstance(done, bool) or not isinstance(done, int) or not 1 <= done <= epochs:
            raise ValueError(f"expected 1 to optim.epochs={epochs} epochs done, got {done!r}")
        state.load_state_dict(values)
    except _READ_ERRORS as error:
        reason = " ".join(str(error).split("\n")[:2])  # PyTorch names every tensor that differs
        raise SkelactError(
            f"{path}: cannot resume from it with this config and seed; train without --resume "
            f"({reason})"
        ) from None
    return done


def _refuse_old_states(work_dir: Path) -> None:
    if (work_dir / _OLD_POINTER).is_file() or _old_states(work_dir):
        raise SkelactError(
            f"{work_dir}: an earlier version of skelact began this run, and its states "
            "(epoch_N.pth) are not read any more; train it anew without --resume, which removes "
            "them"
        )


def _remove_old_states(work_dir: Path) -> list[str]:
    """Remove the states of earlier versions, and nothing else; return their names."""
    removed = _old_states(work_dir)
    pointer = work_dir / _OLD_POINTER
    if removed and pointer.is_file():
        text = pointer.read_text(encoding="utf-8", errors="replace").strip()
        if Path(text).name in {path.name for path in removed}:
            removed.append(pointer)
    for path in removed:
        path.unlink(missing_ok=True)
    return [path.name for path in removed]


def _old_states(work_dir: Path) -> list[Path]:
    files = work_dir.iterdir() if work_dir.is_dir() else ()
    named = sorted(path for path in files if _OLD_STATE.fullmatch(path.name) and path.is_file())
    return [path for path in named if _is_ours(path)]


def _is_ours(path: Path) -> bool:
    """Return whether a file of MMEngine's name is a state that skelact wrote.

    Other programs on MMEngine write ``epoch_N.pth`` too, which may be all that is left of a run.
    Ours held plain data alone: MMEngine's own log history, which is none, was emptied.
    """
    try:
        values: Any = torch.load(path, map_location="cpu", weights_only=True)
        hub = values["message_hub"]
        return bool(hub["log_scalars"] == {} and hub["resumed_keys"] == {})
    except _READ_ERRORS:
        return False
