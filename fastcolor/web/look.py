"""How a picture is to be coloured, as the page and the painting process tell each other."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ..options.base import check_value, rules
from ..options.hints import Hint, hints_of
from ..options.look import Look as LookOptions
from ..options.look import check_look

Guide = Literal["", "version", "similar"]


@dataclass(frozen=True)
class Look:
    """How a picture is to be coloured.

    Attributes:
        temperature, saturation, detail: as the options of that name. hints: as a hint file lists them. guide: what the
            coloured picture that came along is: a "version" of this one, or one of "similar" things.
        guide_file: where it lies, which no page learns or says. shots: of a film, each {"start", "end"} in seconds, and
        "saturation", a factor beside the film's, and "temperature", in place of the film's, or None.
    """

    temperature: float | None = None
    saturation: float = 1.0
    detail: int | None = None
    hints: list[dict[str, Any]] = field(default_factory=list)
    guide: Guide = ""
    guide_file: str = ""
    shots: list[dict[str, Any]] = field(default_factory=list)

    def told_hints(self) -> list[Hint]:
        """The hints as objects. ValueError: one is none."""
        return hints_of(self.hints, "the picture")

    def told(self) -> dict[str, Any]:
        """What the page learns."""
        found = asdict(self)
        del found["guide_file"]
        return found

    def check(self) -> None:
        """Compare the numbers with the options' rules, and see what the hints are.

        Raises:
            ValueError: one is out of range.
        """
        check_look(self.temperature, self.saturation)
        check_value("detail", self.detail, rules(LookOptions)["size"])
        if self.told_hints() and self.guide == "version":
            raise ValueError("hints: have no place beside the colours of a version; remove one of both")
        for number, shot in enumerate(self.shots, 1):
            if not 0 <= shot["start"] < shot["end"]:
                raise ValueError(f"shot {number}: must end after its start, got {shot['start']:g} to {shot['end']:g}")
            check_look(shot["temperature"], shot["saturation"])
        if self.guide and not self.guide_file:
            raise ValueError("guide: needs a coloured picture, which is to be sent first")
