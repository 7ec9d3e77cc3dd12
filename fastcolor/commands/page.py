"""The commands that open a page: `serve` and `study`."""

from __future__ import annotations

from ..options.serve import ServeOptions
from ..options.study import StudyOptions


def run_serve(options: ServeOptions) -> int:
    """Serve until Ctrl-C, which is the usual end."""
    from ..web.server import serve

    serve(options)
    return 0


def run_study(options: StudyOptions) -> int:
    """Ask people until Ctrl-C."""
    from ..web.study.serve import study

    study(options)
    return 0
