"""The processes of a training under torchrun; without torchrun there is one, the main one."""

from __future__ import annotations

import os
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

# The main process measures and fits the gate alone while the others wait. PyTorch's own 10 minutes
# of NCCL are less than 59,477 clips of NTU RGB+D 120 with 10 test clips each may take.
_PATIENCE = timedelta(hours=12)


def join_processes(device: torch.device) -> None:
    """Join the processes that torchrun started, if it did; each takes the GPU of its local rank."""
    if "LOCAL_RANK" not in os.environ:
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if not dist.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=_PATIENCE)


def rank_and_count() -> tuple[int, int]:
    """Return the number of this process, from 0, and how many there are."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def is_main_process() -> bool:
    """Return whether this is the process that writes for all."""
    return rank_and_count()[0] == 0


def barrier() -> None:
    """Wait until all processes are here."""
    if rank_and_count()[1] > 1:
        dist.barrier()


def from_main_process(value: bool) -> bool:
    """Return what the main process gave; all processes have to ask."""
    if rank_and_count()[1] < 2:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def distribute(module: nn.Module, device: torch.device) -> nn.Module:
    """Return the module, wrapped to share its gradients where torchrun started several processes.

    Buffers, such as the statistics of batch norms, stay each process's own.
    """
    if "LOCAL_RANK" not in os.environ:
        return module
    return DistributedDataParallel(
        module,
        device_ids=[int(os.environ["LOCAL_RANK"])] if device.type == "cuda" else None,
        broadcast_buffers=False,
        # A batch without second persons leaves their encoders out.
        find_unused_parameters=True,
    )
