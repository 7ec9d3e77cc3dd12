"""The options of `fastcolor shots`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class ShotsOptions:
    """List a film's shots; write a project, in which you say what you know of each, and a sheet of their pictures."""

    film: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILM")]
    """The film."""
    _: KW_ONLY
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="PROJECT.json")]
    """The project to write; the sheet lies beside it, as PROJECT.jpg."""
    overwrite: bool = False
    """Replace both."""
