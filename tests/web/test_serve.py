"""`fastcolor serve` over HTTP: who is let in, what is taken, and that nothing brings it down."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import socket
import struct
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from film_clips import clip, frames_of, packets_of, random_net, times_of, two_shots
from page_server import Server, exported, send, serving, settled
from PIL import Image
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount

from fastcolor import colorize
from fastcolor.film.video import video
from fastcolor.options.pictures import ColorizeOptions
from fastcolor.options.project import read_project
from fastcolor.pictures.files import colorize_files
from fastcolor.web.access import MOST_BODY, Access, Guard
from fastcolor.web.app import told_in_words
from fastcolor.web.look import Look
from fastcolor.web.store import Store, plain

PHOTOGRAPH = Path(__file__).parents[2] / "bench" / "demo" / "coffee.jpg"
linux = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving("serve", "--engine", "torch", temporary=tmp_path_factory.mktemp("serve") / "tmp") as found:
        yield found


@pytest.fixture(scope="module")
def client(server: Server) -> httpx.Client:
    return server.client()


@pytest.fixture(autouse=True)
def emptied(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "client" in request.fixturenames:
        client = request.getfixturevalue("client")
        for item in client.get("api/items").json():
            client.delete(f"api/items/{item['id']}")


def gray(width: int = 48, height: int = 32, seed: int = 0) -> bytes:
    data = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8), dtype=np.uint8)
    Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC).save(data, "PNG")
    return data.getvalue()


def png_of(width: int, height: int) -> bytes:
    """A few bytes that say they are so many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


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


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../../etc/passwd.png", "passwd.png"),
        ("..\\..\\boot.png", "boot.png"),
        ("/abs/olute.png", "olute.png"),
        ("a\nb\x00c.png", "abc.png"),
        ("x" * 900 + ".png", "x" * 100 + ".png"),
        ("été – 写真.png", "été – 写真.png"),
        ("???.jpg", "unnamed.jpg"),
        ("\udce9.png", "unnamed.png"),
        (".png", "unnamed.png"),
        (" .a.png. ", "a.png"),
    ],
)
def test_names_are_names(name: str, shown: str) -> None:
    assert plain(name) == shown


def test_what_is_no_picture_is_refused_in_a_sentence(server: Server, client: httpx.Client) -> None:
    bad = {
        "text.jpg": b"this is no picture",
        "bomb.png": png_of(60000, 60000),
        "cut.jpg": PHOTOGRAPH.read_bytes()[:3000],
        "archive.png": _zip(),
    }
    for name, content in bad.items():
        assert send(client, content, f"../../{name}").status_code == 201
    for name, status in {"notes.txt": 422, "page.svg": 422, "noending": 422, "": 422, "empty.png": 422}.items():
        answer = send(client, b"" if name == "empty.png" else b"x", name)
        assert answer.status_code == status and answer.json()["error"], name
    assert client.post("api/items", params={"name": "y" * 2000 + ".png"}, content=b"x").status_code == 422
    items = settled(client, len(bad))
    assert {item["name"]: item["state"] for item in items} == dict.fromkeys(bad, "failed")
    for item in items:
        words = item["words"]
        assert words.startswith(item["name"]) and str(server.temporary) not in words and "\n" not in words, words
    words = {item["name"]: item["words"] for item in items}
    assert "more pixels than the limit" in words["bomb.png"] and "truncated" in words["cut.jpg"]
    outside = [
        path for path in server.temporary.parent.rglob("*") if path.is_file() and path.suffix in (".txt", ".svg")
    ]
    assert not outside and len(list(server.temporary.iterdir())) <= 2  # the work folder, and what torch makes
    with socket.create_connection(("127.0.0.1", int(server.base.split(":")[2].split("/")[0])), 10) as raw:
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        path = "/" + server.base.split("/")[3] + "/api/items?name=huge.png"
        head = f"POST {path} HTTP/1.1\r\nHost: {server.base.split('/')[2]}\r\nCookie: {cookie}\r\n"
        raw.sendall(f"{head}Content-Length: {1 << 50}\r\n\r\nx".encode())
        assert b" 413 " in raw.recv(4000).splitlines()[0]


def _zip() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(1 << 20))
    return data.getvalue()


def test_requests_that_cannot_be(client: httpx.Client) -> None:
    key = send(client, gray()).json()["id"]
    settled(client, 1)
    look = f"api/items/{key}/look"
    for body, words in [
        ({"temperature": 20}, "temperature: must be 0 or lie in 0.001..10, got 20"),
        ({"saturation": -1}, "saturation: must lie in 0..10"),
        ({"detail": 5000}, "detail: must lie in 64..1024"),
        ({"colour": 1}, "colour: extra inputs are not permitted"),
        ({"hints": [{"x": 2, "y": 0, "color": "#ffffff"}]}, "hint 1: x must lie in 0..1"),
        ({"hints": [{"x": 0, "y": 0, "color": "red"}]}, "color must be #rrggbb"),
        ({"hints": [3]}, "hints"),
    ]:
        answer = client.put(look, json=body)
        assert answer.status_code == 422 and words in answer.json()["error"], answer.text
    text = client.put(look, content='{"temperature": NaN}', headers={"content-type": "application/json"})
    assert text.status_code == 422
    assert client.put(look, content=b"x" * (MOST_BODY + 1)).status_code == 413
    endless = client.put(look, content=(b"x" * 65536 for _ in range(MOST_BODY // 65536 + 2)))
    assert endless.status_code >= 400
    for path in (
        "../../etc/passwd",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "static/../app.py",
        "api/items/nothing/after.jpg",
    ):
        assert client.get(path).status_code in (403, 404, 422), path
    assert client.get(f"api/items/{key}/secret.jpg").status_code == 422
    box = {"left": -5, "top": 9999, "right": 1 << 40, "bottom": -3}
    assert client.get(f"api/items/{key}/after/part.jpg", params=box).status_code == 200
    assert client.get(f"api/items/{key}/suggestions", params={"x": 7, "y": 0}).status_code == 422
    for body in ({"ids": []}, {"ids": ["nothing"]}, {"ids": [key], "format": "exe"}, {"ids": [key], "format": "../x"}):
        assert client.post("api/exports", json=body).status_code in (404, 422), body


def test_colours_hints_and_the_commands_own_file(client: httpx.Client, tmp_path: Path) -> None:
    key = send(client, PHOTOGRAPH).json()["id"]
    item = settled(client, 1)[0]
    assert (item["state"], item["width"], item["height"], item["hints"]) == ("ready", 600, 400, True)
    assert item["doubt"] > 1

    def pixels(answer: httpx.Response) -> np.ndarray:
        assert answer.status_code == 200, answer.text
        return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")).astype(int)

    automatic = pixels(client.get(f"api/items/{key}/after.jpg"))
    assert (
        np.ptp(pixels(client.get(f"api/items/{key}/before.jpg")), axis=2).max() < 3 < np.ptp(automatic, axis=2).mean()
    )
    dull = pixels(client.put(f"api/items/{key}/look", json={"saturation": 0.2}))
    assert np.ptp(dull, axis=2).mean() < 0.5 * np.ptp(automatic, axis=2).mean()
    hint = {"x": 0.85, "y": 0.15, "color": "#1040e0", "radius": 0.05}
    hinted = pixels(client.put(f"api/items/{key}/look", json={"hints": [hint]}))
    region = (slice(40, 80), slice(490, 530))
    blue = (hinted - automatic)[region].mean((0, 1))
    assert blue[2] > blue[0] + 15
    assert client.get(f"api/items/{key}/after.jpg").headers["cache-control"] == "no-store"
    suggested = client.get(f"api/items/{key}/suggestions", params={"x": 0.5, "y": 0.9}).json()
    shares = [one["probability"] for one in suggested]
    assert 2 <= len(shares) <= 6 and shares == sorted(shares, reverse=True) and sum(shares) <= 1.001
    part = {"left": 300, "top": 200, "right": 420, "bottom": 290}
    hinted_part = pixels(client.get(f"api/items/{key}/after/part.jpg", params=part))
    gray_part = pixels(client.get(f"api/items/{key}/before/part.jpg", params=part))
    assert hinted_part.shape == gray_part.shape == (90, 120, 3)
    assert np.ptp(gray_part, axis=2).max() < 3 < np.ptp(hinted_part, axis=2).mean()

    assert client.put(f"api/items/{key}/look", json={"saturation": 1.3, "temperature": 0.2}).status_code == 200
    assert np.abs(pixels(client.get(f"api/items/{key}/after/part.jpg", params=part)) - hinted_part).mean() > 1
    made = exported(client, key)
    assert 'filename="coffee.jpg"' in made.headers["content-disposition"]
    ours = tmp_path / "out.jpg"
    colorize_files(
        ColorizeOptions(inputs=(PHOTOGRAPH,), output=str(ours), engine="torch", saturation=1.3, temperature=0.2)
    )
    assert made.content == ours.read_bytes()
    assert exported(client, key, format="png").content[:4] == b"\x89PNG"
    other = send(client, PHOTOGRAPH, "coffee.jpg").json()["id"]
    settled(client, 2)
    last = exported(client, key, other)
    with pytest.raises(AssertionError, match="no such export"):  # of the finished ones the last three are kept
        for _ in range(4):
            told = client.post("api/exports", json={"ids": [key]}).json()
            while client.get(f"api/exports/{told['id']}").json()["state"] == "working":
                time.sleep(0.02)
            kept = client.get(str(last.url))
            assert kept.status_code == 200, kept.text
    with zipfile.ZipFile(io.BytesIO(last.content)) as archive:
        assert archive.namelist() == ["coffee.jpg", "coffee-2.jpg"] and archive.testzip() is None


def test_another_picture_gives_its_colours(client: httpx.Client, tmp_path: Path) -> None:
    gray_one, coloured = Image.open(PHOTOGRAPH).convert("L"), Image.open(PHOTOGRAPH)
    gray_one.save(tmp_path / "gray.png")
    if np.ptp(np.asarray(coloured.convert("RGB")).astype(int), axis=2).mean() < 5:  # the demo's are gray
        lab = colorize(gray_one, engine="torch", saturation=1.5)
        coloured = Image.merge("RGB", lab.split()[::-1])  # of its own lightness, but blue for red
    coloured.resize((300, 200)).save(tmp_path / "coloured.png")
    Image.open(PHOTOGRAPH.with_name("chelsea.jpg")).convert("L").save(tmp_path / "cat.png")
    key = send(client, tmp_path / "gray.png").json()["id"]
    settled(client, 1)
    guide = f"api/items/{key}/guide"
    told = client.post(guide, params={"name": "../coloured.png"}, content=(tmp_path / "coloured.png").read_bytes())
    assert told.status_code == 201 and told.json()["look"]["guide"] == "version"
    assert "guide_file" not in told.text and str(tmp_path) not in told.text
    shown = np.asarray(Image.open(io.BytesIO(client.get(f"api/items/{key}/after.jpg").content))).astype(int)
    wanted = np.asarray(coloured.convert("RGB").resize(gray_one.size)).astype(int)
    hue = (shown - shown.mean(2, keepdims=True)) - (wanted - wanted.mean(2, keepdims=True))
    assert np.abs(hue).mean() < 8
    (tmp_path / "theirs.png").write_bytes(exported(client, key).content)
    options = ColorizeOptions(
        inputs=(tmp_path / "gray.png",), output=str(tmp_path / "ours.png"), engine="torch",
        chroma_from=tmp_path / "coloured.png",
    )  # fmt: skip
    colorize_files(options)
    assert (tmp_path / "ours.png").read_bytes() == (tmp_path / "theirs.png").read_bytes()
    for name, content, words in [
        ("cat.png", (tmp_path / "cat.png").read_bytes(), "gray"),
        ("broken.png", b"no picture", "broken.png"),
        ("notes.txt", b"x", "must be a picture by its ending"),
    ]:
        refused = client.post(guide, params={"name": name}, content=content)
        assert refused.status_code == 422 and words in refused.json()["error"], refused.text
        assert "fastcolor-serve" not in refused.text
    look = {**told.json()["look"], "guide": ""}
    assert client.put(f"api/items/{key}/look", json=look).status_code == 200
    other = send(client, tmp_path / "cat.png").json()["id"]
    settled(client, 2)
    assert client.put(f"api/items/{other}/look", json={"guide": "similar"}).status_code == 422  # none was sent
    similar = client.post(
        f"api/items/{other}/guide", params={"name": "c.png"}, content=(tmp_path / "coloured.png").read_bytes()
    )
    assert similar.status_code == 201 and similar.json()["look"]["guide"] == "similar", similar.text
    assert any("found something alike" in line for line in similar.json()["said"])


def test_what_is_removed_while_it_comes_does_not_come_back(client: httpx.Client) -> None:
    def parts() -> Iterator[bytes]:
        data = gray()
        yield data[:20]
        while not (items := client.get("api/items").json()):
            time.sleep(0.01)
        assert client.delete(f"api/items/{items[0]['id']}").status_code == 204
        yield data[20:]

    with httpx.Client(base_url=client.base_url, cookies=client.cookies) as other:
        answer = other.post("api/items", params={"name": "gone.png"}, content=parts())
    assert answer.status_code == 409 and answer.json()["error"].startswith("gone.png: was removed")
    assert client.get("api/items").json() == []


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


def test_marks_and_their_list(client: httpx.Client) -> None:
    names = ("=cmd.png", "b.png")
    keys = [send(client, gray(seed=seed), name).json()["id"] for seed, name in enumerate(names)]
    settled(client, 2)
    assert client.put(f"api/items/{keys[0]}/mark", json={"mark": "again"}).status_code == 204
    assert client.put(f"api/items/{keys[0]}/mark", json={"mark": "fine"}).status_code == 422
    head, *rows = client.get("api/review.csv").text.splitlines()
    assert head.startswith("folder,name,mark,doubt") and len(rows) == 2
    assert any(row.startswith(",'=cmd.png,again,") for row in rows)
    doubts = [float(row.split(",")[3]) for row in rows]
    assert doubts == sorted(doubts, reverse=True)


def test_eight_clients_at_once_lose_nothing(server: Server, client: httpx.Client) -> None:
    def work(number: int) -> set[str]:
        with httpx.Client(base_url=server.base, cookies=client.cookies, timeout=60) as mine:
            return {send(mine, gray(seed=number), f"{number}-{i}.png").json()["id"] for i in range(4)}

    with client.stream("GET", "api/events") as events, ThreadPoolExecutor(8) as pool:
        lines = events.iter_lines()
        assert next(lines) == "retry: 1000"
        began = time.monotonic()
        sent = set.union(*pool.map(work, range(8)))
        took = time.monotonic() - began
        ready = set()
        for line in lines:
            if line.startswith("data:") and '"state": "ready"' in line:
                ready.add(line.split('"id": "')[1].split('"')[0])
            if ready >= sent:
                break
    assert len(sent) == 32 and took < 30
    assert {item["id"] for item in client.get("api/items").json() if item["state"] == "ready"} == sent


def test_a_film_is_previewed_exported_stopped_and_gone_on_with(client: httpx.Client, tmp_path: Path) -> None:
    # At widths of 128 pixels, and their multiples, x264 gives the same packets for the same frames everywhere.
    src = clip(tmp_path / "old film.mp4", size=(128, 64), frames=60, audio=("aac",), rotation=90)
    keys = [send(client, src).json()["id"], send(client, b"no film at all", "broken.avi").json()["id"]]
    film, broken = settled(client, 2)
    assert film["state"] == "ready" and broken["state"] == "failed" and broken["words"].startswith("broken.avi")
    assert (film["width"], film["height"], film["sound"], film["turns"] % 2) == (64, 128, 1, 1)
    part = client.get(f"api/items/{keys[0]}/preview.mp4", headers={"range": "bytes=0-99"})
    assert part.status_code == 206 and len(part.content) == 100
    shown = [client.get(f"api/items/{keys[0]}/{which}-small.jpg").content for which in ("before", "after")]
    gray, colour = (np.asarray(Image.open(io.BytesIO(one)).convert("RGB")).astype(int) for one in shown)
    assert gray.shape == colour.shape == (128, 64, 3)
    assert np.ptp(gray, axis=2).mean() < 3 < np.ptp(colour, axis=2).mean()
    again = client.post(f"api/items/{keys[0]}/preview", json={"saturation": 0})
    assert again.status_code == 202 and again.json()["look"]["saturation"] == 0
    while client.get("api/items").json()[0]["revision"] == film["revision"]:
        time.sleep(0.05)

    told = client.post("api/exports", json={"ids": keys[:1]}).json()
    while not client.get(f"api/exports/{told['id']}").json()["film"]:
        time.sleep(0.01)
    assert client.get("api/exports").json()[0]["id"] == told["id"]
    assert client.delete(f"api/exports/{told['id']}").status_code == 204
    made = exported(client, keys[0])
    assert "old%20film.mp4" in made.headers["content-disposition"]
    (tmp_path / "out.mp4").write_bytes(made.content)
    video(src, tmp_path / "ours.mp4", engine="torch", saturation=0.0)
    ours, theirs = packets_of(tmp_path / "ours.mp4"), packets_of(tmp_path / "out.mp4")
    assert ours == theirs and theirs[1] == packets_of(src)[1]
    assert times_of(tmp_path / "out.mp4") == times_of(src) and len(times_of(src)) == 60


def test_shots_have_colours_of_their_own(client: httpx.Client, tmp_path: Path) -> None:
    src = two_shots(tmp_path / "two.mp4")
    key = send(client, src).json()["id"]
    (film,) = settled(client, 1)
    assert film["state"] == "ready" and film["look"]["shots"] == []
    told = client.post(f"api/items/{key}/shots")
    assert told.status_code == 200, told.text
    shots = told.json()["look"]["shots"]
    assert [round(shot["start"], 2) for shot in shots] == [0, 0.5] and told.json()["pictures"] == [0.25, 0.75]
    assert client.get(f"api/items/{key}/shots/1.jpg").status_code == 200
    assert client.get(f"api/items/{key}/shots/2.jpg").status_code == 404
    shots[1]["saturation"] = 0
    preview = f"api/items/{key}/preview"
    for wrong in ({"shot": 2}, {"shot": -1}):
        assert client.post(preview, json={"shots": shots, **wrong}).status_code == 422
    assert client.post(preview, json={"shots": [{**shots[0], "end": -1}]}).status_code == 422
    assert client.post(preview, json={"shots": [{**shots[0], "saturation": 99}]}).status_code == 422
    assert client.post(preview, json={"shots": shots, "shot": 1}).status_code == 202
    while client.get("api/items").json()[0]["revision"] == film["revision"]:
        time.sleep(0.05)
    assert client.get("api/items").json()[0]["words"] == ""
    shown = Image.open(io.BytesIO(client.get(f"api/items/{key}/after-small.jpg").content)).convert("RGB")
    assert np.ptp(np.asarray(shown).astype(int), axis=2).mean() < 3
    (tmp_path / "out.mp4").write_bytes(exported(client, key).content)
    frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in frames_of(tmp_path / "out.mp4")]
    colours = [np.ptp(frame, axis=2).mean() for frame in frames]
    assert len(frames) == 24 and min(colours[2:10]) > 3 > max(colours[14:22])
    assert packets_of(tmp_path / "out.mp4")[1] == packets_of(src)[1]


def test_a_shot_has_hints_and_key_frames_of_its_own(client: httpx.Client, tmp_path: Path) -> None:
    key = send(client, two_shots(tmp_path / "two.mp4")).json()["id"]
    (film,) = settled(client, 1)
    assert film["hints"] is True and film["own"]["detail"] == 256
    shots = client.post(f"api/items/{key}/shots").json()["look"]["shots"]
    sent = f"api/items/{key}/key-frames"
    frame = client.get(f"api/items/{key}/frame.png", params={"time": 0.75})
    assert "00-00-00.750.png" in frame.headers["content-disposition"]
    pixels = np.asarray(Image.open(io.BytesIO(frame.content)))
    assert pixels.shape == (64, 96)
    halves = np.stack([pixels // 2] * 3, -1)
    halves[:, :48, 2] += 127
    halves[:, 48:, 0] += 60
    blue = io.BytesIO()
    Image.fromarray(halves).save(blue, "PNG")
    told = {"name": "blue.png", "time": 0.75}
    refused = {
        "gray.png": (frame.content, 0.75),
        "other.png": (PHOTOGRAPH.read_bytes(), 0.75),
        "late.png": (blue.getvalue(), 7),
        "film.mp4": (blue.getvalue(), 0.75),
        "text.png": (b"no picture", 0.75),
    }
    for name, (content, second) in refused.items():
        answer = client.post(sent, params={"name": name, "time": second}, content=content)
        assert answer.status_code == 422 and "key-" not in answer.text and "/" not in answer.json()["error"], (
            answer.text
        )
    picture = client.post(sent, params=told, content=blue.getvalue()).json()["picture"]
    preview = f"api/items/{key}/preview"
    for wrong in ("../source.mp4", "source.mp4", "key-00000000.png", str(tmp_path / "two.mp4")):
        shots[1]["key_frames"] = {"0.75": wrong}
        assert client.post(preview, json={"shots": shots}).status_code == 422
    shots[1]["key_frames"] = {"0.75": picture}
    shots[0]["hints"] = [{"x": 0.5, "y": 0.5, "color": "#c01010", "radius": 0.5, "time": 0.75}]
    assert "must lie in the shot" in client.post(preview, json={"shots": shots}).json()["error"]
    shots[0]["hints"][0]["time"] = 0.1
    assert client.post(preview, json={"shots": shots, "shot": 1}).status_code == 202
    while client.get("api/items").json()[0]["revision"] == film["revision"]:
        time.sleep(0.05)
    (film,) = client.get("api/items").json()
    assert film["words"] == "" and film["shot"] == 1
    near = client.get(f"api/items/{key}/suggestions", params={"x": 0.5, "y": 0.5, "time": 0.75}).json()
    assert len(near) >= 2
    (tmp_path / "out.mp4").write_bytes(exported(client, key).content)
    frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in frames_of(tmp_path / "out.mp4")]
    redder = [[(half[..., 0] - half[..., 2]).mean() for half in (frame[:, :44], frame[:, 52:])] for frame in frames]
    assert all(left > 20 for left, _ in redder[:11])  # as the hint says
    assert all(left < -40 and right > 20 for left, right in redder[13:])  # as the key frame says

    saved = client.get(f"api/items/{key}/project")
    assert "two.zip" in saved.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(saved.content)) as archive:
        assert sorted(archive.namelist()) == ["key-frames/00-00-00.750.png", "two.json"]
        archive.extractall(tmp_path)
    assert read_project(tmp_path / "two.json")[1].key_frames[0].picture == tmp_path / "key-frames/00-00-00.750.png"
    assert client.post(preview, json={"shots": []}).status_code == 202
    opened = client.post(f"api/items/{key}/project", params={"name": "two.zip"}, content=saved.content)
    again = opened.json()["look"]["shots"]
    assert again[1]["key_frames"]["0.75"] != picture and again[0] == shots[0] and opened.status_code == 200
    words = (tmp_path / "two.json").read_bytes()
    outside = io.BytesIO()
    with zipfile.ZipFile(outside, "w") as archive:
        archive.writestr("two.json", words.replace(b"key-frames/", b"../../"))
        archive.writestr("../../00-00-00.750.png", blue.getvalue())
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("two.json", bytes(17 << 20))
    bad = (words, b"{}", b"PK\x03\x04", outside.getvalue(), bomb.getvalue(), saved.content[:-30])
    for content in bad[:3] + bad[4:]:
        answer = client.post(f"api/items/{key}/project", params={"name": "two.zip"}, content=content)
        assert answer.status_code == 422 and "/tmp" not in answer.text, answer.text
    moved = client.post(f"api/items/{key}/project", params={"name": "two.zip"}, content=bad[3])
    assert moved.status_code == 200 and moved.json()["look"]["shots"][1]["key_frames"]["0.75"].startswith("key-")
    assert client.get("api/items").json()[0]["look"] == moved.json()["look"]


@linux
def test_a_work_folder_that_another_server_sweeps_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    make, made = tempfile.mkdtemp, []

    def making(**named: str) -> str:
        made.append(make(**named))
        if len(made) == 1:
            held.enter_context(sweeping := Path(made[0], "lock").open("w"))
            fcntl.flock(sweeping, fcntl.LOCK_EX)
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", making)
    with contextlib.ExitStack() as held:
        store = Store(Look())
        assert len(made) == 2 and str(store.folder) == made[1]
        store.close()


@linux
def test_a_death_leaves_the_server_up_and_light(server: Server, client: httpx.Client) -> None:
    assert "libtorch" not in Path(f"/proc/{server.process.pid}/maps").read_text()
    send(client, gray(), "first.png")
    settled(client, 1)
    before = server.children()  # one paints pictures; others films, where a test has had some
    large = Image.effect_noise((4000, 3000), 80)
    data = io.BytesIO()
    large.save(data, "BMP")
    send(client, data.getvalue(), "large.bmp")
    while client.get("api/items").json()[1]["state"] == "waiting":
        time.sleep(0.01)
    for child in before:
        os.kill(child, signal.SIGKILL)
    items = settled(client, 2)
    assert items[1]["state"] == "failed" and "signal 9" in items[1]["words"]
    send(client, gray(seed=3), "after.png")
    assert settled(client, 3)[2]["state"] == "ready" and not set(before) & set(server.children())


@pytest.mark.usefixtures("one_thread")  # as the server has: bits depend on it
def test_a_folder_of_the_machine_and_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "album"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.png").write_bytes(gray())
    (folder / "deep" / "a.png").write_bytes(gray(seed=1))
    (folder / "notes.txt").write_text("x")
    (folder / "???.png").write_bytes(gray(seed=2))
    strange = folder / os.fsdecode(b"caf\xe9")
    strange.mkdir()
    (strange / "b.png").write_bytes(gray(seed=3))
    (folder / "late.png").write_bytes(gray())
    left = tmp_path / "tmp" / "fastcolor-serve-left"
    left.mkdir(parents=True)
    (left / "lock").touch()
    few = "import fastcolor.web.store as a, fastcolor.web.studio as b; a.MOST_ITEMS = b.MOST_ITEMS = 4; b.QUEUE = 1"
    code = f"{few}; from fastcolor.__main__ import main; main()"
    own = random_net(tmp_path)
    options = ("--folder", folder, "--engine", "torch", "--weights", own)
    server = Server("serve", *options, temporary=tmp_path / "tmp", code=code)
    listening = contextlib.ExitStack()
    try:
        assert not left.exists()
        client = server.client()
        items = settled(client, 4)
        assert [(item["inside"], item["name"], item["state"]) for item in items] == [
            ("", "unnamed.png", "ready"),
            ("", "a.png", "ready"),
            ("caf\ufffd", "b.png", "ready"),
            ("deep", "a.png", "ready"),
        ]
        assert client.get("api/review.csv").status_code == 200
        assert "files of the folder left out: 1; 4 are the most" == client.get("api/about").json()["notes"][0]
        assert str(tmp_path) not in client.get("api/items").text + client.get("api/about").text
        told = client.post("api/exports", json={"ids": [item["id"] for item in items]}).json()
        while client.get(f"api/exports/{told['id']}").json()["state"] == "working":
            time.sleep(0.02)
        made = sorted(path.relative_to(folder).as_posix() for path in (folder / "coloured").rglob("*.png"))
        file = client.get(f"api/exports/{told['id']}/file")
        assert file.status_code == 404 and "written into coloured/" in file.json()["error"]
        names = ["a.png", os.fsdecode(b"caf\xe9") + "/b.png", "deep/a.png", "unnamed.png"]
        assert made == [f"coloured/{name}" for name in names]
        (folder / "coloured" / "a.png").write_bytes(b"worked on by hand")
        for format in (None, None, "tif", "png"):  # what is there stays; what is ours is written anew
            told = client.post("api/exports", json={"ids": [items[1]["id"]], "format": format}).json()
            while client.get(f"api/exports/{told['id']}").json()["state"] == "working":
                time.sleep(0.02)
        made = sorted(path.name for path in (folder / "coloured").glob("a*"))
        assert made == ["a-2.png", "a.png", "a.tif"]
        assert (folder / "coloured" / "a.png").read_bytes() == b"worked on by hand"
        look = f"api/items/{items[3]['id']}/look"
        about = client.get("api/about").json()
        assert about["weights"] == "random.safetensors" and "default" in about["networks"]
        before = client.put(look, json={"saturation": 1}).content
        for wrong in (own, "../default", "eccv16+default", "default.safetensors"):
            refused = client.put(look, json={"weights": wrong})
            assert refused.status_code == 422 and "weights" in refused.json()["error"]
        shown = client.put(look, json={"weights": "default"})
        assert shown.status_code == 200 and shown.content != before
        told = client.post("api/exports", json={"ids": [items[3]["id"]]}).json()
        while client.get(f"api/exports/{told['id']}").json()["state"] == "working":
            time.sleep(0.02)
        ours = tmp_path / "ours.png"
        colorize_files(ColorizeOptions(inputs=(folder / "deep" / "a.png",), output=str(ours), engine="torch"))
        assert (folder / "coloured" / "deep" / "a.png").read_bytes() == ours.read_bytes()
        full = send(client, gray())
        assert full.status_code == 409 and "remove some first" in full.json()["error"]
        for item in items:  # the page may forget them; the files stay
            assert client.delete(f"api/items/{item['id']}").status_code == 204
        assert (folder / "a.png").exists()
        listening.enter_context(client.stream("GET", "api/events"))  # a page stays open
    finally:
        code, said = server.stop()
        listening.close()
    assert code == 0 and "Traceback" not in said
    assert not list((tmp_path / "tmp").glob("fastcolor-serve-*")) and not (folder / "coloured" / ".fastcolor").exists()


def test_a_work_folder_keeps_what_was_said(tmp_path: Path) -> None:
    begin = ["serve", "--engine", "torch", "--weights", random_net(tmp_path), "--work"]
    work, album = tmp_path / "work", tmp_path / "album"
    album.mkdir()
    (album / "mine.png").write_bytes(gray(seed=2))
    two_shots(album / "two.mp4")
    server = Server(*begin, work, "--folder", album, temporary=tmp_path / "tmp")
    try:
        client = server.client()
        key = send(client, gray(), "sent.png").json()["id"]
        items = {item["name"]: item for item in settled(client, 3)}
        look = {"saturation": 0.5, "hints": [{"x": 0.5, "y": 0.5, "color": "#2040c0"}]}
        assert client.put(f"api/items/{key}/look", json=look).status_code == 200
        assert client.put(f"api/items/{items['mine.png']['id']}/mark", json={"mark": "good"}).status_code == 204
        client.post(f"api/items/{items['two.mp4']['id']}/shots")
        said = {item["name"]: (item["id"], item["look"], item["mark"]) for item in client.get("api/items").json()}
        with pytest.raises(OSError, match="another server"):
            Store(Look(), work)
    finally:
        server.process.kill()
        server.stop()
    (work / "0123456789abcdef").mkdir()
    (work / "0123456789abcdef" / "item.json").write_text("{}")
    server = Server(*begin, work, "--folder", album, temporary=tmp_path / "tmp")
    try:
        client = server.client()
        again = settled(client, 3)
        assert {item["name"]: (item["id"], item["look"], item["mark"]) for item in again} == said
        assert all(item["state"] == "ready" for item in again)
        assert "0123456789abcdef" in client.get("api/about").json()["notes"][0]
        film = next(item for item in again if item["kind"] == "film")
        assert client.get(f"api/items/{film['id']}/shots/1.jpg").status_code == 200 and film["pictures"] == [0.25, 0.75]
        began = time.monotonic()
    finally:
        code, words = server.stop()
    assert code == 0 and "Traceback" not in words and time.monotonic() - began < 10
    assert sorted(path.name for path in (work / key).iterdir()) == ["item.json", "source.png"]
    assert not list(work.rglob("*.mp4")) and not list(work.rglob("before*"))
    with pytest.raises(ValueError, match="work: must be empty"):
        Store(Look(), album)
