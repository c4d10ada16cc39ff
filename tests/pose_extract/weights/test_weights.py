"""The table of weights: looked up, fetched whole, checked; never half a file."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import socket
import threading
import time
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from skelact.pose_extract.common.files import sha256_of
from skelact.pose_extract.weights import download as weights
from skelact.pose_extract.weights.bundle import read_bundle
from skelact.pose_extract.weights.download import (
    choose_detector,
    download,
    fetch_file,
    find_weights,
    locate_weights,
)
from skelact.pose_extract.weights.table import DEFAULT_POSE, WEIGHTS, WeightsError


def onnx_file(content=b"weights" * 1000):
    """Return the bytes of an ONNX file: its version, a graph and an operator set."""
    length = bytes([len(content) % 128 + 128, len(content) // 128])
    return b"\x08\x07" + b"\x3a" + length + content + b"\x42\x02\x10\x0d"


CONTENT = onnx_file()
# How torch.save before version 1.6 begins.
TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." + b"state" * 100
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "net.onnx").write_bytes(CONTENT)
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Keep the user's own folders out of it."""
    monkeypatch.setenv("SKELACT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SKELACT_SHARED", str(tmp_path / "no-shared"))
    monkeypatch.delenv("SKELACT_WEIGHTS", raising=False)


@pytest.fixture
def entry(monkeypatch):
    """A named entry for CONTENT; returns a function that gives it an address."""

    def put(url):
        file = dataclasses.replace(
            WEIGHTS["rtmdet-nano"], filename="net.onnx", sha256=SHA256, url=url
        )
        monkeypatch.setitem(weights.WEIGHTS, "mine", file)

    return put


def test_fetched_once_into_the_cache(server, entry, tmp_path):
    folder, url = server
    entry(f"{url}/net.onnx")
    path = find_weights("mine")
    assert path == tmp_path / "cache" / "weights" / "net.onnx"
    assert path.read_bytes() == CONTENT
    (folder / "net.onnx").unlink()
    assert find_weights("mine") == path


def test_a_folder_of_the_users_comes_before_the_network(entry, tmp_path, monkeypatch):
    entry("http://127.0.0.1:9/net.onnx")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "net.onnx").write_bytes(CONTENT)
    monkeypatch.setenv("SKELACT_WEIGHTS", str(tmp_path / "mine"))
    assert find_weights("mine") == tmp_path / "mine" / "net.onnx"


def test_another_file_is_refused_and_not_kept(server, entry, tmp_path):
    folder, url = server
    (folder / "net.onnx").write_bytes(b"something else")
    entry(f"{url}/net.onnx")
    with pytest.raises(WeightsError, match="expected sha256"):
        find_weights("mine")
    assert not list((tmp_path / "cache").rglob("*.onnx"))


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:9/net.onnx"])
def test_offline_and_missing_says_which_file_goes_where(entry, tmp_path, url):
    entry(url)
    with pytest.raises(WeightsError) as raised:
        find_weights("mine")
    for part in ("net.onnx", SHA256[:16], str(tmp_path / "cache"), "SKELACT_WEIGHTS"):
        assert part in str(raised.value)


def test_a_connection_that_breaks_off_leaves_nothing(tmp_path):
    class Half(QuietHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:100])

    with ThreadingHTTPServer(("127.0.0.1", 0), Half) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        with pytest.raises(WeightsError, match="cannot fetch"):
            download(f"http://127.0.0.1:{running.server_port}/x", tmp_path / "x")
        running.shutdown()
    assert not (tmp_path / "x").exists()


def test_an_archive_gives_its_onnx_file(server):
    folder, url = server
    with zipfile.ZipFile(folder / "yolox_tiny.zip", "w") as archive:
        archive.writestr("deep/end2end.onnx", CONTENT)
        archive.writestr("deploy.json", "{}")
    path = fetch_file(f"{url}/yolox_tiny.zip")
    assert path.name == "yolox_tiny.onnx"
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["yolox_tiny.onnx"]


def test_an_archive_without_one_is_refused(server):
    folder, url = server
    with zipfile.ZipFile(folder / "none.zip", "w") as archive:
        archive.writestr("deploy.json", "{}")
    with pytest.raises(WeightsError, match=r"one \.onnx file inside, got 0"):
        fetch_file(f"{url}/none.zip")


def test_the_hash_in_a_file_name_is_checked(server):
    folder, url = server
    digits = hashlib.sha256(TORCH).hexdigest()[:8]
    (folder / f"net-{digits}_20200101.pth").write_bytes(TORCH)
    (folder / "net-00000000_20200101.pth").write_bytes(TORCH)
    assert fetch_file(f"{url}/net-{digits}_20200101.pth").is_file()
    with pytest.raises(WeightsError, match="expected sha256 00000000"):
        fetch_file(f"{url}/net-00000000_20200101.pth")


def test_two_addresses_with_one_file_name_are_two_files(server):
    folder, url = server
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "net.onnx").write_bytes(onnx_file(name.encode() * 100))
    paths = [fetch_file(f"{url}/{name}/net.onnx?download=1") for name in ("one", "two")]
    expected = [onnx_file(name * 100) for name in (b"one", b"two")]
    assert [path.read_bytes() for path in paths] == expected
    assert [path.name for path in paths] == ["net.onnx", "net.onnx"]
    (folder / "one" / "net.onnx").unlink()
    assert fetch_file(f"{url}/one/net.onnx?download=1") == paths[0]


def test_a_checkpoint_that_an_earlier_version_fetched_is_taken_up(tmp_path):
    name = f"net-{SHA256[:8]}_20200101.pth"
    earlier = tmp_path / "cache" / "weights" / name
    earlier.parent.mkdir(parents=True)
    earlier.write_bytes(CONTENT)
    assert fetch_file(f"http://127.0.0.1:9/{name}") == earlier
    earlier.write_bytes(b"another")
    with pytest.raises(WeightsError, match="cannot fetch"):
        fetch_file(f"http://127.0.0.1:9/{name}")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("page.html", b"x"),  # by its type
        ("page.onnx", b"\n<!DOCTYPE HTML><title>Sign in</title>"),
        ("empty.onnx", b""),
        ("half.pth", b"PK\x03\x04" + b"0" * 100),
        ("xml.onnx", b"<?xml version='1.0'?>\n<!DOCTYPE html><html>Sign in</html>"),
        ("comment.onnx", b"<!-- portal -->\n<html>Sign in</html>"),
        ("mark.onnx", b"\xef\xbb\xbf<!DOCTYPE html><html>Sign in</html>"),
        ("json.onnx", b'{"error": "not found"}'),
        ("text.bin", b"Repository not found"),
        ("pointer.onnx", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n"),
        ("packed.onnx", b"\x1f\x8b\x08\x00" + b"\x00" * 40),
        ("zeros.onnx", b"\x00" * 1000),
        ("part.onnx", CONTENT[:1000]),
        ("none.pth", b"\x00" * 1000),
        ("none.zip", b"\x00" * 1000),
        ("none.safetensors", b"\xff" * 1000),
    ],
)
def test_pages_and_parts_are_not_kept(server, tmp_path, name, content):
    folder, url = server
    (folder / name).write_bytes(content)
    with pytest.raises(WeightsError, match=f"cannot fetch .*{name}: expected a"):
        fetch_file(f"{url}/{name}")
    assert not (tmp_path / "cache").exists()


def test_an_archive_that_is_none_or_unpacks_to_too_much(server, monkeypatch, tmp_path):
    folder, url = server
    (folder / "bad.zip").write_bytes(b"\xff" * 20)
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.onnx", b"0" * 10_000)
    monkeypatch.setattr(weights, "_MAX_BYTES", 9_000)
    for name in ("bad.zip", "bomb.zip"):
        with pytest.raises(WeightsError, match=f"{name}: expected (a zip archive|at most)"):
            fetch_file(f"{url}/{name}")
    (folder / "large.onnx").write_bytes(onnx_file(b"0" * 10_000))
    with pytest.raises(WeightsError, match="expected at most"):
        fetch_file(f"{url}/large.onnx")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/a.onnx", "expected http://HOST/FILE"),
        ("data://,a.onnx", "expected http://HOST/FILE"),
        ("javascript://a.onnx", "expected http://HOST/FILE"),
        ("http:///a.onnx", "expected http://HOST/FILE"),
        ("://a.onnx", "expected http://HOST/FILE"),
        ("http://host:port/a.onnx", "is no address"),
        ("http://[::1/a.onnx", "is no address"),
        ("http://host/", "names no file"),
        ("http://host", "names no file"),
        ("http://host/..", "names no file"),
        ("http://127.0.0.1:9/a b.onnx", "write them as %20"),
        ("http://127.0.0.1:9/a\x1b.onnx", "control characters"),
        ("http://" + "a" * 70 + ".example/a.onnx", "cannot fetch"),
        ("http://127.0.0.1:9/caf\xe9.onnx", "cannot fetch"),
        ("http://127.0.0.1:9/%2e%2e%2f%2e%2e%2fa.onnx", "cannot fetch"),
        ("file:///etc/passwd", "named by its path, without file://"),
        ("file:///dev/zero", "named by its path, without file://"),
        ("http://" + "a" * 70_000 + "/x.onnx", r"aaa\.\.\.aaa.*x.onnx"),
        ("http://127.0.0.1:9/" + "a" * 9000 + ".onnx", r"cannot fetch .*aaa\.\.\.aaa"),
    ],
)
def test_bad_addresses_are_clear_errors(tmp_path, url, message):
    with pytest.raises(WeightsError, match=message) as raised:
        fetch_file(url)
    assert len(str(raised.value)) < 400
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_missing_file_and_an_answer_that_is_no_http(server, tmp_path):
    _, url = server
    with pytest.raises(WeightsError, match="none.onnx: HTTP 404"):
        fetch_file(f"{url}/none.onnx")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-x\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(WeightsError, match="cannot fetch"):
            fetch_file(f"http://127.0.0.1:{listening.getsockname()[1]}/a.onnx")


@pytest.fixture
def answering():
    """Return a function that serves one answer, headers and body, and gives its address."""
    with contextlib.ExitStack() as stack:

        def serve(headers, body, status=200, seconds=0.0):
            class Answer(QuietHandler):
                def do_GET(self):
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    with contextlib.suppress(OSError):
                        for i in range(0, len(body), 100 if seconds else len(body)):
                            self.wfile.write(body[i : i + 100] if seconds else body)
                            time.sleep(seconds)

            running = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Answer))
            threading.Thread(target=running.serve_forever, daemon=True).start()
            stack.callback(running.shutdown)
            return f"http://127.0.0.1:{running.server_port}/net.onnx"

        yield serve


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ({}, 206, "expected HTTP 200, got 206"),
        ({}, 203, "expected HTTP 200, got 203"),
        ({"Content-Encoding": "gzip"}, 200, "got it encoded: gzip"),
        ({"Content-Length": "100"}, 200, "expected 100 bytes, got more"),
        ({"Content-Length": "99999"}, 200, "expected 99999 bytes, got 7009"),
        ({"Content-Length": "-5"}, 200, "expected a length in bytes, got '-5'"),
        ({"Content-Length": "abc"}, 200, "expected a length in bytes, got 'abc'"),
        ({"Content-Length": "9" * 15}, 200, "expected at most 8 GiB"),
        ({"Content-Type": "application/xhtml+xml"}, 200, "got a web page"),
        ({"Location": "ftp://host/a.onnx"}, 302, "leads on to ftp://host/a.onnx"),
        ({"Location": "file:///etc/passwd"}, 302, "cannot fetch"),
    ],
)
def test_answers_that_are_no_whole_file(answering, tmp_path, headers, status, message):
    with pytest.raises(WeightsError, match=message):
        fetch_file(answering(headers, CONTENT, status))
    assert not (tmp_path / "cache").exists()


def test_a_length_that_is_right_or_not_told(answering):
    for headers in ({}, {"Content-Length": str(len(CONTENT)), "Content-Encoding": "identity"}):
        assert fetch_file(answering(headers, CONTENT)).read_bytes() == CONTENT


def test_what_comes_too_slowly_is_given_up(answering, monkeypatch):
    monkeypatch.setattr(weights, "_RATE_SECONDS", 0.3)
    monkeypatch.setattr(weights, "_MIN_BYTES_PER_SECOND", 10_000)
    with pytest.raises(WeightsError, match=r"comes too slowly: \d+ bytes per second"):
        fetch_file(answering({}, CONTENT, seconds=0.1))


def test_a_password_in_an_address_is_not_printed():
    with pytest.raises(WeightsError, match=r"cannot fetch http://\.\.\.@127") as raised:
        fetch_file("http://me:secret@127.0.0.1:9/a.onnx")
    assert "secret" not in str(raised.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(WeightsError, match="known: rtmdet-nano"):
        find_weights("rtmdet-mini")


def test_the_best_detector_that_is_here_is_chosen(tmp_path, caplog):
    assert choose_detector() == "skelact-detector-320"
    (tmp_path / "no-shared" / "weights").mkdir(parents=True)
    (tmp_path / "no-shared" / "weights" / WEIGHTS["rtmdet-nano"].filename).touch()
    assert choose_detector() == "rtmdet-nano"
    # `skelact doctor` says which one is taken; no run does.
    assert not caplog.text


def test_our_own_networks_ship_whole_small_and_with_their_cards():
    ours = [file for file in WEIGHTS.values() if file.name.startswith("skelact-")]
    assert {file.kind for file in ours} == {"detector", "pose"}
    assert DEFAULT_POSE in WEIGHTS
    paths = [locate_weights(file.name) for file in ours]
    assert sum(path.stat().st_size for path in paths) < 8e6
    for path, file in zip(paths, ours):
        assert read_bundle(path, file.kind).figures
        assert path.with_suffix(".md").is_file()


@pytest.mark.parametrize("name", list(WEIGHTS))
def test_the_table_tells_the_truth_about_the_files(shared, name):
    file = WEIGHTS[name]
    given = shared / "weights" / file.filename
    path = given if given.is_file() else locate_weights(name)
    if path is None:
        pytest.skip(f"{given} is not there")
    assert (path.stat().st_size, sha256_of(path)) == (file.num_bytes, file.sha256)
