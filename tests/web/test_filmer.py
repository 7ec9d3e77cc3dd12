"""Whole films on the page: an export that was cancelled, and what comes after it."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from film_clips import clip, frames_of, plane, two_shots
from PIL import Image

from fastcolor.film import resume
from fastcolor.film.probe import probe
from fastcolor.film.told import Told
from fastcolor.options.look import Look as LookOptions
from fastcolor.web.filmer import Filmer
from fastcolor.web.films import Films
from fastcolor.web.lane import CancelledWorkError
from fastcolor.web.look import Look
from fastcolor.web.process import DiedError, Process
from fastcolor.web.store import Item


class Cancelled(Exception):
    """Somebody called it off."""


def test_a_cancelled_export_hinders_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "FRAMES", 8)
    src, target = clip(tmp_path / "film.mp4", frames=24), tmp_path / "out" / "film.mp4"
    filmer = Filmer(LookOptions(engine="torch"))
    seen: list[int] = []

    def cancelling(progress: tuple[int, int | None]) -> None:
        if progress[0] >= 16:
            raise Cancelled

    def telling(progress: tuple[int, int | None]) -> None:
        seen.append(progress[0])

    parts = target.with_name("film.mp4.part")
    with pytest.raises(Cancelled):
        filmer.export(str(src), str(target), str(tmp_path), Look(), cancelling)
    assert parts.exists()
    filmer.export(str(src), str(target), str(tmp_path), Look(), telling)
    assert target.exists() and not parts.exists() and seen[0] >= 8  # it went on
    with pytest.raises(Cancelled):
        filmer.export(str(src), str(target), str(tmp_path), Look(), cancelling)
    before = target.read_bytes()
    filmer.export(str(src), str(target), str(tmp_path), Look(saturation=0.0), telling)  # other colours: anew
    assert target.read_bytes() != before and not parts.exists()


def test_an_export_paints_only_the_shots_that_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    src, target = two_shots(tmp_path / "film.mp4"), tmp_path / "out" / "film.mp4"
    filmer = Filmer(LookOptions(engine="torch"))
    seen: list[Fraction] = []
    ab = Told.ab

    def noting(told: Told, lightness: object, times: list[Fraction], temperature: float | None) -> object:
        seen.extend(times)
        return ab(told, lightness, times, temperature)  # type: ignore[arg-type]

    follow, followed = Told._follow, []
    monkeypatch.setattr(Told, "ab", noting)
    monkeypatch.setattr(Told, "_follow", lambda told, *of: [followed.append(of), follow(told, *of)][1])

    def exported(look: Look) -> tuple[np.ndarray, list[str]]:
        seen.clear()
        notes = filmer.export(str(src), str(target), str(tmp_path), look, lambda _: None)
        return np.stack([plane(frame, 1) for frame in frames_of(target)]).astype(int), notes

    def apart(one: np.ndarray, other: np.ndarray | int) -> float:  # x264 rounds in its own way each time
        return float(np.abs(one - other).mean())

    looked: list[tuple[int, int | None]] = []
    found = filmer.shots(str(src), str(tmp_path), looked.append)
    assert looked == [(done, 24) for done in range(1, 25)]
    usual = {"saturation": 1.0, "temperature": None, "hints": [], "key_frames": {}}
    shots = [{"start": one["start"], "end": one["end"], **usual} for one in found]
    shots[0]["hints"] = [{"x": 0.5, "y": 0.5, "color": "#7a6a60", "radius": 0.02, "time": 0.1}]
    look = Look(shots=shots)
    first, _ = exported(look)
    assert len(first) == 24 and min(seen) < 0.5 <= max(seen) and len(followed) == 1
    look = replace(look, shots=[shots[0], {**shots[1], "saturation": 0.0}])
    second, notes = exported(look)
    assert 0 < len(seen) <= 12 and min(seen) >= 0.5  # of the second shot alone
    assert len(followed) == 1  # no hint of the other is followed again
    assert apart(second[:12], first[:12]) < 1 < apart(first[12:], 128) and apart(second[12:], 128) < 0.5
    assert "1 of 2 shots are painted anew, the others are as in the last export" in notes
    assert not any(str(tmp_path) in note for note in notes)
    third, notes = exported(look)
    assert not seen and apart(third, second) < 1
    duller, _ = exported(replace(look, saturation=0.5))  # of all shots, but gray stays gray
    assert seen and max(seen) < 0.5
    assert apart(duller[:12], 128) == pytest.approx(apart(first[:12], 128) / 2, rel=0.1)
    _, notes = exported(replace(look, shots=[{**shots[0], "end": 0.3, "saturation": 0.5}, shots[1]]))
    assert min(seen) < 0.3 and max(seen) >= 0.5 and not any("painted anew" in note for note in notes)  # has a gap


def test_a_stop_leaves_whole_parts_and_lets_go(tmp_path: Path) -> None:
    src, target = clip(tmp_path / "film.mp4", frames=96), tmp_path / "out" / "film.mp4"
    process, name = Process("short_parts:ShortParts", LookOptions(engine="torch")), object()
    seen: list[int] = []
    stopping: list[threading.Thread] = []

    def stop(progress: tuple[int, int | None]) -> None:
        if progress[0] >= 24 and not stopping:
            stopping.append(threading.Thread(target=process.stop, args=(name,)))
            stopping[0].start()

    call = ("export", str(src), str(target), str(tmp_path), Look())
    with pytest.raises(DiedError):
        process.call(*call, told=stop, name=name)
    stopping[0].join()
    left = {path.name for path in target.with_name("film.mp4.part").iterdir()}
    # As Ctrl-C leaves it: parts with their records, no half of one, and nobody who holds the folder.
    assert {"job.json", "000000.mp4", "000000.safetensors"} <= left and not {"lock", "growing.mp4"} & left
    assert process._process.is_alive()  # and what it has loaded is there for the next
    process.call(*call, told=lambda progress: seen.append(progress[0]))
    assert target.exists() and seen[0] > 8
    process.stop()


def test_of_several_streams_of_pictures_the_painted_one_is_previewed(tmp_path: Path) -> None:
    small = clip(tmp_path / "small.mp4", size=(48, 32), audio=("aac",))
    large = clip(tmp_path / "large.mp4", "yuv420p10le", frames=6)  # AV1, of whose decoder there is no encoder
    src = tmp_path / "film.mp4"
    with av.open(str(small)) as first, av.open(str(large)) as second, av.open(str(src), "w") as output:
        streams = [*first.streams, second.streams.video[0]]
        made = {id(one): output.add_stream_from_template(one) for one in streams}
        made[id(streams[0])].disposition = 0
        made[id(streams[-1])].disposition = 1  # that of default
        packets = [*first.demux(list(first.streams)), *second.demux(second.streams.video[0])]
        for packet in packets:
            if packet.dts is not None:
                packet.stream = made[id(packet.stream)]
                output.mux(packet)
    Filmer(LookOptions(engine="torch")).preview(str(src), str(tmp_path), Look(), None, lambda _: None)
    with av.open(str(tmp_path / "preview.mp4")) as preview:
        assert [(one.type, getattr(one, "width", 0)) for one in preview.streams] == [("video", 192), ("audio", 0)]
        assert len([*preview.decode(video=0)]) == 6
    stills = [np.asarray(Image.open(tmp_path / f"{name}-small.jpg")).astype(int) for name in ("before", "after")]
    assert stills[0].shape == stills[1].shape == (64, 96, 3)
    assert np.ptp(stills[0], axis=2).mean() < 4 < np.ptp(stills[1], axis=2).mean()


def test_a_mirrored_film_is_previewed_as_no_mirror_shows_it(tmp_path: Path) -> None:
    one, side = 1 << 16, 1 << 30
    src = clip(tmp_path / "film.mp4", frames=2, matrix=(one, 0, 0, 0, -one, 0, 0, 64 * one, side), audio=("aac",))
    Filmer(LookOptions(engine="torch")).preview(str(src), str(tmp_path), Look(), None, lambda _: None)
    assert probe(tmp_path / "preview.mp4").display_matrix == (-one, 0, 0, 0, -one, 0, 0, 0, side)  # a half turn
    assert len(frames_of(tmp_path / "preview.mp4")) == 2


def test_a_film_is_looked_through_once_at_a_time_and_no_longer_than_it_is_there(tmp_path: Path) -> None:
    item = Item("0" * 16, "film.mp4", two_shots(tmp_path / "film.mp4"), tmp_path, "film")

    async def looked() -> None:
        films = Films(LookOptions(engine="torch"), lambda _: None)
        found, refused = await asyncio.gather(films.shots(item), films.shots(item), return_exceptions=True)
        assert isinstance(found, list) and len(found) == 2
        assert isinstance(refused, ValueError) and "film.mp4: is being looked through" in str(refused)
        looking = asyncio.ensure_future(films.shots(item))
        await asyncio.sleep(0)  # it has begun
        films.remove(item)
        with pytest.raises(CancelledWorkError):
            await looking
        assert "looked" not in item.facts
        await films.close()

    asyncio.run(looked())
