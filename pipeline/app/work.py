"""Label the clip of one job, in a process of its own: what `skelact predict --html` does.

The process is this module; ``queue.py`` is the other side. It is told the job's folder and the
options, and writes a line of JSON for each step: ``{"frames_done": 16, "frames_total": 75}``, at
last ``{"answer": {...}}`` or ``{"error": "..."}``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from ... import SkelactError
from ...pose_extract.common.text import printable
from ...pose_extract.sources import ClipSource
from .job import Job
from .store import clip_path, read_job, report_path

# A line per frame batch would be hundreds a second on a GPU.
_SECONDS_PER_LINE = 0.2
_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from skelact.pipeline.app.work import main; main()"
)

Tell = Callable[[Mapping[str, Any]], None]


def work_command(options: Mapping[str, Any]) -> list[str]:
    """Return the command that labels a job; the job's folder is its last argument, and is added.

    Args:
        options: Arguments of ``Pipeline``, by name, all of which JSON can hold.
    """
    search_path = json.dumps([os.path.abspath(folder) for folder in sys.path])
    return [sys.executable, "-c", _START, search_path, json.dumps(dict(options))]


def main() -> None:
    """Label the job in the folder named by the arguments."""
    options, folder = sys.argv[1:]
    # What libraries print is no line of ours.
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="ascii")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    threading.Thread(target=end_with, args=(sys.stdin,), daemon=True).start()

    def tell(values: Mapping[str, Any]) -> None:
        lines.write(json.dumps(values) + "\n")
        lines.flush()

    try:
        tell({"answer": label(Path(folder), json.loads(options), tell)})
    except (SkelactError, OSError) as error:
        tell({"error": printable(error)})


def label(folder: Path, options: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """Label the job of a folder and write its report there; return the answer's fields of ``Job``.

    Args:
        folder: The job's folder.
        options: Arguments of ``Pipeline``, by name.
        tell: Takes each step.

    Raises:
        SkelactError: if the clip cannot be read, or its report not be written.
    """
    from ...pose_extract.nets.mmpose_adapter import require_mmpose

    require_mmpose()
    from ..inference.pipeline import Pipeline
    from ..report.write import read_index, report_writer

    job = read_job(folder)
    subject = {} if job.subject is None else {"subject": job.subject}
    model = Pipeline(**{**options, **subject})
    predictions = model.stream(_source(job, folder), on_progress=_teller(tell))
    with report_writer(report_path(folder), is_one=True) as writer:
        for prediction in predictions:
            tell({"step": "writing the report"})
            writer.add(prediction)
    index = read_index(report_path(folder))
    labels = index["answer"]["labels"]
    return {
        "words": index["answer"]["words"],
        "confidence_words": labels[0]["confidence_words"] if labels else None,
        "unknown": index["answer"]["unknown"],
        "notes_id": index["id"],
        "error": index["answer"]["error"],
    }


def _source(job: Job, folder: Path) -> ClipSource:
    return ClipSource(
        clip_path(folder), job.name, start_frame=job.start_frame, end_frame=job.end_frame
    )


def _teller(tell: Tell) -> Callable[[Any], None]:
    last = -_SECONDS_PER_LINE

    def on_progress(progress: Any) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SECONDS_PER_LINE or progress.frames_done == progress.frames_total:
            last = now
            tell({"frames_done": progress.frames_done, "frames_total": progress.frames_total})

    return on_progress


def end_with(parent: TextIO) -> None:
    """End this process, and those that it started, when the one that reads its lines is gone."""
    parent.read()
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)
