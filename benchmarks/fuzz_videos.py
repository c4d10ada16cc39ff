"""Damaged videos through the reader and through ``skelact extract``: no crash, hang or silent loss.

Numbered clips of seven containers are damaged by a seeded generator: bits flipped at several rates,
files cut short, runs of bytes zeroed, made random, taken out or doubled, numbers in the headers
replaced. The truth about a damaged file is what PyAV's sequential decode gives of it, in a process
of its own: the frames D, with the numbers drawn in them and their times. A file read is wrong if

- it gives a frame whose number is not in D (nor may be one of those that cannot be read there), or
  at another time than D has it,
- or its loss is not within one frame of A - D, where A is what the file announces: the frames of
  the whole clip while its header still says so, else those from the time of the first frame in D
  to that of the last (only D where packets stand between the steps of the clip: their times are
  damaged themselves). Packets of which D has no frame may be called lost or not: where bytes were
  doubled, a file holds more than it announces. So may frames of D whose number cannot be read, or
  that show an earlier one once more: that is how decoders conceal a damaged frame. A length
  (Matroska) announces no frames before the first one.

A refusal is a VideoError; any other exception is an escape, and an end of the process a crash.

python benchmarks/fuzz_videos.py --count 1000 --seed 0
"""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import click
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from numbered_clips import EVEN, Recipe, make, missing, number_of, sequential

from skelact.pose_extract.decode.frames import InexactError, VideoError
from skelact.pose_extract.decode.video import open_video

_NUM_FRAMES, _FPS = 24, 25
_X264 = {"x264-params": "keyint=8:bframes=2:b-pyramid=none"}
_X265 = {"x265-params": "keyint=8:min-keyint=8"}
_VPX = {"deadline": "realtime", "cpu-used": "8"}


def _base(name: str, codec: str, options: dict[str, str] | None = None, **more: str) -> Recipe:
    return Recipe(name, codec, options or {}, seconds=EVEN[:_NUM_FRAMES], gop=8, **more)  # type: ignore[arg-type]


BASES = [
    _base("a_h264.mp4", "libx264", _X264),
    _base("b_hevc.mp4", "libx265", _X265),
    Recipe("c_front.mp4", "libx264", _X264, mux_options={"movflags": "faststart"},
           seconds=EVEN[:_NUM_FRAMES], gop=8),
    _base("a_h264.mov", "libx264", _X264),
    _base("b_mjpeg.mov", "mjpeg", pix_fmt="yuvj420p"),
    _base("a_h264.mkv", "libx264", _X264),
    _base("b_hevc.mkv", "libx265", _X265),
    _base("a_vp9.webm", "libvpx-vp9", _VPX),
    _base("b_vp8.webm", "libvpx", _VPX),
    _base("a_mpeg4.avi", "mpeg4", {"bf": "0"}),
    _base("b_mjpeg.avi", "mjpeg", pix_fmt="yuvj420p"),
    _base("c_h264.avi", "libx264", _X264),
    _base("a_h264.ts", "libx264", _X264),
    _base("b_mpeg2.ts", "mpeg2video", {"bf": "2"}),
    _base("a_gif.gif", "gif", pix_fmt="rgb8"),
]  # fmt: skip
CONTAINERS = ("mp4", "mov", "mkv", "webm", "avi", "ts", "gif")
_SKELACT = "from skelact.pipeline.cli.main import main; main()"
# A decode of 24 small frames takes milliseconds.
_HANG_SECONDS = 60.0
# Times of damaged files are rounded twice.
_SECONDS_TOLERANCE = 2e-3
_LOST_TOLERANCE = 1
# Containers round times to a millisecond, a fortieth of a step.
_STEP_TOLERANCE = 0.05


def damage(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Return the kind of damage and the damaged bytes."""
    kind = rng.choice(("flip", "cut", "zero", "random", "remove", "double", "header"))
    out = bytearray(data)
    length = max(1, int(len(data) * rng.choice((0.002, 0.01, 0.05, 0.2))))
    start = rng.randrange(len(data) - length + 1)
    if kind == "flip":
        for _ in range(max(1, int(8 * len(data) * rng.choice((1e-5, 1e-4, 1e-3, 1e-2))))):
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        out = out[: max(1, int(len(out) * rng.uniform(0.02, 0.98)))]
    elif kind == "zero":
        out[start : start + length] = bytes(length)
    elif kind == "random":
        out[start : start + length] = rng.randbytes(length)
    elif kind == "remove":
        del out[start : start + length]
    elif kind == "double":
        out[start:start] = data[start : start + length]
    else:
        _lie(out, rng)
    return kind, bytes(out)


def _lie(data: bytearray, rng: random.Random) -> None:
    """Replace a number of a header, which lies at the start or the end of a file."""
    reach = min(1024, len(data) - 8)
    for _ in range(rng.choice((1, 1, 3))):
        at = rng.randrange(reach) if rng.random() < 0.6 else len(data) - 8 - rng.randrange(reach)
        size = rng.choice((1, 2, 4, 8))
        value = rng.choice(
            (0, 1, 2 ** (8 * size) - 1, 2 ** (8 * size - 1), rng.getrandbits(8 * size))
        )
        data[at : at + size] = value.to_bytes(size, rng.choice(("big", "little")))


@dataclass(frozen=True)
class Truth:
    """What PyAV's sequential decode gives of a file.

    Attributes:
        numbers: The number drawn in each frame, None where it cannot be read.
        seconds: Presentation time of each from the first, None where it has none.
        announced: Frames that the header says, 0 where it says nothing.
        is_announced_as_time: Whether it says so by a length.
        is_timed: Whether all packets with a time stand at steps of the clip's frame rate.
        num_discarded: Packets that an edit list has not shown.
        num_packets: Packets that hold something.
        num_behind: Those to be shown after the last frame decoded.
    """

    numbers: list[int | None]
    seconds: list[float | None]
    announced: int
    is_announced_as_time: bool
    is_timed: bool
    num_discarded: int
    num_packets: int
    num_behind: int

    @property
    def num_readable(self) -> int:
        """Frames whose number can be read, and that show it for the first time."""
        return len({number for number in self.numbers if number is not None})


def find_truth(path: Path) -> Truth:
    """Decode a file in this process; damaged ones can end it."""
    numbers, seconds = sequential(path)
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        length = stream.metadata.get("DURATION")
        # The demuxer of GIF counts what is there.
        announced = 0 if file.format.name == "gif" else stream.frames
        if not announced and length:
            hours, minutes, rest = length.split(":")
            announced = round((int(hours) * 3600 + int(minutes) * 60 + float(rest)) * _FPS)
        times: list[float | None] = []
        num_discarded = 0
        with contextlib.suppress(av.FFmpegError):
            for packet in file.demux(stream):
                num_discarded += packet.is_discard
                if packet.size:
                    at = None if packet.pts is None else packet.pts - (stream.start_time or 0)
                    times.append(None if at is None else float(at * packet.time_base))
    steps = [at * _FPS for at in times if at is not None]
    last = max((time for time in seconds if time is not None), default=0.0)
    return Truth(
        numbers=numbers,
        seconds=seconds,
        announced=announced,
        is_announced_as_time=not stream.frames,
        is_timed=all(abs(step - round(step)) < _STEP_TOLERANCE for step in steps),
        num_discarded=num_discarded,
        num_packets=len(times),
        num_behind=sum(at is not None and at > last + _SECONDS_TOLERANCE for at in times),
    )


class TruthProcess:
    """Finds truths in a process that may crash or hang, and is then started again."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def find(self, path: Path) -> Truth | None:
        """Return the truth about a file, or None where PyAV crashed, hung or refused it."""
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, __file__, "--answer-truths"]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                text=True,
            )  # fmt: skip
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(_HANG_SECONDS, process.kill)
        timer.start()
        try:
            process.stdin.write(f"{path}\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ""
        finally:
            timer.cancel()
        facts = json.loads(line) if line else None
        return None if facts is None else Truth(**facts)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def answer_truths() -> None:
    """Read paths from the standard input, write a line of JSON for each."""
    import resource

    av.logging.set_level(av.logging.PANIC)
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    for line in sys.stdin:
        try:
            facts: dict[str, object] | None = vars(find_truth(Path(line.rstrip("\n"))))
        except Exception:
            # Whatever it is, PyAV does not read the file: there is no truth to compare with.
            facts = None
        print(json.dumps(facts), flush=True)


@dataclass(frozen=True)
class Reading:
    """What a reader gave of a file.

    Attributes:
        numbers: The number drawn in each frame, None where it cannot be read.
        frame_inds: The number that the reader gives each frame.
        seconds: Presentation times.
        num_lost: Frames that the reader counts as lost.
    """

    numbers: list[int | None]
    frame_inds: list[int]
    seconds: list[float]
    num_lost: int


def read(path: Path) -> Reading:
    """Read a file through the reader that extraction uses, once more where decord misread it."""
    try:
        return _read(path)
    except InexactError:
        return _read(path)


def _read(path: Path) -> Reading:
    numbers: list[int | None] = []
    frame_inds: list[int] = []
    seconds: list[float] = []
    with open_video(path) as reader:
        for batch in reader.batches(16):
            numbers += [number_of(frame) for frame in batch.frames]
            frame_inds += batch.frame_inds.tolist()
            seconds += batch.pts_seconds.tolist()
    return Reading(numbers, frame_inds, seconds, reader.num_lost)


def judge(reading: Reading, truth: Truth, whole: Truth) -> Iterator[str]:
    """Yield what is wrong in a reading, "frames: ..." or "loss: ..."."""
    if (np.diff(reading.frame_inds) <= 0).any() or (np.diff(reading.seconds) <= 0).any():
        yield "frames: numbers or times do not increase"
    strange = {n for n in reading.numbers if n is not None} - set(truth.numbers)
    # With several threads a damaged frame may be readable that is not with one.
    if len(strange) > truth.numbers.count(None):
        yield f"frames: shows {sorted(strange)}, which the sequential decode does not"
    moved = list(_moved(reading, truth))
    if len(moved) > _LOST_TOLERANCE:
        yield f"frames: {', '.join(moved)}"
    least, most = lost_range(truth, whole)
    if not least <= reading.num_lost <= most:
        yield f"loss: {reading.num_lost} counted, {least} to {most} lost"


def _moved(reading: Reading, truth: Truth) -> Iterator[str]:
    """Yield the frames that stand at another time than in the truth, from the first common one."""
    due = _first_times(truth.numbers, truth.seconds)
    got = _first_times(reading.numbers, reading.seconds)
    common = [number for number in got if due.get(number) is not None]
    stored = [due[number] for number in common]
    if not common or any(np.diff(stored) <= 0):
        # The file holds no times, or damaged ones.
        return
    for number in common:
        off = (got[number] - got[common[0]]) - (due[number] - due[common[0]])
        if abs(off) > _SECONDS_TOLERANCE:
            yield f"{number} stands {off:+.3f} s off"


def _first_times(numbers: list[int | None], seconds: list[float | None]) -> dict[int, float]:
    times: dict[int, float] = {}
    for number, at in zip(numbers, seconds):
        if number is not None and at is not None:
            times.setdefault(number, at)
    return times


def lost_range(truth: Truth, whole: Truth) -> tuple[int, int]:
    """Return the least and the most frames that may be called lost."""
    least = len(truth.numbers)
    given = [at for at in truth.seconds if at is not None]
    if given and truth.is_timed:
        span = round((max(given) - min(given)) * _FPS) + 1
        least = max(least, min(span, len(whole.numbers)))
    most = least + truth.num_behind
    if truth.announced and truth.announced == whole.announced:
        num_announced = len(whole.numbers) - truth.num_discarded
        most = max(most, num_announced)
        # A length says when the last frame ends, and not when the first one begins.
        first = next((number for number in truth.numbers if number is not None), 0)
        least = num_announced - (first if truth.is_announced_as_time else 0)
    elif truth.announced:
        # The header was hit itself, and says anything.
        most = max(most, len(whole.numbers), truth.announced)
    most = max(most, truth.num_packets)
    return least - len(truth.numbers) - _LOST_TOLERANCE, most - truth.num_readable + _LOST_TOLERANCE


def check(path: Path, truth: Truth | None, whole: Truth) -> tuple[str, str, int | None]:
    """Return the verdict on a file through ``open_video``, why, and its loss if it was read."""
    start = time.monotonic()
    try:
        reading = read(path)
    except VideoError as error:
        why = f"{error} ({len(truth.numbers) if truth else 0} frames in truth)"
        kind = "contained" if " crashed" in why else "hang" if " hung" in why else "refused"
        return kind, why, None
    except Exception as error:
        return "escape", f"{type(error).__name__}: {error}", None
    if time.monotonic() - start > _HANG_SECONDS:
        return "hang", f"{time.monotonic() - start:.0f} s", reading.num_lost
    if truth is None or not truth.numbers:
        return "read", "PyAV alone gives nothing", reading.num_lost
    problem = next(judge(reading, truth, whole), None)
    if problem is None:
        return "read", "", reading.num_lost
    kind = "wrong frames" if problem.startswith("frames") else "wrong loss"
    return kind, problem, reading.num_lost


def extract(
    folder: Path, out: Path, pose: str, seconds: float
) -> tuple[int | None, dict[str, dict]]:
    """Run ``skelact extract`` over a folder; return its exit code (None: hung) and its manifest."""
    command = [sys.executable, "-c", _SKELACT, "extract", str(folder), "--out", str(out)]
    command += ["--detector", "whole-frame", "--effort", "fast", "--pose", pose]
    try:
        done = subprocess.run(command, timeout=seconds, capture_output=True, check=False)
        code: int | None = done.returncode
    except subprocess.TimeoutExpired:
        code = None
    manifest = out / "manifest.jsonl"
    lines = manifest.read_text(encoding="utf-8").splitlines() if manifest.exists() else []
    return code, {entry["video"]: entry for entry in map(json.loads, lines)}


def make_files(folder: Path, count: int, seed: int) -> list[tuple[Path, Recipe, str]]:
    """Write ``count`` damaged files, the containers in turn; return them with their bases."""
    rng = random.Random(seed)
    bases: dict[str, list[tuple[Recipe, Path]]] = defaultdict(list)
    (folder / "whole").mkdir(exist_ok=True)
    (folder / "damaged").mkdir(exist_ok=True)
    for recipe in BASES:
        if missing(recipe) is None:
            bases[recipe.name.rsplit(".", 1)[1]].append((recipe, make(recipe, folder / "whole")))
    files = []
    for i in range(count):
        recipe, path = rng.choice(bases[CONTAINERS[i % len(CONTAINERS)]])
        kind, data = damage(path.read_bytes(), rng)
        damaged = folder / "damaged" / f"{i:05}_{kind}_{recipe.name}"
        damaged.write_bytes(data)
        files.append((damaged, recipe, kind))
    return files


def judge_files(
    folder: Path, files: list[tuple[Path, Recipe, str]]
) -> dict[str, tuple[str, str, int | None]]:
    """Return {file name: (verdict, why, frames lost if it was read)}."""
    truths = TruthProcess()
    wholes = {recipe.name: truths.find(folder / "whole" / recipe.name) for _, recipe, _ in files}
    verdicts: dict[str, tuple[str, str, int | None]] = {}
    for path, recipe, _ in files:
        whole = wholes[recipe.name]
        assert whole is not None
        verdicts[path.name] = check(path, truths.find(path), whole)
    truths.close()
    return verdicts


def check_manifest(
    entries: dict[str, dict], names: list[str], lost: dict[str, int]
) -> Iterator[tuple[str, str, str]]:
    """Yield (file, verdict, why) where ``skelact extract`` did otherwise than the reader alone."""
    for name in names:
        entry = entries.get(name)
        if entry is None:
            yield name, "crash", "not in the manifest"
        elif entry["status"] == "failed":
            if entry.get("error_kind") not in ("VideoError", "InexactError"):
                yield name, "escape", f"{entry.get('error_kind')}: {entry.get('error')}"
            elif name in lost:
                yield name, "escape", f"failed though it can be read: {entry.get('error')}"
        elif entry.get("lost_frames", 0) != lost.get(name, 0):
            yield name, "wrong loss", f"{entry.get('lost_frames')} lost in the manifest"


VERDICTS = ("read", "refused", "contained", "crash", "hang", "escape", "wrong frames", "wrong loss")
_RIGHT = ("read", "refused", "contained")


def report(verdicts: dict[str, tuple[str, str, int | None]]) -> None:
    """Print the table of docs/extract.md."""
    tally: dict[str, Counter[str]] = {name: Counter() for name in CONTAINERS}
    for name, (verdict, _, _) in verdicts.items():
        tally[name.rsplit(".", 1)[1]][verdict] += 1
    tally["all"] = sum(tally.values(), Counter())
    print("| container | files | " + " | ".join(VERDICTS) + " |")
    print("|---" * (len(VERDICTS) + 2) + "|")
    for name, row in tally.items():
        cells = " | ".join(str(row[verdict]) for verdict in VERDICTS)
        print(f"| {name} | {sum(row.values())} | {cells} |")


@click.command()
@click.option("--count", default=1000, show_default=True, help="Damaged files.")
@click.option("--seed", default=0, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the files in this folder.")
@click.option("--extract/--no-extract", "extracting", default=True, help="Also by skelact extract.")
@click.option("--pose", default="skelact-litehrnet18-256x192", show_default=True)
@click.option("--answer-truths", "answering", is_flag=True, hidden=True)
def main(
    count: int, seed: int, keep: Path | None, extracting: bool, pose: str, answering: bool
) -> None:
    """Damage videos, read them and print what became of them; exit code 1 if anything is wrong."""
    if answering:
        answer_truths()
        return
    av.logging.set_level(av.logging.PANIC)
    with contextlib.ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        verdicts = judge_files(folder, make_files(folder, count, seed))
        if extracting:
            code, entries = extract(folder / "damaged", folder / "out", pose, 120 + 5.0 * count)
            print(f"skelact extract: exit code {code}, {len(entries)} of {count} in the manifest")
            lost = {name: num for name, (_, _, num) in verdicts.items() if num is not None}
            for name, verdict, why in check_manifest(entries, list(verdicts), lost):
                verdicts[name] = verdict, f"skelact extract: {why}", None
    problems = [
        f"{name}: {verdict}: {why}"
        for name, (verdict, why, _) in verdicts.items()
        if verdict not in _RIGHT
    ]
    print("\n".join(problems))
    report(verdicts)
    # skelact extract ends with 3 where a clip failed.
    sys.exit(1 if problems or (extracting and code not in (0, 3)) else 0)


if __name__ == "__main__":
    main()
