"""The options of the page that `fastcolor serve` opens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from .base import Must
from .look import Look

Port = Annotated[int, Must("lie in 0..65535", lambda value: 0 <= value <= 65535)]


@dataclass(frozen=True, kw_only=True)
class ServeOptions(Look):
    """Open a page on this machine to colour pictures and films, compare, correct and export; nothing leaves it."""

    port: Port = 0
    """Of 127.0.0.1; 0: any that is free."""
    folder: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Show this folder's pictures and films; exports, uploads and what you said go into coloured/ in it."""
    work: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Keep uploads and what you said of them in this folder, for the next time; None: with a folder in that."""
    open: bool = False
    """Open the page in the browser."""
