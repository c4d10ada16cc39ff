"""Worker processes that decode: an abort, a hang or a blow-up of memory costs one clip alone."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..common.shared_memory import SharedMemory
from .frames import DecoderKilledError, FrameBatch, InexactError, VideoError, VideoInfo

# Address space of a worker, in bytes. A decoder of 8K with 16 threads holds 32 frames of up to
# 100 MB, its libraries and thread stacks take 1 GiB.
MEMORY_LIMIT = 8 << 30
# A decoder that decodes no frame and reads no packet for this long hangs: a frame of 8K takes less
# than a second, a disk that has to wake up ten.
ANSWER_SECONDS = 120.0

# An answer that is late comes within this time if nothing hangs.
_GRACE_SECONDS = 10.0
# What ends a process and is no fault of its own; Linux sends the first one for want of memory.
_OUTSIDE_SIGNALS = (signal.SIGKILL, signal.SIGTERM, getattr(signal, "SIGHUP", None))
# Workers that wait for the next file; more are ended.
_MOST_IDLE = 4
# A pipe takes as much at a time; the largest that Linux gives to anybody.
_PIPE_BYTES = 1 << 20
_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from skelact.pose_extract.decode.worker import main; main()"
)


class DecodeProcess:
    """One worker process.

    Args:
        memory_limit: Bytes of address space that it may take.
        answer_seconds: It is ended where neither an answer nor progress comes for longer.
    """

    def __init__(
        self, memory_limit: int = MEMORY_LIMIT, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self._memory_limit = memory_limit
        self._answer_seconds = answer_seconds
        # What the worker says of its file; both have one position in it.
        self._said = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # lives as long as it
        self._shared = SharedMemory.create()
        shared = () if self._shared is None else (self._shared.fd,)
        search_path = json.dumps(list(map(_absolute, sys.path)))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, search_path, str(memory_limit), *map(str, shared)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            pipesize=_PIPE_BYTES,
            pass_fds=shared,
        )
        self._is_timed_out = False
        self._lock = threading.Lock()
        self._is_between = True

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it can answer: it runs, and its last answer was taken whole."""
        return self._process.poll() is None and self._is_between

    @contextmanager
    def _one_answer(self) -> Iterator[None]:
        """Let one answer be asked for and taken; one broken off leaves the process unusable."""
        with self._lock:
            if not self._is_between:
                raise RuntimeError("an answer of this decoding process was broken off")
            self._is_between = False
            try:
                yield
            except VideoError:
                self._is_between = True
                raise
            self._is_between = True

    def close(self) -> None:
        """End the process; the frames that it gave stay."""
        self._process.kill()
        self._process.wait()
        for part in (self._process.stdin, self._process.stdout, self._said, self._shared):
            with suppress(OSError):
                if part is not None:
                    part.close()
        self._shared = None

    def rest(self) -> None:
        """Give memory back that is only needed while a file is read."""
        with self._lock:
            if self._shared is not None:
                self._shared.trim()

    def open(self, path: Path, decoder: str) -> VideoInfo:
        """Return the facts about a file.

        Raises:
            VideoError: if it is no video, or no frame of it can be decoded.
        """
        with self._one_answer():
            self._said.seek(0)
            self._said.truncate()
            facts = self._ask(path, {"action": "open", "path": _hex(path), "decoder": decoder})
            seconds = np.empty(facts.pop("num_frames"), np.float64)
            self._receive(path, seconds)
        return VideoInfo(
            path=path,
            fps=Fraction(*facts.pop("fps")),
            pixel_aspect=Fraction(*facts.pop("pixel_aspect")),
            pts_seconds=seconds,
            **facts,
        )

    def read(
        self, path: Path, decoder: str, start: int, stop: int | None, num_threads: int
    ) -> None:
        """Begin to read frames of a file; what was begun before is dropped."""
        request = {"start": start, "stop": stop, "num_threads": num_threads}
        with self._one_answer():
            self._ask(path, {"action": "read", "path": _hex(path), "decoder": decoder, **request})

    def next_batch(self, path: Path, count: int) -> FrameBatch | None:
        """Return the next ``count`` frames at most, fewer of large ones, or None at the end.

        Raises:
            VideoError: if the decoder failed.
        """
        with self._one_answer():
            answer = self._ask(path, {"action": "next", "count": count})
            frame_inds = np.array(answer["frame_inds"], np.int64)
            if not len(frame_inds):
                return None
            shape = (len(frame_inds), *answer["img_shape"], 3)
            if self._shared is None:
                self._ask(path, {"action": "send"})
                frames = np.empty(shape, np.uint8)
                self._receive(path, frames)
            else:
                offset, frames = self._shared.take(shape)
                self._ask(path, {"action": "share", "offset": offset})
        seconds = np.array(answer["pts_seconds"], np.float64)
        return FrameBatch(frames, frame_inds, seconds, answer["first_scaled"])

    def _ask(self, path: Path, request: dict[str, Any]) -> dict[str, Any]:
        line = b"\n"
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
            # An empty line tells that a long read goes on.
            while line == b"\n":
                with self._time_limit():
                    line = self._process.stdout.readline()  # type: ignore[union-attr]
        except OSError:
            line = b""
        if not line:
            raise self._death(path)
        answer: dict[str, Any] = json.loads(line)
        if "inexact" in answer:
            raise InexactError(f"{path}: {answer['inexact']}")
        if "refused" in answer:
            raise VideoError(f"{path}: {answer['refused']}")
        if "failed" in answer:
            raise VideoError(f"{path}: the file cannot be decoded: {answer['failed']}")
        return answer

    def _receive(self, path: Path, array: np.ndarray) -> None:
        if not array.size:
            return
        with self._time_limit():
            received = self._process.stdout.readinto(array.data.cast("B"))  # type: ignore[union-attr]
        if received != array.nbytes:
            raise self._death(path)

    @contextmanager
    def _time_limit(self) -> Iterator[None]:
        """End the process if the block takes longer than an answer may."""
        is_there = threading.Event()

        def watch() -> None:
            # Where both processes were suspended, the time has passed for nothing: the worker gets
            # a while more.
            grace = min(_GRACE_SECONDS, self._answer_seconds)
            if not is_there.wait(self._answer_seconds) and not is_there.wait(grace):
                self._is_timed_out = True
                self._process.kill()

        threading.Thread(target=watch, daemon=True).start()
        try:
            yield
        finally:
            is_there.set()

    def _death(self, path: Path) -> VideoError:
        code = self._process.wait()
        if self._is_timed_out:
            why = f"hung: no frame came for {self._answer_seconds:.0f} s"
        else:
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            self._said.seek(0)
            lines = self._said.read().decode(errors="replace").split("\n")
            last = next((line.strip() for line in reversed(lines) if line.strip()), "")
            why = f"crashed ({name}{': ' + last[:200] if last else ''})"
        if not self._is_timed_out and -code in _OUTSIDE_SIGNALS:
            return DecoderKilledError(f"{path}: the decoder was killed ({name}) from outside")
        return VideoError(
            f"{path}: the decoder {why}; the file is damaged, or needs more than "
            f"{self._memory_limit >> 30} GiB"
        )


def _absolute(folder: str) -> str:
    try:
        return os.path.abspath(folder)
    except OSError:
        # The working folder is gone.
        return folder


def _hex(path: Path) -> str:
    # Names need not be UTF-8; the worker keeps the folder that it was started in.
    return os.fsencode(os.path.abspath(path)).hex()


class _Pool:
    """Workers that wait for the next file."""

    def __init__(self) -> None:
        self._idle: list[DecodeProcess] = []
        self._lock = threading.Lock()
        self._owner = os.getpid()

    def take(self) -> DecodeProcess:
        """Return a worker that is idle, or a new one."""
        with self._lock:
            if self._owner != os.getpid():
                # A fork shares the pipes of its parent's workers, and must not use them.
                self._idle, self._owner = [], os.getpid()
            while self._idle:
                worker = self._idle.pop()
                if worker.is_alive:
                    return worker
                worker.close()
        return DecodeProcess()

    def start(self) -> None:
        """Let a worker start, if none waits: it is ready by the time that the first file is."""
        # One that cannot start says so when it is asked for a file.
        with suppress(OSError):
            self.give_back(self.take())

    def give_back(self, worker: DecodeProcess) -> None:
        """Keep a worker for the next file."""
        with self._lock:
            if worker.is_alive and len(self._idle) < _MOST_IDLE:
                worker.rest()
                self._idle.append(worker)
            else:
                worker.close()

    def close(self) -> None:
        """End the workers that wait."""
        with self._lock:
            while self._idle and self._owner == os.getpid():
                self._idle.pop().close()


WORKERS = _Pool()
atexit.register(WORKERS.close)
