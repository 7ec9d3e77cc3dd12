"""Whole films on the page: an export that was cancelled, and what comes after it."""

from __future__ import annotations

from pathlib import Path

import pytest
from film_clips import clip

from fastcolor.film import resume
from fastcolor.options.look import Look as LookOptions
from fastcolor.web.filmer import Filmer
from fastcolor.web.look import Look


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
