"""How far a run over many files is: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

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
