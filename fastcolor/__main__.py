"""`fastcolor`, `fastcolor-video` and `python -m fastcolor`.

Importing torch takes a second or more. Ctrl-C ends the process at once in that time, in which nothing is at stake yet;
an exception from the midst of an import would come out as another one, or as a traceback.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Entry point of `fastcolor`."""
    _load("fastcolor")
    from .commands.cli import main

    main()


def main_video() -> None:
    """Entry point of `fastcolor-video`."""
    _load("fastcolor-video")
    from .commands.cli import main_video

    main_video()


def _load(program: str) -> None:
    def stop(signum: int, frame: FrameType | None) -> None:
        os.write(sys.stderr.fileno(), f"{program}: stopped\n".encode())
        os._exit(130)

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # not where the shell has it ignored, as for a job in the background
        signal.signal(signal.SIGINT, stop)
    import torch  # noqa: F401

    from .commands import cli  # noqa: F401

    signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    main()
