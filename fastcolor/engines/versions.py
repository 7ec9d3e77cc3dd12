"""Versions of libraries, without importing them, and the machine."""

from __future__ import annotations

import importlib.util
import os
import platform
from importlib import metadata
from pathlib import Path


def versions(libraries: tuple[str, ...]) -> dict[str, str]:
    """Of those that are installed."""
    found = {}
    for library in libraries:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found


def stamp(path: Path) -> list[object] | None:
    """What tells a file from one that takes its place: [path, size, time of its last change]; None: it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return [str(path), found.st_size, found.st_mtime_ns]


def package_stamp(package: str) -> list[object] | None:
    """The `stamp` of a package's first file, which an update replaces."""
    spec = importlib.util.find_spec(package)
    return stamp(Path(spec.origin)) if spec is not None and spec.origin is not None else None


def processor() -> str:
    """The CPU's name."""
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def cores() -> int:
    """The CPU's cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
