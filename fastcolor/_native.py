"""The only importer of the extension: what it can do here, and how tensors are handed to it."""

from __future__ import annotations

import functools
from pathlib import Path

import torch  # before _C: its OpenMP runtime then serves both, one pool of threads in place of two
from torch import Tensor

try:
    from . import _C
except ImportError as error:
    package = Path(__file__).resolve().parent
    if (package.parent / "setup.py").exists() and not list(package.glob("_C*")):
        # Python looks in the folder it was started from first, so this one hides a package that is installed.
        message = (
            f"fastcolor: {package.parent} is the source folder, whose extension is not built; leave the source folder "
            "to use the installed package, or run `pip install -e .` in it"
        )
    else:
        message = f"fastcolor: the native extension does not load ({error}); install the package anew"
    raise ImportError(message) from error

INTERFACE = 3  # of csrc/bindings.cpp
if getattr(_C, "INTERFACE", 1) != INTERFACE:  # sources that were updated under an editable install
    raise ImportError(
        f"fastcolor: {_C.__file__} was built from other sources than these; run `pip install -e .` in the source folder"
    )

# Codes of fastcolor::DType in csrc/common.h.
DTYPE_CODES = {torch.uint8: 0, torch.uint16: 1, torch.float16: 2, torch.bfloat16: 3, torch.float32: 4, torch.float64: 5}


def address(tensor: Tensor | None) -> int:
    """The tensor's first element; 0 for None and for a tensor without elements."""
    return 0 if tensor is None or tensor.numel() == 0 else tensor.data_ptr()


def is_channels_last(logits: Tensor) -> bool:
    """Do the channels of a pixel lie side by side?"""
    return not logits.is_contiguous() and logits.is_contiguous(memory_format=torch.channels_last)


def volume(logits: Tensor) -> tuple[int, int, int, int, bool, int]:
    """Dense logits (N, bins, H, W) as the kernels take them: (address, images, bins, pixels, channels_last, dtype)."""
    n, bins, height, width = logits.shape
    return address(logits), n, bins, height * width, is_channels_last(logits), DTYPE_CODES[logits.dtype]


def planes(tensor: Tensor, interleaved: bool = False) -> tuple[int, int, int, int, int]:
    """Contiguous (N, H, W), (N, C, H, W) or, `interleaved`, (N, H, W, C) as the kernels take them: (address, images,
    height, width, dtype)."""
    height, width = tensor.shape[1:3] if interleaved else tensor.shape[-2:]
    return address(tensor), tensor.shape[0], height, width, DTYPE_CODES[tensor.dtype]


def target(tensor: Tensor) -> tuple[int, int, int]:
    """Where an op on this tensor runs: (device index or -1, current stream, CPU threads)."""
    if tensor.is_cuda:
        return tensor.device.index, torch.cuda.current_stream(tensor.device).cuda_stream, 1
    return -1, 0, torch.get_num_threads()


@functools.cache
def capabilities() -> dict[str, str | bool | int]:
    """What the extension can do on this machine, and why not the rest. Looks for GPUs: not for import time.

    Returns:
        isa: the instruction set of the CPU kernels; cuda_built: were CUDA kernels compiled in; cuda_devices: usable
        GPUs; cuda_problem: why there are none, in CUDA's own words, else empty.
    """
    devices = _C.cuda_device_count()
    return {
        "isa": _C.isa(),
        "cuda_built": _C.cuda_built(),
        "cuda_devices": devices,
        "cuda_problem": "" if devices else _C.cuda_problem(),
    }


__all__ = ["DTYPE_CODES", "_C", "address", "capabilities", "is_channels_last", "planes", "target", "volume"]
