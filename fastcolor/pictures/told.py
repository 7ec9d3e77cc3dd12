"""What somebody says of a picture's colours."""

from __future__ import annotations

from dataclasses import dataclass

from ..options.hints import Hint
from .opening import ImageLike


@dataclass(frozen=True)
class Told:
    """What somebody says of a picture's colours: hints and references, or a coloured version of it.

    Attributes:
        tone: the references' tone counts too.
    """

    hints: tuple[Hint, ...] = ()
    version: ImageLike | None = None
    references: tuple[ImageLike | tuple[ImageLike, float], ...] = ()
    tone: bool = False

    def __post_init__(self) -> None:
        for name in ("hints", "references"):
            if getattr(self, name) and self.version is not None:
                raise ValueError(f"{name} and chroma_from exclude each other, got both")

    def __bool__(self) -> bool:
        return bool(self.hints) or bool(self.references) or self.version is not None
