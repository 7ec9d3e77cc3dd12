"""ONNX Runtime's sessions, without torch: so that one can be made while torch is being imported."""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..models.named import NAMED
from . import cache
from .versions import cores, package_stamp, processor, stamp

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


@dataclass(frozen=True)
class Noted:
    """How the default weights run here in INT8, as an earlier run found out.

    Attributes:
        content: of the package's ONNX file, which gave what torch gives. threads, fast: as `session_of` takes them.
    """

    content: bytes
    threads: int
    fast: bool


def _here() -> list[object]:
    """What a note depends on: weights, ONNX Runtime, the processor and what the environment makes of it."""
    environment = [os.environ.get(name) for name in ("OMP_NUM_THREADS", "FASTCOLOR_ISA", "CUDA_VISIBLE_DEVICES")]
    return [stamp(NAMED["default"]), package_stamp("onnxruntime"), processor(), cores(), *environment]


def remember(device: str, engine: str, file: Path | None, threads: int, fast: bool, *, chosen: bool) -> None:
    """Keep how the default weights can be run in INT8, for `begin`.

    Args:
        device, engine: that were asked for. file: of the package's, which gave what torch gives; None: there is none,
            or the CPU is not what runs the network. threads, fast: as `session_of` takes them. chosen: whether it is
            what runs the network; else another engine was measured faster.
    """
    note = None
    if file is not None:
        note = [_here(), file.name, hashlib.sha256(file.read_bytes()).hexdigest(), threads, fast, chosen]
    if cache.recall("early", f"{device} {engine}") != note:
        cache.remember("early", f"{device} {engine}", note)


def begin(weights: object, device: str, engine: str, *, anyway: bool = False) -> Noted | None:
    """Make the session that a command is going to need, in a thread of its own, if it needed it before.

    Args:
        anyway: though another engine was measured faster: for one picture, what counts is which is ready first.

    Returns:
        What `session_of` will want to be asked; None: nothing was begun.
    """
    note = cache.recall("early", f"{device} {engine}") if weights == "default" else None
    if not isinstance(note, list) or len(note) != 6:
        return None
    here, name, digest, threads, fast, chosen = note
    if here != _here() or not (chosen or anyway) or not isinstance(threads, int):
        return None
    content = cache.read(NAMED["default"].parent / Path(str(name)).name)
    if content is None or hashlib.sha256(content).hexdigest() != digest:
        return None
    import numpy  # noqa: F401  both this thread and the other's onnxruntime want it; two first imports collide

    future: Future[Any] = Future()

    def work() -> None:
        try:
            future.set_result(_make(content, threads, bool(fast)))
        except BaseException as error:
            future.set_exception(error)

    _early.clear()
    _early[content, threads, bool(fast)] = future
    # Waited for at the end, whatever comes between: ONNX Runtime aborts a process that ends while it makes a session.
    threading.Thread(target=work, name="fastcolor-session", daemon=False).start()
    return Noted(content, threads, bool(fast))
