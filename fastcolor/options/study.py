"""The options of the study that judges colours by people's eyes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from .base import Must
from .look import Look
from .serve import Port


@dataclass(frozen=True, kw_only=True)
class StudyOptions(Look):
    """Ask people which of two pictures is recoloured; opens a page on this machine, answers go into a SQLite file."""

    folders: Annotated[
        tyro.conf.Positional[tuple[Path, ...]],
        tyro.conf.arg(metavar="TRUE [RESULTS ...]", help_behavior_hint="(required)"),
    ]
    """A folder of colour photographs, then one of each method's results under the same names. None: fastcolor's own."""
    database: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("study.sqlite")
    """Where the answers go; of the same study it is gone on with."""
    trials: Annotated[int, Must("lie in 4..1000", lambda value: 4 <= value <= 1000)] = 40
    """Pairs that each person judges."""
    practice: Annotated[int, Must("lie in 0..100", lambda value: 0 <= value <= 100)] = 10
    """Pairs before these, whose answers are told right or wrong and do not count."""
    seed: Annotated[int, Must("be at least 0", lambda value: value >= 0)] = 0
    """Of the order in which everybody sees the pairs."""
    port: Port = 0
    """Of 127.0.0.1; 0: any that is free."""
    open: bool = False
    """Open the page in the browser."""
