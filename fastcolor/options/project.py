"""A film's project: what people say of each of its shots, as a file of JSON."""

from __future__ import annotations

import bisect
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from .base import check_value, is_number, rules, shown
from .hints import Hint, hints_of
from .key_frames import KeyFrame, key_frames_of
from .look import Look
from .references import Weighted, reference_of
from .versioned import read_versioned

VERSION = 1
_FILM_KEYS = {"version", "film", "shots"}
_SHOT_KEYS = {"start", "end", "hints", "references", "key_frames", "saturation", "temperature"}


@dataclass(frozen=True)
class Shot:
    """A shot, and what is said of it.

    Attributes:
        start, end: seconds from the film's beginning. hints: each with a time. references: paths, weighted.
        key_frames: pictures by their times. saturation: a factor beside the film's. temperature: in place of the
            film's, or None.
        words: as the file has it.
    """

    start: float
    end: float
    hints: tuple[Hint, ...] = ()
    references: tuple[Weighted, ...] = ()
    key_frames: tuple[KeyFrame, ...] = ()
    saturation: float = 1.0
    temperature: float | None = None
    words: str = "{}"

    @property
    def mark(self) -> str:
        """What tells this from the same shot with other things said of it, files' contents too."""
        digest = hashlib.sha256(self.words.encode())
        for path in [one.picture for one in self.references] + [one.picture for one in self.key_frames]:
            digest.update(Path(path).read_bytes())
        return digest.hexdigest()[:16]


def write_project(path: Path, film: Path, spans: Sequence[tuple[float, float]]) -> None:
    """Write a project of shots of which nothing is said yet."""
    shots: list[dict[str, Any]] = [
        {"start": round(start, 3), "end": round(end, 3), "hints": [], "references": [], "key_frames": {},
         "saturation": 1.0, "temperature": None}
        for start, end in spans
    ]  # fmt: skip
    lines = ",\n  ".join(map(json.dumps, shots))
    name = json.dumps(os.path.relpath(film, path.parent))
    path.write_text(f'{{"version": {VERSION}, "film": {name}, "shots": [\n  {lines}\n]}}\n', encoding="utf-8")


def read_project(path: str | os.PathLike[str]) -> list[Shot]:
    """The shots of a project file. Paths in it are from the file's folder.

    Raises:
        FileNotFoundError, ValueError: no such file, one of a newer version, or something in it is not right; the
            message says which shot and why.
    """
    path = Path(path)
    shape = '{"version": 1, "film": ..., "shots": [...]} with a shot at least'
    content = read_versioned(path, "project", shape, version=VERSION, items="shots", keys=_FILM_KEYS)
    if not content["shots"]:
        raise ValueError(f"project: {path} must be {shape}")
    return shots_of(content["shots"], path.parent, f"project: {path}")


def shots_of(entries: Sequence[object], folder: Path, where: str) -> list[Shot]:
    """The shots of a JSON array.

    Args:
        folder: from which paths in it are. where: what holds it, for messages.

    Raises:
        FileNotFoundError, ValueError: as `read_project`.
    """
    shots = []
    for number, entry in enumerate(entries, 1):
        try:
            shots.append(_shot_of(entry, folder))
        except (ValueError, FileNotFoundError) as error:
            raise type(error)(f"{where}, shot {number}: {error}") from None
    for number, (one, other) in enumerate(pairwise(shots), 2):
        if other.start < one.end - 0.001:
            raise ValueError(f"{where}, shot {number}: must start at {one.end:g} s or later, got {other.start:g}")
    return shots


def shot_at(shots: Sequence[Shot], seconds: Fraction) -> int | None:
    """The number of the shot that a film shows at a second; None where the project has none."""
    number = bisect.bisect_right([shot.start for shot in shots], float(seconds) + 0.001) - 1
    return number if number >= 0 and float(seconds) + 0.001 < shots[number].end else None


def _shot_of(entry: object, folder: Path) -> Shot:
    if not isinstance(entry, dict):
        raise ValueError(f"must be an object, got {shown(entry)}")
    if unknown := sorted(entry.keys() - _SHOT_KEYS):
        raise ValueError(f"has unknown {', '.join(unknown)}; known are {', '.join(sorted(_SHOT_KEYS))}")
    start, end = (entry.get(name) for name in ("start", "end"))
    for name, value in (("start", start), ("end", end)):
        if not is_number(value) or value < 0:  # type: ignore[operator]
            raise ValueError(f"{name} must be seconds, 0 or more, got {shown(value)}")
    assert start is not None and end is not None
    if end <= start:
        raise ValueError(f"end must come after start, got {start:g} to {end:g}")
    hints: list[Any] = _list(entry, "hints")
    timed = [replace(one, time=start) if one.time is None else one for one in hints_of(hints, "its hints")]
    named = [reference_of(one) for one in _list(entry, "references")]
    references = tuple(Weighted(folder / str(one.picture), one.weight) for one in named)
    for one in references:
        if not one.picture.is_file():
            raise FileNotFoundError(f"references: no such file: {one.picture}")
    keys = entry.get("key_frames", {})
    if not isinstance(keys, dict):
        raise ValueError(f'key_frames must be {{"TIME": "PICTURE", ...}}, got {shown(keys)}')
    key_frames = tuple(key_frames_of(f"{time}={folder / str(picture)}" for time, picture in keys.items()))
    for what, times in (("hint", [one.time for one in timed]), ("key frame", [one.seconds for one in key_frames])):
        for time in times:
            if time is not None and not start <= time < end:
                raise ValueError(f"a {what} must lie in the shot, {start:g} to {end:g} s, got {time:g}")
    saturation, temperature = entry.get("saturation", 1.0), entry.get("temperature")
    for name, value in (("saturation", saturation), ("temperature", temperature)):
        check_value(name, value, rules(Look)[name])
    words = json.dumps({name: value for name, value in entry.items() if value not in ([], {}, None)}, sort_keys=True)
    return Shot(start, end, tuple(timed), references, key_frames, float(saturation), temperature, words)


def _list(entry: dict[str, Any], name: str) -> list[Any]:
    value = entry.get(name, [])
    if not isinstance(value, list):
        raise ValueError(f"{name} must be a list, got {shown(value)}")
    return value
