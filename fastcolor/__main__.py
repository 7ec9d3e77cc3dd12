"""`fastcolor`, `fastcolor-video` and `python -m fastcolor`."""

from __future__ import annotations

from .commands.stopping import stoppable


def main() -> None:
    """Entry point of `fastcolor`."""
    with stoppable("fastcolor", at_once=True):
        from .commands.cli import main

        main()


def main_video() -> None:
    """Entry point of `fastcolor-video`."""
    with stoppable("fastcolor-video", at_once=True):
        from .commands.cli import main_video

        main_video()


if __name__ == "__main__":
    main()
