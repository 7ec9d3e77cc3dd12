"""The commands that open a page: `serve`."""

from __future__ import annotations

from ..options.serve import ServeOptions


def run_serve(options: ServeOptions) -> int:
    """Serve until Ctrl-C, which is the usual end."""
    from ..web.server import serve

    serve(options)
    return 0
