"""The commands that colour: `colorize`, `video` and `batch`."""

from __future__ import annotations

import sys

from ..options.batch import BatchOptions
from ..options.film import VideoOptions
from ..options.pictures import ColorizeOptions


def run_video(options: VideoOptions) -> int:
    """Colour a film and tell what was done."""
    from ..film.video import video

    report = video(**vars(options))
    print(report)
    return 3 if report.warnings else 0


def run_colorize(options: ColorizeOptions) -> int:
    """Colour pictures and count them; one is told by its name."""
    from ..pictures.files import colorize_files

    outcome = colorize_files(options)
    if len(outcome.done + outcome.kept) == 1 and not outcome.failed and not outcome.skipped:
        print((outcome.done + outcome.kept)[0])
    else:
        print(outcome)
    for note in outcome.notes:
        print(note, file=sys.stderr)
    return 1 if outcome.failed else 0


def run_batch(options: BatchOptions) -> int:
    """Colour a tree and show a table."""
    from ..batch.batch import batch

    summary = batch(options)
    print(summary)
    if summary.failed:
        return 1
    return 3 if summary.damaged else 0
