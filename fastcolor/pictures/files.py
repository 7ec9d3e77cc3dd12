"""Colouring picture files: one, several, or a folder's whole tree; what can be refused is, before torch is loaded."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from ..atomic import UnwritableError, check_folder, no_more
from ..bar import Journal, bar
from ..engines import session
from ..formats.endings import check_target
from ..models import named
from ..options.pictures import ColorizeOptions
from . import targets
from .outcome import Outcome
from .targets import Conversion

if TYPE_CHECKING:
    from .colorize import Colorizer
    from .passage import Passage

FEW = 8  # pictures that are coloured sooner without torch, one after the other, than with it, many at once


def colorize_files(options: ColorizeOptions, colorizer: Colorizer | None = None) -> Outcome:
    """Do what `fastcolor colorize` does.

    Args:
        options: its options. colorizer: one that is loaded already, in place of the one that the options name.

    Returns:
        What was coloured, kept, skipped and failed. With a single picture a failure is raised instead.

    Raises:
        FileNotFoundError, FileExistsError, ValueError: nothing could be started; the message says why.
        UnwritableError: with several pictures, the disk is full or the output folder cannot be written.
    """
    if not options.inputs:
        raise ValueError("inputs: name at least one picture or folder")
    options.check()
    if options.format is not None:
        check_target(Path(f"output{targets.ending(options.format)}"))
    outcome = Outcome()
    inputs = targets.expanded(options.inputs)
    single = inputs == list(options.inputs) and len(inputs) == 1 and not inputs[0].is_dir()
    if single:
        conversions = [targets.single(inputs[0], options.output, options.format)]
        if conversions[0].target.exists() and not options.overwrite:
            raise FileExistsError(f"{conversions[0].target}: exists already; --overwrite replaces it")
    else:
        conversions, found = targets.several(inputs, options.output, options.format)
        outcome.no_pictures, outcome.failed, outcome.earlier = found.others, found.unreadable, found.earlier
    conversions = targets.told(conversions, options, None if single else Path(options.output))
    conversions = targets.share(conversions, options.shard)
    named.check(options.weights)
    if not single:
        check_folder(Path(options.output))
    passages = _passages(conversions, options, colorizer, single)
    from .passage import finish

    if not single:
        targets.mark(Path(options.output), inputs)
    with Journal(options.log) as journal, passages as passing:
        for conversion in bar(conversions):
            passage = next(passing)
            status, words = "exists" if passage.skipped else "kept" if passage.keep else "coloured", ""
            try:
                if passage.error is not None:
                    raise passage.error
                finish(passage, options, outcome)
            except Exception as error:  # each is in words that name the file
                status, words = "failed", str(error)
                if single or (reason := no_more(error)):
                    journal.add(conversion.source, conversion.target, status, words)
                    if single:
                        raise
                    raise UnwritableError(
                        f"{options.output}: cannot be written ({reason}); {len(outcome.done)} of {len(conversions)} "
                        "pictures are coloured, the same command once more does the rest"
                    ) from None
                outcome.failed.append(words)
            journal.add(conversion.source, conversion.target, status, words)
    return outcome


def _passages(
    conversions: list[Conversion], options: ColorizeOptions, colorizer: Colorizer | None, single: bool
) -> AbstractContextManager[Iterator[Passage]]:
    """What reads and paints: from here on is there need of a network."""
    told = options.hints or options.chroma_from or options.references
    plain = not (told or options.as_published or options.edges == "on")
    few = plain and len(conversions) <= FEW
    noted = None
    if colorizer is None:  # while the network gets ready, all else is imported; torch takes a second
        noted = session.begin(options.weights, options.device, options.engine, few=few)
    if noted is not None and few:
        from .passage import painted
        from .plain import PlainPainter

        if noted.good():
            painter = PlainPainter(noted, options.size)
            return contextlib.nullcontext(painted(painter, one, options, single=single) for one in conversions)
    from .colorize import Colorizer
    from .line import Line

    return Line(colorizer or Colorizer.of(options, amount=len(conversions)), conversions, options, single)
