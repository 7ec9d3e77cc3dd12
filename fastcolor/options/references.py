"""References: pictures whose colours are taken for what looks alike, and how much each counts."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from .base import is_number, shown


class Weighted(NamedTuple):
    """A picture, and its weight."""

    picture: Any
    weight: float


def reference_of(value: Any) -> Weighted:
    """What one value of the option `references` names.

    Args:
        value: a picture, "WEIGHT=PICTURE" or (picture, weight). A file whose name begins like a weight is written with
            its folder ("./0.5=a.jpg").

    Raises:
        ValueError: a weight that is not above 0 and at most 1.

    Example:
        >>> [reference_of(one).weight for one in ("0.5=aunt.jpg", ("aunt.jpg", 0.25), "aunt.jpg")]
        [0.5, 0.25, 1.0]
    """
    picture, weight = value, 1.0
    if isinstance(value, (str, os.PathLike)):
        words, equals, rest = os.fspath(value).partition("=")
        if equals and re.fullmatch(r"-?\d*\.?\d+", words, re.ASCII):
            picture, weight = Path(rest), float(words)
    elif isinstance(value, (tuple, list)) and len(value) == 2:
        picture, weight = value
    if not is_number(weight) or not 0 < weight <= 1:
        raise ValueError(f"references: weight must be above 0 and at most 1, got {shown(weight)}")
    return Weighted(picture, float(weight))
