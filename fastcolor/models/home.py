"""Where fastcolor keeps what it downloads and makes."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The cache folder: FASTCOLOR_HOME, else `fastcolor` under XDG_CACHE_HOME, else ~/.cache/fastcolor."""
    if own := os.environ.get("FASTCOLOR_HOME"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "fastcolor"
