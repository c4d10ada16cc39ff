"""kill -9 at random points of ``skelact extract``: what a run that goes on ends with.

python benchmarks/kill.py --points 20

A list of short cuts of real clips and a broken file is extracted without being disturbed. Then, for
each point, a new run over the same list is killed at a random moment while a clip is in work, and
run again; with two at once, each has a part of the list (``--shard``) and writes to one folder,
and the first, the second or both are killed. At the end every file of the folder, cache entries and
manifest, must have the bytes of the undisturbed run, and there must be no other file and no process
of the run that was killed.
"""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from skelact.pose_extract.common.files import shared_folder

_FRAMES_PER_CLIP = 12
_POLL_SECONDS = 0.002
# A worker process that decodes ends when its pipe is closed, which takes no second.
_PROCESS_END_SECONDS = 10.0


class Runs:
    """Runs of ``skelact extract`` over one list."""

    def __init__(self, list_path: Path, broken: int) -> None:
        self._list_path = list_path
        self._exit_code = 3 if broken else 0
        self._groups: list[int] = []

    def start(self, out: Path, shard: str) -> subprocess.Popen[bytes]:
        """Start a run of its own process group."""
        command = [sys.executable, "-m", "skelact.pipeline.cli.main", "extract"]
        command += [str(self._list_path), "--out", str(out), "--shard", shard, "--effort", "fast"]
        command += ["--detector", "whole-frame", "--num-threads", "1"]
        run = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        self._groups.append(run.pid)
        return run

    def num_left(self) -> int:
        """Return how many of the runs up to now, which all ended, have processes that go on."""
        num_left = sum(map(has_processes, self._groups))
        self._groups.clear()
        return num_left

    def finish(self, out: Path, shards: list[str]) -> None:
        """Run all parts at once, to their ends."""
        for run in [self.start(out, shard) for shard in shards]:
            _, said = run.communicate()
            if run.returncode not in (0, self._exit_code):
                raise click.ClickException(f"exit code {run.returncode}: {said.decode()}")

    def seconds_of_work(self, out: Path) -> float:
        """Return how long an undisturbed run works on clips, once it has loaded its networks."""
        run = self.start(out, "1/1")
        began = None
        while run.poll() is None:
            if began is None and num_in_work(out):
                began = time.monotonic()
            if began is not None and not list(out.glob(".in-work-*")):
                break
            time.sleep(_POLL_SECONDS)
        seconds = time.monotonic() - (began or time.monotonic())
        run.communicate()
        if began is None or run.returncode != self._exit_code:
            raise click.ClickException(f"the undisturbed run ended with {run.returncode}")
        return seconds

    def kill_one(self, out: Path, shards: list[str], killed: list[int], delay: float) -> bool:
        """Start all parts at once, and kill some a while after the first clip is in work.

        Returns:
            Whether each part was in a clip at that moment; else the point does not count.
        """
        runs = [self.start(out, shard) for shard in shards]
        while not num_in_work(out) and all(run.poll() is None for run in runs):
            time.sleep(_POLL_SECONDS)
        time.sleep(delay)
        is_inside = num_in_work(out) == len(runs) and all(run.poll() is None for run in runs)
        for index in killed:
            runs[index].send_signal(signal.SIGKILL)
        for run in runs:
            run.communicate()
        return is_inside


def num_in_work(out: Path) -> int:
    """Return how many runs are in a clip now; their files in the folder say so."""
    count = 0
    for path in out.glob(".in-work-*"):
        try:
            count += path.read_bytes().startswith(b'{"entry": {')
        except FileNotFoundError:
            continue  # it has ended
    return count


def contents(out: Path) -> dict[str, bytes]:
    """Return all files below a folder, hidden ones too."""
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def has_processes(group: int) -> bool:
    """Return whether processes of a run go on: those that decode lose their parent by a kill."""
    deadline = time.monotonic() + _PROCESS_END_SECONDS
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def write_list(folder: Path, num_clips: int) -> Path:
    """Write a list of cuts of clips, evenly spread over UCF-101's, and of one broken file."""
    clips = sorted((shared_folder() / "videos" / "ucf101_train").glob("*.avi"))
    (folder / "broken.mp4").write_bytes(b"no video")
    path = folder / "clips.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["path", "label", "start_frame", "end_frame"])
        for clip in clips[:: max(1, len(clips) // num_clips)][:num_clips]:
            label = clip.name.split("_")[1]
            rows.writerow([os.path.abspath(clip), label, 3, 3 + _FRAMES_PER_CLIP])
        rows.writerow(["broken.mp4", "none", "", ""])
    return path


def measure(
    runs: Runs, folder: Path, whole: dict[str, bytes], shards: list[str], **options: float
) -> dict[str, int]:
    """Kill and go on at random points; return the counts of what came of it."""
    rng = random.Random(int(options["seed"]))
    counts = dict.fromkeys(
        ("kills inside work", "drawn again", "other bytes", "leftovers", "processes left"), 0
    )
    while counts["kills inside work"] < options["points"]:
        out = folder / f"{len(shards)}_{sum(counts.values())}"
        killed = rng.choice([[0], [1], [0, 1]]) if len(shards) > 1 else [0]
        if not runs.kill_one(out, shards, killed, rng.uniform(0, options["seconds"])):
            counts["drawn again"] += 1
            continue
        counts["kills inside work"] += 1
        counts["processes left"] += runs.num_left()
        runs.finish(out, shards)
        end = contents(out)
        counts["leftovers"] += len(end.keys() - whole.keys())
        other = [name for name, content in whole.items() if end.get(name) != content]
        counts["other bytes"] += len(other)
        if other or end.keys() != whole.keys():
            click.echo(f"{out.name}: {other} {sorted(end.keys() - whole.keys())}", err=True)
    return counts


@click.command()
@click.option("--points", default=20, show_default=True, help="Kills of each kind.")
@click.option("--clips", default=6, show_default=True, help="Clips besides the broken one.")
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def main(points: int, clips: int, seed: int, as_json: bool) -> None:
    """Kill runs of ``skelact extract`` and compare what they end with."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        runs = Runs(write_list(folder, clips), broken=1)
        # Twice: the first one also fills the system's cache.
        seconds = min(runs.seconds_of_work(folder / name) for name in ("first", "whole"))
        whole = contents(folder / "whole")
        figures = {
            name: measure(
                runs, folder, whole, shards, points=points, seed=seed, seconds=seconds * share
            )
            for name, shards, share in (
                ("one process", ["1/1"], 1.0),
                # Each has half of the clips.
                ("two at once", ["1/2", "2/2"], 0.5),
            )
        }
    if as_json:
        click.echo(json.dumps(figures))
        return
    click.echo(f"{clips + 1} clips, {seconds:.1f} s of work, seed {seed}")
    for name, counts in figures.items():
        click.echo(f"{name}: " + ", ".join(f"{what} {count}" for what, count in counts.items()))


if __name__ == "__main__":
    main()
