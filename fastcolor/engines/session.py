"""ONNX Runtime's sessions, without torch: so that one can be made while torch is being imported."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

from ..models.named import NAMED
from . import cache

_ASSETS = NAMED["default"].parent
_early: dict[tuple[bytes, int, bool], Future[Any]] = {}  # at most one


def runtime() -> Any:
    """The onnxruntime package.

    Raises:
        ValueError: it is not installed or does not load.
    """
    try:
        import onnxruntime
    except (ImportError, OSError) as error:
        raise ValueError(f"engine: onnx is not usable: {error}; pip install onnxruntime") from None
    return onnxruntime


def session_of(content: bytes, threads: int, fast: bool) -> Any:
    """A session for an ONNX file, one that was begun early if it is the same.

    Args:
        content: the file's bytes. threads: that share a picture. fast: the CPU adds up products of 8-bit integers
            without rounding them in between.

    Raises:
        ValueError: ONNX Runtime is not installed. RuntimeError: the file is damaged.
    """
    begun = _early.pop((content, threads, fast), None)
    return _make(content, threads, fast) if begun is None else begun.result()


def _make(content: bytes, threads: int, fast: bool) -> Any:
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # it raises what it would print
    if not fast:  # sums of 8-bit products would saturate; the exact way takes twice as long
        options.add_session_config_entry("session.x64quantprecision", "1")
    # Waiting threads sleep: decoders and encoders run beside them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own types, which have no common base
        raise RuntimeError(str(error).splitlines()[0]) from None


def remember(name: str | None, threads: int, fast: bool) -> None:
    """Keep what the default weights were last run with here, for `begin`.

    Args:
        name: of the package's ONNX file; None: it was something else. threads, fast: as `session_of` takes them.
    """
    note = None if name is None else [name, threads, fast]
    if cache.recall("early", "default") != note:
        cache.remember("early", "default", note)


def begin(weights: object, device: str, engine: str) -> None:
    """Make the session that a command is going to need, in a thread of its own, if the last one needed it too."""
    if weights != "default" or device not in ("auto", "cpu") or engine not in ("auto", "onnx"):
        return
    note = cache.recall("early", "default")
    if not (isinstance(note, list) and len(note) == 3 and isinstance(note[1], int)):
        return
    name, threads, fast = note
    content = cache.read(_ASSETS / str(name))
    if content is None:
        return
    import numpy  # noqa: F401  both this thread's torch and the other's onnxruntime want it; two first imports collide

    future: Future[Any] = Future()

    def work() -> None:
        try:
            future.set_result(_make(content, threads, bool(fast)))
        except BaseException as error:
            future.set_exception(error)

    _early.clear()
    _early[content, threads, bool(fast)] = future
    threading.Thread(target=work, name="fastcolor-session", daemon=True).start()
