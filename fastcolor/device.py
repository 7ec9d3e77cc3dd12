"""Devices by name, and what the processor is fast at."""

from __future__ import annotations

import torch

from ._native import _C


def device_of(device: str) -> torch.device:
    """The device a name means: "auto" is the first GPU, or the CPU.

    Raises:
        ValueError: an unknown name, or a GPU that is not there.
    """
    if device == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
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
        return torch.device("cuda", found.index or 0)
    return found


def bf16_is_fast(device: torch.device) -> bool:
    """Does the processor multiply in bfloat16, rather than emulate it? Asked of the chip, not timed: the same machine
    always gives the same colours."""
    return device.type == "cuda" or (_C.has_bf16() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))


def int8_is_fast() -> bool:
    """Does the CPU add up products of 8-bit integers without rounding them in between, and fast?"""
    return _C.has_vnni()
