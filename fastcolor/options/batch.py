"""The options of folders and fleets."""

from __future__ import annotations

import os
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from .film import Films
from .pictures import Pictures


@dataclass(frozen=True)
class BatchOptions(Pictures, Films):
    """Colour a folder's pictures and films into a folder of the same tree; what exists is skipped."""

    src: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN_DIR")]
    """The folder; hidden files in it are left out."""
    dst: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT_DIR")]
    """The folder to write; it is made."""
    _: KW_ONLY
    film_format: str | None = None
    """Ending of the films, such as mp4. None: as the input's, or mkv where that cannot be written."""
    ray: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")] = None
    """Address of a Ray cluster whose machines see both folders; auto, or local for one on this machine."""
    workers: int | None = None
    """With --ray: how many processes. None: one for each GPU or, without GPUs, each core."""

    def check(self) -> None:
        """Compare every field with its rule.

        Raises:
            ValueError: one is out of range.
        """
        super().check()
        if self.workers is not None and (self.ray is None or self.workers < 1):
            raise ValueError(f"workers: must be 1 or more, and needs --ray, got {self.workers}")
        if self.carry and not self.key_frames:
            raise ValueError("carry: must come with key frames, got none")
        for one in self.key_frames:
            if not isinstance(one, (str, os.PathLike)) or not os.path.isdir(one):
                raise ValueError(f"key_frames: must be a folder of folders named as the films, got {one}")
