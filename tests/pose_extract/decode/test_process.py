"""A decoder that ends, hangs or takes too much memory costs a clip, and the next one is read."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from clips import write_clip

from skelact.pose_extract.decode import process as decode_process
from skelact.pose_extract.decode import reading
from skelact.pose_extract.decode import worker as decode_worker
from skelact.pose_extract.decode.frames import VideoError
from skelact.pose_extract.decode.process import DecodeProcess
from skelact.pose_extract.decode.reading import KnownFiles
from skelact.pose_extract.decode.video import open_video
from skelact.pose_extract.decode.worker import DecodeWorker


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "a.mp4")


@pytest.fixture
def worker():
    processes = []

    def start(**limits):
        processes.append(DecodeProcess(**limits))
        return processes[-1]

    yield start
    for process in processes:
        process.close()


def read(process, path, count=8):
    process.read(path, "pyav", 0, None, 1)
    batches = []
    while (batch := process.next_batch(path, count)) is not None:
        batches.append(batch.frame_inds)
    return np.concatenate(batches).tolist()


@pytest.mark.parametrize("signal_number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL])
def test_a_decoder_that_dies_is_an_error_of_its_clip(clip, worker, signal_number):
    process = worker()
    process.read(clip, "pyav", 0, None, 1)
    process.next_batch(clip, 8)
    os.kill(process.pid, signal_number)
    with pytest.raises(VideoError, match=signal_number.name) as caught:
        process.next_batch(clip, 8)
    # A kill from outside, as for want of memory, is no fault of the file's: it is tried again.
    assert (caught.type is VideoError) == (signal_number != signal.SIGKILL)
    assert not process.is_alive
    with open_video(clip) as reader:
        assert sum(len(batch.frames) for batch in reader.batches(8)) == 40


def test_a_decoder_that_hangs_is_ended(clip, worker):
    process = worker(answer_seconds=2.0)
    assert process.open(clip, "pyav").num_frames == 40
    os.kill(process.pid, signal.SIGSTOP)
    start = time.monotonic()
    with pytest.raises(VideoError, match=r"the decoder hung: no frame came for 2 s"):
        process.open(clip, "pyav")
    assert time.monotonic() - start < 20
    assert not process.is_alive


def test_a_long_read_tells_that_it_goes_on(clip, monkeypatch):
    monkeypatch.setattr(decode_worker, "_PROGRESS_SECONDS", 0.0)
    asked = json.dumps({"action": "open", "path": os.fsencode(clip).hex(), "decoder": "pyav"})
    answers = io.BytesIO()
    DecodeWorker(io.BytesIO(asked.encode() + b"\n"), answers).run()
    lines = answers.getvalue().split(b"\n")
    num_told = next(i for i, line in enumerate(lines) if line)
    assert num_told >= 40, "one line per packet"
    assert json.loads(lines[num_told])["num_frames"] == 40


def test_what_tells_that_it_goes_on_is_not_ended(clip, worker, monkeypatch):
    """An answer may take longer than the limit, here 6 s, if progress comes before that."""
    go_on = "import time\nfor i in range(12): time.sleep(.5); print(flush=True)\nprint('{}')"
    monkeypatch.setattr(decode_process, "_START", go_on)
    worker(answer_seconds=4.0).read(clip, "pyav", 0, None, 1)
    # It stays silent for good: an answer that comes in the end is taken on a machine that stalls.
    monkeypatch.setattr(decode_process, "_START", "import time\ntime.sleep(600)")
    with pytest.raises(VideoError, match="hung"):
        worker(answer_seconds=1.5).read(clip, "pyav", 0, None, 1)


def test_memory_is_limited(tmp_path, worker):
    """A small file may hold large frames: 12288 x 12288 here, 450 MB as RGB."""
    path = write_large(tmp_path / "a.mp4")
    process = worker(memory_limit=800 << 20)
    with pytest.raises(VideoError, match=r"a.mp4: .*(memory|Memory|crashed|cannot)"):
        process.open(path, "pyav") and read(process, path)
    with open_video(write_clip(tmp_path / "b.mp4")) as reader:
        assert reader.info.num_frames == 40


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_a_long_file_that_is_read_slowly_is_not_decoded_whole(tmp_path, worker):
    """decord goes on to the end of the file: these frames are 829 MB."""
    path = write_clip(tmp_path / "a.mp4", num_frames=1200, height=360, width=640)
    process = worker()
    process.open(path, "auto")
    process.read(path, "auto", 0, None, 1)
    process.next_batch(path, 8)
    pages = []
    for _ in range(15):
        time.sleep(0.1)
        pages.append(int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]))
    assert max(pages) * os.sysconf("SC_PAGESIZE") < 300 << 20


def test_a_short_file_is_read_by_decord_and_a_long_one_where_it_is_asked_for(clip, monkeypatch):
    file = KnownFiles().open(clip)
    assert file.info("auto").decoder == "decord"
    monkeypatch.setattr(reading, "_MOST_AHEAD_BYTES", 40 * 96 * 128 * 3 - 1)
    assert (file.info("auto").decoder, file.info("decord").decoder) == ("pyav", "decord")


def test_a_decoder_without_memory_says_what_holds_less(clip, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(KnownFiles, "open", fail)
    answers = io.BytesIO()
    request = {"action": "open", "path": os.fsencode(clip).hex(), "decoder": "decord"}
    DecodeWorker(io.BytesIO(json.dumps(request).encode()), answers).run()
    assert "--decoder pyav holds few" in json.loads(answers.getvalue())["failed"]


def write_large(path, size=12288):
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = size, size, "yuvj420p"
        frame = av.VideoFrame(size, size, "yuvj420p")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_worker_ends_with_the_run_that_is_killed(tmp_path, clip):
    script = (
        "import os, signal, sys\n"
        "from skelact.pose_extract.decode.process import DecodeProcess\n"
        "from pathlib import Path\n"
        "process = DecodeProcess()\n"
        "process.open(Path(sys.argv[1]), 'pyav')\n"
        "os.kill(process.pid, signal.SIGSTOP)\n"  # as in a decoder that hangs
        "print(process.pid, flush=True)\n"
        "os.kill(process.pid, signal.SIGCONT)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(clip)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    pid = int(done.stdout)
    deadline = time.monotonic() + 20
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_running(pid):
    status = Path(f"/proc/{pid}/stat")
    # A process whose parent does not wait for it stays as a zombie.
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_an_interrupt_does_not_reach_the_decoder(clip, worker):
    process = worker()
    process.open(clip, "pyav")
    os.kill(process.pid, signal.SIGINT)
    assert read(process, clip) == list(range(40))


def test_an_answer_that_is_broken_off_spoils_no_later_one(clip):
    for _ in range(3):
        with open_video(clip) as reader:
            batches = reader.batches(8)
            answered = reader._worker._ask

            def break_off(path, request, answered=answered):
                if request["action"] in ("share", "send"):
                    raise KeyboardInterrupt
                return answered(path, request)

            broken_off = mock.patch.object(reader._worker, "_ask", break_off)
            with broken_off, pytest.raises(KeyboardInterrupt):
                next(batches)
        with open_video(clip) as reader:
            assert [batch.frame_inds[0] for batch in reader.batches(20)] == [0, 20]


def test_large_frames_come_in_smaller_batches(clip, monkeypatch):
    monkeypatch.setattr(decode_worker, "_MOST_BYTES", 3 * 96 * 128 * 3)
    requests = [
        {"action": "read", "path": os.fsencode(clip).hex(), "decoder": "pyav"}
        | {"start": 0, "stop": None, "num_threads": 1},
        {"action": "next", "count": 8},
    ]
    answers = io.BytesIO()
    asked = b"".join(json.dumps(request).encode() + b"\n" for request in requests)
    DecodeWorker(io.BytesIO(asked), answers).run()
    assert b'"frame_inds": [0, 1, 2],' in answers.getvalue()


def test_a_worker_that_is_suspended_in_the_middle_of_a_frame_goes_on(tmp_path, worker):
    """A write to a pipe that is interrupted so ends early."""
    path = write_clip(tmp_path / "a.mp4", 16, height=1080, width=1920)
    process = worker(answer_seconds=20.0)
    is_done = threading.Event()

    def suspend():
        while not is_done.wait(0.02):
            os.kill(process.pid, signal.SIGSTOP)
            time.sleep(0.01)
            os.kill(process.pid, signal.SIGCONT)

    thread = threading.Thread(target=suspend)
    thread.start()
    try:
        assert read(process, path, count=4) == list(range(16))
    finally:
        is_done.set()
        thread.join()


def test_names_need_not_be_utf_8(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9 \xff.mp4")
    try:
        write_clip(tmp_path / "a.mp4").rename(path)
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    with open_video(path) as reader:
        assert sum(len(batch.frames) for batch in reader.batches(8)) == 40


def test_readers_side_by_side_do_not_mix(tmp_path):
    first, second = write_clip(tmp_path / "a.mp4", 20), write_clip(tmp_path / "b.mp4", 30)
    with open_video(first) as one, open_video(second) as two:
        pairs = zip(one.batches(4), two.batches(4))
        for of_one, of_two in pairs:
            assert of_one.frame_inds.tolist() == of_two.frame_inds.tolist()
            assert len(of_one.frames) == 4
        assert (one.info.num_frames, two.info.num_frames) == (20, 30)


def test_a_reader_that_was_closed_says_so(clip):
    with open_video(clip) as reader:
        batches = reader.batches(4)
        next(batches)
    with pytest.raises(RuntimeError, match="closed"):
        next(batches)
