"""Which results of an output folder are valid, and the lines of the manifest about them.

A result is valid while the video's content and everything that shaped the skeletons are the same.
A video is read whole for that only where its size and time do not tell.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ... import SkelactError
from ..common.files import FileState
from ..decode.frames import VideoError
from ..extract import ClipResult
from ..skeleton import SkeletonSequence
from ..sources import ClipSource
from .in_work import ProcessCrashError
from .manifest import ManifestEntry, OutputError, entry_from_fields
from .npz import (
    FORMAT_VERSION,
    CacheError,
    cache_path,
    entry_digest,
    load_sequence,
    read_config,
    save_sequence,
    why_stale,
)
from .quality import measure_quality
from .source_file import SourceError, source_state, video_sha256

# Stand in a cache entry's config beside what makes it valid: properties of the result.
_LOST, _FACTS, _SOURCE = "lost_frames", "facts", "source"
# Failures that are the clip's own, and come again as long as its file is the same.
_OWN_FAULTS = (VideoError.__name__, ProcessCrashError.__name__)
# Clips that a message names; the others are counted.
_MAX_NAMED = 5


class NameTakenError(SkelactError):
    """A clip whose result would replace that of another video of the same name."""


def _hash_json(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _cut(clip: ClipSource) -> dict[str, Any]:
    return {
        "seconds": [clip.start_seconds, clip.end_seconds],
        "frames": [clip.start_frame, clip.end_frame],
    }


def entry_config(
    clip: ClipSource,
    video_sha256: str,
    identity: dict[str, Any],
    num_lost: int,
    facts: Mapping[str, float | str],
) -> dict[str, Any]:
    """Return the ``config`` of a clip's cache entry: what makes it valid, and what came of it."""
    return {
        "video_sha256": video_sha256,
        "cut": _cut(clip),
        "extraction": identity,
        _LOST: num_lost,
        _FACTS: dict(facts),
        _SOURCE: _source(clip),
    }


def _source(clip: ClipSource) -> str:
    return os.path.abspath(clip.path)


def _is_same_file(one: str, other: str) -> bool:
    try:
        return one == other or os.path.samefile(one, other)
    except (OSError, ValueError):
        return False


@contextmanager
def writing_to(out: Path) -> Iterator[None]:
    """Say of a failure to write to the output folder what it means for the run."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{out}: cannot be written to any more: {error.strerror or error}; the clips that are "
            "done are kept: when this is mended, the same command goes on from here"
        ) from error


@dataclass(frozen=True)
class Verdict:
    """Whether a clip has a valid result.

    Attributes:
        entry: Its line of the manifest where nothing is to be done, or None.
        stale: Why a result that is there cannot be used, in a few words, or None.
        taken_by: The other video whose result has the clip's name, or None.
    """

    entry: ManifestEntry | None = None
    stale: str | None = None
    taken_by: str | None = None


class ResultFolder:
    """The results of a chain in an output folder.

    Args:
        out: The folder.
        identity: All that shapes the skeletons besides the clip; see ``Extractor.identity``.
        on_compare: Called before a video is read whole, to compare it with a result.
    """

    def __init__(
        self,
        out: str | Path,
        identity: dict[str, Any],
        on_compare: Callable[[ClipSource], None] | None = None,
    ) -> None:
        self.out = Path(out)
        self._identity = identity
        self._on_compare = on_compare

    def path(self, clip: ClipSource) -> Path:
        """Return where a clip's cache entry lies."""
        return cache_path(self.out, clip.clip_id)

    def judge(
        self,
        clip: ClipSource,
        known: ManifestEntry | None,
        *,
        retry_failed: bool = False,
        read_entry: bool = False,
    ) -> Verdict:
        """Return whether a clip has a valid result.

        Args:
            clip: The clip.
            known: Its line of the manifest, if there is one.
            retry_failed: Its own faults are to be tried again.
            read_entry: Read the entry whole; else its size and end are looked at.
        """
        try:
            state = source_state(clip.path)
            if known and known.status == "failed":
                if not retry_failed and self._is_known_fault(clip, state, known):
                    return Verdict(self._renewed(known, clip, state))
            elif known and self._is_of(known, clip):
                return self._judge_known(clip, state, known, read_entry)
            # By the manifest the name is this video's, whatever lies in its entry's place.
            is_ours = known is not None and _is_same_file(known.source or "", _source(clip))
            return self._judge_entry(clip, state, is_ours)
        except (OSError, SourceError, ValueError):
            # ValueError: a NUL in the clip's name. Its turn will say what is wrong.
            return Verdict()

    def _is_of(self, known: ManifestEntry, clip: ClipSource) -> bool:
        """Return whether a line belongs to the entry that lies in the clip's place."""
        path = self.path(clip)
        if known.output != self._output(path):
            return False
        return known.output_digest == entry_digest(path) is not None

    def _output(self, path: Path) -> str:
        return path.relative_to(self.out).as_posix()

    def _is_known_fault(self, clip: ClipSource, state: FileState, known: ManifestEntry) -> bool:
        return (
            known.extraction == self._extraction_hash(clip)
            and known.error_kind in _OWN_FAULTS
            and self._is_unchanged(clip, state, known)
        )

    def _judge_known(
        self, clip: ClipSource, state: FileState, known: ManifestEntry, read_entry: bool
    ) -> Verdict:
        """Judge a clip whose line of the manifest belongs to its entry."""
        source = known.source or _source(clip)
        if not _is_same_file(source, _source(clip)) and known.video_sha256 != self._sha256(clip):
            return Verdict(taken_by=source)
        if known.extraction != self._extraction_hash(clip):
            return Verdict(stale=why_stale(self.path(clip), self._expected(clip)))
        if not self._is_unchanged(clip, state, known):
            return Verdict(stale="made from another version of the video")
        if read_entry:
            try:
                load_sequence(self.path(clip))
            except CacheError:
                return Verdict(stale="damaged")
        return Verdict(self._renewed(known, clip, state))

    def _judge_entry(self, clip: ClipSource, state: FileState, is_ours: bool) -> Verdict:
        """Judge by the entry alone: it is not in the manifest (a kill between the two), or other.

        Its settings come first: thousands of long videos would be read for their hashes.
        """
        path = self.path(clip)
        config = read_config(path)
        if config is None:
            stale = why_stale(path, {})
            return Verdict(stale=None if stale == "missing" else stale)
        source = str(config.get(_SOURCE) or _source(clip))
        sha256 = config.get("video_sha256")
        is_ours = is_ours or _is_same_file(source, _source(clip))
        if not is_ours and sha256 != self._sha256(clip):
            return Verdict(taken_by=source)
        if stale := why_stale(path, self._expected(clip)):
            return Verdict(stale=stale)
        if sha256 != self._sha256(clip):
            return Verdict(stale="made from another version of the video")
        try:
            sequence = load_sequence(path)
            lost, facts = config.get(_LOST), config.get(_FACTS)
            return Verdict(self._done(clip, state, sha256, sequence, lost, facts))
        except (CacheError, ValueError, TypeError):
            return Verdict(stale="damaged")

    def _is_unchanged(self, clip: ClipSource, state: FileState, known: ManifestEntry) -> bool:
        if known.video_bytes != state.num_bytes:
            return False
        if known.video_mtime_ns == state.mtime_ns:
            return True
        return known.video_sha256 is not None and known.video_sha256 == self._sha256(clip)

    def _sha256(self, clip: ClipSource) -> str:
        if self._on_compare:
            self._on_compare(clip)
        return video_sha256(clip.path)

    def _expected(self, clip: ClipSource) -> dict[str, Any]:
        """Return what an entry's config must say besides the hash of the video."""
        return {"cut": _cut(clip), "extraction": self._identity}

    def _extraction_hash(self, clip: ClipSource) -> str:
        return _hash_json(self._expected(clip) | {"format_version": FORMAT_VERSION})

    def check_not_taken(self, clip: ClipSource, sha256: str) -> None:
        """Check that no other run has put the result of another video in this clip's place.

        Raises:
            NameTakenError: if it has.
        """
        config = read_config(self.path(clip)) or {}
        source = str(config.get(_SOURCE) or _source(clip))
        if config.get("video_sha256") != sha256 and not _is_same_file(source, _source(clip)):
            raise name_taken(self.out, [(clip, source)])

    def save(
        self, result: ClipResult, sequence: SkeletonSequence, state: FileState, sha256: str
    ) -> ManifestEntry:
        """Write a result's cache entry, and return its line of the manifest.

        Raises:
            OSError: if it cannot be written.
        """
        clip, facts, lost = result.clip, result.facts, result.num_lost
        config = entry_config(clip, sha256, self._identity, lost, facts)
        save_sequence(self.path(clip), sequence, config)
        return self._done(clip, state, sha256, sequence, lost, facts)

    def failed(
        self,
        clip: ClipSource,
        error: Exception | None,
        state: FileState | None = None,
        sha256: str | None = None,
    ) -> ManifestEntry:
        """Return the line of a clip that has no result; ``state`` is None where it has no file."""
        fields: dict[str, Any]
        fields = {"label": clip.label, "split": clip.split, "source": _source(clip)}
        if state is not None:
            fields = self._video_fields(clip, state)
        return ManifestEntry(
            video=clip.clip_id,
            status="failed",
            error=_first_line(error),
            error_kind=type(error).__name__,
            video_sha256=sha256,
            **fields,
        )

    def crashed(self, clip: ClipSource, state: FileState) -> ManifestEntry:
        """Return the line of a clip in which the process will have crashed."""
        return ManifestEntry(
            video=clip.clip_id,
            status="failed",
            error_kind=ProcessCrashError.__name__,
            **self._video_fields(clip, state),
        )

    def _done(
        self,
        clip: ClipSource,
        state: FileState,
        sha256: Any,
        sequence: SkeletonSequence,
        num_lost: Any,
        facts: Any,
    ) -> ManifestEntry:
        path = self.path(clip)
        fields = {
            **facts,
            "video": clip.clip_id,
            "status": "done",
            "frames": sequence.num_frames,
            "lost_frames": num_lost,
            "people": sequence.num_person,
            "seconds": round(sequence.duration_seconds, 3),
            **asdict(measure_quality(sequence)),
            "output": self._output(path),
            "output_digest": entry_digest(path),
            "video_sha256": sha256,
            **self._video_fields(clip, state),
        }
        return entry_from_fields(fields)

    def _video_fields(self, clip: ClipSource, state: FileState) -> dict[str, Any]:
        return {
            "label": clip.label,
            "split": clip.split,
            "source": _source(clip),
            "video_bytes": state.num_bytes,
            "video_mtime_ns": state.mtime_ns,
            "extraction": self._extraction_hash(clip),
        }

    def _renewed(self, known: ManifestEntry, clip: ClipSource, state: FileState) -> ManifestEntry:
        """Return a line that still holds, with what the list and the file say now."""
        return replace(known, **self._video_fields(clip, state))


def name_taken(out: Path, taken: Iterable[tuple[ClipSource, str]]) -> NameTakenError:
    """Return the error that names clips and the other videos whose results have their names."""
    pairs = list(taken)
    named = "; ".join(
        f"{clip.clip_id} is the result of {other}, and was now to come from {_source(clip)}"
        for clip, other in pairs[:_MAX_NAMED]
    )
    more = f"; and {len(pairs) - _MAX_NAMED} more" if len(pairs) > _MAX_NAMED else ""
    return NameTakenError(
        f"{out} holds results of other videos of the same names, which would be lost: "
        f"{named}{more}; take another --out, or give the folder that the videos have in common"
    )


def _first_line(error: Exception | None) -> str:
    # Engines add pages of stack to their messages.
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
