"""Key frames: coloured frames of a film, and when they are shown."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from .base import is_number, seconds, shown

PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True)
class KeyFrame:
    """A picture of the frame that a film shows at a second."""

    seconds: float
    picture: Any


def key_frames_of(values: Iterable[Any]) -> list[KeyFrame]:
    """The key frames that an option names.

    Args:
        values: "TIME=PICTURE", or a folder of pictures whose names are times, with - or _ for colons
            ("00-01-23.400.png"); in Python (seconds, picture) too.

    Raises:
        FileNotFoundError, ValueError: no such file, no time, or two at one time.
    """
    found: list[KeyFrame] = []
    for value in values:
        if isinstance(value, (tuple, list)) and len(value) == 2:
            time = _time(value[0], value[0]) if isinstance(value[0], str) else value[0]
            if not is_number(time):
                raise ValueError(f"key_frames: time must be at least 0 seconds, got {shown(time)}")
            found.append(KeyFrame(float(time), value[1]))
        elif isinstance(value, (str, os.PathLike)):
            found += _named(os.fspath(value))
        else:
            raise ValueError(f"key_frames: must be TIME=PICTURE or a folder, got {shown(value)}")
    for one in found:
        if not 0 <= one.seconds < math.inf:
            raise ValueError(f"key_frames: time must be at least 0 seconds, got {one.seconds:g}")
        if isinstance(one.picture, (str, os.PathLike)) and not os.path.isfile(one.picture):
            raise FileNotFoundError(f"key_frames: no such file: {one.picture}")
    found.sort(key=lambda one: one.seconds)
    for one, other in pairwise(found):
        if one.seconds == other.seconds:
            raise ValueError(f"key_frames: must be one at a time, got two at {one.seconds:g} s")
    return found


def _named(value: str) -> list[KeyFrame]:
    if os.path.isdir(value):
        files = sorted(path for path in Path(value).iterdir() if path.suffix.lower() in PICTURES)
        if not files:
            raise ValueError(f"key_frames: {value} holds no pictures")
        return [KeyFrame(_time(re.sub(r"[-_]", ":", path.stem), str(path)), path) for path in files]
    time, equals, picture = value.partition("=")
    if not equals:
        raise ValueError(f"key_frames: must be TIME=PICTURE or a folder, got {shown(value)}")
    return [KeyFrame(_time(time, value), Path(picture))]


def _time(words: str, whole: str) -> float:
    try:
        return seconds(words)
    except ValueError:
        raise ValueError(f"key_frames: must name a time in seconds or [HH:]MM:SS, got {whole!r}") from None
