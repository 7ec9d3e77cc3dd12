"""How results of ops are made comparable: shared by suites of the CPU, of emulated CUDA kernels and of drawn input."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# A rounding step of the dtype that a gradient is stored in, relative to its largest entry.
GRADIENT_STEP = {torch.float32: 4e-6, torch.bfloat16: 8e-3, torch.float16: 1e-3, torch.float64: 1e-6}


def plane(height: int, width: int, bits: int, device: torch.device | str = "cpu") -> Tensor:
    """(2, H, W) of a film's luma: the same codes on every device, uint8 or uint16."""
    codes = np.random.default_rng(0).integers(0, 2**bits, (2, height, width))
    return torch.from_numpy(codes.astype(np.uint8 if bits == 8 else np.uint16)).to(device)


def levels_apart(a: Tensor, b: Tensor) -> int:
    """The largest difference of two tensors of codes."""
    return int((a.int() - b.int()).abs().max())
