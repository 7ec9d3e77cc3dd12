"""`fastcolor serve` over HTTP: pictures sent, coloured and exported, and that nothing brings it down."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import struct
import time
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from page_server import Server, exported, gray, send, settled
from PIL import Image

from fastcolor import colorize
from fastcolor.options.pictures import ColorizeOptions
from fastcolor.pictures.files import colorize_files
from fastcolor.web.access import MOST_BODY
from fastcolor.web.store import plain

PHOTOGRAPH = Path(__file__).parents[2] / "bench" / "demo" / "coffee.jpg"
linux = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")


def png_of(width: int, height: int) -> bytes:
    """A few bytes that say they are so many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


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
    sent = told.json()["look"]["guide_file"]  # by name alone
    assert re.fullmatch(r"guide-[0-9a-f]{8}\.png", sent) and "fastcolor-serve" not in told.text
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
    item = f"api/items/{key}"
    for look in ({}, told.json()["look"]):  # without it, and with it again
        assert client.put(f"{item}/look", json=look).status_code == 200
        assert client.get("api/items").json()[0]["look"] == {
            **told.json()["look"],
            "guide": "",
            "guide_file": "",
            **look,
        }
    for name in ("guide-00000000.png", "../source.png", str(tmp_path / "coloured.png")):
        refused = client.put(f"{item}/look", json={"guide": "version", "guide_file": name})
        assert refused.status_code == 422 and "guide_file" in refused.text
    hint = {"x": 0.5, "y": 0.5, "color": "#1040e0"}
    said = json.dumps({"version": 1, "hints": [hint]}).encode()
    opened = client.post(f"{item}/project", params={"name": "a.json"}, content=said).json()["look"]
    assert opened["hints"] == [hint] and opened["guide"] == opened["guide_file"] == ""  # only one of both has a place
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
