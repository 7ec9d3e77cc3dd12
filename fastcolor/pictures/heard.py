"""Warnings while somebody works on one picture: kept for it, in place of the log, where they would stand under whatever
file is written meanwhile."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _Ear(threading.local):  # a context would go on into threads that are begun within, in some Pythons
    say: Callable[[str], object] | None = None


_ear = _Ear()


@contextmanager
def heard(say: Callable[[str], object]) -> Iterator[None]:
    """Within, what this thread warns of goes to `say`; what others warn of, and what engines do, to the log as ever.

    Example:
        >>> said = []
        >>> with heard(said.append):
        ...     logging.getLogger("fastcolor").warning("reaches %d %%", 80)
        >>> said
        ['reaches 80 %']
    """
    before, _ear.say = _ear.say, say
    try:
        yield
    finally:
        _ear.say = before


def _passes(record: logging.LogRecord) -> bool:
    """Whether a record goes to the log."""
    say = _ear.say
    if say is None or record.levelno < logging.WARNING:
        return True
    say(record.getMessage())
    return False


logging.getLogger("fastcolor").addFilter(_passes)
