"""What a run over an output folder is going to do, and why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..sources import ClipSource
from .in_work import DeadRun
from .manifest import ManifestEntry, append_entries, manifest_lock, read_manifests
from .npz import entry_digest
from .results import ResultFolder, name_taken, writing_to
from .source_file import SourceError, check_name

# Clips that one line names; the others are counted.
_MAX_NAMED = 3


@dataclass(frozen=True)
class BatchPlan:
    """What a run over many clips is going to do.

    Attributes:
        num_clips: Clips asked for.
        num_todo: Clips that have no valid result yet.
        stale: Of those, the clips whose old result cannot be used, by the reason why.
        crashed: Clips in which an earlier run crashed; they are failed now.
        killed: Clips in which an earlier run was killed; they are tried last.
        num_failed: Clips whose own fault is known; they are not tried again.
        renamed: Clips to work on that have a result under another name: its names.
    """

    num_clips: int
    num_todo: int
    stale: Mapping[str, int]
    crashed: tuple[str, ...] = ()
    killed: tuple[str, ...] = ()
    num_failed: int = 0
    renamed: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return what to tell before the first clip, a line each."""
        lines = []
        num_there = self.num_clips - self.num_todo - self.num_failed
        if num_there:
            lines.append(f"{num_there} of {self.num_clips} clips are there already")
        if self.num_failed:
            lines.append(
                f"{self.num_failed} of {self.num_clips} clips failed before; --retry-failed tries "
                "them again"
            )
        if self.renamed:
            lines.append(
                f"{len(self.renamed)} of {self.num_clips} clips have results under other names, "
                f"such as {self.renamed[0]}: a clip is named by its path from the folder that all "
                "sources have in common"
            )
        if why := self.why_again():
            lines.append(why)
        return lines + self.why_interrupted()

    def why_again(self) -> str | None:
        """Return one line that says why old results are made again; None if there is none."""
        if not self.stale:
            return None
        (reason, _), *others = sorted(self.stale.items(), key=lambda item: -item[1])
        more = f" (and {len(others)} other reasons)" if others else ""
        return (
            f"{sum(self.stale.values())} of {self.num_clips} clips are made again: {reason}{more}"
        )

    def why_interrupted(self) -> list[str]:
        """Return a line per kind of end that earlier runs had before they were done."""
        lines = []
        if self.crashed:
            lines.append(
                f"an earlier run crashed in {_some_of(self.crashed)}: failed, not tried again "
                "without --retry-failed"
            )
        if self.killed:
            lines.append(f"an earlier run was killed in {_some_of(self.killed)}: tried last")
        return lines


def find_renamed(clips: Iterable[ClipSource], known: Mapping[str, ManifestEntry]) -> list[str]:
    """Return the names under which clips that have no result of their own name have one."""
    names = {
        (entry.source, PurePosixPath(name).name): name
        for name, entry in known.items()
        if entry.status == "done"
    }
    keys = (
        (os.path.abspath(clip.path), PurePosixPath(clip.clip_id).name)
        for clip in clips
        if clip.clip_id not in known
    )
    return [names[key] for key in keys if key in names]


def _some_of(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more


def note_crashes(
    out: Path, dead_runs: Iterable[DeadRun]
) -> tuple[dict[str, ManifestEntry], list[str]]:
    """Return the folder's manifest, with the clips in which a run crashed, and their names."""
    known = read_manifests(out)
    crashed = [dead.entry for dead in dead_runs if dead.entry and dead.is_crash]
    # One that was done since, by a run beside, stays done.
    crashed = [
        entry
        for entry in crashed
        if (known.get(entry.video, entry).status, known.get(entry.video, entry).extraction)
        != ("done", entry.extraction)
    ]
    if crashed:
        with writing_to(out), manifest_lock(out):
            append_entries(out, crashed)
    return known | {entry.video: entry for entry in crashed}, [entry.video for entry in crashed]


@dataclass(frozen=True)
class JudgedClips:
    """The clips of a run, by name.

    Attributes:
        entries: Those that have a valid result, or a fault of their own that is known.
        todo: Those to work on.
        stale: How many of them have a result that cannot be used, by the reason why.
        digests: The digest of the cache entry that each of them has now, or None.
        paths: Where the cache entries of all clips lie.
    """

    entries: dict[str, ManifestEntry]
    todo: dict[str, ClipSource]
    stale: Counter[str]
    digests: dict[str, str | None]
    paths: list[Path]


def judge_clips(
    clips: Iterable[ClipSource],
    results: ResultFolder,
    known: Mapping[str, ManifestEntry],
    retry_failed: bool,
    read_entries: bool,
) -> JudgedClips:
    """Return which clips have a valid result in the folder; see ``ResultFolder.judge``.

    Args:
        clips: The clips, each of another name.
        results: The folder.
        known: Its manifest.
        retry_failed: Clips whose own fault was found before are to be worked on.
        read_entries: Read the entries whole.

    Raises:
        NameTakenError: if the results of some have the names of other videos' results.
    """
    judged = JudgedClips({}, {}, Counter(), {}, [])
    taken = []
    for clip in clips:
        name = clip.clip_id
        verdict = results.judge(
            clip, known.get(name), retry_failed=retry_failed, read_entry=read_entries
        )
        if verdict.entry is not None:
            judged.entries[name] = verdict.entry
        else:
            judged.todo[name] = clip
            judged.digests[name] = entry_digest(results.path(clip))
        if verdict.taken_by is not None:
            taken.append((clip, verdict.taken_by))
        if verdict.stale is not None:
            judged.stale[verdict.stale] += 1
        with suppress(SourceError):
            check_name(name)
            judged.paths.append(results.path(clip))
    if taken:
        raise name_taken(results.out, taken)
    return judged
