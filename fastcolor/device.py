"""Devices by name, what the processor is fast at, the memory that is free, and giving some back."""

from __future__ import annotations

import ctypes
import functools
import sys
import warnings
from pathlib import Path

import torch

from ._native import _C, capabilities


def device_of(device: str) -> torch.device:
    """The device a name means: "auto" is the first GPU that torch and the kernels can use, or the CPU.

    Raises:
        ValueError: an unknown name, a GPU that is not there, or one that the kernels cannot use.
    """
    if device == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        if problem := kernels_lack():
            _warn_once(f"torch sees a GPU that fastcolor's kernels cannot use, so the CPU does the work: {problem}")
            return torch.device("cpu")
        return torch.device("cuda:0")
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device: must be auto, cpu, cuda or cuda:N, got {device!r}") from None
    if found.type not in ("cpu", "cuda"):
        raise ValueError(f"device: must be auto, cpu, cuda or cuda:N, got {device!r}")
    if found.type == "cuda":
        count = torch.cuda.device_count()
        if (found.index or 0) >= count:
            raise ValueError(f"device: {device!r} asked for, but torch sees {count} CUDA devices here")
        if problem := kernels_lack():
            raise ValueError(f"device: {device!r} asked for, but fastcolor's kernels cannot use it: {problem}")
        return torch.device("cuda", found.index or 0)
    return found


def kernels_lack() -> str:
    """Why the kernels can use no GPU, though torch may see one; empty where they can."""
    known = capabilities()
    if not known["cuda_built"]:
        return "they were built without CUDA (no nvcc was found)"
    return "" if known["cuda_devices"] else str(known["cuda_problem"])


@functools.cache
def _warn_once(sentence: str) -> None:
    warnings.warn(sentence, stacklevel=3)


def bf16_is_fast(device: torch.device) -> bool:
    """Does the processor multiply in bfloat16, rather than emulate it? Asked of the chip, not timed: the same machine
    always gives the same colours."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return _C.has_bf16() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def int8_is_fast() -> bool:
    """Does the CPU add up products of 8-bit integers without rounding them in between, and fast?"""
    return _C.has_vnni()


def free_memory() -> int | None:
    """Bytes that this process may still take before the system swaps or ends it, by Linux's account of the machine and
    of the control group; None where there is no such account."""
    free = [_fields(Path("/proc/meminfo"), 1024).get("MemAvailable:")]
    group = Path("/sys/fs/cgroup")
    try:
        limit, held = (int((group / f"memory.{kind}").read_text()) for kind in ("max", "current"))
        free.append(limit - held + _fields(group / "memory.stat").get("inactive_file", 0))
    except (OSError, ValueError):  # no group, or "max": no limit
        pass
    known = [amount for amount in free if amount is not None]
    return max(0, min(known)) if known else None


def give_memory_back() -> None:
    """Hand the system what this process has freed and glibc keeps, scattered over the heaps of threads that have ended:
    behind a film that is a hundred megabytes, which the next film would not find again. Elsewhere nothing happens."""
    if sys.platform == "linux":
        try:
            ctypes.CDLL(None).malloc_trim(0)
        except (OSError, AttributeError):  # another C library
            pass


def _fields(path: Path, unit: int = 1) -> dict[str, int]:
    """The lines of a file of names and numbers."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
        return {words[0]: unit * int(words[1]) for words in lines if len(words) > 1}
    except (OSError, ValueError):
        return {}
