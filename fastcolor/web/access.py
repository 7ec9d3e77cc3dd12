"""Who may ask the server: the browser that came with the address, from this page, and nobody else.

The server listens on the loopback, which all users of a machine and every page in their browsers reach. So an address
has a part of the path that nobody else knows, and a token, for which the browser gets a cookie. A cookie belongs to a
host and not to a port, hence the path: servers of other users on 127.0.0.1 are never sent it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import MutableMapping
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BODY = 4 << 20  # bytes of any request but an upload
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Access:
    """The secrets of one server.

    Example:
        >>> Access(8000).address.startswith("http://127.0.0.1:8000/")
        True
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.path = "/" + secrets.token_urlsafe(9)
        self.token, self.cookie = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        names = ("127.0.0.1", "localhost")
        self.hosts = tuple(f"{name}:{port}" for name in names) + (names if port == 80 else ())
        self._tickets: set[str] = set()

    @property
    def address(self) -> str:
        """For the person who started the server."""
        return self._with(self.token)

    def ticket(self) -> str:
        """An address that works once: a browser that is started with it shows it to all who list processes."""
        ticket = secrets.token_urlsafe(24)
        self._tickets.add(ticket)
        return self._with(ticket)

    def _with(self, token: str) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}/?token={token}"

    def admits(self, token: str) -> bool:
        """Whether a token is ours; a ticket's is so once."""
        if secrets.compare_digest(token.encode(), self.token.encode()):
            return True
        known = token in self._tickets
        self._tickets.discard(token)
        return known

    def knows(self, cookies: str) -> bool:
        """Whether a Cookie header has ours."""
        jar: SimpleCookie = SimpleCookie()
        try:
            jar.load(cookies)
        except Exception:  # what others wrote there
            return False
        found = jar.get("fastcolor")
        return found is not None and secrets.compare_digest(found.value.encode(), self.cookie.encode())


class Guard:
    """Stands before an application: refuses what does not come from our own page, and caps what is not an upload.

    Args:
        application: that it guards. access: the secrets. uploads: fits paths below ours whose bodies may be long.
    """

    def __init__(self, application: ASGIApp, access: Access, uploads: re.Pattern[str] | None) -> None:
        self._application, self._access, self._uploads = application, access, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._application(scope, receive, send)
        if scope["type"] != "http":
            return None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refusal(scope, headers)
        if refused is not None:
            return await _say(send, *refused)
        inside = scope["path"].removeprefix(self._access.path)
        if self._uploads is None or not self._uploads.fullmatch(inside):
            length = headers.get("content-length", "0")
            if not length.isdigit() or int(length) > MOST_BODY:
                return await _say(send, 413, f"a request may have {MOST_BODY:,} bytes")
            receive = _capped(receive)
        scope = {**scope, "path": inside, "raw_path": inside.encode(), "root_path": ""}
        fresh = self._token(scope) != ""

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
                if fresh:
                    message["headers"].append((b"set-cookie", self._cookie().encode()))
            await send(message)

        await self._application(scope, receive, send_on)

    def _refusal(self, scope: MutableMapping[str, Any], headers: dict[str, str]) -> tuple[int, str] | None:
        """Status and words for what is not let in."""
        access = self._access
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in access.hosts:
            return 421, f"this server answers to http://{access.hosts[0]} alone"
        if origin is not None and origin not in {f"http://{host}", f"http://{host.removesuffix(':80')}"}:
            return 403, "requests of other pages are refused"
        entering = scope["method"] == "GET" and scope["path"] == access.path + "/"
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not (
            entering and headers.get("sec-fetch-mode") == "navigate"
        ):
            return 403, "requests of other pages are refused"
        if not scope["path"].startswith(access.path + "/"):
            return 403, "open the address that fastcolor printed"
        if access.knows(headers.get("cookie", "")):
            return None
        token = self._token(scope) if entering else ""
        if token and access.admits(token):
            return None
        return 403, "open the address that fastcolor printed; it ends in ?token=..."

    def _token(self, scope: MutableMapping[str, Any]) -> str:
        return parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]

    def _cookie(self) -> str:
        return f"fastcolor={self._access.cookie}; HttpOnly; SameSite=Strict; Path={self._access.path}/"


def _capped(receive: Receive) -> Receive:
    taken = 0

    async def receive_some() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        return {"type": "http.disconnect"} if taken > MOST_BODY else message

    return receive_some


async def _say(send: Send, status: int, words: str) -> None:
    body = (words + "\n").encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *_HEADERS]})
    await send({"type": "http.response.body", "body": body})
