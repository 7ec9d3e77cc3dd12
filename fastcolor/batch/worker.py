"""A worker of a batch: does items, one after the other, each under its claim."""

from __future__ import annotations

import logging
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..atomic import no_more
from ..film.video import video
from ..options.batch import BatchOptions
from ..options.film import Films
from ..options.pictures import ColorizeOptions, Pictures
from ..pictures.colorize import Colorizer
from ..pictures.outcome import Outcome
from ..pictures.passage import color_file
from ..pictures.targets import Conversion, companions
from .claims import claim
from .items import Item, Result, chroma_film, exists, key_frame_folder, stamp

log = logging.getLogger("fastcolor")
_DEATHS = 3  # so many workers may die at an item


class Painter:
    """A worker: does items, one after the other. run: a word that all workers of a run share. pictures: about how many
    of the items are."""

    def __init__(self, options: BatchOptions, run: str, pictures: int, *, progress: bool | None = None) -> None:
        self.options, self.run, self.progress = options, run, progress
        # What exists has been looked at under the item's claim.
        self._pictures = ColorizeOptions((), "", **{**_those_of(Pictures, options), "overwrite": True})
        self._colorizer = Colorizer.of(options, amount=max(1, pictures))

    def __call__(self, item: Item) -> Result:
        """Do an item unless it is done. Whatever is wrong with it is told, not raised."""
        if exists(item, self.options):
            return Result("exists")
        try:
            with claim(item.target, self.run) as held:
                if held is None:
                    return Result("held")
                if stamp(item.target) != item.before:
                    return Result("elsewhere")
                if held.deaths >= _DEATHS:
                    return Result("failed", f"{item.source}: given up, {held.deaths} workers died at it")
                if item.kind == "film":
                    return self._film(item, resume=held.deaths > 0 or not self.options.overwrite)
                outcome = Outcome()
                told = Conversion(item.source, item.target, **self._companions(item))
                color_file(self._colorizer, told, self._pictures, outcome)
                return Result("kept" if outcome.kept else "coloured")
        except Exception as error:
            words = str(error) or type(error).__name__
            if isinstance(error, OSError) and error.strerror:
                words = f"{error.filename or item.target}: {error.strerror.lower()}"
            words = words if str(item.source) in words else f"{item.source}: {words}"
            return Result("failed", words, reason=no_more(error))

    def _companions(self, item: Item) -> dict[str, Any]:
        return companions(self.options, Conversion(item.source, item.target), Path(os.path.abspath(self.options.dst)))

    def _film(self, item: Item, *, resume: bool) -> Result:
        asked = _those_of(Films, self.options)
        name = item.target.relative_to(os.path.abspath(self.options.dst))
        asked |= self._companions(item)
        if self.options.chroma_to is not None:
            asked["chroma_to"] = chroma_film(Path(self.options.chroma_to), name)
        folders = [key_frame_folder(one, name) for one in self.options.key_frames]
        asked["key_frames"] = tuple(folder for folder in folders if folder.is_dir())
        asked["carry"] = self.options.carry and bool(asked["key_frames"])
        report = video(item.source, item.target, **asked, resume=resume, progress=self.progress)
        for choice in report.choices:
            log.warning("%s: %s", item.source, choice)
        return Result("coloured", damaged=bool(report.warnings))


def _those_of(kind: type[Pictures] | type[Films], options: BatchOptions) -> dict[str, Any]:
    """The fields that a part of a batch takes."""
    return {field.name: getattr(options, field.name) for field in fields(kind)}
