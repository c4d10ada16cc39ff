"""The queue of an app: one job at a time, each in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ...pose_extract.common.text import one_line
from .job import Job
from .store import JobStore, log_path

# A job that was begun so often and brought the app down each time is not begun again.
_MAX_STARTS = 3
_UNDONE = ("queued", "running")
# Fields of a job that its process answers.
_ANSWERS = ("words", "confidence_words", "unknown", "notes_id", "error")


class JobQueue:
    """Labels the jobs of a store, the oldest first; all methods belong to one event loop.

    A job that was running when the app ended is queued anew; what is done stays.

    Args:
        store: The jobs.
        command: What labels a job; the job's folder is added as its last argument. It writes what
            ``work.py`` does.
        max_hours: How long a job may take: one without an end would keep all others waiting.

    Attributes:
        complaints: What is wrong with folders of the store that hold no job.
    """

    def __init__(self, store: JobStore, command: Sequence[str], max_hours: float) -> None:
        self.store = store
        self._command, self._max_hours = list(command), max_hours
        loaded, self.complaints = store.load()
        self._jobs = {job.id: job for job in loaded}
        self._progress: dict[str, Any] = {}
        self._running: tuple[str, asyncio.subprocess.Process | None] | None = None
        self._ended = asyncio.Condition()
        self._wake = asyncio.Event()
        for job in loaded:
            if job.state == "running":
                self._requeue(job)

    def jobs(self) -> list[Job]:
        """Return all jobs, the newest first."""
        return sorted(self._jobs.values(), key=lambda job: -job.created)

    def job(self, job_id: str) -> Job | None:
        """Return a job, or None where there is none of that id."""
        return self._jobs.get(job_id)

    def progress(self, job_id: str) -> dict[str, Any]:
        """Return what the process of the job that runs said last; empty for others."""
        is_running = self._running is not None and self._running[0] == job_id
        return dict(self._progress) if is_running else {}

    def add(self, job: Job) -> None:
        """Queue a job that is in the store."""
        self._jobs[job.id] = job
        self._wake.set()

    def retry(self, job_id: str) -> bool:
        """Queue a job anew that failed or was cancelled; return whether it is one."""
        job = self._jobs[job_id]
        if job.state not in ("failed", "cancelled"):
            return False
        self._set(replace(job, state="queued", num_starts=0, error=None))
        self._wake.set()
        return True

    def cancel(self, job_id: str) -> bool:
        """Cancel a job that is queued or runs; return whether it is one."""
        job = self._jobs[job_id]
        if job.state not in _UNDONE:
            return False
        self._set(replace(job, state="cancelled"))
        if self._running is not None and self._running[0] == job_id:
            _end(self._running[1])
        return True

    async def delete(self, job_id: str) -> None:
        """Delete a job and all its files; one that runs is ended first.

        Raises:
            OSError: if files cannot be removed.
        """
        # At once there is no such job for any other request.
        job = self._jobs.pop(job_id)
        if self._running is not None and self._running[0] == job_id:
            _end(self._running[1])
        async with self._ended:
            await self._ended.wait_for(lambda: self._running is None or self._running[0] != job_id)
        try:
            await asyncio.to_thread(self.store.delete, job_id)
        except OSError:
            if self.store.folder_of(job_id).exists():
                self._set(replace(job, state="cancelled") if job.state in _UNDONE else job)
            raise

    async def run(self) -> None:
        """Label the jobs until this is cancelled; the one that runs then is begun anew later."""
        while True:
            self._wake.clear()
            queued = [job for job in self._jobs.values() if job.state == "queued"]
            if not queued:
                await self._wake.wait()
                continue
            await self._label(min(queued, key=lambda job: job.created))

    async def _label(self, job: Job) -> None:
        self._running, self._progress = (job.id, None), {}
        self._set(replace(job, state="running", num_starts=job.num_starts + 1))
        try:
            answer = await self._answer(job)
        except asyncio.CancelledError:
            # The app ends in an orderly way, which is not the job's fault.
            if self._is_running(job.id):
                self._set(job)
            raise
        except (OSError, ValueError) as error:
            answer = {"state": "failed", "error": one_line(error)}
        finally:
            self._running, self._progress = None, {}
        if self._is_running(job.id):
            self._set(replace(self._jobs[job.id], num_starts=0, **answer))
        async with self._ended:
            self._ended.notify_all()

    async def _answer(self, job: Job) -> dict[str, Any]:
        """Run the process of a job and return the fields of the job that it changes."""
        folder = self.store.folder_of(job.id)
        with log_path(folder).open("wb") as log:
            child = await asyncio.create_subprocess_exec(
                *self._command, os.fspath(folder), stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._running = (job.id, child)
        try:
            if not self._is_running(job.id):
                return {}  # cancelled or deleted meanwhile
            seconds = 3600 * self._max_hours
            answer, code = await asyncio.wait_for(self._listen(child), seconds)
        except asyncio.TimeoutError:
            error = (
                f"it took longer than {self._max_hours:g} hours; cut the clip, or start the app "
                "with a greater --max-hours"
            )
            return {"state": "failed", "error": error}
        finally:
            _end(child)
            await child.wait()
        if answer is None:
            error = f"labelling broke off (exit code {code}); log.txt of the job may say why"
            return {"state": "failed", "error": error}
        return answer

    async def _listen(self, child: asyncio.subprocess.Process) -> tuple[dict[str, Any] | None, int]:
        """Read what a job's process says to its end; return its answer and its exit code."""
        answer = None
        assert child.stdout is not None
        async for line in child.stdout:
            values = json.loads(line)
            if "answer" in values:
                given = values["answer"]
                answer = {"state": "done", **{name: given[name] for name in _ANSWERS}}
            elif "error" in values:
                answer = {"state": "failed", "error": values["error"]}
            else:
                self._progress = values
        return answer, await child.wait()

    def _is_running(self, job_id: str) -> bool:
        job = self._jobs.get(job_id)
        return job is not None and job.state == "running"

    def _requeue(self, job: Job) -> None:
        if job.num_starts >= _MAX_STARTS:
            error = f"the app ended {job.num_starts} times while this clip was labelled"
            self._set(replace(job, state="failed", error=error))
        else:
            self._set(replace(job, state="queued"))

    def _set(self, job: Job) -> None:
        self._jobs[job.id] = job
        # A full disk does not end the queue: what cannot be kept is shown until the app ends.
        with suppress(OSError):
            self.store.save(job)


def _end(child: asyncio.subprocess.Process | None) -> None:
    """End a process with those that it started."""
    if child is None:
        return
    with suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        elif child.returncode is None:
            child.kill()
