"""What engines keep between runs, under FASTCOLOR_HOME (~/.cache/fastcolor): exported networks, choices, checks.

Nothing there is needed: what is missing, damaged or stale is made again; where nothing can be written, nothing is kept.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..atomic import wait_for_lock, write_bytes
from ..models.home import home

_MOST = 16  # exported networks that are kept


def writable() -> bool:
    """Whether anything can be kept."""
    try:
        home().mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(home(), os.W_OK)


def keep(path: Path, content: bytes) -> None:
    """Write a file under `home()`, or do without. In folders below it the oldest of its kind go when there are many; in
    itself other people's files may lie."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)
        if path.parent == home():
            return
        alike = sorted(path.parent.glob(f"*{path.suffix}"), key=lambda other: other.stat().st_mtime)
        for old in alike[:-_MOST]:
            old.unlink(missing_ok=True)
    except OSError:
        pass


def read(path: Path) -> bytes | None:
    """A kept file, or None."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def _records() -> dict[str, dict[str, Any]]:
    try:
        records = json.loads(read(home() / "engines.json") or b"{}")
    except ValueError:
        return {}
    return records if isinstance(records, dict) else {}


def recall(kind: str, key: str) -> Any:
    """What `remember` was told, or None."""
    found = _records().get(kind)
    return found.get(key) if isinstance(found, dict) else None


def remember(kind: str, key: str, value: object) -> None:
    """Keep a JSON value, beside those of other keys that other processes may be writing."""
    with _alone():
        records = _records()
        of_kind = records.get(kind)
        of_kind = of_kind if isinstance(of_kind, dict) else {}
        of_kind.pop(key, None)
        of_kind[key] = value
        records[kind] = dict(list(of_kind.items())[-200:])
        keep(home() / "engines.json", json.dumps(records, indent=1).encode())


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """While nobody else adds to what is remembered. Where files have no locks, of two at once one may be lost: it is
    measured again."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # nothing can be written
            home().mkdir(parents=True, exist_ok=True)
            wait_for_lock(stack.enter_context((home() / "engines.lock").open("ab")))
        yield
