"""Runs that die: the next one knows in which clip, and ends with the bytes of one that lived."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from clips import BrightnessPose, OneWalker, write_clip

from skelact.pose_extract.batch import extract_clips
from skelact.pose_extract.extract import ExtractConfig, Extractor
from skelact.pose_extract.sources import find_sources

NAMES = ("a.mp4", "b.mp4", "c.mp4")

RUN = """
import json, os, sys, time
from pathlib import Path
from clips import BrightnessPose, OneWalker
from skelact.pose_extract.batch import Shard, extract_clips
from skelact.pose_extract.extract import ExtractConfig, Extractor
from skelact.pose_extract.sources import find_sources

videos, out, clip, shard, how = sys.argv[1:]

class Detector(OneWalker):
    def detect(self, batch, clip_id):
        if clip_id == clip:
            exec(how)
        return super().detect(batch, clip_id)

extractor = Extractor(ExtractConfig(effort="fast"), detector=Detector(), pose=BrightnessPose())
extract_clips(find_sources([videos]), out, extractor, shard=Shard.parse(shard))
"""


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for i, name in enumerate(NAMES):
        write_clip(folder / name, 4 + i)
    return folder


def start(videos, out, clip="", how="", shard="1/1"):
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(videos), str(out), clip, shard, how],
        cwd=Path(__file__).parents[1],
        stderr=subprocess.PIPE,
    )


def die(videos, out, clip, how):
    process = start(videos, out, clip, how)
    _, said = process.communicate()
    assert process.returncode < 0, said


def resume(videos, out, **options):
    extractor = Extractor(ExtractConfig(effort="fast"), detector=OneWalker(), pose=BrightnessPose())
    return extract_clips(find_sources([videos]), out, extractor, **options)


def contents(out):
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def test_a_clip_in_which_the_process_crashes_is_failed_by_the_next_run(videos, tmp_path):
    resume(videos, tmp_path / "whole")
    out = tmp_path / "out"
    die(videos, out, "b.mp4", "os.abort()")
    plans, order = [], []
    summary = resume(videos, out, on_plan=plans.append, on_entry=lambda e: order.append(e.video))
    assert [entry.status for entry in summary.entries] == ["done", "failed", "done"]
    assert summary.failed[0].error == (
        "the process crashed in this clip (Aborted); --retry-failed tries it again"
    )
    assert order == ["c.mp4"]
    assert plans[0].why_interrupted() == [
        "an earlier run crashed in b.mp4: failed, not tried again without --retry-failed"
    ]
    assert set(contents(out)) == {"a.mp4.npz", "c.mp4.npz", "manifest.jsonl"}
    # It stays failed, until it is asked for or the file is another.
    assert resume(videos, out).num_new == 0
    assert resume(videos, out, retry_failed=True).failed == []
    assert contents(out) == contents(tmp_path / "whole")


def test_a_clip_in_which_the_process_was_killed_is_tried_last(videos, tmp_path):
    resume(videos, tmp_path / "whole")
    out = tmp_path / "out"
    die(videos, out, "a.mp4", "os.kill(os.getpid(), 9)")
    # And once more, elsewhere: both wait until all others are done.
    die(videos, out, "b.mp4", "os.kill(os.getpid(), 9)")
    plans, order = [], []
    summary = resume(videos, out, on_plan=plans.append, on_entry=lambda e: order.append(e.video))
    assert order == ["c.mp4", "a.mp4", "b.mp4"]
    assert plans[0].why_interrupted() == ["an earlier run was killed in a.mp4, b.mp4: tried last"]
    assert summary.failed == []
    assert contents(out) == contents(tmp_path / "whole")


def test_what_another_part_was_killed_in_is_left_to_that_part(videos, tmp_path):
    out = tmp_path / "out"
    die(videos, out, "b.mp4", "os.kill(os.getpid(), 9)")
    (mine,) = (clip for clip in find_sources([videos]) if clip.clip_id == "c.mp4")
    extractor = Extractor(ExtractConfig(effort="fast"), detector=OneWalker(), pose=BrightnessPose())
    extract_clips([mine], out, extractor)
    assert len(list(out.glob(".in-work-*"))) == 1
    resume(videos, out)
    assert list(out.glob(".in-work-*")) == []


def test_a_run_beside_one_that_lives_leaves_its_files_alone(videos, tmp_path):
    """Two runs over the same clips: the second one takes up what the first one has done."""
    resume(videos, tmp_path / "whole")
    out = tmp_path / "out"
    wait = f"Path({str(tmp_path)!r}, 'in').touch()\n"
    wait += f"while not Path({str(tmp_path)!r}, 'go').exists(): time.sleep(0.01)"
    with start(videos, out, "b.mp4", wait) as beside:
        while not (tmp_path / "in").exists():
            assert beside.poll() is None, beside.stderr.read()
        temporary = out / ".c.mp4.npz.x1y2z3ab.npz"
        temporary.touch()  # of a write that was killed
        summary = resume(videos, out)
        (tmp_path / "go").touch()
        _, said = beside.communicate(timeout=120)
    assert beside.returncode == 0, said
    assert (summary.num_new, summary.failed) == (2, [])
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.slow
def test_kills_at_random_points_by_the_commands(repository, shared):
    """``benchmarks/kill.py`` with few points: both kinds of runs end with the same bytes."""
    command = [sys.executable, "benchmarks/kill.py", "--points", "2", "--clips", "3", "--json"]
    run = subprocess.run(command, cwd=repository, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    figures = json.loads(run.stdout)
    for kind in ("one process", "two at once"):
        assert figures[kind]["kills inside work"] == 2
        assert figures[kind]["other bytes"] == figures[kind]["leftovers"] == 0
