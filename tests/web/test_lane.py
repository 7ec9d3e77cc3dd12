"""Work that waits for a process: its order, its bounds, its end, and the process's death."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from fastcolor.web.lane import CancelledWorkError, FullError, Lane
from fastcolor.web.process import DiedError, Process
from fastcolor.web.store import Item, plainly


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    made = Process("page_work:Worker")
    yield made
    made.stop()


def test_who_is_told_to_end_twice_ends_without_a_word(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made, sign = Process("page_work:Worker"), tmp_path / "ending"
    made.call("end_late", str(sign))
    ending = made._process
    ending.terminate()
    deadline = time.monotonic() + 20
    while not sign.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    ending.terminate()  # as when the server leaves while its process is ending
    ending.join(20)
    assert ending.exitcode == 0 and capfd.readouterr().err == ""


def with_lane(process: Process, work: Callable[[Lane], Awaitable[None]], most: int = 3) -> None:
    async def run() -> None:
        await work(Lane(process, most))

    asyncio.run(run())


def test_order_bounds_and_what_is_told(process: Process, tmp_path: Path) -> None:
    sign = tmp_path / "go on"

    async def work(lane: Lane) -> None:
        order: list[str] = []

        def noting(name: str) -> Callable[[], None]:
            return lambda: order.append(name)

        first = lane.submit("wait_for", str(sign), begun=noting("first"))
        while "first" not in order:
            await asyncio.sleep(0.01)
        told: list[int] = []
        counted = lane.submit("count", 3, begun=noting("counted"), told=told.append)
        refused = lane.submit("refuse", begun=noting("refused"))
        looked = lane.submit("wait", 0, urgent=True, begun=noting("looked"))
        with pytest.raises(FullError, match="3 pieces of work are waiting"):
            lane.submit("wait", 0)
        entering = [asyncio.create_task(lane.enter("wait", 0, begun=noting(f"entered {i}"))) for i in range(4)]
        urgent = lane.submit("wait", 0, urgent=True, begun=noting("urgent"))
        await asyncio.sleep(0)  # those who want to enter wait now
        sign.touch()
        assert await first.done == str(sign) and await looked.done == 0 and await counted.done == "done"
        with pytest.raises(ValueError, match="colour: must be one, got none"):
            await refused.done
        for entered in entering:
            assert await (await entered).done == 0
        assert urgent.done.done() and told == [0, 1, 2]
        assert order == ["first", "looked", "urgent", "counted", "refused", *(f"entered {i}" for i in range(4))]

    with_lane(process, work)


def test_work_is_called_off(process: Process) -> None:
    async def work(lane: Lane) -> None:
        before = await lane.submit("pid").done
        running, waiting = lane.submit("wait", 60), lane.submit("pid")
        await asyncio.sleep(0.2)
        lane.cancel(waiting)
        began = time.monotonic()
        lane.cancel(running)
        for ticket in (running, waiting):
            with pytest.raises(CancelledWorkError):
                await ticket.done
        assert await lane.submit("pid").done != before and time.monotonic() - began < 30

    with_lane(process, work)


def test_what_ends_meanwhile_takes_nothing_with_it(process: Process) -> None:
    """A call that is to be stopped may have ended before anybody comes to stop it."""
    ended, running = object(), object()
    before = process.call("pid", name=ended)
    caller = threading.Thread(target=lambda: process.call("wait", 0.3, name=running))
    caller.start()
    time.sleep(0.1)
    process.stop(ended)
    caller.join()
    assert process.call("pid") == before
    early = object()
    process.stop(early)
    with pytest.raises(DiedError, match="before it had begun"):
        process.call("wait", 60, name=early)


def test_a_full_disk_is_told_in_words(process: Process) -> None:
    with pytest.raises(OSError) as full:
        process.call("full")
    assert full.value.errno == errno.ENOSPC and full.value.strerror == "no space left on device"
    item = Item("1", "a.png", Path("/kept/1/source.png"), Path("/kept/1"), "picture")
    assert plainly(full.value, item) == "a.png: no space left on device"
    assert plainly(ValueError("/kept/1/source.png: is damaged"), item) == "a.png: is damaged"


def test_death_is_told_and_the_next_work_is_done(process: Process) -> None:
    async def work(lane: Lane) -> None:
        dead, after = lane.submit("die"), lane.submit("pid")
        with pytest.raises(DiedError, match="signal 9"):
            await dead.done
        assert await after.done != os.getpid()

    with_lane(process, work)
