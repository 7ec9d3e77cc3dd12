"""Networks as files that hold their own code, in both of torch's formats."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn


def scripted(module: nn.Module, path: Path, *_: Tensor) -> Path:
    torch.jit.script(module).save(path)
    return path


def exported(module: nn.Module, path: Path, *inputs: Tensor) -> Path:
    free = tuple({0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO} for _ in inputs)
    torch.export.save(torch.export.export(module, inputs, dynamic_shapes=free), path)
    return path
