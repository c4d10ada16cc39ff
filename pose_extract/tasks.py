"""The clips of a run over many processes: who gets the next one, and how far all of them are."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace

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
    """

    clip: ClipSource
    digest: str | None
    known: ManifestEntry | None


class TaskQueue:
    """Clips that wait; one in which a process was killed waits once more, behind the others."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._new = deque(tasks)
        self._again: deque[Task] = deque()
        # Where each of the clips was lost.
        self._lost_on: dict[str, Hashable] = {}

    def __len__(self) -> int:
        return len(self._new) + len(self._again)

    def take(self, avoid: Hashable = None) -> Task | None:
        """Return the next clip, or None where no more wait.

        Args:
            avoid: Clips that were lost on this node are left to others.
        """
        if self._new:
            return self._new.popleft()
        for task in self._again:
            if avoid is None or self._lost_on[task.clip.clip_id] != avoid:
                self._again.remove(task)
                return task
        return None

    def give_back(self, lost: Task, node: Hashable = None) -> bool:
        """Take back a clip whose process was killed; return False if it is the second one."""
        name = lost.clip.clip_id
        if name in self._lost_on:
            return False
        self._lost_on[name] = node
        self._again.append(lost)
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
