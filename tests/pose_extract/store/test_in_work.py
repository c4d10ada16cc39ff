"""What a run that died tells the next one."""

from __future__ import annotations

import faulthandler
import subprocess
import sys

import pytest

from skelact.pose_extract.common.files import lock
from skelact.pose_extract.store.in_work import InWork, find_dead_runs
from skelact.pose_extract.store.manifest import ManifestEntry

ENTRY = ManifestEntry(video="v\udcff.mp4", status="failed", error_kind="ProcessCrashError")

DIE = """
import ctypes, faulthandler, os, signal, sys
from skelact.pose_extract.common.files import lock
from skelact.pose_extract.store.in_work import InWork
from skelact.pose_extract.store.manifest import ManifestEntry

with InWork(sys.argv[1], ["set aside"]) as in_work:
    in_work.begin(ManifestEntry(video="a.mp4", status="failed"))
    in_work.end()
    in_work.begin(ManifestEntry(
        video="v\\udcff.mp4", status="failed", error_kind="ProcessCrashError"
    ))
    %s
"""


def die(out, how):
    process = subprocess.run([sys.executable, "-c", DIE % how, out], capture_output=True)
    assert process.returncode < 0, process.stderr


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("os.abort()", "Aborted"),
        ("ctypes.string_at(0)", "Segmentation fault"),
        ("os.kill(os.getpid(), signal.SIGBUS)", "Bus error"),
    ],
)
def test_a_crash_names_its_clip(tmp_path, how, said):
    die(tmp_path, how)
    (dead,) = find_dead_runs(tmp_path)
    assert dead.is_crash
    assert dead.entry.video == ENTRY.video
    assert dead.entry.error == (
        f"the process crashed in this clip ({said}); --retry-failed tries it again"
    )
    assert dead.killed_in == ("set aside",)
    dead.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_kill_leaves_the_clip_and_no_trace(tmp_path):
    die(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    (dead,) = find_dead_runs(tmp_path)
    assert not dead.is_crash
    assert dead.killed_in == ("set aside", ENTRY.video)


def test_a_kill_between_two_clips_blames_none(tmp_path):
    die(tmp_path, "in_work.end(); os.kill(os.getpid(), signal.SIGKILL)")
    (dead,) = find_dead_runs(tmp_path)
    assert (dead.entry, dead.killed_in) == (None, ("set aside",))


def test_a_run_that_lives_is_left_alone_and_leaves_nothing(tmp_path):
    was_enabled = faulthandler.is_enabled()
    with InWork(tmp_path) as in_work:
        in_work.begin(ENTRY)
        assert find_dead_runs(tmp_path) == []
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []
    assert faulthandler.is_enabled() == was_enabled


def test_a_run_that_ends_in_an_error_leaves_nothing(tmp_path):
    def fail():
        with InWork(tmp_path) as in_work:
            in_work.begin(ENTRY)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_broken_off_passes_on_what_it_has_not_tried(tmp_path):
    def fail():
        with InWork(tmp_path, ["a.mp4", ENTRY.video]) as in_work:
            in_work.begin(ENTRY)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    (dead,) = find_dead_runs(tmp_path)
    assert (dead.entry, dead.killed_in) == (None, ("a.mp4",))


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"{", b'{"entry": 3, "set_aside": []}\n', b'{"entry": null, "set_aside": 1}\n',
     b"[" * 5000, b"\xff\n", b'{"entry": {"video": 1}, "set_aside": []}\ntrace', b'\x80' * 64],
)  # fmt: skip
def test_a_file_that_says_nothing_blames_none(tmp_path, content):
    (tmp_path / ".in-work-x.jsonl").write_bytes(content)
    (dead,) = find_dead_runs(tmp_path)
    assert (dead.entry, dead.killed_in) == (None, ())


def test_two_runs_that_start_at_once_both_find_a_run_that_died(tmp_path):
    die(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    (path,) = tmp_path.iterdir()
    with path.open("rb+") as beside:
        assert lock(beside.fileno(), wait=False, shared=True)  # as while the other run reads it
        (dead,) = find_dead_runs(tmp_path)
    assert dead.killed_in == ("set aside", ENTRY.video)
    with path.open("rb+") as living:
        assert lock(living.fileno(), wait=False)
        assert find_dead_runs(tmp_path) == []
