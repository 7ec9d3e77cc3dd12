"""The server's end: nobody waits for thousands of files to be removed, or for what no page hears any more."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from fastcolor.options.serve import ServeOptions
from fastcolor.web import store
from fastcolor.web.lane import Lane
from fastcolor.web.look import Look
from fastcolor.web.process import Process
from fastcolor.web.studio import Studio


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


def test_the_end_does_nothing_for_each_of_many_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that wait none is begun, and no page, which are all gone, is told of one."""
    studio = Studio(ServeOptions())
    process = Process("page_work:Worker")
    studio.painter = Lane(process, 5)
    told: list[str] = []
    calls: list[str] = []
    tell, call = store.Item.told, process.call

    def telling(item: store.Item) -> dict[str, Any]:
        told.append(item.name)
        return tell(item)

    def calling(method: str, *arguments: Any, **more: Any) -> Any:
        calls.append(method)
        return call(method, *arguments, **more)

    monkeypatch.setattr(store.Item, "told", telling)
    monkeypatch.setattr(process, "call", calling)

    async def run() -> None:
        await studio.warm()
        for number in range(40):
            studio.begin(studio.store.add(f"{number}.png"))
        studio.painter.submit("wait", 60, urgent=True)
        while not calls:
            await asyncio.sleep(0.01)
        studio.leave()
        await asyncio.sleep(0.05)
        await studio.close()

    asyncio.run(run())
    assert calls == ["wait"] and not told
    assert not studio.store.folder.exists()
