"""The ONNX files of a generator: the one that comes with the package, the ones kept from earlier runs, and new ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..device import int8_is_fast
from ..models.generator import Generator, Precision
from ..models.named import NAMED
from . import cache
from .exported import Exported
from .onnx import can_export
from .tracing import quick_onnx, to_onnx
from .versions import versions

_FORMAT = 2  # counts up when exports change, which makes those kept stale
_ASSETS = NAMED["default"].parent


def shipped_path(generator: Generator) -> Path:
    """Where a network in INT8 lies if one comes with the package for these very weights."""
    return _ASSETS / f"{generator.digest[:32]}-int8.onnx"


def shipped(generator: Generator) -> Path | None:
    """The network in INT8 that comes with the package, if one does and the CPU is fast at it.

    No other is used unasked: what rounding to 8 bits does to colours and their flicker has to be looked at.
    """
    if not int8_is_fast() or isinstance(generator.network, Exported):
        return None
    path = shipped_path(generator)
    return path if path.exists() else None


def kept_path(generator: Generator, precision: Precision) -> Path:
    """Where an exported network is kept."""
    return cache.home() / "onnx" / f"{generator.digest[:32]}-{precision}-{_FORMAT}.onnx"


def exported(generator: Generator, precision: Precision, *, anew: bool = False) -> bytes:
    """The network as an ONNX file, kept from an earlier run unless it is to be made anew. Raises as `to_onnx`."""
    path = kept_path(generator, precision)
    content = None if anew else cache.read(path)
    if content is None:
        content = to_onnx(generator, precision)
        cache.keep(path, content)
    return content


def contents(generator: Generator, precision: str) -> Iterator[Callable[[], bytes]]:
    """Where ONNX files to run in a precision come from, until one gives what it should: the generator itself, if it is
    an exported file; the package; what is kept; an export made anew, which raises as `to_onnx`."""
    network = generator.network
    if isinstance(network, Exported):
        yield lambda: network.content
    elif precision == "int8":
        yield shipped_path(generator).read_bytes
    else:
        kept = cache.read(kept_path(generator, "fp32"))
        if kept is not None:
            yield lambda: kept
        yield lambda: exported(generator, "fp32", anew=True)


def ready(generator: Generator, *, patient: Callable[[], bool]) -> str | None:
    """Why there is no ONNX file in float32 to be had, or None: then it is kept, made now if need be.

    Args:
        patient: whether to make it though that takes ten times as long as usual. What cannot be
            exported, or takes long, is remembered, so that it is not tried at every start.
    """
    if isinstance(generator.network, Exported) or kept_path(generator, "fp32").exists():
        return None
    if not can_export():
        return "onnx and onnxscript are not installed"
    if not cache.writable():
        return f"{cache.home()} cannot be written"
    key = f"{kept_path(generator, 'fp32').name} {versions(('torch', 'onnx', 'onnxscript'))}"
    found: Any = cache.recall("exports", key)
    if not isinstance(found, dict):
        found = {"takes_long": False, "problem": None}
        content = None
        try:
            content = quick_onnx(generator, "fp32")
        except RuntimeError as error:
            found["problem"] = str(error)
        if content is not None:
            cache.keep(kept_path(generator, "fp32"), content)
            return None
        found["takes_long"] = found["problem"] is None
        cache.remember("exports", key, found)
    if found["problem"] is None and patient():
        try:
            exported(generator, "fp32")
            return None
        except RuntimeError as error:
            found["problem"] = str(error)
            cache.remember("exports", key, found)
    return found["problem"] or "exporting this network takes long"
