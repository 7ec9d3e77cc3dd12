"""How far a run over many files is: a bar on a terminal, now and then a line elsewhere; and a log for programs."""

from __future__ import annotations

import datetime
import json
import logging
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, TypeVar

_T = TypeVar("_T")


def bar(jobs: Iterable[_T], total: int | None = None, unit: str = "pictures", every: float = 30.0) -> Iterator[_T]:
    """Go through jobs and show it on stderr; where that is no terminal, a line every so many seconds.

    Args:
        total: of jobs without a length. unit: what they are.
    """
    total = len(jobs) if total is None else total  # type: ignore[arg-type]
    if sys.stderr.isatty():
        from tqdm import tqdm
        from tqdm.contrib.logging import logging_redirect_tqdm

        with logging_redirect_tqdm():  # a warning goes above the bar
            yield from tqdm(jobs, total=total, unit=f" {unit}", disable=total < 2)
        return
    started = told = time.monotonic()
    for done, job in enumerate(jobs):
        now = time.monotonic()
        if done and now - told >= every:
            rate, told = done / (now - started), now
            left = (total - done) / rate
            time_left = f"{left / 60:.0f} min" if left >= 120 else f"{left:.0f} s"
            line = f"{done} of {total} {unit}, {rate:.2g} a second, {time_left} left"
            print(line, file=sys.stderr, flush=True)
        yield job


class Journal(logging.Handler):
    """A file that gets a line of JSON for each file of a run, as soon as it is done; nothing where it has no name.

    Raises:
        OSError: the file cannot be written.

    Example:
        >>> with Journal(None) as journal:
        ...     journal.add(Path("a.png"), Path("b.png"), "coloured")
    """

    def __init__(self, path: Path | None) -> None:
        super().__init__(logging.WARNING)
        self._file: IO[str] | None = None if path is None else path.open("a", encoding="utf-8")
        self._warnings: list[str] = []
        self._began = time.monotonic()

    def __enter__(self) -> Journal:
        logging.getLogger("fastcolor").addHandler(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        logging.getLogger("fastcolor").removeHandler(self)
        if self._file is not None:
            self._file.close()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning for the next line."""
        self._warnings.append(record.getMessage())

    def add(self, source: Path, target: Path, status: str, error: str = "") -> None:
        """Write a line. status: "coloured", "kept", "exists", "elsewhere" or "failed", for the reason in `error`."""
        now, warnings = time.monotonic(), self._warnings
        seconds, self._began, self._warnings = round(now - self._began, 3), now, []
        if self._file is None:
            return
        line = {
            "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "input": str(source),
            "output": str(target),
            "status": status,
            "seconds": seconds,  # since the line before
            "error": error,
            "warnings": warnings,
        }
        print(json.dumps(line), file=self._file, flush=True)
