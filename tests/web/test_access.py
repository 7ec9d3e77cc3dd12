"""Who is let in by `fastcolor serve`, and how a fault is told."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from page_server import Server
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount

from fastcolor.web.access import Access, Guard
from fastcolor.web.app import told_in_words


def test_only_who_has_the_address_is_let_in(server: Server, client: httpx.Client) -> None:
    port = server.base.split(":")[2].split("/")[0]
    root = f"http://127.0.0.1:{port}"
    assert client.get("api/items", headers={"origin": root}).status_code == 200
    assert client.get("api/items", headers={"host": f"localhost:{port}"}).status_code == 200
    refused = {
        "another site's name for 127.0.0.1": ("GET", "api/items", {"host": f"evil.example:{port}"}),
        "another port": ("GET", "api/items", {"host": "127.0.0.1:1"}),
        "a page of another site": ("POST", "api/exports", {"origin": "https://evil.example"}),
        "a page of another port": ("POST", "api/exports", {"origin": "http://127.0.0.1:1"}),
        "a page without an origin": ("POST", "api/exports", {"origin": "null"}),
        "an image in another page": ("GET", "api/items", {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}),
        "a frame in another page": ("GET", "page.css", {"sec-fetch-site": "cross-site"}),
    }
    for name, (method, path, headers) in refused.items():
        answer = client.request(method, path, headers=headers)
        assert answer.status_code in (403, 421), (name, answer.text)
    with httpx.Client() as stranger:
        for path in ("", "page.css", "main.js", "api/items", "api/events", "openapi.json", "?token=wrong", "?token="):
            answer = stranger.get(server.base + path)
            assert answer.status_code == 403 and "set-cookie" not in answer.headers, path
        assert stranger.get(root + "/").status_code == 403
        assert stranger.get(server.base + "api/items", headers={"cookie": "fastcolor=x"}).status_code == 403
        assert stranger.get(server.base + "api/items?token=" + server.address.split("=")[1]).status_code == 403
        assert stranger.get(root + "/?token=" + server.address.split("=")[1]).status_code == 403
    assert client.get(f"{root}/{'x' * 12}/api/items").status_code == 403


def test_the_cookie_and_the_headers(server: Server, client: httpx.Client) -> None:
    entering = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}  # a link in a terminal that is a page
    answer = httpx.get(server.address, headers=entering)
    cookie = answer.headers["set-cookie"]
    path = "/" + server.base.split("/")[3] + "/"
    assert answer.status_code == 200 and "fastcolor" in answer.text
    assert {"HttpOnly", "SameSite=Strict", f"Path={path}"} <= {part.strip() for part in cookie.split(";")}
    for answer in (client.get(""), client.get("main.js"), client.get("api/items"), client.get("nothing")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "http" not in policy and "*" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers
    told = client.get("openapi.json")
    assert told.status_code == 200 and "/api/items" in told.json()["paths"]
    assert client.get("docs").status_code == client.get("redoc").status_code == 404


def asked_of(app: Any, base: str, method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    """An application's own answer, without a server."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("port", "host", "origin", "status"),
    [
        (80, "127.0.0.1", "http://127.0.0.1", 200),  # browsers leave the usual port out
        (80, "localhost:80", "http://localhost", 200),
        (80, "localhost", "http://evil.example", 403),
        (8000, "127.0.0.1", None, 421),
        (8000, "127.0.0.1:8000", "http://127.0.0.1", 403),
    ],
)
def test_the_usual_port_has_no_number(port: int, host: str, origin: str | None, status: int) -> None:
    access = Access(port)
    guarded = Guard(Starlette(routes=[Mount("/", Response("in"))]), access, None)
    headers = {"host": host, "cookie": f"fastcolor={access.cookie}", **({"origin": origin} if origin else {})}
    assert asked_of(guarded, f"http://{host}", "GET", access.path + "/", headers).status_code == status


def test_a_ticket_works_once() -> None:
    access = Access(8000)
    ticket = access.ticket().split("=")[1]
    assert access.admits(ticket) and not access.admits(ticket) and access.admits(access.token)
    assert not access.admits("") and not access.knows("a=b; fastcolor") and access.knows(f"fastcolor={access.cookie}")


def test_it_listens_on_the_loopback_alone(server: Server) -> None:
    port = int(server.base.split(":")[2].split("/")[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; tells our own address
            own = probe.getsockname()[0]
        except OSError:
            pytest.skip("no address but the loopback")
    with pytest.raises(OSError):
        socket.create_connection((own, port), 2).close()


def test_a_fault_is_told_as_one() -> None:
    app = FastAPI()
    told_in_words(app)

    @app.get("/bug")
    async def bug() -> None:
        raise KeyError("secret")

    asked = [("GET", "/bug"), ("GET", "/nothing"), ("POST", "/bug")]
    answers = [asked_of(app, "http://localhost", method, path) for method, path in asked]
    assert [answer.status_code for answer in answers] == [500, 404, 405]
    assert all(list(answer.json()) == ["error"] and "secret" not in answer.text for answer in answers)
