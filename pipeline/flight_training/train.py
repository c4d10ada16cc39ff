"""``skelact train-flight``: from simulated flights to the network that reads flights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch

from ... import SkelactError
from ...pose_extract.common.files import atomic_write
from ..checkpoints.checkpoint import load_mae
from ..checkpoints.flight_factors import (
    FlightFactorsMeta,
    build_flight_net,
    save_flight_net,
)
from ..config import check_seed
from ..elements.calibration import POSITIONS
from ..elements.flight_window import CHANNELS, NUM_FACTS
from ..training.log import LOG, console_log
from ..training.processes import barrier, is_main_process
from ..training.runner import train_module
from .flights import CHUNK, labelled_windows
from .module import FlightTraining, FlightWindows, TrainFlightConfig, measure, without

RESULT_NAME = "flight_factors"
# Chunks between lines of the log.
_LOG_EVERY = 20


def train_flight(
    config: TrainFlightConfig,
    work_dir: str | Path,
    *,
    pretrained: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    quiet: bool = False,
) -> Path:
    """Simulate flights, train the network on them, and measure it on others.

    Args:
        config: What to do.
        work_dir: Gets the model file ``flight_factors``, the simulated flights, which a second run
            takes again, resume states and logs.
        pretrained: Checkpoint of a masked autoencoder, model "tube", whose encoder has this
            network's shape; None starts from random weights.
        seed: Seed of weights and order.
        device: "auto", "cpu", "cuda" or "cuda:N".
        resume: Go on from the last state in ``work_dir`` if there is one.
        quiet: Log warnings alone.

    Returns:
        The JSON of the model file.

    Raises:
        SkelactError: if the config or ``pretrained`` cannot be used.
    """
    check_seed(seed)
    work_dir = Path(work_dir)
    combinations = [_combination(text) for text in config.leave_out]
    torch.manual_seed(seed)
    net = build_flight_net(config.network, CHANNELS, NUM_FACTS)
    if pretrained is not None:
        net.load_pretrained(load_mae(pretrained)[0])
    with console_log(quiet):
        folder = work_dir / "flights"
        train = _windows(folder, config.train_seed, config.train_chunks)
        held_out = _windows(folder, config.held_out_seed, config.held_out_chunks)
    train = without(train, combinations)
    module = FlightTraining(net, train, held_out, config.optim.label_smoothing)
    module = train_module(
        module, config.optim, config.runtime, work_dir,
        seed=seed, device=device, resume=resume, quiet=quiet,
    ).eval()  # fmt: skip
    path = work_dir / f"{RESULT_NAME}.json"
    if is_main_process():
        meta = FlightFactorsMeta(
            network=config.network,
            channels=CHANNELS,
            num_facts=NUM_FACTS,
            config=dataclasses.asdict(config),
            data={
                "simulated_clips": CHUNK * config.train_chunks,
                "windows": len(train),
                "flights": int(train.labels[:, -1].sum()),
                "pretrained": pretrained is not None,
            },
            seed=seed,
            figures=measure(module.net, held_out),
        )
        path = save_flight_net(path, module.net, meta)
    barrier()
    return path


def _combination(text: str) -> tuple[int, int, int]:
    """Read half somersaults, half twists and a position, such as "5 3 pike"."""
    words = text.split()
    if len(words) == 3 and words[0].isdecimal() and words[1].isdecimal() and words[2] in POSITIONS:
        return int(words[0]), int(words[1]), POSITIONS.index(words[2])
    raise SkelactError(
        f"leave_out: expected half somersaults, half twists and a position, such as '5 3 pike', "
        f"got {text!r}"
    )


def _windows(folder: Path, seed: int, chunks: int) -> FlightWindows:
    """Simulate windows, or take those that lie in a folder from an earlier run."""
    parts = []
    for chunk in range(chunks):
        path = folder / f"{seed}_{chunk:05d}.npz"
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            made = FlightWindows.of(labelled_windows(chunk, seed))
            with atomic_write(path) as temporary, temporary.open("wb") as stream:
                np.savez(stream, **dataclasses.asdict(made))
        parts.append(_read(path))
        if (chunk + 1) % _LOG_EVERY == 0 or chunk + 1 == chunks:
            LOG.info("flights of seed %d: %d of %d chunks", seed, chunk + 1, chunks)
    fields = [field.name for field in dataclasses.fields(FlightWindows)]
    return FlightWindows(*(np.concatenate([getattr(p, name) for p in parts]) for name in fields))


def _read(path: Path) -> FlightWindows:
    with np.load(path, allow_pickle=False) as arrays:
        return FlightWindows(**{name: arrays[name] for name in arrays.files})
