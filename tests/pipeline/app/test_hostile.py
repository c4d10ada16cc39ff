"""Uploads that are meant to do harm: none gets in, none stops the server."""

from __future__ import annotations

import io
import pickle
import socket
import struct
import threading
import time
import wave
import zipfile

import av
import numpy as np
import pytest

from skelact.pipeline.app.connections import ImpatientConnection
from skelact.pipeline.app.uploads import UploadLimits

from .running import App

LIMITS = UploadLimits(max_bytes=1_000_000, silence_seconds=0.4, total_seconds=0.8, max_at_once=3)
MANIFEST = (
    b'<MPD profiles="urn:mpeg:dash:profile:isoff-main:2011"><BaseURL>/etc/passwd</BaseURL></MPD>'
)
CUT = object()


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../x.mp4", b"\0" * 100_000)
    return file.getvalue()


def sound(folder, name, **options):
    """Return a file that holds sound alone."""
    path = folder / name
    with av.open(str(path), "w", **options) as file:
        stream = file.add_stream("aac", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 48_000, 0
        file.mux([*stream.encode(frame), *stream.encode()])
    return path.read_bytes()


def waves():
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, 8000, 0, "NONE", ""))
        writer.writeframes(b"\0" * 1000)
    return file.getvalue()


def contents(video, folder):
    """Return what is no video, though its name says so."""
    whole = video.read_bytes()
    return {
        "empty": b"",
        "text": b"not a video at all\n" * 50,
        "page": b"<!doctype html><script>fetch('/api/jobs',{method:'DELETE'})</script>",
        "picture": b"\x89PNG\r\n\x1a\n" + b"\0" * 500,
        "sound in RIFF": waves(),
        "sound in MP4": sound(folder, "s.mp4"),
        "sound in Matroska": sound(folder, "s.mkv"),
        "archive": zipped(),
        "pickle": pickle.dumps(print),
        "program": b"\x7fELF" + b"\x01" * 1000,
        "playlist of HLS": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "playlist that begins like AVI": b"#EXTM3U\nAVI \n#EXTINF:1,\nfile:///etc/passwd\n",
        "list of FFmpeg": b"ffconcat version 1.0\nfile job.json\n",
        "manifest": MANIFEST,
        "manifest that begins like MP4": b"AAAAftypisom " + MANIFEST,
        "manifest that begins like GIF": b"GIF89a" + MANIFEST,
        "head of MP4": whole[:32],
        "MP4 without its index": whole[: whole.index(b"moov") - 4]
        if whole.index(b"moov") > whole.index(b"mdat")
        else whole[: whole.index(b"moov") + 20],
        "MP4 whose boxes lie": b"\x00\x00\x00\x08ftyp" + b"\xff\xff\xff\xffmoov" + b"\xff" * 2000,
        "Matroska of nothing": b"\x1a\x45\xdf\xa3" + b"\xff" * 2000,
        "AVI of lies": b"RIFF\xff\xff\xff\x7fAVI LIST\xff\xff\xff\x7fhdrl" + b"\xff" * 2000,
        "GIF of 4 gigapixels": b"GIF89a"
        + struct.pack("<HH", 65535, 65535)
        + b"\xf7\0\0"
        + b"\0" * 900,
        "transport stream of noise": (b"\x47" + b"\xa5" * 187) * 40,
        "FLV of nothing": b"FLV\x01\x05\0\0\0\x09\0\0\0\0" + b"\xff" * 500,
    }


def requests(video):
    """Return requests as they go over a socket: parts, seconds of silence, and where it is cut."""
    whole = video.read_bytes()
    num_bytes = len(whole)

    def head(*lines, size=num_bytes, method="PUT", target="/api/jobs?name=a.mp4"):
        length = () if size is None else (f"Content-Length: {size}",)
        fields = "".join(f"{line}\r\n" for line in (*length, *lines))
        host = "" if any(line.startswith("Host:") for line in lines) else "Host: 127.0.0.1\r\n"
        return f"{method} {target} HTTP/1.1\r\n{host}{fields}\r\n".encode("latin-1")

    half = whole[: len(whole) // 2]
    return {
        "a terabyte": [head(size=10**12), half],
        "more than can be counted": [head(size=10**30), half],
        "one byte too many": [head(size=LIMITS.max_bytes + 1), half],
        "a negative size": [head(size=-5), whole],
        "a size in words": [head(size="many"), whole],
        "two sizes": [head(f"Content-Length: {len(whole) + 1}"), whole],
        "no size": [head("Transfer-Encoding: chunked", size=None), b"5\r\nhello\r\n0\r\n\r\n"],
        "chunks and a size": [head("Transfer-Encoding: chunked"), b"5\r\nhello\r\n0\r\n\r\n"],
        "cut in the middle": [head(), half, CUT],
        "cut after the head": [head(), CUT],
        "cut in the head": [head()[:40], CUT],
        "silent in the middle": [head(), half, 1.0],
        "ever slower": [head(), *[b"x", 0.2] * 8],
        "a name of 100 kB": [head(target="/api/jobs?name=" + "a" * 100_000), whole],
        "from a page elsewhere": [head("Origin: http://evil.example"), whole],
        "from a page without an origin": [head("Origin: null"), whole],
        "from another port": [head("Origin: http://127.0.0.1:1"), whole],
        "from elsewhere, said by the browser": [head("Sec-Fetch-Site: cross-site"), whole],
        "to another name": [head("Host: evil.example"), whole],
        "to two names": [head("Host: 127.0.0.1", "Host: evil.example"), whole],
        "to a name with a user": [head("Host: evil.example@127.0.0.1"), whole],
        "a form": [head("Content-Type: multipart/form-data; boundary=x", method="POST"), whole],
        "to a job that is not there": [head(target="/jobs/../../x.mp4"), whole],
        "noise": [bytes(range(256)) * 20],
        "another protocol": [head("Connection: Upgrade", "Upgrade: x", size=0, method="POST")],
    }  # fmt: skip


def send(port, parts):
    """Send a request in parts and return the first line of the answer, empty where none comes."""
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
        try:
            for part in parts:
                if part is CUT:
                    # With a reset in the place of an orderly end.
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    return b""
                if isinstance(part, float):
                    time.sleep(part)
                else:
                    connection.sendall(part)
        except OSError:
            pass  # refused before all was sent
        try:
            return connection.recv(65536).split(b"\r\n")[0]
        except OSError:
            return b""


@pytest.fixture(scope="module")
def target(tmp_path_factory, worker):
    with App(tmp_path_factory.mktemp("hostile") / "app", worker, LIMITS) as app:
        yield app


def is_untouched(app):
    """Return whether there is nothing but the empty store, once what is cut has been noticed."""
    end = time.monotonic() + 10
    while [path.name for path in app.folder.rglob("*") if path.is_file()] != ["skelact-app.lock"]:
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    beside = sorted(path.name for path in app.folder.parent.iterdir())
    return app.client.jobs() == {} and beside == ["app"]


def test_what_is_no_video_does_not_get_in(target, video, tmp_path):
    for what, content in contents(video, tmp_path).items():
        for name in ("a.mp4", "../../x.mp4"):
            status, _, answer = target.client.ask("PUT", f"/api/jobs?name={name}", content)
            assert status == 415, (what, status, answer)
            assert str(target.folder).encode() not in answer, what
    assert is_untouched(target)


def test_requests_that_lie_break_off_or_come_from_elsewhere_do_not_get_in(target, video):
    for what, parts in requests(video).items():
        line = send(target.client.port, parts)
        is_refused = line.startswith(b"HTTP/1.1 4") or (line == b"" and CUT in parts)
        assert is_refused, (what, line)
        assert target.client.ask("GET", "/api/jobs")[0] == 200, what
    assert is_untouched(target)


def test_too_many_at_once_are_told_to_wait(target, video):
    whole = video.read_bytes()
    head = f"PUT /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(whole)}\r\n\r\n"
    lines = []
    threads = [
        threading.Thread(
            target=lambda: lines.append(send(target.client.port, [head.encode(), 1.0]))
        )
        for _ in range(LIMITS.max_at_once + 3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(line.split()[1] for line in lines) == [b"408"] * 3 + [b"503"] * 3
    assert is_untouched(target)


def test_silent_connections_are_closed(target, monkeypatch):
    """As many as the server takes: while they are open all others are told to come again."""
    monkeypatch.setattr(ImpatientConnection, "head_seconds", 0.5)
    silent = [socket.create_connection(("127.0.0.1", target.client.port)) for _ in range(120)]
    try:
        for connection in silent[::2]:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
        end = time.monotonic() + 15
        while target.client.ask("GET", "/api/jobs")[0] != 200:
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        for connection in silent:
            connection.close()


def test_the_server_goes_on_after_all_that(target, video):
    """Two tabs at once, with names that are markup and paths."""
    names = [
        "<script>alert(1)</script>.mp4",
        "../../../etc/cron.d/x",
        "\x00\x1b[2J\u202egpj.exe",
        "",
    ]
    jobs = []
    threads = [
        threading.Thread(
            target=lambda name=name: jobs.append(target.client.upload(name, video.read_bytes()))
        )
        for name in names[:2]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    jobs += [target.client.upload(name, video.read_bytes()) for name in names[2:]]
    for job in jobs:
        target.client.wait(job["id"], "done")
    shown = {job["name"] for job in jobs}
    assert shown == {*names[:2], "\\x00\\x1b[2J\\u202egpj.exe", "clip"}
    inside = {path.name for path in (target.folder / "jobs").iterdir()}
    assert inside == {job["id"] for job in jobs}
    for job in jobs:
        assert target.client.ask("DELETE", f"/api/jobs/{job['id']}")[0] == 204
    assert is_untouched(target)
