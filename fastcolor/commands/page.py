"""The commands around pages: `serve`, `study` and `web-export`."""

from __future__ import annotations

from ..options.portable import PortableOptions
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


def run_web_export(options: PortableOptions) -> int:
    """Write the page and tell its size."""
    from ..web.export import web_export

    files = web_export(options)
    print(f"{options.out}: {len(files)} files, {sum(files.values()) / 1e6:.1f} MB")
    return 0
