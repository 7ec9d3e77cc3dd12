"""How a picture is to be coloured, as the page and the painting process tell each other."""

from __future__ import annotations

import re
import secrets
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ..options.base import check_value, rules, shown
from ..options.hints import Hint, hints_of
from ..options.look import Look as LookOptions
from ..options.look import check_look
from ..options.project import shots_of
from ..options.references import reference_of
from ..options.steering import hints_from

_SENT = re.compile(r"(key|reference)-[0-9a-f]{8}\.[a-z]{3,4}")
_GUIDE = re.compile(r"guide-[0-9a-f]{8}\.\w+")
Guide = Literal["", "version", "similar"]
MOST_HINTS, MOST_SHOTS = 2000, 20000  # of a picture, of a film
MOST_OF_SHOT = {"hints": 500, "key_frames": 100, "references": 20}


def chosen_by(look: Look, options: LookOptions) -> LookOptions:
    """The options that a look asks for. options: of the server."""
    network: dict[str, Any] = {"weights": look.weights, "merge": "share"} if look.weights else {}
    chosen: dict[str, Any] = {"temperature": look.temperature, "saturation": look.saturation, "size": look.detail}
    return replace(options, **network, **chosen)


def sent_name(kind: Literal["key", "reference", "guide"], suffix: str) -> str:
    """A new name in an item's folder for a shot's key frame or reference, or what a picture's colours are taken from.
    suffix: with its dot, in lower case."""
    return f"{kind}-{secrets.token_hex(4)}{suffix}"


def is_sent(name: str) -> bool:
    """Whether a name is one that `sent_name` makes for a shot's key frame or reference."""
    return _SENT.fullmatch(name) is not None


@dataclass(frozen=True)
class Look:
    """How a picture is to be coloured.

    Attributes:
        temperature, saturation, detail: as the options of that name. hints: as a hint file lists them. guide: what the
            coloured picture that came along is: a "version" of this one, or one of "similar" things.
        guide_file: where it lies, in the item's folder; pages learn and say its name alone. shots: of a film, as a
            project lists them; pictures of key frames and references are named as `sent_name` makes them, and lie in
            the item's folder.
        weights: the network's name; "": the server's own.
    """

    temperature: float | None = None
    saturation: float = 1.0
    detail: int | None = None
    hints: list[dict[str, Any]] = field(default_factory=list)
    guide: Guide = ""
    guide_file: str = ""
    shots: list[dict[str, Any]] = field(default_factory=list)
    weights: str = ""

    def told_hints(self) -> list[Hint]:
        """The hints as objects. ValueError: one is none, or one of a film's, which belong to its shots."""
        return hints_from(hints_of(self.hints, "the picture"), film=False)

    def told(self) -> dict[str, Any]:
        """What the page learns."""
        return {**asdict(self), "guide_file": Path(self.guide_file).name}

    def check(self, folder: Path) -> None:
        """Compare the numbers with the options' rules, and see what the hints are.

        Args:
            folder: of the item, in which the pictures of key frames and references lie.

        Raises:
            ValueError: one is out of range, or a key frame or reference is no picture that was sent.
        """
        check_look(self.temperature, self.saturation)
        check_value("detail", self.detail, rules(LookOptions)["size"])
        if self.told_hints() and self.guide == "version":
            raise ValueError("hints: have no place beside the colours of a version; remove one of both")
        for number, shot in enumerate(self.shots, 1):
            pictures = [("key_frames", name) for name in shot.get("key_frames", {}).values()]
            pictures += [("references", reference_of(one).picture) for one in shot.get("references", [])]
            for option, name in pictures:
                name = str(name) if isinstance(name, Path) else name
                if not (isinstance(name, str) and is_sent(name) and (folder / name).is_file()):
                    raise ValueError(f"shot {number}: {option} must name pictures that were sent, got {shown(name)}")
        shots_of(self.shots, folder, "project")
        guide = Path(self.guide_file)
        if self.guide and not self.guide_file:
            raise ValueError("guide: needs a coloured picture, which is to be sent first")
        if self.guide_file and not (_GUIDE.fullmatch(guide.name) and (folder / guide.name).is_file()):
            raise ValueError(f"guide_file: must name a picture that was sent, got {shown(guide.name)}")
