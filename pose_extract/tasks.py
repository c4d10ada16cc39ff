"""The clips of a run over many processes: who gets the next one, and how far all of them are.

Cuts of one video come one after another, to one process: it has read where the video's frames lie
and its hash, and decodes on from one cut to the next where it can.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from itertools import chain, groupby
from pathlib import Path

from .. import SkelactError
from .extract import Progress
from .sources import ClipSource
from .store.manifest import ManifestEntry


@dataclass(frozen=True)
class Task:
    """A clip to extract.

    Attributes:
        clip: The clip.
        digest: Digest of the cache entry that it has, or None.
        known: Its line of the manifest, or None.
        is_last: Whether it waits until all others are begun: a process was killed in it.
    """

    clip: ClipSource
    digest: str | None
    known: ManifestEntry | None
    is_last: bool = False


def by_file(clips: Iterable[ClipSource]) -> list[ClipSource]:
    """Return clips with those of one file together, from its start on.

    Files come in the order of their first clips.
    """
    files: dict[Path, list[ClipSource]] = {}
    for clip in clips:
        files.setdefault(clip.path, []).append(clip)
    return [clip for of_file in files.values() for clip in sorted(of_file, key=_start)]


def _start(clip: ClipSource) -> tuple[float, float]:
    # Cuts of one file are in seconds or in frames, and which frames they hold is not known yet.
    return clip.start_seconds or 0, clip.start_frame or 0


class TaskQueue:
    """The clips that are left, for workers that ask for one after the other.

    A worker goes on with the file that it is in. Where each of the others has a worker, it
    takes the later half of what one of them has left.

    Args:
        tasks: The clips, those of one file together.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        ordered = sorted(tasks, key=lambda task: task.is_last)
        first = [task for task in ordered if not task.is_last]
        self._runs = deque(deque(run) for _, run in groupby(first, lambda task: task.clip.path))
        self._of_worker: dict[Hashable, deque[Task]] = {}
        self._last = deque(ordered[len(first) :])
        # Where each of the clips that came back was lost.
        self._lost_on: dict[str, Hashable] = {}

    def __len__(self) -> int:
        runs = chain(self._runs, self._of_worker.values(), [self._last])
        return sum(map(len, runs))

    def take(self, worker: Hashable, node: Hashable = None) -> Task | None:
        """Return the clip that a worker extracts next; None where no more wait for it.

        Args:
            worker: The worker.
            node: Where it works: clips that were lost there are left to others.
        """
        run = self._of_worker.get(worker) or self._another_run()
        self._of_worker[worker] = run
        if run:
            return run.popleft()
        for task in self._last:
            if node is None or self._lost_on.get(task.clip.clip_id) != node:
                self._last.remove(task)
                return task
        return None

    def _another_run(self) -> deque[Task]:
        if self._runs:
            return self._runs.popleft()
        longest = max(self._of_worker.values(), key=len, default=deque[Task]())
        later = [longest.pop() for _ in range((len(longest) + 1) // 2)]
        return deque(reversed(later))

    def leave(self, worker: Hashable) -> None:
        """Give the others what a worker that has ended has left of its file."""
        if run := self._of_worker.pop(worker, None):
            self._runs.appendleft(run)

    def give_back(self, lost: Task, node: Hashable = None) -> bool:
        """Take back a clip whose worker was killed, on a node; return False if it is the second.

        It waits once more, behind all others.
        """
        name = lost.clip.clip_id
        if name in self._lost_on:
            return False
        self._lost_on[name] = node
        self._last.append(lost)
        return True


class SummedProgress:
    """Tells how far several processes are as that of one run: people are counted over all.

    Args:
        on_progress: Called with it.
    """

    def __init__(self, on_progress: Callable[[Progress], None] | None) -> None:
        self._on_progress = on_progress
        self._people: dict[Hashable, int] = {}
        self._people_of_ended = 0

    def tell(self, process: Hashable, progress: Progress) -> None:
        """Tell how far a process is."""
        self._people[process] = progress.people_done
        if self._on_progress:
            people = self._people_of_ended + sum(self._people.values())
            self._on_progress(replace(progress, people_done=people))

    def end(self, process: Hashable) -> None:
        """Keep the people of a process that has ended."""
        self._people_of_ended += self._people.pop(process, 0)


def sendable(error: Exception) -> Exception:
    """Return an error as another process can read it."""
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return SkelactError(str(error))
