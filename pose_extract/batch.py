"""Extract many clips into a folder: resume, list failures, keep a manifest, split the work.

The folder holds one cache entry per clip and ``manifest.jsonl`` with a line per clip. Nothing that
happens in one clip ends the run. A run that dies loses at most the clip it was in, and the next run
knows which one that was. What ends a run early is a folder that cannot be written to.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import SkelactError
from .common.files import discard_leftovers
from .extract import ClipResult, Extractor, Progress
from .skeleton import SkeletonSequence
from .sources import ClipSource
from .store.in_work import DeadRun, InWork, find_dead_runs
from .store.manifest import ManifestEntry, append_entries, manifest_lock, merge_manifest
from .store.npz import entry_digest, load_sequence
from .store.plan import BatchPlan, find_renamed, judge_clips, note_crashes
from .store.results import NameTakenError, ResultFolder, name_taken, writing_to
from .store.source_file import (
    FileState,
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


@dataclass(frozen=True)
class BatchSummary:
    """What a run over many clips came to.

    Attributes:
        entries: One per clip, in the order of the clips.
        num_new: Clips worked on by this run; the others were there already.
    """

    entries: tuple[ManifestEntry, ...]
    num_new: int

    @property
    def failed(self) -> list[ManifestEntry]:
        """The clips that have no result."""
        return [entry for entry in self.entries if entry.status != "done"]


@dataclass(frozen=True)
class Shard:
    """Part ``index`` of ``count`` of the work, counted from 1; parts differ by a clip at most."""

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise SkelactError(
                f"shard: expected i/n with 1 <= i <= n, got {self.index}/{self.count}"
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``"2/8"``."""
        try:
            index, count = map(int, text.split("/"))
        except ValueError:
            raise SkelactError(f"shard: expected i/n such as 2/8, got {text!r}") from None
        return cls(index, count)

    def take(self, clips: Sequence[ClipSource]) -> list[ClipSource]:
        """Return this part of ``clips``."""
        return list(clips[self.index - 1 :: self.count])


def extract_clips(
    clips: Sequence[ClipSource],
    out: str | Path,
    extractor: Extractor,
    *,
    shard: Shard | None = None,
    retry_failed: bool = False,
    read_entries: bool = False,
    on_compare: Callable[[ClipSource], None] | None = None,
    on_plan: Callable[[BatchPlan], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_entry: Callable[[ManifestEntry], None] | None = None,
) -> BatchSummary:
    """Extract ``clips`` into the folder ``out``; what is there and valid is not done again.

    Several runs may work on one folder at the same time.

    Args:
        clips: What to extract.
        out: Folder of the results; made if missing. Those of other clips in it are kept.
        extractor: The chain from video to skeletons.
        shard: Work on this part of the clips alone.
        retry_failed: Also try again the clips whose own fault was found before.
        read_entries: Read results that are there whole, to make damaged ones again; else their
            size and end are looked at. For a caller that goes on to :func:`load_done`.
        on_compare: Called before a video is read to compare it with its result, because its size
            and time do not tell.
        on_plan: Called once, before the first clip.
        on_progress: Called while a clip is read.
        on_entry: Called with each new entry.

    Returns:
        The entries of all clips of this shard.

    Raises:
        SkelactError: if two clips have one name.
        NameTakenError: if ``out`` holds results of other videos of the same names; nothing is done.
        OutputError: if the folder cannot be written to, as on a full disk; what was done is kept.
    """
    out = Path(out)
    taken = (shard or Shard()).take(clips)
    mine = _by_name(taken)
    results = ResultFolder(out, extractor.identity(), on_compare)
    dead_runs = find_dead_runs(out)
    known, crashed = note_crashes(out, dead_runs)
    judged = judge_clips(mine.values(), results, known, retry_failed, read_entries)
    there = list(judged.entries.values())
    killed = [name for dead in dead_runs for name in dead.killed_in if name in judged.todo]
    if on_plan:
        plan = BatchPlan(
            len(taken),
            len(judged.todo),
            judged.stale,
            crashed=tuple(name for name in crashed if name in judged.entries),
            killed=tuple(killed),
            num_failed=sum(entry.status != "done" for entry in judged.entries.values()),
            renamed=tuple(find_renamed(judged.todo.values(), known)),
        )
        on_plan(plan)
    out.mkdir(parents=True, exist_ok=True)
    discard_leftovers(*judged.paths)
    num_new = 0
    if judged.todo:
        with writing_to(out):
            in_work = InWork(out, killed)
        with in_work:
            _remove_dead(dead_runs, mine)
            run = _Run(results, in_work, judged.entries, known, on_entry)
            # Those that may kill this run as well come last.
            ordered = sorted(judged.todo.values(), key=lambda clip: clip.clip_id in killed)
            for result in extractor.run(run.turns(ordered, judged.digests), on_progress):
                run.finish(result)
            num_new = run.num_new
    else:
        _remove_dead(dead_runs, mine)
    with writing_to(out):
        merge_manifest(out, [entry for entry in there if known.get(entry.video) != entry], known)
    return BatchSummary(tuple(judged.entries[clip.clip_id] for clip in taken), num_new)


def load_done(
    summary: BatchSummary, out: str | Path
) -> Iterator[tuple[ManifestEntry, SkeletonSequence]]:
    """Yield the sequences of the clips that are done, one at a time."""
    for entry in summary.entries:
        if entry.output is not None:
            yield entry, load_sequence(Path(out) / entry.output)


def _by_name(clips: Iterable[ClipSource]) -> dict[str, ClipSource]:
    named: dict[str, ClipSource] = {}
    for clip in clips:
        other = named.setdefault(clip.clip_id, clip)
        if other != clip:
            raise SkelactError(
                f"two clips are called {clip.clip_id!r}: {other.path} and {clip.path}; give them "
                "different names, or cuts"
            )
    return named


def _remove_dead(dead_runs: Iterable[DeadRun], mine: Mapping[str, ClipSource]) -> None:
    """Remove the notes of runs that died, once they stand in this run's; others keep theirs."""
    for dead in dead_runs:
        if all(name in mine for name in dead.killed_in):
            dead.remove()


class _Run:
    """The work of one run, clip by clip; adds to ``entries``."""

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
