"""Processes that extract clips into one folder side by side.

    extract_clips -> a clip, when a worker asks for one -> FolderRun and Extractor in the worker
        -> cache entry and line of the manifest, written by the worker -> the line, told

Each worker is a run of its own: it writes its results itself, and notes in which clip it is. A
worker that dies costs that clip alone, and another one takes its place. What a clip's skeletons are
does not depend on which worker extracts it, nor on how many there are.

On a processor each worker has networks of its own, with a share of the threads. On a GPU they share
those of one process (``inference_process.py``): workers decode, track and cut crops, which alone
travel, and images of several clips go through a network together.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, cast

from .. import SkelactError
from .common.child_process import end_children, end_with_parent, start_child
from .common.device import choose_device, default_threads
from .extract import ExtractConfig, Extractor, Progress
from .folder_run import FolderRun
from .inference_process import InferenceProcess
from .nets.inference_client import RemoteEngines, ServerAddress
from .sources import ClipSource
from .store.in_work import InWork, find_dead_runs
from .store.manifest import ManifestEntry
from .store.plan import note_crashes
from .store.results import ResultFolder
from .tasks import SummedProgress, Task, TaskQueue, sendable

# So many workers in a row that are killed before they begin: the next ones would be, too.
_MOST_STILLBORN = 3


def check_workers(asked: int | None) -> None:
    """Check a number of workers.

    Raises:
        SkelactError: if it cannot be.
    """
    if asked is not None and asked < 0:
        raise SkelactError(f"workers: expected 0, which takes the free cores, or more, got {asked}")


def choose_workers(asked: int | None, extractor: Extractor, num_clips: int) -> int:
    """Return how many workers extract so many clips.

    Args:
        asked: A number, or None for one; 0 takes the free cores, or one where each worker would
            have a network of its own on a GPU.
        extractor: The chain from video to skeletons.
        num_clips: All clips of the run, those that are done too: how many threads a worker has,
            and with it the rounding, is the same after a resume.

    Raises:
        SkelactError: for a number that cannot be.
    """
    asked = 1 if asked is None else asked
    check_workers(asked)
    if extractor.has_own_parts:
        if asked > 1:
            raise SkelactError(
                f"workers: expected 1 with a detector or pose model of your own, got {asked}"
            )
        return 1
    config = extractor.config
    if not asked:
        is_many = config.can_share_networks or choose_device(config.device).type == "cpu"
        asked = (config.num_threads or default_threads()) if is_many else 1
    return max(1, min(asked, num_clips))


class Workers:
    """So many processes that extract clips into a folder; a context that ends them.

    Args:
        count: How many share the threads of the networks; no more are started than there are clips.
        config: How clips are extracted.
        run: The run over the folder, told of each clip.
        on_progress: Called while clips are read.
        share_networks: Whether one process runs the networks of all; None: on a GPU alone.
    """

    def __init__(
        self,
        count: int,
        config: ExtractConfig,
        run: FolderRun,
        on_progress: Callable[[Progress], None] | None,
        share_networks: bool | None = None,
    ) -> None:
        if share_networks is None:
            share_networks = choose_device(config.device).type != "cpu"
        self._inference = InferenceProcess(config) if share_networks else None
        self._open = ExitStack()
        threads = max(1, (config.num_threads or default_threads()) // count)
        self._config = replace(config, num_threads=threads)
        self._count = count
        self._run = run
        self._progress = SummedProgress(on_progress)
        self._working: dict[Connection, Task | None] = {}
        self._processes: dict[Connection, BaseProcess] = {}
        self._has_begun: set[Connection] = set()
        self._num_stillborn = 0

    def __enter__(self) -> Workers:
        if self._inference is not None:
            self._open.enter_context(self._inference)
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._processes:
            connection.close()
        end_children(self._processes.values())
        self._open.close()

    def run(self, tasks: Iterable[Task]) -> None:
        """Extract clips.

        Raises:
            SkelactError: if a worker cannot work, such as for want of a network or of disk space.
        """
        todo = TaskQueue(tasks)
        for _ in range(min(self._count, len(todo))):
            self._start()
        while self._processes:
            for ready in wait(list(self._processes)):
                connection = cast(Connection, ready)
                try:
                    kind, value = connection.recv()
                except (EOFError, OSError):
                    lost = self._end(connection)
                    todo.leave(connection)
                    if lost is not None and not self._is_crashed(lost) and not todo.give_back(lost):
                        self._run.keep_killed(lost.clip)
                    if todo and len(self._processes) < self._count:
                        self._start()
                    continue
                if kind == "next":
                    self._has_begun.add(connection)
                    self._num_stillborn = 0
                    self._run.num_new += value
                    self._working[connection] = task = todo.take(connection)
                    with suppress(OSError):  # it has died: the next turn says so
                        connection.send(task)
                elif kind == "progress":
                    self._progress.tell(connection, value)
                elif kind == "entry":
                    self._working[connection] = None
                    self._run.tell(value)
                else:
                    raise value

    def _start(self) -> None:
        address = None if self._inference is None else self._inference.address
        process, connection = start_child(_work, self._config, self._run.out, address)
        self._processes[connection] = process
        self._working[connection] = None

    def _end(self, connection: Connection) -> Task | None:
        """Take leave of a worker that has ended; return the clip that it was in.

        Raises:
            SkelactError: if it ended before it asked for any, and the next one would, too.
        """
        process = self._processes.pop(connection)
        connection.close()
        process.join()
        if connection not in self._has_begun:
            self._num_stillborn += 1
            was_killed = process.exitcode is not None and process.exitcode < 0
            if not was_killed or self._num_stillborn >= _MOST_STILLBORN:
                raise SkelactError(
                    f"a worker process ended with {process.exitcode} before it began (-9: killed, "
                    "as for want of memory); take fewer workers"
                )
        self._progress.end(connection)
        return self._working.pop(connection)

    def _is_crashed(self, lost: Task) -> bool:
        """Tell of a clip in which a worker crashed, as the next one would.

        One in which it was killed, such as for want of memory, may fare better at the end.
        """
        name, out = lost.clip.clip_id, self._run.out
        dead = [run for run in find_dead_runs(out) if run.entry and run.entry.video == name]
        known, crashed = note_crashes(out, dead)
        for run in dead:
            run.remove()
        if name in crashed:
            self._run.num_new += 1
            self._run.tell(known[name])
        return name in crashed


def _work(
    connection: Connection, config: ExtractConfig, out: Path, networks: ServerAddress | None
) -> None:
    """Extract the clips that are sent, until None is; what a worker process does.

    Args:
        connection: To the process that sends them.
        config: How they are extracted.
        out: Where the results go.
        networks: Where the networks run, if not here.
    """
    end_with_parent()
    digests: dict[str, str | None] = {}
    known: dict[str, ManifestEntry] = {}

    def say(kind: str, value: Any) -> None:
        connection.send((kind, value))

    try:
        engines = None if networks is None else RemoteEngines(networks)
        extractor = Extractor(config, engines=engines)
        results = ResultFolder(out, extractor.identity())
        with InWork(out) as in_work:
            run = FolderRun(results, in_work, {}, known, lambda entry: say("entry", entry))
            clips = run.turns(_tasks(connection, digests, known, run), digests)
            for result in extractor.run(clips, lambda progress: say("progress", progress)):
                run.finish(result)
    except (BrokenPipeError, EOFError, ConnectionResetError, KeyboardInterrupt):
        pass  # the process that asked has ended, or ends this one
    except (SkelactError, OSError) as error:
        with suppress(OSError):
            say("error", sendable(error))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _tasks(
    connection: Connection,
    digests: dict[str, str | None],
    known: dict[str, ManifestEntry],
    run: FolderRun,
) -> Iterator[ClipSource]:
    """Ask for clips, and yield them."""
    told = 0
    while True:
        connection.send(("next", run.num_new - told))
        told = run.num_new
        task: Task | None = connection.recv()
        if task is None:
            return
        digests[task.clip.clip_id] = task.digest
        if task.known is not None:
            known[task.clip.clip_id] = task.known
        yield task.clip
