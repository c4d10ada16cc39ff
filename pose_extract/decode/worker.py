"""The decoder's own process: what is in a file can end, hang or fill it, and nothing else.

It answers one request at a time on its standard input and output. A request is a line of JSON; an
answer is a line of JSON, followed by the bytes of the arrays that it announces. Frames are written
to memory that both processes share, or sent where there is none. ``process.py`` is the other side.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np

from ..common.shared_memory import SharedView
from .frames import Frame, InexactError, VideoError
from .reading import KnownFiles, LastRange

# The line of an answer, and the arrays whose bytes follow it.
Answer = tuple[dict[str, Any], list[np.ndarray]]

# Frames of an answer: 16 of 4K are 400 MB, 8K comes in smaller batches.
_MOST_BYTES = 400 << 20
# How often a long read tells that it goes on.
_PROGRESS_SECONDS = 1.0
# How often the process looks whether the one that it works for is still there.
_ORPHAN_CHECK_SECONDS = 1.0

_OUT_OF_MEMORY = (
    "its frames take more memory than a decoding process may have (decord keeps all that it has "
    "decoded ahead, and --decoder pyav holds few of them)"
)


class DecodeWorker:
    """Answers requests until its input ends.

    Args:
        requests: Where requests come from.
        answers: Where answers go.
        shared: Where frames are written to.
    """

    def __init__(
        self, requests: BinaryIO, answers: BinaryIO, shared: SharedView | None = None
    ) -> None:
        self._requests = requests
        self._answers = answers
        self._shared = shared
        self._files = KnownFiles()
        self._last_range = LastRange()
        self._frames: Iterator[Frame] = iter(())
        # Of the last answer, until they are asked for.
        self._announced: list[np.ndarray] = []
        self._told = time.monotonic()

    def run(self) -> None:
        """Answer until there are no more requests."""
        actions: dict[str, Callable[..., Answer]] = {
            "open": self._open,
            "read": self._read,
            "next": self._next,
            "send": self._send,
            "share": self._share,
        }
        for line in self._requests:
            request = json.loads(line)
            try:
                answer, arrays = actions[request.pop("action")](**request)
            except InexactError as error:
                answer, arrays = {"inexact": str(error)}, []
            except VideoError as error:
                answer, arrays = {"refused": str(error)}, []
            except MemoryError:
                answer, arrays = {"failed": _OUT_OF_MEMORY}, []
            except Exception as error:
                # A file that a decoder cannot read is told in as many ways as there are decoders.
                reason = (str(error).splitlines() or [""])[0][:200]
                answer, arrays = {"failed": f"{type(error).__name__}: {reason}"}, []
            self._answers.write(json.dumps(answer).encode() + b"\n")
            for array in arrays:
                self._answers.write(array.data.cast("B"))
            self._answers.flush()

    def _go_on(self) -> None:
        """Tell now and then that a long read goes on: an empty line before the answer."""
        now = time.monotonic()
        if now - self._told > _PROGRESS_SECONDS:
            self._told = now
            self._answers.write(b"\n")
            self._answers.flush()

    def _open(self, path: str, decoder: str) -> Answer:
        file = self._files.open(os.fsdecode(bytes.fromhex(path)), self._go_on)
        info = file.info(decoder)  # type: ignore[arg-type]
        facts = {
            "fps": [info.fps.numerator, info.fps.denominator],
            "num_missing": info.num_missing,
            "height": info.height,
            "width": info.width,
            "pixel_aspect": [info.pixel_aspect.numerator, info.pixel_aspect.denominator],
            "codec": info.codec,
            "container": info.container,
            "decoder": info.decoder,
            "num_frames": info.num_frames,
        }
        return facts, [np.ascontiguousarray(info.pts_seconds, np.float64)]

    def _read(
        self, path: str, decoder: str, start: int, stop: int | None, num_threads: int
    ) -> Answer:
        file = self._files.open(os.fsdecode(bytes.fromhex(path)), self._go_on)
        frames = file.frames(start, stop, decoder, num_threads, self._go_on)  # type: ignore[arg-type]
        self._frames = self._last_range.read(frames, file, start, stop, decoder, num_threads)
        return {}, []

    def _next(self, count: int) -> Answer:
        frames: list[Frame] = []
        self._announced = []
        num_bytes = 0
        while len(frames) < count and num_bytes < _MOST_BYTES:
            frame = next(self._frames, None)
            if frame is None:
                break
            frames.append(frame)
            self._announced.append(frame.to_rgb())
            num_bytes += self._announced[-1].nbytes
        return {
            "frame_inds": [frame.index for frame in frames],
            "pts_seconds": [frame.seconds for frame in frames],
            "first_scaled": next((frame.index for frame in frames if frame.is_scaled), None),
            "img_shape": list(self._announced[0].shape[:2]) if frames else [0, 0],
        }, []

    def _send(self) -> Answer:
        announced, self._announced = self._announced, []
        return {}, announced

    def _share(self, offset: int) -> Answer:
        assert self._shared is not None
        announced, self._announced = self._announced, []
        self._shared.write(offset, announced)
        return {}, []


def limit_memory(num_bytes: int) -> None:
    """Let allocations beyond ``num_bytes`` of address space fail, where the system can."""
    try:
        import resource
    except ImportError:
        return
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = num_bytes if most == resource.RLIM_INFINITY else min(num_bytes, most)
    resource.setrlimit(resource.RLIMIT_AS, (limit, most))


def _end_with_parent() -> None:
    """End this process when its parent does, also out of a decoder that hangs."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_ORPHAN_CHECK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Run the worker on the standard streams.

    The first argument is its limit in bytes, the second, if there is one, the number of the file
    that stands for shared memory.
    """
    # An interrupt ends the run, which ends this process; a decoder must not be torn in between.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit_memory(int(sys.argv[1]))
    _end_with_parent()
    # Libraries print to the standard output: the answers get one of their own.
    # They are buffered, since a write to a pipe may end early where the process was suspended.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    shared = SharedView(int(sys.argv[2])) if len(sys.argv) > 2 else None
    DecodeWorker(sys.stdin.buffer, answers, shared).run()
