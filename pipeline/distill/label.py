"""``skelact distill label``: teachers label the people in any videos and images."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import cv2

from ... import SkelactError
from ...pose_extract.common.files import atomic_write
from .label_sources import LabelJob, find_jobs
from .labelled_frames import TEACHERS_FILE, LabelledFrames, read_teachers
from .teachers import LabelConfig, Teachers

_teachers: Teachers | None = None


def _start(config: LabelConfig) -> None:
    """Load the teachers of a process of :func:`label_folders`."""
    global _teachers
    threading.Thread(target=end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    _teachers = Teachers(config, num_threads=1)


def end_with_parent() -> None:
    """Wait until the process that started this one ends, then end at once, too.

    A worker of a process that was killed would wait for work for ever: it holds the other end of
    the queue as well.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _label(job: LabelJob, target: Path) -> int:
    assert _teachers is not None  # made by _start in this process
    labelled = _teachers.label(job)
    labelled.save(target)
    return len(labelled.person_frames)


def _with_new_names(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record of a folder's teachers with the names that its keys have today."""

    def renamed(values: dict[str, Any]) -> dict[str, Any]:
        return {LabelConfig.RENAMED.get(key, key): value for key, value in values.items()}

    record = renamed(record) | {"config": renamed(record.get("config") or {})}
    detector = record.get("detector")
    if isinstance(detector, dict) and "quarters" in detector:
        kept = {key: value for key, value in detector.items() if key != "quarters"}
        rotations = [90 * quarter for quarter in detector["quarters"]]
        record["detector"] = kept | {"name": "rotated-views", "rotations": rotations}
    return record


def _record_teachers(out: Path, identity: dict[str, Any]) -> None:
    """Write down the teachers of a folder, or check that they are those of the labels there."""
    known = read_teachers(out)
    if known is None:
        with atomic_write(out / TEACHERS_FILE) as temporary:
            temporary.write_text(json.dumps(identity, indent=1) + "\n", encoding="utf-8")
        return
    known = _with_new_names(known)
    if known != identity:
        differing = ", ".join(key for key in identity if known.get(key) != identity[key])
        raise SkelactError(
            f"{out / TEACHERS_FILE}: the labels there are by other teachers ({differing}); "
            "give another folder"
        )


def label_folders(
    folders: Sequence[str | Path],
    out: str | Path,
    config: LabelConfig,
    *,
    jobs: int,
) -> Iterator[tuple[LabelJob, int | Exception]]:
    """Label all videos and images in folders; those that have labels are skipped.

    Yields each job, as it ends, and its number of people, or the error that stopped it. The
    teachers are recorded in ``teachers.json``, and later in the JSON of the networks that learn
    from the labels.

    Args:
        folders: Files and folders to label.
        out: Folder that gets a file of labels per video or group of images.
        config: How people are labelled.
        jobs: Number of processes.

    Raises:
        SkelactError: if there is nothing to label, or the folder has labels by other teachers.
    """
    found, out = find_jobs(folders), Path(out)
    _record_teachers(out, Teachers(config, num_threads=1).identity())
    todo = []
    for job in found:
        target = job.target(out)
        if target.exists():
            yield job, len(LabelledFrames.load(target).person_frames)
        else:
            todo.append(job)
    # A forked child would inherit locks of the parent's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_start, initargs=(config,)
    ) as pool:
        running = {pool.submit(_label, job, job.target(out)): job for job in todo}
        for future in as_completed(running):
            error = future.exception()
            if error is not None and not isinstance(error, Exception):
                raise error
            yield running[future], future.result() if error is None else error
