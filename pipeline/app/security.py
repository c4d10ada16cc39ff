"""Who may ask the server for what: hosts, origins and a token, looked at in every request."""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))
# RFC 9110, 7.2, without names that no browser sends.
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")
_SAFE_METHODS = frozenset(("GET", "HEAD"))
_COOKIE_PREFIX = "skelact_token_"
# No inline script or style, nothing from elsewhere, no page of others around ours.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # What is deleted is in no browser's cache, either.
    "Cache-Control": "no-store",
}


def is_loopback(host: str) -> bool:
    """Return whether an address to listen at is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes:
        host: The address that the server listens at.
        port: Its port.
        token: What has to be known, None where this machine's users may all ask.
    """

    host: str
    port: int
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.token is None and not is_loopback(self.host):
            raise ValueError(f"host: expected a token for {self.host}, which others can reach")

    @property
    def address(self) -> str:
        """What is opened in a browser."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.host in ("0.0.0.0", "::"):
            host = socket.gethostname()
        query = "" if self.token is None else f"?token={self.token}"
        return f"http://{host}:{self.port}/{query}"

    @property
    def cookie(self) -> str:
        """Name of the cookie that holds the token; ports of a host share their cookies."""
        return f"{_COOKIE_PREFIX}{self.port}"

    def is_host(self, header: str) -> bool:
        """Return whether a Host header is of this server.

        A page from elsewhere whose name is pointed to this machine (DNS rebinding) sends its own
        name. Through a tunnel the port is another.
        """
        given = _HOST.fullmatch(header.lower())
        if given is None:
            return False
        name = given[1].strip("[]")
        if is_loopback(self.host):
            return name in _LOOPBACK_NAMES or name == self.host.lower()
        own = socket.gethostname().lower()
        if name in (self.host.lower(), own, f"{own}.local", *_LOOPBACK_NAMES):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def knows_token(self, headers: Headers) -> bool:
        """Return whether a request shows the token, as a cookie or as ``Authorization: Bearer``."""
        if self.token is None:
            return True
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        cookie = cookie_parser(headers.get("cookie", "")).get(self.cookie, "")
        return self.is_token(bearer) or self.is_token(cookie)

    def is_token(self, text: str) -> bool:
        """Compare in a time that tells nothing."""
        return self.token is not None and hmac.compare_digest(text.encode(), self.token.encode())


class Guard:
    """Answers for an app what it may not be asked, and puts the policy on all answers.

    Args:
        app: The app.
        access: Who may ask.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        answer = self._refusal(scope) or self._app
        await answer(scope, receive, send_with_policy)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._access.is_host(hosts[0]):
            return _refused(HTTPStatus.MISDIRECTED_REQUEST, "no server of that name is here")
        if not _is_own_page(headers, hosts[0], scope["method"]):
            return _refused(HTTPStatus.FORBIDDEN, "a page from elsewhere may not ask this server")
        if self._access.token is None:
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if scope["path"] == "/" and scope["method"] == "GET" and "token" in query:
            if self._access.is_token(query["token"][0]):
                return self._signed_in()
        elif self._access.knows_token(headers):
            return None
        return _refused(
            HTTPStatus.UNAUTHORIZED, "open the address that `skelact app` says, with its token"
        )

    def _signed_in(self) -> Response:
        # The token leaves the address, and with it histories and screenshots.
        answer = RedirectResponse("/", status_code=HTTPStatus.SEE_OTHER)
        token = self._access.token or ""
        answer.set_cookie(self._access.cookie, token, httponly=True, samesite="strict")
        return answer


def _is_own_page(headers: Headers, host: str, method: str) -> bool:
    """Return whether a request comes from a page of this server, or from no page at all."""
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return False
    site = headers.get("sec-fetch-site", "none")
    if site in ("same-origin", "none"):
        return True
    # A link elsewhere may lead here; nothing else there may ask.
    return method in _SAFE_METHODS and headers.get("sec-fetch-mode") == "navigate"


def _refused(status: HTTPStatus, reason: str) -> Response:
    # What is still on its way is not waited for.
    return PlainTextResponse(reason, status_code=status, headers={"Connection": "close"})
