"""Hosts, origins, the token and the policy."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner
from starlette.datastructures import Headers

from skelact import SkelactError
from skelact.pipeline.app.security import Access, is_loopback
from skelact.pipeline.app.serve import listening
from skelact.pipeline.cli.main import main

from .running import App, Client

TOKEN = "t0ken-" * 5


@pytest.fixture
def guarded(tmp_path, worker):
    def access(port):
        return Access("127.0.0.1", port, TOKEN)

    with App(tmp_path / "app", worker, access=access) as app:
        yield app


@pytest.mark.parametrize(
    ("listens", "header", "is_own"),
    [
        ("127.0.0.1", "127.0.0.1:8765", True),
        ("127.0.0.1", "LOCALHOST", True),
        ("127.0.0.1", "[::1]:9000", True),  # through a tunnel the port is another
        ("127.0.0.1", "rebound.example", False),
        ("127.0.0.1", "192.168.1.5", False),
        ("127.0.0.1", "localhost.evil.example", False),
        ("127.0.0.1", "evil.example@localhost", False),
        ("127.0.0.1", "localhost/evil.example", False),
        ("127.0.0.1", "", False),
        ("0.0.0.0", "192.168.1.5:8765", True),  # an address is no name that can be rebound
        ("0.0.0.0", "rebound.example", False),
        ("gym.example", "gym.example", True),
    ],
)
def test_hosts(listens, header, is_own):
    assert Access(listens, 8765, TOKEN).is_host(header) == is_own


def test_who_others_can_reach_needs_a_token():
    assert is_loopback("127.0.0.2")
    assert is_loopback("::1")
    assert not is_loopback("0.0.0.0")
    with pytest.raises(ValueError, match="token"):
        Access("0.0.0.0", 1)
    assert TOKEN not in repr(Access("0.0.0.0", 1, TOKEN))


def test_without_the_token_nothing_is_answered(guarded, video):
    ask = guarded.client.ask
    for method, path in (
        ("GET", "/"), ("GET", "/page/jobs.js"), ("GET", "/api/jobs"), ("GET", "/?token=wrong"),
        ("GET", "/api/jobs?token=" + TOKEN), ("PUT", "/api/jobs"), ("GET", "/?token="),
    ):  # fmt: skip
        assert ask(method, path)[0] == 401, path
    status, headers, _ = ask("GET", f"/?token={TOKEN}")
    assert (status, headers["Location"]) == (303, "/")
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    name, _, rest = cookie.partition("=")
    value = rest.split(";")[0]
    for given in ({"Cookie": f"{name}={value}"}, {"Authorization": f"Bearer {TOKEN}"}):
        assert ask("GET", "/api/jobs", headers=given)[0] == 200
    for wrong in (
        {"Cookie": f"{name}=x"}, {"Cookie": f"other={value}"}, {"Authorization": "Bearer "},
        {"Cookie": "\xff=;;;=\xff"}, {"Authorization": TOKEN[:-1]},
    ):  # fmt: skip
        assert ask("GET", "/api/jobs", headers=wrong)[0] == 401, wrong


def test_every_answer_has_the_policy(app):
    for method, path in (("GET", "/"), ("GET", "/none"), ("PUT", "/"), ("GET", "/api/jobs")):
        _, headers, _ = app.client.ask(method, path)
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"
        assert "Server" not in headers
    _, headers, _ = app.client.ask("GET", "/", headers={"Host": "rebound.example"})
    assert "Content-Security-Policy" in headers


def test_pages_from_elsewhere_may_link_and_do_nothing_else(app):
    def status(method, path, **fields):
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        return app.client.ask(method, path, headers=named)[0]

    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert status("GET", "/", **link) == 200
    assert status("POST", "/api/jobs/x/cancel", **link) == 403
    for mode in ("no-cors", "cors"):
        assert (
            status("GET", "/page/jobs.js", Sec_Fetch_Site="same-site", Sec_Fetch_Mode=mode) == 403
        )
    own = f"http://127.0.0.1:{app.client.port}"
    assert status("GET", "/api/jobs", Origin=own) == 200
    assert status("GET", "/api/jobs", Origin=own + "1") == 403
    # Without a port in Host: the origin is another.
    assert status("GET", "/api/jobs", Host="127.0.0.1", Origin=own) == 403


def test_token_of_a_header_that_is_no_text():
    access = Access("127.0.0.1", 1, TOKEN)
    assert not access.knows_token(Headers(raw=[(b"authorization", b"Bearer \xff\xfe")]))


def test_a_port_that_is_taken_is_told(app):
    with pytest.raises(SkelactError, match="--port 0"):
        listening("127.0.0.1", app.client.port)
    with pytest.raises(SkelactError, match="no.such.host.invalid"):
        listening("no.such.host.invalid", 0)


def test_the_command_says_the_address_and_serves(tmp_path):
    """With a token here, and in a process of its own, as users run it."""
    code = "import sys; from skelact.pipeline.cli.main import main; sys.argv[0] = 'skelact'; main()"
    command = [sys.executable, "-c", code, "app", "--port", "0", "--token", "--folder"]
    with subprocess.Popen(
        [*command, tmp_path / "app"], stdout=subprocess.PIPE, text=True
    ) as running:
        try:
            address = running.stdout.readline().split()[1]
            assert address.startswith("http://127.0.0.1:")
            assert "?token=" in address
            port = int(address.split(":")[2].split("/")[0])
            assert Client("127.0.0.1", port).ask("GET", "/" + address.split("/")[-1])[0] == 303
            busy = CliRunner().invoke(main, ["app", "--folder", str(tmp_path / "app")])
            assert busy.exit_code == 1
            assert "used by another app" in busy.output
        finally:
            running.send_signal(signal.SIGINT)
        assert running.wait(20) == 0


def test_a_checkpoint_that_is_not_there_is_told_at_once(tmp_path):
    result = CliRunner().invoke(main, ["app", "--checkpoint", str(tmp_path / "none.json")])
    assert result.exit_code == 1
    assert "none.json" in result.output
