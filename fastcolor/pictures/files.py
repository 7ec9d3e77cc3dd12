"""Colouring picture files: one, several, or a folder's whole tree; what can be refused is, before torch is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..bar import bar
from ..formats.writing import check_target
from ..models import named
from ..options.pictures import ColorizeOptions
from . import targets
from .outcome import Outcome

if TYPE_CHECKING:
    from .colorize import Colorizer


def colorize_files(options: ColorizeOptions, colorizer: Colorizer | None = None) -> Outcome:
    """Do what `fastcolor colorize` does.

    Args:
        options: its options. colorizer: one that is loaded already, in place of the one that the options name.

    Returns:
        What was coloured, kept, skipped and failed. With a single picture a failure is raised instead.

    Raises:
        FileNotFoundError, FileExistsError, ValueError: nothing could be started; the message says why.
    """
    if not options.inputs:
        raise ValueError("inputs: name at least one picture or folder")
    options.check()
    if options.format is not None:
        check_target(Path(f"output{targets.ending(options.format)}"))
    outcome = Outcome()
    single = len(options.inputs) == 1 and not options.inputs[0].is_dir()
    if single:
        conversions = [targets.single(options.inputs[0], options.output, options.format)]
    else:
        conversions, found = targets.several(options.inputs, options.output, options.format)
        outcome.no_pictures, outcome.failed = found.others, found.unreadable
    conversions = targets.share(conversions, options.shard)
    named.check(options.weights)
    # Only from here on is there need of torch, which takes a second to load.
    from .colorize import Colorizer
    from .line import Line, finish

    colorizer = colorizer or Colorizer(options.weights, options.device, options.engine, size=options.size)
    with Line(colorizer, conversions, options, single) as passages:
        for _ in bar(conversions):
            passage = next(passages)
            try:
                if passage.error is not None:
                    raise passage.error
                finish(passage, options, outcome)
            except Exception as error:  # each is in words that name the file
                if single:
                    raise
                outcome.failed.append(str(error))
    return outcome
