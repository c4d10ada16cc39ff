"""Extract many clips into a folder: resume, list failures, keep a manifest, split the work.

The folder holds one cache entry per clip and ``manifest.jsonl`` with a line per clip. Nothing that
happens in one clip ends the run. A run that dies loses at most the clip it was in, and the next run
knows which one that was. What ends a run early is a folder that cannot be written to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import SkelactError
from .common.files import discard_leftovers
from .extract import Extractor, Progress
from .folder_run import FolderRun
from .ray_cluster import RayActors, check_ray
from .skeleton import SkeletonSequence
from .sources import ClipSource
from .store.in_work import DeadRun, InWork, find_dead_runs
from .store.manifest import ManifestEntry, merge_manifest
from .store.npz import load_sequence
from .store.plan import BatchPlan, find_renamed, judge_clips, note_crashes
from .store.results import ResultFolder, writing_to
from .tasks import Task, by_file
from .workers import Workers, check_workers, choose_workers


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
        """Return this part of ``clips``, in their order.

        Whole videos are dealt out one by one: those of one folder take alike. Cuts of a video go to
        as few parts as can be: each part that has some reads where its frames lie.
        """
        if self.count == 1 or len({clip.path for clip in clips}) == len(clips):
            return list(clips[self.index - 1 :: self.count])
        rows = {clip: row for row, clip in enumerate(clips)}
        start, stop = (len(clips) * part // self.count for part in (self.index - 1, self.index))
        return sorted(by_file(clips)[start:stop], key=rows.__getitem__)


def extract_clips(
    clips: Sequence[ClipSource],
    out: str | Path,
    extractor: Extractor,
    *,
    shard: Shard | None = None,
    workers: int | None = None,
    ray: str | None = None,
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
        workers: How many processes extract clips side by side, by default this one; 0 takes the
            free cores. On a GPU one more process runs the networks of all. The results are the same
            but for rounding. A script that asks for several has what it runs under
            ``if __name__ == "__main__"``, as ``multiprocessing`` asks.
        ray: Extract on the nodes of a Ray cluster: "HOST:PORT", "auto" for the one of which this
            machine is a node, or "local" for one on this machine; see :class:`RayActors`. They read
            the videos under the same paths, and this process writes. ``workers`` then is how many
            processes there are at most, over all nodes.
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
        SkelactError: if two clips have one name, if several workers or Ray are asked for with a
            detector or pose model of your own, which other processes do not have, or if Ray is not
            there.
        NameTakenError: if ``out`` holds results of other videos of the same names; nothing is done.
        OutputError: if the folder cannot be written to, as on a full disk; what was done is kept.
    """
    if ray is not None:
        check_workers(workers)
        check_ray(ray, extractor)
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
            # Those that may kill this run as well come last.
            ordered = sorted(by_file(judged.todo.values()), key=lambda clip: clip.clip_id in killed)
            run = FolderRun(results, in_work, judged.entries, known, on_entry)
            tasks = [
                Task(
                    clip,
                    judged.digests[clip.clip_id],
                    known.get(clip.clip_id),
                    is_last=clip.clip_id in killed,
                )
                for clip in ordered
            ]
            if ray is not None:
                with RayActors(ray, extractor, run, workers or 0, on_progress) as actors:
                    actors.run(tasks)
            elif (count := choose_workers(workers, extractor, len(taken))) > 1:
                with Workers(count, extractor.config, run, on_progress) as pool:
                    pool.run(tasks)
            else:
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
