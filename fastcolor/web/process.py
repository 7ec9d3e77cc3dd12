"""A process beside the server that does the work: a picture or film that kills it leaves the server up."""

from __future__ import annotations

import contextlib
import importlib
import logging
import multiprocessing
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

log = logging.getLogger("fastcolor")


class WorkError(RuntimeError):
    """The work in the process has failed."""


class DiedError(WorkError):
    """The process that did the work has ended in the midst of it."""


class Process:
    """An object in a process of its own, which is started with the first call, and anew after it died.

    Args:
        make: "module:name" of a class, imported there alone. arguments: for it.
    """

    def __init__(self, make: str, *arguments: Any) -> None:
        self._make, self._arguments = make, arguments
        self._process: Any = None
        self._pipe: Connection | None = None
        self._lock = threading.Lock()  # one call at a time
        self._guard = threading.Lock()  # of the process and of the call's name, for a moment at a time
        self._name: object = None
        self._unwanted: object = None  # the name of a call that was stopped before it had begun

    def call(self, method: str, *arguments: Any, told: Callable[[Any], None] | None = None, name: object = None) -> Any:
        """Call a method there and wait for what it returns; to be called from a thread.

        Args:
            told: gets what the method tells while it works; methods that do so take a function `tell`. name: of this
                call, by which it can be stopped.

        Raises:
            DiedError: the process has ended. Whatever the method raises, as an error of the same kind where that is a
            ValueError or OSError, else as WorkError.
        """
        with self._lock:
            process, pipe = self._started(name)
            try:
                pipe.send((method, arguments, told is not None))
                while True:
                    kind, value = pipe.recv()
                    if kind == "told" and told is not None:
                        told(value)
                    elif kind == "done":
                        return value
                    elif kind == "failed":
                        raise _error(*value)
            except (EOFError, ConnectionError, BrokenPipeError):
                process.join(5)
                code = process.exitcode
                with self._guard:
                    if self._process is process:
                        self._process = self._pipe = None
                how = f"signal {-code}" if isinstance(code, int) and code < 0 else f"code {code}"
                raise DiedError(f"the process that worked on it ended ({how}), perhaps for want of memory") from None
            finally:
                with self._guard:
                    self._name = None

    def _started(self, name: object) -> tuple[Any, Connection]:
        with self._guard:
            if name is not None and name is self._unwanted:
                raise DiedError("it was stopped before it had begun")
            self._name = name
            if self._pipe is None or not self._process.is_alive():
                context = multiprocessing.get_context("spawn")
                self._pipe, theirs = context.Pipe()
                self._process = context.Process(target=_work, args=(theirs, self._make, self._arguments), daemon=True)
                self._process.start()
                theirs.close()
            return self._process, self._pipe

    def stop(self, name: object = None, patience: float = 5.0) -> None:
        """End it, what it works on included.

        Args:
            name: of the call to stop; where another one is at work, that goes on. None: whatever it does.
            patience: seconds until it is killed.
        """
        with self._guard:
            if name is not None and name is not self._name:
                self._unwanted = name
                return
            process, _pipe = self._process, self._pipe  # which is not closed before the process has ended
            if process is None:
                return
            self._process = self._pipe = None  # the next call gets another one, however this one dies
            process.terminate()
        process.join(patience)
        if process.is_alive():
            process.kill()
            process.join()


def _work(pipe: Connection, make: str, arguments: tuple[Any, ...]) -> None:
    """What the other process does until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends us
    stopping = False

    def stop(number: int, frame: object) -> None:
        nonlocal stopping
        stopping = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    quiet = logging.StreamHandler()
    quiet.setLevel(logging.ERROR)  # what is said below that is for those who listen
    logging.basicConfig(handlers=[quiet], level=logging.WARNING)
    made = None
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while not stopping:  # an import that is interrupted may raise something else
            method, given, tells = pipe.recv()
            try:
                if made is None:
                    module, _, name = make.partition(":")
                    made = getattr(importlib.import_module(module), name)(*arguments)
                named = {"tell": lambda value: pipe.send(("told", value))} if tells else {}
                answer = ("done", getattr(made, method)(*given, **named))
            except Exception as error:
                log.log(logging.DEBUG if _kind(error) else logging.ERROR, "%s", method, exc_info=error)
                answer = ("failed", (_words(error), _kind(error), getattr(error, "errno", None)))
            pipe.send(answer)


def _words(error: Exception) -> str:
    """An error's own words on one line, without the system's number."""
    said = str(error)
    if isinstance(error, OSError) and error.strerror:
        said = ": ".join(str(part) for part in (error.filename, error.strerror.lower()) if part)
    return " ".join(said.split()) or type(error).__name__


def _kind(error: Exception) -> str:
    return next((kind.__name__ for kind in (ValueError, OSError) if isinstance(error, kind)), "")


def _error(words: str, kind: str, number: int | None) -> Exception:
    if kind == "OSError" and number is not None:
        return OSError(number, words)
    return {"ValueError": ValueError, "OSError": OSError}.get(kind, WorkError)(words)
