"""The work folder: nobody waits for thousands of files to be removed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fastcolor.web import store
from fastcolor.web.look import Look


@pytest.mark.parametrize("stays", [False, True])
def test_the_end_does_not_wait_for_many_files(stays: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PATIENCE", -1.0)
    work = tmp_path / "work" if stays else None
    ended = store.Store(Look(), work)
    folders = [ended.add(f"{number}.png").folder for number in range(3)]
    ended.close()
    if stays:
        assert all(folder.exists() for folder in folders)
        store.Store(Look(), work).close()  # the next one clears up
        assert not any(folder.exists() for folder in folders)
        return
    deadline = time.monotonic() + 30
    while ended.folder.exists():  # a process that nobody waits for
        assert time.monotonic() < deadline
        time.sleep(0.05)
