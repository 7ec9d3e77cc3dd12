"""Locks that keep processes and machines which share folders from the same work.

The lock of a file is one that the system holds on `.NAME.lock` beside it. It ends with its process, however that dies,
so what a killed worker had in hands is free at once; the lock's file then stays and tells the next who that was.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .. import atomic


@dataclass(frozen=True)
class Claim:
    """A file that is this process's to write. deaths: workers of the same run that died while they held it."""

    deaths: int


@contextmanager
def claim(target: Path, run: str) -> Iterator[Claim | None]:
    """Hold the lock of a file that is to be written; its folder is made.

    What a dead holder left half-written under temporary names is cleared away.

    Args:
        run: any word without blanks, the same for all workers of a run.

    Yields:
        None when somebody else holds it.

    Raises:
        OSError: the folder cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, claim(Path(folder, "a.jpg"), "run") as held:
        ...     held
        Claim(deaths=0)
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    path = _path(target)
    file = atomic.locked(path)
    if file is None:
        yield None
        return
    with file:
        try:
            before = file.read().split()
            deaths = int(before[1]) if len(before) > 1 and before[0] == run else 0
            if before:
                atomic.clear(target)
            file.seek(0)
            file.truncate()
            file.write(f"{run} {deaths + 1} {socket.gethostname()} {os.getpid()}\n")
            file.flush()
            yield Claim(deaths)
        finally:
            path.unlink(missing_ok=True)  # before the lock ends, so that nobody unlinks another's


def clear(target: Path) -> None:
    """Remove the lock's file of one who died when the target had its name already."""
    if _path(target).exists():
        with claim(target, "-"):
            pass


def _path(target: Path) -> Path:
    return atomic.beside(target, "lock")
