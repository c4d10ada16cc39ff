"""Extract many clips into a folder: resume, list failures, keep a manifest, split the work.

The folder holds one cache entry per clip and ``manifest.jsonl`` with a line per clip. The manifest
is appended to while the run goes on and written anew, in the order of the clips, when it ends; a
run that is killed loses at most the clip it was in.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from .. import SkelactError
from .common.files import discard_leftovers, sha256_of
from .decode.frames import VideoError
from .extract import ClipResult, Extractor, Progress
from .skeleton import SkeletonSequence
from .sources import ClipSource
from .store.manifest import ManifestEntry, manifest_line, read_manifests, write_manifest
from .store.npz import cache_path, load_sequence, read_config, save_sequence, why_stale
from .store.quality import measure_quality

# Stands in a cache entry's config beside what makes it valid: a property of the result.
_LOST = "lost_frames"
_FACTS = "facts"


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
class BatchPlan:
    """What a run over many clips is going to do.

    Attributes:
        num_clips: Clips asked for.
        num_todo: Clips that have no valid result yet.
        stale: Of those, the clips whose old result cannot be used, by the reason why.
    """

    num_clips: int
    num_todo: int
    stale: Mapping[str, int]

    def why_again(self) -> str | None:
        """Return one line that says why old results are made again; None if there is none."""
        if not self.stale:
            return None
        (reason, _), *others = sorted(self.stale.items(), key=lambda item: -item[1])
        more = f" (and {len(others)} other reasons)" if others else ""
        return (
            f"{sum(self.stale.values())} of {self.num_clips} clips are made again: {reason}{more}"
        )


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

    def manifest_path(self, out: Path) -> Path:
        """Return this part's manifest; shards may write to one folder at the same time."""
        if self.count == 1:
            return out / "manifest.jsonl"
        return out / f"manifest-{self.index}-of-{self.count}.jsonl"


def extract_clips(
    clips: Sequence[ClipSource],
    out: Path,
    extractor: Extractor,
    *,
    shard: Shard | None = None,
    retry_failed: bool = False,
    on_plan: Callable[[BatchPlan], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_entry: Callable[[ManifestEntry], None] | None = None,
) -> BatchSummary:
    """Extract ``clips`` into the folder ``out``; what is there and valid is not done again.

    Args:
        clips: What to extract.
        out: Folder of the results; made if missing.
        extractor: The chain from video to skeletons.
        shard: Work on this part of the clips alone.
        retry_failed: Also try again the videos whose own fault was found before.
        on_plan: Called once, before the first clip.
        on_progress: Called while a clip is read.
        on_entry: Called with each new entry.

    Returns:
        The entries of all clips of this shard.
    """
    shard = shard or Shard()
    mine = shard.take(clips)
    known = read_manifests(out)
    identity = extractor.identity()
    entries: dict[str, ManifestEntry] = {}
    todo: list[ClipSource] = []
    for clip in mine:
        entry = _valid_entry(clip, out, identity, known.get(clip.clip_id), retry_failed)
        if entry is None:
            todo.append(clip)
        else:
            entries[clip.clip_id] = entry
    if on_plan:
        on_plan(BatchPlan(len(mine), len(todo), _stale_reasons(todo, out, identity)))
    out.mkdir(parents=True, exist_ok=True)
    manifest = shard.manifest_path(out)
    for clip in todo:
        discard_leftovers(cache_path(out, clip.clip_id))
    if todo:
        for result in extractor.run(todo, on_progress):
            entry = _store(result, out, identity)
            entries[entry.video] = entry
            with manifest.open("a", encoding="utf-8") as stream:
                stream.write(manifest_line(entry))
            if on_entry:
                on_entry(entry)
    ordered = tuple(entries[clip.clip_id] for clip in mine)
    write_manifest(manifest, ordered)
    return BatchSummary(ordered, len(todo))


def load_done(summary: BatchSummary, out: Path) -> Iterator[tuple[ManifestEntry, SkeletonSequence]]:
    """Yield the sequences of the clips that are done, one at a time."""
    for entry in summary.entries:
        if entry.output is not None:
            yield entry, load_sequence(out / entry.output)


def _hash_json(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _video_sha256(path: Path) -> str:
    stat = path.stat()
    return _hash_file(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1024)
def _hash_file(path: Path, num_bytes: int, mtime_ns: int) -> str:
    # Size and time are part of the cache's key: many clips may be cuts of one long video.
    return sha256_of(path)


def _cut(clip: ClipSource) -> dict[str, Any]:
    return {
        "seconds": [clip.start_seconds, clip.end_seconds],
        "frames": [clip.start_frame, clip.end_frame],
    }


def entry_config(clip: ClipSource, video_sha256: str, identity: dict[str, Any]) -> dict[str, Any]:
    """Return what a cache entry's ``config`` must say for the entry to be valid."""
    config = {"video_sha256": video_sha256, "cut": _cut(clip), "extraction": identity}
    # As it comes back from the file: tuples are lists there.
    result: dict[str, Any] = json.loads(json.dumps(config))
    return result


def _extraction_hash(clip: ClipSource, identity: dict[str, Any]) -> str:
    return _hash_json({"cut": _cut(clip), "extraction": identity})


def _stale_reasons(
    clips: Sequence[ClipSource], out: Path, identity: dict[str, Any]
) -> Counter[str]:
    """Count why results that are there cannot be used."""
    reasons: Counter[str] = Counter()
    for clip in clips:
        path = cache_path(out, clip.clip_id)
        if path.is_file() and clip.path.is_file():
            config = entry_config(clip, "", identity)
            del config["video_sha256"]
            # A video is read for its hash only where the settings are not the reason.
            reason = why_stale(path, config) or why_stale(
                path, {"video_sha256": _video_sha256(clip.path)}
            )
            reasons.update([reason] if reason else [])
    return reasons


def _valid_entry(
    clip: ClipSource,
    out: Path,
    identity: dict[str, Any],
    known: ManifestEntry | None,
    retry_failed: bool,
) -> ManifestEntry | None:
    """Return the entry of a clip that needs no work, or None."""
    try:
        stat = clip.path.stat()
    except OSError:
        return None
    path = cache_path(out, clip.clip_id)
    if known is None or known.extraction != _extraction_hash(clip, identity):
        # Not in the manifest (a run killed between the two writes) or made by another chain.
        config = read_config(path) or {}
        num_lost, facts = config.pop(_LOST, 0), config.pop(_FACTS, {})
        expected = entry_config(clip, config.get("video_sha256", ""), identity)
        # The settings first: thousands of long videos would be read for their hashes.
        if config != expected or config["video_sha256"] != _video_sha256(clip.path):
            return None
        return _done_entry(clip, out, load_sequence(path), identity, num_lost, facts)
    if known.status == "done" and not path.is_file():
        return None
    if known.status != "done" and (retry_failed or known.error_kind != VideoError.__name__):
        return None
    unchanged = (known.video_bytes, known.video_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    if not unchanged and known.video_sha256 != _video_sha256(clip.path):
        return None
    changes = {
        "video_bytes": stat.st_size,
        "video_mtime_ns": stat.st_mtime_ns,
        "label": clip.label,
        "split": clip.split,
    }
    return ManifestEntry(**(asdict(known) | changes))


def _store(result: ClipResult, out: Path, identity: dict[str, Any]) -> ManifestEntry:
    clip = result.clip
    if result.sequence is None:
        return _failed_entry(clip, result.error, identity)
    try:
        config = entry_config(clip, _video_sha256(clip.path), identity)
        path = cache_path(out, clip.clip_id)
        facts = dict(result.facts)
        results = {_LOST: result.num_lost, _FACTS: facts}
        save_sequence(path, result.sequence, config | results)
        return _done_entry(clip, out, result.sequence, identity, result.num_lost, facts)
    except OSError as error:
        return _failed_entry(clip, error, identity)


def _video_fields(clip: ClipSource, identity: dict[str, Any]) -> dict[str, Any]:
    stat = clip.path.stat()
    return {
        "video_sha256": _video_sha256(clip.path),
        "video_bytes": stat.st_size,
        "video_mtime_ns": stat.st_mtime_ns,
        "extraction": _extraction_hash(clip, identity),
        "label": clip.label,
        "split": clip.split,
    }


def _done_entry(
    clip: ClipSource,
    out: Path,
    sequence: SkeletonSequence,
    identity: dict[str, Any],
    num_lost: int,
    facts: dict[str, Any],
) -> ManifestEntry:
    return ManifestEntry(
        video=clip.clip_id,
        status="done",
        frames=sequence.num_frames,
        lost_frames=num_lost,
        people=sequence.num_person,
        seconds=round(float(sequence.num_frames / sequence.fps), 3),
        **facts,
        **asdict(measure_quality(sequence)),
        output=cache_path(out, clip.clip_id).relative_to(out).as_posix(),
        **_video_fields(clip, identity),
    )


def _failed_entry(
    clip: ClipSource, error: Exception | None, identity: dict[str, Any]
) -> ManifestEntry:
    fields: dict[str, Any] = {"label": clip.label, "split": clip.split}
    if clip.path.is_file():
        fields = _video_fields(clip, identity)
    return ManifestEntry(
        video=clip.clip_id,
        status="failed",
        error=_first_line(error),
        error_kind=type(error).__name__,
        **fields,
    )


def _first_line(error: Exception | None) -> str:
    # Engines add pages of stack to their messages.
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
