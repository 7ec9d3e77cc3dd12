"""A process beside the server that does the work: a picture or film that kills it leaves the server up."""

from __future__ import annotations

import contextlib
import importlib
import logging
import multiprocessing
import os
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
        self._ended = threading.Event()  # no call is at work
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
                    elif kind == "stopped":
                        raise DiedError("it was stopped")
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
                    self._ended.set()

    def _started(self, name: object) -> tuple[Any, Connection]:
        with self._guard:
            if name is not None and name is self._unwanted:
                raise DiedError("it was stopped before it had begun")
            self._name = name
            self._ended.clear()
            if self._pipe is None or not self._process.is_alive():
                context = multiprocessing.get_context("spawn")
                self._pipe, theirs = context.Pipe()
                self._process = context.Process(target=_work, args=(theirs, self._make, self._arguments), daemon=True)
                self._process.start()
                theirs.close()
            return self._process, self._pipe

    def stop(self, name: object = None, patience: float = 5.0) -> None:
        """Stop a call, as Ctrl-C would; or end the process, what it works on included.

        Args:
            name: of the call to stop; where another one is at work, that goes on. None: whatever it does, and the
                process ends too.
            patience: seconds until it is killed.
        """
        with self._guard:
            if name is not None and name is not self._name:
                self._unwanted = name
                return
            process, ended = self._process, self._ended
            if process is None:
                return
            if name is not None and hasattr(signal, "SIGUSR1") and process.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGUSR1)
            else:
                self._leave(process)
        if name is not None:
            if ended.wait(patience):
                return
            with self._guard:
                if name is not self._name:
                    return
                self._leave(process)
        process.join(patience)
        if process.is_alive():
            process.kill()
            process.join()

    def _leave(self, process: Any) -> None:
        """Have a process end; the next call gets another one, however this one dies. Its pipe is closed after that, or
        the process would be told while it leaves already, as nobody asks any more."""
        process.terminate()
        if self._process is process:
            self._process = self._pipe = None


class _Interruptions:
    """What signals do to the work in the other process: SIGTERM ends it, SIGUSR1 stops a call that has told something,
    when all that it needs is imported; before that it ends the process too, since half an import cannot be mended.
    """

    def __init__(self) -> None:
        self.ending = self.working = self.far = False
        self._sending, self._late = False, False
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends us
        signal.signal(signal.SIGTERM, self._end)
        if hasattr(signal, "SIGUSR1"):
            signal.signal(signal.SIGUSR1, self._stop)

    def leave(self) -> None:
        """Nothing is left for a signal to end: told once more, what Python does last would be interrupted aloud."""
        with contextlib.suppress(KeyboardInterrupt):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def _end(self, number: int, frame: object) -> None:
        self.ending = True
        raise KeyboardInterrupt

    def _stop(self, number: int, frame: object) -> None:
        if not self.working:
            return
        self.ending = self.ending or not self.far
        if self._sending:
            self._late = True
        else:
            raise KeyboardInterrupt

    def send(self, pipe: Connection, message: Any) -> None:
        """Send a message whole."""
        self._sending = True
        try:
            pipe.send(message)
        finally:
            self._sending = False
        if self._late:
            self._late = False
            if self.working:
                raise KeyboardInterrupt


def _work(pipe: Connection, make: str, arguments: tuple[Any, ...]) -> None:
    """What the other process does until nobody asks any more."""
    signals = _Interruptions()
    quiet = logging.StreamHandler()
    quiet.setLevel(logging.ERROR)  # what is said below that is for those who listen
    logging.basicConfig(handlers=[quiet], level=logging.WARNING)
    made = None

    def tell(value: Any) -> None:
        signals.far = True
        signals.send(pipe, ("told", value))

    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while not signals.ending:  # an import that is interrupted may raise something else
            method, given, tells = pipe.recv()
            try:
                signals.far, signals.working = False, True
                if made is None:
                    module, _, name = make.partition(":")
                    made = getattr(importlib.import_module(module), name)(*arguments)
                answer = ("done", getattr(made, method)(*given, **({"tell": tell} if tells else {})))
                signals.working = False
            except KeyboardInterrupt:
                signals.working = False
                if signals.ending:
                    break
                answer = ("stopped", None)
            except Exception as error:
                signals.working = False
                log.log(logging.DEBUG if _kind(error) else logging.ERROR, "%s", method, exc_info=error)
                answer = ("failed", (_words(error), _kind(error), getattr(error, "errno", None)))
            signals.send(pipe, answer)
    signals.leave()


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
