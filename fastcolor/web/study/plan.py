"""Which pairs a person sees, in which order, and on which side the recoloured one lies."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Side = Literal["left", "right"]
CONTROLS = 0.1  # the share of each control among the pairs


@dataclass(frozen=True)
class Trial:
    """One pair. kind: "method"; or a control: "random", another picture's colours, or "true", twice the true picture.

    Attributes:
        method: of kind "method". picture: its number. colours: the number of the picture that random colours are of.
        fake: where the recoloured picture lies; of twice the true one a side that only looks as if it meant something.
    """

    practice: bool
    kind: Literal["method", "random", "true"]
    method: str | None
    picture: int
    colours: int | None
    fake: Side


def plan(seed: int, person: int, pictures: int, methods: Sequence[str], trials: int, practice: int) -> list[Trial]:
    """All of a person's pairs, practice first; the same for the same arguments.

    A tenth of the pairs are random colours and a tenth twice the true picture; the others are shared by the methods,
    which take turns at having one more. A picture comes again only after all others have come.

    Example:
        >>> [trial.practice for trial in plan(0, 1, 60, ["a"], 40, 10)].count(True)
        10
    """
    draw = random.Random(f"fastcolor study, seed {seed}, person {person}")
    controls = max(1, round(CONTROLS * trials))
    asked: list[tuple[str, str | None]] = []
    asked += [("random", None)] * controls + [("true", None)] * controls
    turn = [methods[(person + index) % len(methods)] for index in range(trials - 2 * controls)]
    asked += [("method", name) for name in turn]
    draw.shuffle(asked)
    tried: list[tuple[str, str | None]] = [
        ("random", None) if index % 5 == 4 else ("method", methods[(person + index) % len(methods)])
        for index in range(practice)
    ]
    draw.shuffle(tried)
    order: list[int] = []
    while len(order) < trials + practice:
        order += draw.sample(range(pictures), pictures)
    sides: list[Side] = ["left", "right"] * ((trials + practice + 1) // 2)
    draw.shuffle(sides)
    made = []
    for number, ((kind, method), picture, side) in enumerate(zip([*tried, *asked], order, sides, strict=False)):
        colours = draw.choice([other for other in range(pictures) if other != picture]) if kind == "random" else None
        made.append(Trial(number < practice, kind, method, picture, colours, side))  # type: ignore[arg-type]
    return made
