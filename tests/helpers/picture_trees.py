"""Folders of small pictures."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def six_pictures(folder: Path) -> Path:
    """Six pictures of one colour each, in a tree."""
    for i in range(6):
        path = folder / "pictures" / ("a" if i % 2 else "b") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40 + i, 30), (40 * i, 10, 200)).save(path)
    return folder / "pictures"
