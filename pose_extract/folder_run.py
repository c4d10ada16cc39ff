"""The work of one process on the clips of a folder: what is still to be done, and its results.

A clip is read here, or by a process elsewhere that does not see the folder and sends a ReadClip.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from .common.files import FileState
from .extract import ClipResult
from .skeleton import SkeletonSequence
from .sources import ClipSource
from .store.in_work import InWork, ProcessCrashError
from .store.manifest import ManifestEntry, append_entries, manifest_lock
from .store.npz import entry_digest
from .store.results import NameTakenError, ResultFolder, name_taken, writing_to
from .store.source_file import (
    SourceChangedError,
    SourceError,
    check_can_be_read,
    read_error,
    source_state,
    video_sha256,
)

# A disk that is full, or the user's share of it, and one that is read-only: no later clip would
# fare better.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True, eq=False)
class ReadClip:
    """What came of a clip, and of which content of its video.

    Attributes:
        result: Its skeletons, or why there are none.
        state: State of its file before and after; None where it has none, or it changed.
        sha256: Hash of its file, or None where it could not be read.
    """

    result: ClipResult
    state: FileState | None = None
    sha256: str | None = None

    @classmethod
    def of(cls, result: ClipResult, before: FileState) -> ReadClip:
        """Hash the video of a result; one that changed since ``before`` makes it a failure."""
        clip = result.clip
        try:
            sha256 = video_sha256(clip.path)
            if source_state(clip.path) != before:
                raise SourceChangedError(
                    f"{clip.path} changed while it was read; it is read again by the next run"
                )
        except OSError as error:
            # What a decoder says of a disk that fails is that the video is damaged.
            return cls.failed(clip, read_error(clip.path, error), before)
        except SourceError as error:
            return cls.failed(clip, error)
        return cls(result, before, sha256)

    @classmethod
    def failed(cls, clip: ClipSource, error: Exception, state: FileState | None = None) -> ReadClip:
        """Return what came of a clip whose file is at fault."""
        return cls(ClipResult(clip, None, error, 0), state)


class FolderRun:
    """The work of one process, clip by clip; adds to ``entries``.

    Args:
        results: The folder.
        in_work: Where it is noted which clip is worked on.
        entries: Lines of the manifest by clip, filled in.
        known: Lines that were there before, by clip.
        on_entry: Called with each new line.
    """

    def __init__(
        self,
        results: ResultFolder,
        in_work: InWork,
        entries: dict[str, ManifestEntry],
        known: Mapping[str, ManifestEntry],
        on_entry: Callable[[ManifestEntry], None] | None,
    ) -> None:
        self.out = results.out
        self.num_new = 0
        self._results = results
        self._in_work = in_work
        self._entries = entries
        self._known = known
        self._on_entry = on_entry
        # Of the clips in work: the digests of the cache entries that they replace.
        self._digests: dict[str, str | None] = {}

    def turns(
        self, clips: Iterable[ClipSource], digests: Mapping[str, str | None]
    ) -> Iterator[ClipSource]:
        """Yield each clip that has to be extracted, when its turn comes; for ``finish``."""
        for clip in clips:
            if not self.is_to_do(clip, digests[clip.clip_id]):
                continue
            try:
                self._state = check_can_be_read(clip)
            except SourceError as error:
                self.keep(ReadClip.failed(clip, error))
                continue
            with writing_to(self.out):
                self._in_work.begin(self._results.crashed(clip, self._state))
            yield clip

    def finish(self, result: ClipResult) -> None:
        """Keep what came of the clip whose turn it was."""
        self.keep(ReadClip.of(result, self._state))
        with writing_to(self.out):
            self._in_work.end()

    def is_to_do(self, clip: ClipSource, planned: str | None) -> bool:
        """Return whether no run beside this one has written a clip's result since the plan.

        Args:
            clip: The clip; one that is to be done is given to ``keep``.
            planned: The digest of its cache entry in the plan.
        """
        name = clip.clip_id
        self._digests[name] = digest = entry_digest(self._results.path(clip))
        if digest == planned:
            return True
        verdict = self._results.judge(clip, None)
        if verdict.taken_by is not None:
            taken = name_taken(self.out, [(clip, verdict.taken_by)])
            self.keep(ReadClip.failed(clip, taken))
        elif verdict.entry is not None:
            del self._digests[name]
            self._record(verdict.entry)
        return verdict.taken_by is None and verdict.entry is None

    def keep(self, read: ReadClip) -> None:
        """Write what came of a clip."""
        self.num_new += 1
        result, clip = read.result, read.result.clip
        digest = self._digests.pop(clip.clip_id, None)
        if result.sequence is None or read.state is None or read.sha256 is None:
            self._record(self._results.failed(clip, result.error, read.state, read.sha256))
        else:
            self._save(result, result.sequence, read.state, read.sha256, digest)

    def keep_killed(self, clip: ClipSource) -> None:
        """Write that two processes were killed in a clip; the next run tries it again."""
        error = ProcessCrashError("the process was killed in it twice, as for want of memory")
        self.keep(ReadClip.failed(clip, error))

    def _save(
        self,
        result: ClipResult,
        sequence: SkeletonSequence,
        state: FileState,
        sha256: str,
        digest: str | None,
    ) -> None:
        """Write a cache entry and its line of the manifest, with no other run in between."""
        clip = result.clip
        with writing_to(self.out), manifest_lock(self.out):
            try:
                if entry_digest(self._results.path(clip)) != digest:
                    self._results.check_not_taken(clip, sha256)
                entry = self._results.save(result, sequence, state, sha256)
            except (OSError, ValueError, NameTakenError) as error:
                if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
                    raise
                entry = self._results.failed(clip, error, state, sha256)
            self._append(entry)
        self.tell(entry)

    def _record(self, entry: ManifestEntry) -> None:
        with writing_to(self.out), manifest_lock(self.out):
            self._append(entry)
        self.tell(entry)

    def _append(self, entry: ManifestEntry) -> None:
        if _is_kept(entry, self._known):
            append_entries(self.out, [entry])

    def tell(self, entry: ManifestEntry) -> None:
        """Add a line that stands in the manifest."""
        self._entries[entry.video] = entry
        if self._on_entry:
            self._on_entry(entry)


def _is_kept(entry: ManifestEntry, known: Mapping[str, ManifestEntry]) -> bool:
    """Return whether a line goes to the manifest, where the name may be another video's."""
    if entry.error_kind == NameTakenError.__name__:
        return False
    other = known.get(entry.video, entry)
    return (entry.status, other.status) != ("failed", "done") or other.source == entry.source
