"""What pictures, films and folders have in common: colours that people say, and what becomes of files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from .base import check_value, one_word, rules
from .hints import Hint, read_hints
from .look import Look
from .references import reference_of

Hints = Annotated[str | os.PathLike[str] | Sequence[Hint], one_word("FILE", Path)]
Reference = Annotated[str | os.PathLike[str] | Any, one_word("[WEIGHT=]PICTURE", Path)]
Version = Annotated[str | os.PathLike[str] | Any, one_word("PATH", Path)]


@dataclass(frozen=True, kw_only=True)
class Steering(Look):
    """Colours that somebody knows."""

    hints: Hints | None = None
    """Colours at places: a file of JSON; of a folder's files a folder of such files under the same names."""
    references: Annotated[
        tyro.conf.UseAppendAction[tuple[Reference, ...]], tyro.conf.arg(name="reference", metavar="[WEIGHT=]PICTURE")
    ] = ()
    """A coloured picture, whose colours are taken for what looks alike; again for more; WEIGHT: to 1, how much."""
    reference_tone: Literal["on", "off"] = "off"
    """Take the tone of references too: a weak hint, for all that finds nothing alike."""
    chroma_from: Version | None = None
    """A coloured version, of any size, whose colours are taken; of a folder's files a folder of them."""

    def check(self) -> None:
        """Compare every field with its rule.

        Raises:
            ValueError: one is out of range, or two cannot go together.
        """
        super().check()
        check_tone(self.reference_tone, self.references)
        named = [("hints", self.hints), ("chroma_from", self.chroma_from)]
        for name, value in [*named, *(("reference", reference_of(one).picture) for one in self.references)]:
            if isinstance(value, (str, os.PathLike)) and not os.path.exists(value):
                raise FileNotFoundError(f"{name}: no such file: {value}")


@dataclass(frozen=True, kw_only=True)
class Painting(Steering):
    """What becomes of files."""

    compare: bool = False
    """Put gray and colour side by side."""
    skip_colored: bool = False
    """Keep pictures and stretches of films that are in colour as they are; sepia and other tints count as gray."""
    overwrite: bool = False
    """Replace existing outputs, and unfinished ones."""


def check_tone(reference_tone: str, references: Sequence[Any]) -> None:
    """ValueError where it is neither "on" nor "off", or "on" without references."""
    if reference_tone == "off":
        return
    check_value("reference_tone", reference_tone, rules(Steering)["reference_tone"])
    if not references:
        raise ValueError("reference_tone: must come with references, got none")


def hints_from(value: str | os.PathLike[str] | Sequence[Hint] | None, *, film: bool) -> list[Hint]:
    """The hints that an option names. film: each needs a time; else none may have one.

    Raises:
        FileNotFoundError, TypeError, ValueError: they cannot be read, or one is not of this kind.
    """
    if value is None:
        return []
    hints = read_hints(value) if isinstance(value, (str, os.PathLike)) else list(value)
    for number, hint in enumerate(hints, 1):
        if not isinstance(hint, Hint):
            raise TypeError(f"hints: must be fastcolor.Hint, got {type(hint).__name__}")
        if film and hint.time is None:
            raise ValueError(f"hints: of films need a time in seconds, hint {number} has none")
        if not film and hint.time is not None:
            raise ValueError(f"hints: time is of films alone, hint {number} has {hint.time:g}")
    return hints
