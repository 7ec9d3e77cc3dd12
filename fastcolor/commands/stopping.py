"""Ctrl-C and a request to stop, quiet from the first second on."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_asked: int = signal.SIGINT  # what came last


class Terminated(KeyboardInterrupt):
    """A request to stop, as Docker, systemd and `kill` send it."""

    signal = signal.SIGTERM


def code_of(stop: KeyboardInterrupt) -> int:
    """The exit code of a program that was stopped. Ray, when it is waited for, raises an interrupt of its own in place
    of ours: which signal came tells then."""
    return 128 + getattr(stop, "signal", _asked)


@contextmanager
def stoppable(program: str) -> Iterator[None]:
    """Within, both signals raise a KeyboardInterrupt; or they end the process at once while something is imported.

    Nothing is at stake before torch is there, or Ray whose workers have it; an exception from the midst of an import
    would come out as another one, or as a traceback.
    """
    global _asked
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _asked = signal.SIGINT

    def stop(number: int, frame: FrameType | None) -> None:
        global _asked
        _asked = number
        if not (_loaded("torch") or _loaded("ray")) or _importing(frame):
            os.write(sys.stderr.fileno(), f"{program}: stopped\n".encode())
            os._exit(128 + number)
        raise Terminated() if number == signal.SIGTERM else KeyboardInterrupt

    before = {}
    for number, ours in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) is ours:  # not where the shell has it ignored, as for a job in the background
            before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _loaded(name: str) -> bool:
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return spec is not None and not getattr(spec, "_initializing", False)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__") == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False
