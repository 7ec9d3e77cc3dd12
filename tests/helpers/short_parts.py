"""Films painted in parts so short that a small one has several, in a process of its own."""

from __future__ import annotations

from fastcolor.film import resume
from fastcolor.web.filmer import Filmer

resume.FRAMES = 8


class ShortParts(Filmer):
    """What the server's process does."""
