"""Whole films on the page: an export that was cancelled, and what comes after it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from film_clips import clip

from fastcolor.film import resume
from fastcolor.options.look import Look as LookOptions
from fastcolor.web.filmer import Filmer
from fastcolor.web.look import Look
from fastcolor.web.process import DiedError, Process


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
