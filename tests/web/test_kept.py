"""What comes from outside into the work folder: projects, names, records, links; without a server."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import time
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from PIL import Image

from fastcolor.film.resume import Parts
from fastcolor.options import project
from fastcolor.options.references import reference_of
from fastcolor.options.serve import ServeOptions
from fastcolor.web import kept, projects, store
from fastcolor.web.app import PreviewBody
from fastcolor.web.look import Look
from fastcolor.web.sent import _place_of
from fastcolor.web.store import Item, Store, TooLargeError, TooManyError, plain
from fastcolor.web.studio import Studio

KEY = "key-00000003.png"


@pytest.fixture
def film(tmp_path: Path) -> Item:
    folder = tmp_path / "0123456789abcdef"
    folder.mkdir()
    return Item("0123456789abcdef", "film.mp4", folder / "source.mp4", folder, "film")


def picture_of(color: str) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(data, "PNG")
    return data.getvalue()


def shot(start: float, **more: Any) -> dict[str, Any]:
    return {"start": start, "end": start + 1, **more}


def packed(item: Item, shots: list[dict[str, Any]], method: int = zipfile.ZIP_STORED) -> Path:
    path = item.folder / "said"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("film.json", json.dumps({"version": 1, "shots": shots}))
        archive.writestr("a.png", picture_of("red"))
    return path


def test_a_picture_is_unpacked_once_however_often_it_is_named(film: Item) -> None:
    shots = [shot(number, key_frames={str(number): "a.png", f"{number}.5": "./a.png"}) for number in range(40)]
    look = projects.read_project(packed(film, shots), film)
    assert len({name for one in look.shots for name in one["key_frames"].values()}) == 1
    assert len(list(film.folder.glob("key-*"))) == 1
    many = [shot(0, key_frames={f"0.{number:03}": "a.png" for number in range(501)})]
    with pytest.raises(ValueError, match="must have 500 key frames and references at most, got 501"):
        projects.read_project(packed(film, many), film)
    assert len(list(film.folder.glob("key-*"))) == 1  # nothing is left of what was refused


def test_no_more_is_opened_than_the_page_can_send_back(film: Item) -> None:
    hint = {"x": 0.5, "y": 0.5, "color": "#ff0000"}
    full = shot(0, hints=[hint] * 500, references=["a.png"] * 20)
    look = projects.read_project(packed(film, [full]), film)
    PreviewBody(**look.told())
    kept_names = {one.name for one in film.folder.glob("reference-*")}
    for name, value in (("hints", hint), ("references", "a.png")):
        most = len(full[name])
        with pytest.raises(ValueError, match=f"project: shot 1: {name} must be {most} at most, got {most + 1}"):
            projects.read_project(packed(film, [{**full, name: [value] * (most + 1)}]), film)
    assert {one.name for one in film.folder.glob("reference-*")} == kept_names


def test_pictures_of_a_project_that_is_refused_do_not_stay(film: Item) -> None:
    film.state, film.look = "ready", Look(weights="eccv16")  # which was here when it was chosen
    content = packed(film, [shot(0, references=["a.png", "0.5=a.png"], key_frames={"0": "a.png"})]).read_bytes()
    (film.folder / "said").unlink()

    async def parts() -> AsyncIterator[bytes]:
        yield content

    studio = Studio(ServeOptions())
    try:
        with pytest.raises(ValueError, match="weights: must be empty or one of"):
            asyncio.run(studio.sent.project(film, "a.zip", parts(), None))
    finally:
        studio.store.close()
    assert list(film.folder.iterdir()) == [] and film.look == Look(weights="eccv16")


@pytest.mark.parametrize(("kind", "state"), [("picture", "ready"), ("film", "waiting")])
def test_key_frames_are_taken_of_films_that_are_ready(
    film: Item, kind: Literal["picture", "film"], state: Literal["ready", "waiting"]
) -> None:
    film.kind, film.state = kind, state

    async def parts() -> AsyncIterator[bytes]:
        yield b""

    studio = Studio(ServeOptions())
    try:
        with pytest.raises(ValueError, match="is no film that is ready"):
            asyncio.run(studio.sent.key_frame(film, "a.png", 0.0, parts(), None))
    finally:
        studio.store.close()


@pytest.mark.parametrize("removed", [False, True])
def test_a_network_that_is_slow_to_load_takes_back_nothing_that_was_said_since(
    film: Item, removed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    film.state, shown, told = "ready", [], []

    async def previewed(item: Item, look: Look, shot: int | None) -> None:
        shown.append(look.saturation)
        item.look = look

    async def work() -> None:
        loaded: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        studio = Studio(ServeOptions())
        monkeypatch.setattr(studio, "networks", lambda: ["eccv16"])
        monkeypatch.setattr(studio.films, "preview", previewed)
        monkeypatch.setattr(studio.events, "tell", lambda name, /, **_: told.append(name))
        studio.store.items[film.id] = film
        monkeypatch.setattr(studio.painter, "submit", lambda *_, **__: SimpleNamespace(done=loaded))
        try:
            for saturation in (1.0, 0.5):
                studio.preview(film, Look(weights="eccv16", saturation=saturation), None)
                await asyncio.sleep(0.01)
            if removed:
                studio.remove(film)
            loaded.set_result({"hints": False})
            await asyncio.gather(*studio._tasks)
        finally:
            studio.store.close()

    asyncio.run(work())
    assert film.look.saturation == shown[-1] == 0.5 and film.facts["hints"] is False
    assert told[-1] == ("removed" if removed else "item")  # a card would come back


def test_pictures_that_were_replaced_take_no_place(film: Item) -> None:
    for number in range(projects.MOST_SENT):
        (film.folder / f"key-{number:08x}.png").touch()
    assert _place_of("reference", film, "a.png")[1] == "a.png"
    film.look = Look(shots=[shot(number, references=[f"reference-{number:08x}.png"]) for number in range(500)])
    with pytest.raises(TooManyError, match=r"a\.png: 500 key frames and references of a film are the most"):
        _place_of("reference", film, "a.png")


@pytest.mark.parametrize("weight", [0.9999999, 1e-7, 1 / 3, 0.5, 1.0])
def test_a_weight_is_written_as_it_is_read(weight: float) -> None:
    assert reference_of(projects._weighted("a.png", weight)).weight == weight


def test_an_archive_that_the_disk_has_no_room_for(film: Item, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(film, [shot(0)])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=store.SPARE + 10))
    with pytest.raises(ValueError, match="must unpack to the 10 bytes that the disk has room for, got"):
        projects.read_project(path, film)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_archive_is_told_in_a_sentence(film: Item, method: int) -> None:
    path = packed(film, [shot(0, key_frames={"0": "a.png"})], method)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        begin = archive.infolist()[0].header_offset + 30 + len("film.json")
    data[begin + 8 : begin + 40] = bytes(32)
    path.write_bytes(data)
    with pytest.raises(ValueError, match="project: "):
        projects.read_project(path, film)


def test_times_are_written_in_one_way_and_saved_again(film: Item) -> None:
    times = {"0:02.5": "a.png", "2.5004": "a.png", "2.0": "a.png"}
    film.look = projects.read_project(packed(film, [shot(2, key_frames=times)]), film)
    assert sorted(film.look.shots[0]["key_frames"]) == ["2", "2.5", "2.5004"]
    other = film.folder / "key-00000000.png"
    other.write_bytes(picture_of("blue"))
    film.look.shots[0]["key_frames"]["2.5004"] = other.name
    name, path = projects.save_project(film)
    again = projects.read_project(path, film).shots[0]["key_frames"]
    kinds = {time: Image.open(film.folder / file).getpixel((0, 0)) for time, file in again.items()}
    assert kinds == {"2": (255, 0, 0), "2.5": (255, 0, 0), "2.5004": (0, 0, 255)} and name == "film.zip"
    with pytest.raises(ValueError, match="shot 1 must have one key frame at a time, got 2, 0:02"):
        projects.read_project(packed(film, [shot(2, key_frames={"2": "a.png", "0:02": "a.png"})]), film)


def test_references_are_saved_and_read_again_with_their_weights(film: Item) -> None:
    told = [shot(0, references=["a.png", "0.25=./a.png"]), shot(1, references=["a.png"], key_frames={"1": "a.png"})]
    film.look = projects.read_project(packed(film, told), film)
    first, second = film.look.shots
    assert first["references"] == [second["references"][0], f"0.25={second['references'][0]}"]
    assert second["key_frames"]["1"] != second["references"][0]
    assert sorted(path.name[:4] for path in film.folder.glob("*-*")) == ["key-", "refe"]
    _, path = projects.save_project(film)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(film.folder / "out")
    given = [shot.references for shot in project.read_project(film.folder / "out" / "film.json")]
    assert [[one.weight for one in shot] for shot in given] == [[1, 0.25], [1]]
    assert all(one.picture.read_bytes() == picture_of("red") for shot in given for one in shot)
    again = projects.read_project(path, film).shots
    assert again[0]["references"][1] == f"0.25={again[0]['references'][0]}" != first["references"][1]
    for references, words in [
        (["b.png"], "shot 1: references must name pictures in the archive, got 'b.png'"),
        (["2=a.png"], "weight must be above 0 and at most 1"),
        ("a.png", "must have a list of references"),
        ([3], "references must name pictures in the archive, got 3"),
    ]:
        with pytest.raises(ValueError, match=words):
            projects.read_project(packed(film, [shot(0, references=references)]), film)
    (film.folder / "said").write_text(json.dumps({"version": 1, "shots": [shot(0, references=["a.png"])]}))
    with pytest.raises(ValueError, match=r"shot 1: references must come in one \.zip with it"):
        projects.read_project(film.folder / "said", film)


def test_an_object_of_many_names_takes_no_time(film: Item) -> None:
    path = film.folder / "said"
    path.write_text("{" + ", ".join(f'"{number}": 0' for number in range(100_000)) + ', "99999": 1}')
    began = time.process_time()
    with pytest.raises(ValueError, match="99999 stands twice in one object"):
        projects.read_project(path, film)
    assert time.process_time() - began < 10


def test_hints_of_a_picture_have_no_time(tmp_path: Path) -> None:
    told = {"x": 0.5, "y": 0.5, "color": "#ff0000"}
    Look(hints=[told]).check(tmp_path)
    with pytest.raises(ValueError, match="time is of films alone, hint 1 has 3"):
        Look(hints=[{**told, "time": 3.0}]).check(tmp_path)
    (tmp_path / "a.png").write_bytes(picture_of("red"))
    for wrong in (str(tmp_path / "a.png"), "a.png", "0.5=a.png", "reference-01234567.png", "../a.png", 3):
        with pytest.raises(ValueError, match="shot 1: references must name pictures that were sent"):
            Look(shots=[shot(0, references=[wrong])]).check(tmp_path)


@pytest.mark.parametrize("letter", ["é", "写", "😀"])
def test_a_long_name_fits_wherever_names_fit(tmp_path: Path, letter: str) -> None:
    name = plain(f"{120 * letter}.png")
    (tmp_path / name).write_bytes(b"")
    assert name.startswith(10 * letter) and name.endswith(".png") and len(os.fsencode(name)) <= 200


def test_an_upload_of_unknown_length_leaves_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield bytes(10)

    here = Store(Look(), tmp_path / "work")
    try:
        for free in (store.SPARE + 25, store.SPARE - 25):
            monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
            with pytest.raises(TooLargeError, match=r"a\.png: does not fit on the disk"):
                asyncio.run(here.write(here.folder / f"{free}.png", "a.png", parts(), None, 1000))
    finally:
        here.close()


def test_a_link_in_place_of_a_lock_costs_nothing(tmp_path: Path) -> None:
    """An album or a film's unfinished output may come from somebody else, with links in it."""
    mine = tmp_path / "mine.txt"
    mine.write_text("dear diary")
    work, unfinished = tmp_path / "work", tmp_path / "c.mkv.part"
    Store(Look(), work).close()
    for folder in (work, unfinished):
        folder.mkdir(exist_ok=True)
        (folder / "lock").symlink_to(mine)
    (work / "fastcolor-serve.json").write_text("{}")
    Store(Look(), work).close()
    Parts(tmp_path / "c.mkv", {}, resume=True, overwrite=False).close()
    assert mine.read_text() == "dear diary"


def recorded(work: Path, **more: Any) -> Path:
    """A work folder with one picture, of whose record something is replaced."""
    here = Store(Look(), work)
    item = here.add("a.png")
    item.source.write_bytes(picture_of("gray"))
    item.look = Look(saturation=0.5)
    here.keep(item)
    here.close()
    path = work / item.id / "item.json"
    told = json.loads(path.read_text())
    told["look"] |= more.pop("look", {})
    path.write_text(json.dumps({**told, **more}))
    return path


@pytest.mark.parametrize(
    "more",
    [{"pictures": [float("nan")]}, {"inside": "\ud800"}, {"name": 3}, {"look": {"weights": 3}}, {"source": "../a.png"}],
)
def test_a_record_that_no_page_could_be_told_is_left_alone(tmp_path: Path, more: dict[str, Any]) -> None:
    path = recorded(tmp_path / "work", **more)
    notes: list[str] = []
    assert list(kept.records(tmp_path / "work", notes)) == [] and "left alone" in notes[0] and path.exists()


def test_coloured_pictures_that_were_replaced_do_not_stay(tmp_path: Path) -> None:
    path = recorded(
        tmp_path / "work", look={"guide_file": "guide-00000001.png", "shots": [shot(0, key_frames={"0": KEY})]}
    )
    named, replaced = {"guide-00000001.png", KEY}, {"guide-00000002.jpg", "key-00000004.png"}
    for name in named | replaced:
        (path.parent / name).write_bytes(b"a picture")
    Store(Look(), tmp_path / "work").close()
    assert {one.name for one in path.parent.iterdir()} == {"item.json", "source.png", *named}
    for name in replaced:
        (path.parent / name).write_bytes(b"a picture")
    path.write_text("no record, until somebody mends it")
    Store(Look(), tmp_path / "work").close()
    assert {one.name for one in path.parent.iterdir()} == {"item.json", "source.png", *named, *replaced}


def test_links_in_a_work_folder_are_not_followed(tmp_path: Path) -> None:
    mine = tmp_path / "mine.png"
    mine.write_bytes(picture_of("red"))
    item = recorded(tmp_path / "theirs").parent
    work = tmp_path / "work"
    held = recorded(work).parent
    (work / ("f" * 16)).symlink_to(item, target_is_directory=True)
    (held / "source.png").unlink()
    (held / "source.png").symlink_to(mine)
    notes: list[str] = []
    here = Store(Look(), work)
    try:
        assert here.earlier(notes) == [] and len(notes) == 2 and all("a link" in note for note in notes)
    finally:
        here.close()
    assert (
        (item / "source.png").exists()
        and mine.exists()
        and sorted(path.name for path in held.iterdir()) == ["item.json", "source.png"]
    )


def test_a_record_names_no_file_and_no_download_as_its_network(tmp_path: Path) -> None:
    for number, weights in enumerate([str(tmp_path / "evil.engine"), "eccv16", "default"]):
        work = tmp_path / str(number)
        recorded(work, look={"weights": weights})
        studio = Studio(ServeOptions(work=work))
        try:
            (record,) = map(studio._by_what_is_here, studio.store.earlier(studio.notes))
            told = [] if weights == "default" else [f"a.png: the network {weights} is not here any more"]
            assert record.look == Look(saturation=0.5) and studio.notes == told
        finally:
            studio.store.close()
