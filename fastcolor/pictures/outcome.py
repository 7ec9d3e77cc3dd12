"""What became of the files of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..constants import is_film


@dataclass
class Outcome:
    """What became of every file of a run."""

    done: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)  # in colour already, and left so
    skipped: list[Path] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    no_pictures: list[Path] = field(default_factory=list)  # other files in the folders
    earlier: list[Path] = field(default_factory=list)  # folders of earlier runs' results
    recolored: int = 0  # in colour before
    deep: int = 0  # of 16 bits a channel

    def __str__(self) -> str:
        rows = [f"coloured {len(self.done)}", f"skipped (exist) {len(self.skipped)}", f"failed {len(self.failed)}"]
        if self.kept:
            rows.insert(1, f"kept (in colour) {len(self.kept)}")
        return ", ".join(rows) + "".join(f"\n  failed: {line}" for line in self.failed)

    @property
    def notes(self) -> list[str]:
        """What else is worth a sentence."""
        notes = []
        if self.recolored:
            notes.append(f"in colour before, now in new colours: {self.recolored} (--skip-colored keeps such pictures)")
        if self.deep:
            notes.append(f"16 bits a channel read, 8 written: {self.deep}")
        if self.no_pictures:
            names = ", ".join(path.name for path in self.no_pictures[:3])
            more = ", ..." if len(self.no_pictures) > 3 else ""
            films = "; fastcolor batch colours films too" if any(map(is_film, self.no_pictures)) else ""
            notes.append(f"left out, no picture by their names: {len(self.no_pictures)} ({names}{more}){films}")
        notes += [f"left out, results of an earlier run: {path} (to colour it, name it)" for path in self.earlier]
        return notes
