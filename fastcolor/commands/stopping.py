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
_catcher: FrameType | None = None  # who catches what is raised
_waits: set[int] = set()  # signals that an import's end is waited for with


class Terminated(KeyboardInterrupt):
    """A request to stop, as Docker, systemd and `kill` send it."""

    signal = signal.SIGTERM


def code_of(stop: KeyboardInterrupt) -> int:
    """The exit code of a program that was stopped. Ray, when it is waited for, raises an interrupt of its own in place
    of ours: which signal came tells then."""
    return 128 + getattr(stop, "signal", _asked)


@contextmanager
def stoppable(program: str, *, at_once: bool = False) -> Iterator[None]:
    """Within, both signals raise a KeyboardInterrupt.

    One that comes while something is imported waits for the import's end: an exception from its midst would come out as
    another one, or as a traceback, and to end there would leave half a file behind. While torch itself is imported,
    which takes a second, nothing is at stake, and the process ends.

    Args:
        at_once: nobody within catches an interrupt, and nothing is at stake: the process ends.
    """
    global _asked, _catcher
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _asked = signal.SIGINT

    def stop(number: int, frame: FrameType | None) -> None:
        global _asked
        _asked = number
        if _catcher is None or _beginning("torch") or _beginning("ray"):
            os.write(sys.stderr.fileno(), f"{program}: stopped\n".encode())
            os._exit(128 + number)
        if _importing(frame):
            _again(number)
            return
        raise Terminated() if number == signal.SIGTERM else KeyboardInterrupt

    catcher, before = _catcher, {}
    if not at_once:
        _catcher = sys._getframe(2)  # who entered this
    for number, ours in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) is ours:  # not where the shell has it ignored, as for a job in the background
            before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _catcher = catcher


def _again(number: int) -> None:
    """Have a signal come again soon: once, however often it came, since the second would break into what the first one
    has cleared up."""
    if number in _waits:
        return
    _waits.add(number)

    def send() -> None:
        _waits.discard(number)
        signal.pthread_kill(threading.main_thread().ident or 0, number)

    again = threading.Timer(0.02, send)
    again.daemon = True
    again.start()


def _beginning(name: str) -> bool:
    """Whether a package is being imported for the first time."""
    return getattr(getattr(sys.modules.get(name), "__spec__", None), "_initializing", False) is True


def _importing(frame: FrameType | None) -> bool:
    """Whether an import was begun by who catches the interrupt, and is not done."""
    while frame is not None and frame is not _catcher:
        if frame.f_globals.get("__name__") == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False
