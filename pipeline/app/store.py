"""The folder of an app: a folder per job, with the clip, its report and what is known of it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ... import SkelactError
from ...pose_extract.common.files import atomic_write, lock
from ...pose_extract.common.text import printable
from .job import Job, is_job_id

_JOB_FILE, _CLIP, _REPORT, _LOG = "job.json", "clip", "report", "log.txt"
# By this file, which a running app has locked, a folder is known as an app's.
_MARK = "skelact-app.lock"
# Clips of people: for the user's eyes alone.
_PRIVATE = 0o700


def clip_path(folder: Path) -> Path:
    """Return where the clip of a job's folder is; what it is tells its content."""
    return folder / _CLIP


def report_path(folder: Path) -> Path:
    """Return where the report of a job's folder is, or will be."""
    return folder / _REPORT


def log_path(folder: Path) -> Path:
    """Return what the labelling of a job's folder said beside its answer."""
    return folder / _LOG


def read_job(folder: Path) -> Job:
    """Return the job of a folder.

    Raises:
        SkelactError: if there is none.
    """
    try:
        job = Job.from_dict(json.loads((folder / _JOB_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, SkelactError) as error:
        raise SkelactError(f"{folder}: no job: {error}") from None
    if job.id != folder.name:
        raise SkelactError(f"{folder}: expected the job of this folder, got {job.id}")
    return job


class JobStore:
    """Jobs on disk. A job is whole or not there, and so is its end: what is deleted is gone.

    Args:
        folder: Where they are; it is made.

    Raises:
        SkelactError: if another app uses the folder, or it holds other things.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._jobs, self._scratch = folder / "jobs", folder / "scratch"
        try:
            folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            if not (folder / _MARK).exists() and any(folder.iterdir()):
                raise SkelactError(
                    f"{printable(folder)}: expected a new folder or one of the app, and it holds "
                    "other files; name another folder with --folder"
                )
            self._lock = os.open(folder / _MARK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise SkelactError(
                f"{printable(folder)} cannot be used as the app's folder: {error.strerror}"
            ) from None
        if not lock(self._lock, wait=False):
            os.close(self._lock)
            raise SkelactError(
                f"{printable(folder)} is used by another app that runs; stop it, or name another "
                "folder with --folder"
            )
        # What an app that was killed left: uploads that did not end, and jobs that were deleted.
        shutil.rmtree(self._scratch, ignore_errors=True)
        for inside in (self._jobs, self._scratch):
            inside.mkdir(mode=_PRIVATE, exist_ok=True)

    def close(self) -> None:
        """Let another app use the folder."""
        os.close(self._lock)

    def load(self) -> tuple[list[Job], list[str]]:
        """Return the jobs, oldest first, and what is wrong with folders that hold none."""
        jobs: list[Job] = []
        complaints: list[str] = []
        for folder in sorted(self._jobs.iterdir()):
            try:
                jobs.append(read_job(folder))
            except SkelactError as error:
                complaints.append(printable(error))
        return sorted(jobs, key=lambda job: job.created), complaints

    def folder_of(self, job_id: str) -> Path:
        """Return the folder of a job.

        Raises:
            ValueError: if the text is no id.
        """
        if not is_job_id(job_id):
            raise ValueError(f"expected a job's id, got {job_id!r}")
        return self._jobs / job_id

    def free_bytes(self) -> int:
        """Return how much the disk still holds."""
        return shutil.disk_usage(self.folder).free

    @contextmanager
    def new_file(self) -> Iterator[Path]:
        """Give the path of a new file, which is removed at the end if it is still there."""
        handle, name = tempfile.mkstemp(dir=self._scratch)
        os.close(handle)
        path = Path(name)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def take(self, job: Job, upload: Path) -> None:
        """Put a new job into the store; its clip, a file of ``new_file``, goes with it."""
        with self._new_job(job) as new:
            os.rename(upload, clip_path(new))

    def add(self, job: Job, other_id: str) -> None:
        """Put a new job into the store, with the clip of another one."""
        with self._new_job(job) as new:
            _link_or_copy(clip_path(self.folder_of(other_id)), clip_path(new))

    @contextmanager
    def _new_job(self, job: Job) -> Iterator[Path]:
        new = Path(tempfile.mkdtemp(dir=self._scratch))
        try:
            yield new
            _write_job(new, job)
            os.rename(new, self.folder_of(job.id))
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def save(self, job: Job) -> None:
        """Write how far a job is."""
        _write_job(self.folder_of(job.id), job)

    def delete(self, job_id: str) -> None:
        """Remove a job with all its files; one that is interrupted here is gone all the same.

        Raises:
            OSError: if files cannot be removed.
        """
        grave = Path(tempfile.mkdtemp(dir=self._scratch))
        os.rename(self.folder_of(job_id), grave / "job")
        shutil.rmtree(grave)


def _write_job(folder: Path, job: Job) -> None:
    with atomic_write(folder / _JOB_FILE) as temporary:
        temporary.write_text(json.dumps(job.to_dict(), indent=1), encoding="utf-8")


def _link_or_copy(source: Path, target: Path) -> None:
    # A second name of the file takes no place, and is deleted by itself.
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
