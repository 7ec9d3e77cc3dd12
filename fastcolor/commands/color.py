"""The commands that colour: `colorize`, `video` and `batch`."""

from __future__ import annotations

import sys
from dataclasses import asdict, make_dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro


def video_type() -> Any:
    """The options of `video`: IN, OUT and those of the function, which needs torch: so they are put together here."""
    from ..film.video import VideoOptions

    def positional(metavar: str, help_text: str) -> Any:
        return Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar=metavar, help=help_text)]

    command = make_dataclass(
        "VideoCommand",
        [
            ("src", positional("IN", "The gray film.")),
            ("dst", positional("OUT", "The film to write.")),
            ("options", tyro.conf.OmitArgPrefixes[Annotated[VideoOptions, tyro.conf.arg(name="film")]]),
        ],
        frozen=True,
    )
    command.__doc__ = "Colour a film; sound, subtitles and time stamps are kept."
    return command


def run_video(command: Any) -> int:
    """Colour a film and tell what was done."""
    from ..film.video import video

    report = video(command.src, command.dst, **asdict(command.options))
    print(report)
    return 3 if report.warnings else 0


def run_colorize(options: Any) -> int:
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


def run_batch(options: Any) -> int:
    """Colour a tree and show a table."""
    from ..batch.batch import batch

    summary = batch(options)
    print(summary)
    if summary.failed:
        return 1
    return 3 if summary.damaged else 0
