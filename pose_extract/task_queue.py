"""The order in which clips are extracted: cuts of one video after another, by one process.

A process that has read a video knows where its frames lie and its hash, and a cut that begins where
the one before it ended is decoded on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from itertools import chain, groupby
from pathlib import Path

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

    A worker goes on with the file that it is in. Where there is no other file that nobody is in,
    it takes the later half of what another worker has left of one.

    Args:
        tasks: The clips, those of one file together.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        ordered = sorted(tasks, key=lambda task: task.is_last)
        first = [task for task in ordered if not task.is_last]
        self._runs = deque(deque(run) for _, run in groupby(first, lambda task: task.clip.path))
        self._of_worker: dict[Hashable, deque[Task]] = {}
        self._last = deque(ordered[len(first) :])

    def __len__(self) -> int:
        runs = chain(self._runs, self._of_worker.values(), [self._last])
        return sum(map(len, runs))

    def next_for(self, worker: Hashable) -> Task | None:
        """Return the clip that a worker extracts next; None where none is left."""
        run = self._of_worker.get(worker) or self._another_run()
        self._of_worker[worker] = run
        if run:
            return run.popleft()
        return self._last.popleft() if self._last else None

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

    def try_again(self, task: Task) -> None:
        """Put a clip in which a worker was killed behind all others."""
        self._last.append(replace(task, is_last=True))
