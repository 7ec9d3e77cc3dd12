"""Starting and ending the server on the loopback."""

from __future__ import annotations

import re
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ..models import named
from ..options.serve import ServeOptions
from .access import Access, Guard


def need() -> None:
    """See whether the packages of the extra are there.

    Raises:
        ValueError: one is missing.
    """
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ValueError(f"the page needs {error.name}: pip install 'fastcolor[web]'") from None


def serve(options: ServeOptions) -> None:
    """Do what `fastcolor serve` does, until it is stopped.

    Raises:
        ValueError: an option is out of range, or the extra is not installed. OSError: the port is taken.
    """
    options.check()
    if options.folder is not None and not options.folder.is_dir():
        raise ValueError(f"folder: must be a folder, got {options.folder}")
    named.check(options.weights)
    need()
    from .app import UPLOADS, application
    from .studio import Studio

    studio = Studio(options)
    try:
        run(application(studio), UPLOADS, options.port, open_page=options.open, leaving=studio.leave)
    finally:
        studio.store.close()


def run(
    app: Any, uploads: re.Pattern[str] | None, port: int, *, open_page: bool, leaving: Callable[[], None] = lambda: None
) -> None:
    """Serve an application on 127.0.0.1 behind a guard, and print its address, until a signal comes.

    Args:
        uploads: fits its paths that take long bodies. port: 0: any. open_page: start the browser.
        leaving: is called when the signal comes, before anybody is waited for.
    """
    import uvicorn

    with _listening(port) as listening:
        access = Access(listening.getsockname()[1])
        print(f"fastcolor: {access.address}", flush=True)
        print("Open it in a browser on this machine; Ctrl-C ends it.", file=sys.stderr, flush=True)
        config = uvicorn.Config(
            Guard(app, access, uploads),
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            ws="none",
            timeout_graceful_shutdown=1,
            limit_concurrency=256,
        )

        class Server(uvicorn.Server):
            def handle_exit(self, sig: int, frame: FrameType | None) -> None:
                leaving()
                super().handle_exit(sig, frame)

        server = Server(config)
        if open_page:
            _once_up(server, lambda: webbrowser.open(access.ticket()))
        with _ending_quietly():
            server.run(sockets=[listening])


@contextmanager
def _ending_quietly() -> Iterator[None]:
    """uvicorn raises the signal that ended it once more, when all is cleaned up; nothing is left for it to end."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listening(port: int) -> socket.socket:
    """A socket on the loopback alone."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
    except OSError as error:
        listening.close()
        raise ValueError(f"port: must be free, got {port} ({(error.strerror or '').lower()})") from None
    return listening


def _once_up(server: Any, do: Callable[[], object]) -> None:
    def wait() -> None:
        while not server.started and not server.should_exit:
            threading.Event().wait(0.05)
        if server.started:
            do()

    threading.Thread(target=wait, daemon=True).start()
