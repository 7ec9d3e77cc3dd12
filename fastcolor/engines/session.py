"""ONNX Runtime's sessions, without torch: so that one can be made while torch is being imported."""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models.named import NAMED
from . import cache
from .versions import cores, package_stamp, processor, stamp

if TYPE_CHECKING:
    import numpy as np

# The name of an answer that lies pixel by pixel, (n h' w', c), as a product of matrices gives it; others lie plane by
# plane, (n, c, h', w').
BY_PIXEL = "output_by_pixel"


def answered(shape: Sequence[int], pixels: int) -> tuple[int, int, int]:
    """(n, h', w') of an answer that lies pixel by pixel. shape: (n, 1, h, w) of the lightness. pixels: n h' w'.

    Example:
        >>> answered((2, 1, 64, 96), 2 * 16 * 24)
        (2, 16, 24)
    """
    n, _, height, width = shape
    step = math.isqrt(n * height * width // pixels) if pixels else 1
    return n, height // step, width // step


_early: dict[tuple[bytes, int, bool], Future[Session]] = {}  # at most one


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


class Session:
    """An exported network's file in ONNX Runtime.

    Args:
        content: the file's bytes. threads: that share a picture. fast: the CPU adds up products of 8-bit integers
            without rounding them in between.

    Attributes:
        facts: what the file says of itself, see `exported`.

    Raises:
        ValueError: ONNX Runtime is not installed. RuntimeError: the file is damaged.
    """

    def __init__(self, content: bytes, threads: int, fast: bool) -> None:
        onnxruntime = runtime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # it raises what it would print
        if not fast:  # sums of 8-bit products would saturate; the exact way takes twice as long
            options.add_session_config_entry("session.x64quantprecision", "1")
        # Waiting threads sleep: decoders and encoders run beside them.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._run = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime's own types, which have no common base
            raise RuntimeError(str(error).splitlines()[0]) from None
        self.facts: dict[str, str] = dict(self._run.get_modelmeta().custom_metadata_map)
        self._by_pixel = self._run.get_outputs()[0].name == BY_PIXEL

    def __call__(self, lightness: np.ndarray) -> np.ndarray:
        """The network's answer, (n, c, h', w') float32, to L (n, 1, h, w) float32; where it lies pixel by pixel, a
        view of that."""
        answer: np.ndarray = self._run.run(None, {"lightness": lightness})[0]
        if not self._by_pixel:
            return answer
        return answer.reshape(*answered(lightness.shape, len(answer)), answer.shape[1]).transpose(0, 3, 1, 2)


def session_of(content: bytes, threads: int, fast: bool) -> Session:
    """A session, one that was begun early if it is the same; see `Session`."""
    begun = _early.pop((content, threads, fast), None)
    return Session(content, threads, fast) if begun is None else begun.result()


@dataclass(frozen=True)
class Noted:
    """How the default weights run here in INT8.

    Attributes:
        name, content: of the package's ONNX file. threads, fast: as `session_of` takes them. asked: the device and
            engine, if no earlier run has found that the file gives what torch gives; else None.
    """

    name: str
    content: bytes
    threads: int
    fast: bool
    asked: str | None = None

    def good(self) -> bool:
        """Whether the file gives here what torch gives: an earlier run found so, or it is seen now, and noted."""
        if self.asked is None:
            return True
        from . import proof

        try:
            session = _early[self.content, self.threads, self.fast].result()
            weights = hashlib.sha256(NAMED["default"].read_bytes()).hexdigest()
            holds = proof.holds(session, session.facts, weights)
        except (ValueError, RuntimeError, OSError):
            holds = False
        if holds:
            _note(self.asked, self, chosen=False)
        else:
            _early.clear()
        return holds


def _here() -> list[object]:
    """What a note depends on: weights, ONNX Runtime, the processor and what the environment makes of it."""
    environment = [os.environ.get(name) for name in ("OMP_NUM_THREADS", "FASTCOLOR_ISA", "CUDA_VISIBLE_DEVICES")]
    return [stamp(NAMED["default"]), package_stamp("onnxruntime"), processor(), cores(), *environment]


def _note(asked: str, good: Noted | None, *, chosen: bool) -> None:
    note: list[object] = [_here()]
    if good is not None:
        note += [good.name, hashlib.sha256(good.content).hexdigest(), good.threads, good.fast, chosen]
    if cache.recall("early", asked) != note:
        cache.remember("early", asked, note)


def remember(device: str, engine: str, file: Path | None, threads: int, fast: bool, *, chosen: bool) -> None:
    """Keep how the default weights can be run in INT8, for `begin`.

    Args:
        device, engine: that were asked for. file: of the package's, which gave what torch gives; None: there is none,
            or the CPU is not what runs the network. threads, fast: as `session_of` takes them. chosen: whether it is
            what runs the network; else another engine was measured faster.
    """
    good = None if file is None else Noted(file.name, file.read_bytes(), threads, fast)
    _note(f"{device} {engine}", good, chosen=chosen)


def begin(weights: object, device: str, engine: str, *, few: bool = False) -> Noted | None:
    """Make the session that a command is going to need, in a thread of its own.

    Args:
        few: it is for few pictures, where what counts is which is ready first: though another engine was measured
            faster, and though nothing was measured yet. Then see `Noted.good`.

    Returns:
        What `session_of` will want to be asked; None: nothing was begun.
    """
    if weights != "default":
        return None
    asked = f"{device} {engine}"
    note = cache.recall("early", asked)
    if isinstance(note, list) and note and note[0] == _here():
        noted = _noted(note, few)
    else:
        noted = _first(device, engine) if few else None
    if noted is not None:
        _begin(noted)
    return noted


def _noted(note: list[Any], few: bool) -> Noted | None:
    """What an earlier run of this very machine and package found."""
    if len(note) != 6:
        return None
    _, name, digest, threads, fast, chosen = note
    if not (chosen or few) or not isinstance(threads, int):
        return None
    name = Path(str(name)).name
    content = cache.read(NAMED["default"].parent / name)
    if content is None or hashlib.sha256(content).hexdigest() != digest:
        return None
    return Noted(name, content, threads, bool(fast))


def _first(device: str, engine: str) -> Noted | None:
    """What no run has tried yet: where the CPU is what was asked for, or all that there is, and fast in INT8."""
    if device not in ("auto", "cpu") or engine not in ("auto", "onnx"):
        return None
    from .._native import _C, capabilities

    files = list(NAMED["default"].parent.glob("*-int8.onnx"))
    if len(files) != 1 or not _C.has_vnni() or (device == "auto" and capabilities()["cuda_devices"]):
        return None
    (file,) = files
    threads = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    count = int(threads) if threads.isdecimal() else cores()
    return Noted(file.name, file.read_bytes(), count, True, f"{device} {engine}")


def _begin(noted: Noted) -> None:
    import numpy  # noqa: F401  both this thread and the other's onnxruntime want it; two first imports collide

    future: Future[Session] = Future()

    def work() -> None:
        try:
            future.set_result(Session(noted.content, noted.threads, noted.fast))
        except BaseException as error:
            future.set_exception(error)

    _early.clear()
    _early[noted.content, noted.threads, noted.fast] = future
    # Waited for at the end, whatever comes between: ONNX Runtime aborts a process that ends while it makes a session.
    threading.Thread(target=work, name="fastcolor-session", daemon=False).start()
