"""`fastcolor ...` and `fastcolor-video IN OUT`: the same functions and options as in Python, through tyro.

Exit codes: 0 done; 1 failed or partly failed; 2 bad input or options; 3 film done, but its input was damaged; 4 the
disk is full or the output folder cannot be written; 130 Ctrl-C; 143 a request to stop (SIGTERM). Messages are one
sentence on stderr; FASTCOLOR_DEBUG=1 shows where an error came from.
"""

from __future__ import annotations

import difflib
import io
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import tyro

from .. import commands
from ..atomic import UnwritableError
from ..constants import is_film
from ..options.film import VideoOptions
from . import color as colour
from .arguments import parse
from .stopping import code_of, stoppable


def _fail(message: str, code: int) -> int:
    print(" ".join(message.split()), file=sys.stderr)
    return code


def _guard(program: str, work: Callable[[], int]) -> int:
    """Run, and turn every failure into one sentence and an exit code."""
    for stream in (sys.stdout, sys.stderr):  # a name in another encoding is shown in some way, and ends no run
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    if os.environ.get("FASTCOLOR_DEBUG") == "1":
        with stoppable(program):
            return work()
    warnings.simplefilter("ignore")
    try:
        with stoppable(program):
            return work()
    except KeyboardInterrupt as stop:
        return _fail(f"{program}: {str(stop) or 'stopped'}", code_of(stop))
    except BrokenPipeError:
        return 1
    except UnwritableError as error:
        return _fail(f"{program}: {error}", 4)
    except OSError as error:
        if error.filename is not None and error.strerror:
            return _fail(f"{program}: {error.filename}: {error.strerror.lower()}", 2)
        wrong = (FileNotFoundError, FileExistsError, IsADirectoryError)
        return _fail(f"{program}: {error}", 2 if isinstance(error, wrong) else 1)
    except (ValueError, TypeError) as error:
        return _fail(f"{program}: {error}", 2)
    except Exception as error:
        return _fail(f"{program}: {error or type(error).__name__}", 1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `fastcolor`."""
    arguments = sys.argv[1:] if arguments is None else arguments

    def work() -> int:
        if list(arguments) == ["--version"]:
            return _print_version()
        if arguments and arguments[0] in commands.NAMES:
            kind, run = commands.command(arguments[0])
            return run(parse(kind, arguments[1:], "fastcolor", arguments[0]))
        if arguments and not arguments[0].startswith("-"):
            raise ValueError(_no_command(arguments[0]))
        union: Any = None
        for name, (kind, _) in commands.table().items():
            member: Any = Annotated[kind, tyro.conf.subcommand(name)]
            union = member if union is None else union | member
        parse(union, arguments, "fastcolor")
        return 2  # what names no command ends there

    sys.exit(_guard("fastcolor", work))


def _no_command(word: str) -> str:
    close = difflib.get_close_matches(word, commands.NAMES, 1)
    if close:
        hint = f"; did you mean {close[0]}?"
    elif os.path.exists(word):
        kinds = {"video": is_film(word), "batch": os.path.isdir(word), "colorize": True}
        hint = f"; fastcolor {next(name for name, fits in kinds.items() if fits)} colours that"
    else:
        hint = ""
    return f"command: must be one of {', '.join(commands.NAMES)}, got {word!r}{hint}"


def main_video(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `fastcolor-video`."""
    arguments = sys.argv[1:] if arguments is None else arguments

    def work() -> int:
        if list(arguments) == ["--version"]:
            return _print_version()
        return colour.run_video(parse(VideoOptions, arguments, "fastcolor-video"))

    sys.exit(_guard("fastcolor-video", work))


def _print_version() -> int:
    from ..constants import __version__

    print(f"fastcolor {__version__}")
    return 0
