"""Warnings while somebody works on one picture: kept for it, in place of the log, where they would stand under whatever
file is written meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ear: ContextVar[Callable[[str], object] | None] = ContextVar("ear", default=None)


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
    token = _ear.set(say)
    try:
        yield
    finally:
        _ear.reset(token)


def _passes(record: logging.LogRecord) -> bool:
    """Whether a record goes to the log."""
    say = _ear.get()
    if say is None or record.levelno < logging.WARNING:
        return True
    say(record.getMessage())
    return False


logging.getLogger("fastcolor").addFilter(_passes)
