"""How tensors are handed to the extension."""

from __future__ import annotations

import torch
from torch import Tensor

from .._native import DTYPES

DTYPE_CODES = {getattr(torch, name): code for name, code in DTYPES.items()}


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
