"""Uploads: streamed to a file, whole or not there, and none but videos."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from ... import SkelactError
from ...pose_extract.common.text import one_line
from ...pose_extract.decode.video import open_video
from .job import MAX_NAME_CHARS, Job
from .queue import JobQueue

# Left free on the disk beside an upload: its report holds another copy, and the system needs some.
_SPARE_FACTOR, _SPARE_BYTES = 2, 256 << 20


class RefusedError(SkelactError):
    """A request that is not done.

    Args:
        status: Of HTTP.
        reason: For the user.
    """

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class UploadLimits:
    """What an upload may be.

    Attributes:
        max_bytes: Its size.
        silence_seconds: How long it may send nothing.
        total_seconds: How long it may take.
        max_at_once: How many may run.
    """

    max_bytes: int
    silence_seconds: float = 30.0
    total_seconds: float = 3600.0
    max_at_once: int = 4


class Uploads:
    """Takes clips into a queue.

    Args:
        queue: Where they go.
        limits: What they may be.
    """

    def __init__(self, queue: JobQueue, limits: UploadLimits) -> None:
        self._queue, self.limits = queue, limits
        # What those that run have announced.
        self._running_bytes: list[int] = []

    async def take(self, name: str, num_bytes: int | None, body: AsyncIterator[bytes]) -> Job:
        """Take a clip, and queue it.

        Args:
            name: What the user calls it.
            num_bytes: Its announced size; None where it is not announced.
            body: Its content.

        Raises:
            RefusedError: if it is no video, or against a limit.
            OSError: if it cannot be written.
        """
        if len(name) > MAX_NAME_CHARS:
            raise RefusedError(
                HTTPStatus.BAD_REQUEST,
                f"expected a name of at most {MAX_NAME_CHARS} characters, got {len(name)}",
            )
        if num_bytes is None:
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "an upload has to announce its size")
        self._check_room(num_bytes)
        job = Job.new(name)
        self._running_bytes.append(num_bytes)
        try:
            with self._queue.store.new_file() as path:
                await self._write(path, num_bytes, body)
                await asyncio.to_thread(_check_video, path)
                self._queue.store.take(job, path)
        finally:
            self._running_bytes.remove(num_bytes)
        self._queue.add(job)
        return job

    def _check_room(self, num_bytes: int) -> None:
        if len(self._running_bytes) >= self.limits.max_at_once:
            raise RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{len(self._running_bytes)} uploads run already; try again when one has ended",
            )
        if num_bytes > self.limits.max_bytes:
            raise RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"expected at most {_in_words(self.limits.max_bytes)}, got {_in_words(num_bytes)}; "
                "cut the clip, or start the app with a greater --max-upload",
            )
        free = self._queue.store.free_bytes()
        if sum(self._running_bytes, num_bytes) * _SPARE_FACTOR + _SPARE_BYTES > free:
            raise RefusedError(
                HTTPStatus.INSUFFICIENT_STORAGE,
                f"the disk has {_in_words(free)} left, which is too little for the clip and its "
                "report; delete some",
            )

    async def _write(self, path: Path, num_bytes: int, body: AsyncIterator[bytes]) -> None:
        """Write what comes; what breaks off, is too slow or of another size is refused."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.limits.total_seconds
        written = 0
        with path.open("wb") as file:
            while True:
                seconds = min(self.limits.silence_seconds, end - loop.time())
                try:
                    block = await asyncio.wait_for(anext(body), max(seconds, 0))
                except StopAsyncIteration:
                    break
                except asyncio.TimeoutError:
                    raise RefusedError(
                        HTTPStatus.REQUEST_TIMEOUT, "the upload took too long"
                    ) from None
                written += len(block)
                if written > num_bytes:
                    break
                await asyncio.to_thread(file.write, block)
        if written != num_bytes:
            raise RefusedError(
                HTTPStatus.BAD_REQUEST, f"expected {num_bytes} bytes, and {written} came"
            )


def _check_video(path: Path) -> None:
    """Check that a file is a video of which a frame can be shown.

    Raises:
        RefusedError: if it is none.
    """
    try:
        # In a process of its own, with limits of time and memory.
        with open_video(path) as reader:
            next(reader.batches(1, 0, 1))
    except SkelactError as error:
        reason = one_line(str(error).removeprefix(f"{path}: ").replace(str(path), "the file"))
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, reason) from None


def _in_words(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.1f} MB"
