"""The manifest: lines that are whole or not there, names of any bytes, several writers."""

from __future__ import annotations

import errno
import json
import os
import threading

import pytest

from skelact.pose_extract.store.manifest import (
    ManifestEntry,
    OutputError,
    append_entries,
    entry_from_fields,
    manifest_line,
    manifest_lock,
    manifest_path,
    merge_manifest,
    read_manifests,
)


def entry(name, **fields):
    return ManifestEntry(**({"video": name, "status": "done"} | fields))


def append(out, *entries):
    with manifest_lock(out):
        append_entries(out, entries)


@pytest.mark.parametrize("name", ["é a.mp4", "v\udcff.mp4", "line\u2028\x85break.mp4", "n\0\n.mp4"])
def test_a_name_of_any_kind_is_one_line_and_comes_back(tmp_path, name):
    line = manifest_line(entry(name))
    assert line.count(b"\n") == 1
    assert json.loads(line.decode("utf-8"))["video"] == name
    append(tmp_path, entry(name), entry("other"))
    assert list(read_manifests(tmp_path)) == [name, "other"]


def test_a_line_that_a_kill_cut_off_costs_no_other(tmp_path):
    """It was cut inside of a letter; the next run appends behind it."""
    append(tmp_path, entry("a"))
    path = manifest_path(tmp_path)
    cut = manifest_line(entry("é"))
    path.write_bytes(path.read_bytes() + cut[: cut.index("é".encode()) + 1])
    append(tmp_path, entry("b"), entry("c"))
    assert list(read_manifests(tmp_path)) == ["a", "b", "c"]
    merge_manifest(tmp_path, [entry("é")])
    assert path.read_bytes() == b"".join(manifest_line(entry(name)) for name in "abcé")


def test_a_full_disk_leaves_the_manifest_as_it_was(tmp_path, monkeypatch):
    append(tmp_path, entry("a"))
    before = manifest_path(tmp_path).read_bytes()
    write = os.write

    def write_some(descriptor, data):
        if len(data) < len(manifest_line(entry("b"))):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:20])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_some)
        with pytest.raises(OSError, match="No space left"):
            append(tmp_path, entry("b"))
    assert manifest_path(tmp_path).read_bytes() == before
    assert list(tmp_path.iterdir()) == [manifest_path(tmp_path)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"status": "maybe"}, "status: expected done or failed"),
        ({"video": 3}, "video: expected str"),
        ({"frames": True}, "frames: expected int"),
        ({"frames": 10**30}, "frames: expected int"),
        ({"jitter": float("nan")}, "jitter: expected float"),
        ({"label": ["a"]}, "label: expected str"),
        ({"no_such_field": 1}, "no_such_field"),
    ],
)
def test_fields_of_other_types_are_named(change, expected):
    with pytest.raises(ValueError, match=expected):
        entry_from_fields({"video": "a", "status": "done"} | change)


@pytest.mark.parametrize(
    "line",
    [
        b"", b"[]", b"null", b"7", b'"a"', b"{", b"\xff\xfe{", b'{"video": "x"}', b"[" * 100000,
        b'{"video": "x", "status": "done", "jitter": NaN}',
        b'{"video": "x", "status": "done", "frames": ' + b"9" * 5000 + b"}",
    ],
)  # fmt: skip
def test_lines_that_cannot_be_read_are_passed_over(tmp_path, line):
    good = manifest_line(entry("a"))
    manifest_path(tmp_path).write_bytes(line + b"\n" + good)
    assert read_manifests(tmp_path) == {"a": entry("a")}


def test_a_merge_keeps_all_clips_in_the_order_of_names(tmp_path):
    append(tmp_path, entry("b", people=1), entry("c"), entry("b", people=2))
    merge_manifest(tmp_path, [entry("a"), entry("c", people=3)])
    merged = [entry("a"), entry("b", people=2), entry("c", people=3)]
    assert manifest_path(tmp_path).read_bytes() == b"".join(map(manifest_line, merged))


def test_manifests_of_parts_are_taken_in_and_other_files_left(tmp_path):
    """Earlier versions wrote one per shard; a copy that a user made is theirs."""
    for name, video in (
        ("manifest-1-of-2.jsonl", "a"),
        ("manifest-2-of-2.jsonl", "b"),
        ("manifest-copy.jsonl", "old"),
    ):
        (tmp_path / name).write_bytes(manifest_line(entry(video)))
    (tmp_path / ".manifest.jsonl.x1y2z3ab.jsonl").touch()  # left by a kill
    merge_manifest(tmp_path, [entry("c")])
    assert list(read_manifests(tmp_path)) == ["a", "b", "c"]
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.jsonl", "manifest-copy.jsonl"}


def test_no_line_is_lost_between_writers(tmp_path):
    """Four writers that append and merge at the same time, through locks of their own."""

    def work(writer):
        for i in range(20):
            append(tmp_path, entry(f"{writer}-{i:02}", people=1))
            if i % 5 == 4:
                merge_manifest(tmp_path, [entry(f"{writer}-{i:02}", people=2)])

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    merge_manifest(tmp_path, [])
    people = {name: line.people for name, line in read_manifests(tmp_path).items()}
    assert people == {f"{w}-{i:02}": 2 if i % 5 == 4 else 1 for w in range(4) for i in range(20)}
    assert list(tmp_path.iterdir()) == [manifest_path(tmp_path)]


def test_the_end_of_a_run_replaces_no_line_that_another_run_wrote_since(tmp_path):
    planned = ManifestEntry("a.mp4", "failed", error="away")
    newer = ManifestEntry("a.mp4", "done", frames=5)
    append_entries(tmp_path, [planned])
    append_entries(tmp_path, [newer])
    merge_manifest(tmp_path, [planned], {"a.mp4": planned})
    assert read_manifests(tmp_path) == {"a.mp4": newer}


def test_lines_of_a_later_version_stay(tmp_path):
    later = b'{"video": "b.mp4", "status": "done", "a_field_of_later": 1}\n'
    (tmp_path / "manifest.jsonl").write_bytes(later)
    merge_manifest(tmp_path, [ManifestEntry("a.mp4", "done")])
    assert later in (tmp_path / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    assert list(read_manifests(tmp_path)) == ["a.mp4"]


def test_a_file_of_the_users_is_not_taken_for_a_manifest(tmp_path):
    for text in ('{"audio_filepath": "a.wav", "text": "a"}\n', '{"video": "a.mp4", "text": "a"}\n'):
        (tmp_path / "manifest.jsonl").write_text(text)
        with pytest.raises(OutputError, match="none of its lines"):
            merge_manifest(tmp_path, [ManifestEntry("a.mp4", "done")])
        assert (tmp_path / "manifest.jsonl").read_text() == text
