"""How a picture is to be coloured, as the page and the painting process tell each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..options.base import check_value, rules
from ..options.hints import Hint, hints_of
from ..options.look import Look as LookOptions
from ..options.look import check_look


@dataclass(frozen=True)
class Look:
    """How a picture is to be coloured; each field as the options of that name."""

    temperature: float | None = None
    saturation: float = 1.0
    detail: int | None = None
    hints: list[dict[str, Any]] = field(default_factory=list)  # as a hint file lists them

    def told_hints(self) -> list[Hint]:
        """The hints as objects. ValueError: one is none."""
        return hints_of(self.hints, "the picture")

    def check(self) -> None:
        """Compare the numbers with the options' rules, and see what the hints are.

        Raises:
            ValueError: one is out of range.
        """
        check_look(self.temperature, self.saturation)
        check_value("detail", self.detail, rules(LookOptions)["size"])
        self.told_hints()
