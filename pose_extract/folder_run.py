"""The work of one process on the clips of a folder, one after the other."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping

from .common.files import FileState
from .extract import ClipResult
from .skeleton import SkeletonSequence
from .sources import ClipSource
from .store.in_work import InWork
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
        self.num_new = 0
        self._results = results
        self._in_work = in_work
        self._entries = entries
        self._known = known
        self._on_entry = on_entry

    def turns(
        self, clips: Iterable[ClipSource], digests: Mapping[str, str | None]
    ) -> Iterator[ClipSource]:
        """Yield each clip that has to be extracted, when its turn comes."""
        for clip in clips:
            self.num_new += 1
            try:
                self._state = check_can_be_read(clip)
                self._digest = entry_digest(self._results.path(clip))
                if self._digest != digests[clip.clip_id]:
                    # A run beside this one has written a result since the plan.
                    verdict = self._results.judge(clip, None)
                    if verdict.taken_by is not None:
                        raise name_taken(self._results.out, [(clip, verdict.taken_by)])
                    if verdict.entry is not None:
                        self.num_new -= 1
                        self._record(verdict.entry)
                        continue
            except (SourceError, NameTakenError) as error:
                self._record(self._results.failed(clip, error))
                continue
            with writing_to(self._results.out):
                self._in_work.begin(self._results.crashed(clip, self._state))
            yield clip

    def finish(self, result: ClipResult) -> None:
        """Keep what came of a clip."""
        clip, before = result.clip, self._state
        try:
            sha256 = video_sha256(clip.path)
            if source_state(clip.path) != before:
                raise SourceChangedError(
                    f"{clip.path} changed while it was read; it is read again by the next run"
                )
        except OSError as error:
            # What a decoder says of a disk that fails is that the video is damaged.
            self._record(self._results.failed(clip, read_error(clip.path, error), before))
        except SourceError as error:
            self._record(self._results.failed(clip, error))
        else:
            if result.sequence is None:
                failed = self._results.failed(clip, result.error, before, sha256)
                self._record(failed)
            else:
                self._save(result, result.sequence, before, sha256)
        with writing_to(self._results.out):
            self._in_work.end()

    def _save(
        self, result: ClipResult, sequence: SkeletonSequence, state: FileState, sha256: str
    ) -> None:
        """Write a cache entry and its line of the manifest, with no other run in between."""
        clip = result.clip
        with writing_to(self._results.out), manifest_lock(self._results.out):
            try:
                if entry_digest(self._results.path(clip)) != self._digest:
                    self._results.check_not_taken(clip, sha256)
                entry = self._results.save(result, sequence, state, sha256)
            except (OSError, ValueError, NameTakenError) as error:
                if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
                    raise
                entry = self._results.failed(clip, error, state, sha256)
            self._append(entry)
        self._tell(entry)

    def _record(self, entry: ManifestEntry) -> None:
        with writing_to(self._results.out), manifest_lock(self._results.out):
            self._append(entry)
        self._tell(entry)

    def _append(self, entry: ManifestEntry) -> None:
        if _is_kept(entry, self._known):
            append_entries(self._results.out, [entry])

    def _tell(self, entry: ManifestEntry) -> None:
        self._entries[entry.video] = entry
        if self._on_entry:
            self._on_entry(entry)


def _is_kept(entry: ManifestEntry, known: Mapping[str, ManifestEntry]) -> bool:
    """Return whether a line goes to the manifest, where the name may be another video's."""
    if entry.error_kind == NameTakenError.__name__:
        return False
    other = known.get(entry.video, entry)
    return (entry.status, other.status) != ("failed", "done") or other.source == entry.source
