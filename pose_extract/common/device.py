"""Which device, number format and threads the networks get."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ... import SkelactError

if TYPE_CHECKING:
    import torch

# What runs networks, and in which number format; see ``EngineOptions``.
EngineName = Literal["auto", "pytorch", "onnxruntime", "openvino"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]


def choose_device(name: str) -> torch.device:
    """Return the device that ``name`` asks for; "auto" takes CUDA where there is any.

    Raises:
        SkelactError: if ``name`` is no device, or the machine does not have it.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SkelactError(f"device: expected auto, cpu, cuda or cuda:N, got {name!r}") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SkelactError(
            f"device: {name} is not there, torch {torch.__version__} sees "
            f"{torch.cuda.device_count()} CUDA devices; use --device cpu, or `skelact doctor`"
        )
    return device


def has_bf16() -> bool:
    """Return whether the processor multiplies bfloat16 in hardware.

    Where it does not, PyTorch does so in software: ten times as slow as float32.
    """
    import torch

    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in names)


def fastest_dtype(device: torch.device) -> torch.dtype:
    """Return the fastest number format on a device with which keypoints stay where they are.

    On a processor that is fp32: bf16 moves one in a hundred by 2.8 px of a crop of 256x192
    (``benchmarks/engines.py precision``).
    """
    import torch

    return torch.float16 if device.type == "cuda" else torch.float32


def is_gpu_lost(error: BaseException) -> bool:
    """Return whether after an error, such as an illegal access, a process can use no GPU."""
    torch = sys.modules.get("torch")  # a process without it has met no such error
    return isinstance(error, getattr(torch, "AcceleratorError", ()))  # there since PyTorch 2.8


def free_cores() -> int:
    """Return the processor cores that this process may use, at least 1.

    Libraries take one thread per core of the machine; inside a container with a quota the surplus
    threads wait for each other and a run slows by orders of magnitude.
    """
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    quota = _cgroup_quota()
    return max(1, min(cores, int(quota) if quota else cores))


def default_threads() -> int:
    """Return the threads that a network gets where no number is given, at least 1.

    OMP_NUM_THREADS if set: runs that share a machine, each with threads for all of its cores, slow
    each other by orders of magnitude. Else the free cores, shared among the processes of torchrun,
    which sets that variable by itself.
    """
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if processes == 1 and asked.isdecimal():
        return max(1, int(asked))
    return max(1, free_cores() // processes)


def _cgroup_quota() -> float | None:
    """Return the container's processor quota in cores (cgroup 2), or None where there is none."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if limit == "max" else max(1.0, float(limit) / float(period))
    except (OSError, ValueError):
        return None


def keep_freed_memory() -> None:
    """Make the C library keep freed memory for the next tensors.

    By default glibc maps each large tensor anew and gives it back to the system; the kernel then
    clears the same pages again at each training step, which took half of its time on two cores.
    Does nothing where there is no glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return
    # From <malloc.h>: large blocks come from the heap too, and its end is not trimmed.
    m_trim_threshold, m_top_pad, m_mmap_max = -1, -2, -4
    mallopt(m_mmap_max, 0)
    mallopt(m_trim_threshold, 2**31 - 1)
    mallopt(m_top_pad, 2**28)
