"""Hints: colours that somebody knows, at places of a picture; as objects, and as a file of JSON."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

from .base import is_number, shown
from .versioned import read_versioned

VERSION = 1  # of the file
_KEYS = {"x", "y", "points", "color", "lab", "radius", "strength", "time"}


class Lab(NamedTuple):
    """A colour of CIE Lab, D65: L in 0..100, a and b in -128..128."""

    L: float
    a: float
    b: float


@dataclass(frozen=True)
class Hint:
    """The colour of a place.

    Attributes:
        x, y: the place, fractions of the upright picture's width and height from its upper left.
        color: sRGB as "#c03020", or (red, green, blue) of 0 to 255, or a `Lab`. Only its hue and chroma count: the
            picture's lightness stays.
        radius: of the disc that surely has the colour, a fraction of the shorter side. strength: how far to follow the
            hint, above 0 to 1. time: in seconds, of films.
        points: further places (x, y): a stroke that begins at the first place and goes through these.

    Raises:
        ValueError: a number out of range, or no colour.

    Example:
        >>> Hint(0.5, 0.25, "#c03020").color
        '#c03020'
    """

    x: float
    y: float
    color: str | tuple[int, int, int] | Lab
    radius: float = 0.02
    strength: float = 1.0
    time: float | None = None
    points: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        for name in ("x", "y", "radius", "strength"):
            value = getattr(self, name)
            if not (is_number(value) and 0 <= value <= 1):
                raise ValueError(f"hint: {name} must lie in 0..1, got {shown(value)}")
        if self.strength == 0:
            raise ValueError("hint: strength must be above 0, got 0")
        if self.time is not None and not (is_number(self.time) and self.time >= 0):
            raise ValueError(f"hint: time must be at least 0 seconds, got {shown(self.time)}")
        for point in self.points:
            pair = isinstance(point, Sequence) and len(point) == 2
            if not (pair and all(is_number(value) and 0 <= value <= 1 for value in point)):
                raise ValueError(f"hint: points must be pairs that lie in 0..1, got {shown(point)}")
        if not isinstance(self.color, Lab):
            self.rgb  # noqa: B018  raises where it is none
        elif not (
            all(map(is_number, self.color))
            and 0 <= self.color.L <= 100
            and all(-128 <= value <= 128 for value in self.color[1:])
        ):
            raise ValueError(f"hint: lab must be L in 0..100 and a, b in -128..128, got {shown(list(self.color))}")

    @property
    def path(self) -> tuple[tuple[float, float], ...]:
        """All places (x, y) of the stroke; of a point one."""
        return ((self.x, self.y), *self.points)

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The colour as red, green and blue of 0 to 255; of one that is no `Lab`."""
        if isinstance(self.color, str):
            if not re.fullmatch(r"#[0-9a-fA-F]{6}", self.color):
                raise ValueError(f"hint: color must be #rrggbb or three numbers of 0 to 255, got {shown(self.color)}")
            red, green, blue = bytes.fromhex(self.color[1:])
            return red, green, blue
        values = tuple(self.color) if isinstance(self.color, Sequence) else ()
        if len(values) != 3 or not all(
            isinstance(v, Integral) and not isinstance(v, bool) and 0 <= int(v) <= 255 for v in values
        ):
            raise ValueError(f"hint: color must be #rrggbb or three numbers of 0 to 255, got {shown(self.color)}")
        return values  # type: ignore[return-value]  # which were counted


def read_hints(path: str | os.PathLike[str]) -> list[Hint]:
    """The hints of a file: `{"version": 1, "hints": [{"x": 0.5, "y": 0.25, "color": "#c03020", ...}]}`.

    Every hint has `x` and `y`, or `points`, a stroke's; and `color`, or `lab`; others as `Hint` has them.

    Raises:
        FileNotFoundError, ValueError: no such file, or what it holds are no hints; the message says which and why.
    """
    path = Path(path)
    shape = '{"version": 1, "hints": [...]}'
    content = read_versioned(path, "hints", shape, version=VERSION, items="hints", keys={"version", "hints"})
    return hints_of(content["hints"], str(path))


def hints_of(entries: Sequence[object], where: str) -> list[Hint]:
    """The hints of a JSON array. where: what holds it, for messages.

    Raises:
        ValueError: one of them is none; the message gives its number.
    """
    hints = []
    for number, entry in enumerate(entries, 1):
        try:
            hints.append(_hint_of(entry))
        except ValueError as error:
            words = str(error).removeprefix("hint: ")
            raise ValueError(f"hints: {where}, hint {number}: {words}") from None
    return hints


def _hint_of(entry: object) -> Hint:
    if not isinstance(entry, dict):
        raise ValueError(f"must be an object, got {shown(entry)}")
    if unknown := sorted(entry.keys() - _KEYS):
        raise ValueError(f"has unknown {', '.join(unknown)}; known are {', '.join(sorted(_KEYS))}")
    fields: dict[str, Any] = {name: entry[name] for name in ("radius", "strength", "time") if name in entry}
    if ("points" in entry) == ("x" in entry or "y" in entry):
        raise ValueError("must have either x and y or points")
    if "points" in entry:
        points = entry["points"]
        if not (isinstance(points, list) and points and all(isinstance(p, list) and len(p) == 2 for p in points)):
            raise ValueError(f"points must be [[x, y], ...], got {shown(points)}")
        (x, y), *rest = points
        fields["points"] = tuple((one[0], one[1]) for one in rest)
    else:
        x, y = entry.get("x"), entry.get("y")
    if ("color" in entry) == ("lab" in entry):
        raise ValueError("must have either color or lab")
    if "color" in entry:
        if not isinstance(entry["color"], str):
            raise ValueError(f"color must be #rrggbb, got {shown(entry['color'])}")
        return Hint(x, y, entry["color"], **fields)
    lab = entry["lab"]
    if not (isinstance(lab, list) and len(lab) == 3 and all(map(is_number, lab))):
        raise ValueError(f"lab must be [L, a, b], got {shown(lab)}")
    return Hint(x, y, Lab(*lab), **fields)
