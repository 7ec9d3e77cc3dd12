"""`fastcolor serve` on folders of the machine: one that is shown, and one that stays for the next server."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path

import pytest
from film_clips import random_net, two_shots
from page_server import Server, gray, send, settled

from fastcolor.options.pictures import ColorizeOptions
from fastcolor.pictures.files import colorize_files
from fastcolor.web.look import Look
from fastcolor.web.store import Store

linux = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")


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
