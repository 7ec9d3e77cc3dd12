"""Registers an op with torch, and the argument checks that all ops share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_LIBRARY = torch.library.Library("fastcolor", "DEF")  # torch forgets the ops when this object goes


def register(
    schema: str,
    implementation: Callable[..., Any],
    fake: Callable[..., Any],
    *,
    setup_context: Callable[..., None] | None = None,
    backward: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """Define an op. One implementation serves CPU and CUDA: the tensors' own device says where it runs.

    Args:
        schema: "name(Tensor x, ...) -> ...". fake: allocates the outputs alone. setup_context, backward: as
            torch.library.register_autograd takes them.

    Returns:
        The op.
    """
    name = schema[: schema.index("(")]
    _LIBRARY.define(schema)
    for device in ("CPU", "CUDA"):
        _LIBRARY.impl(name, implementation, device)
    torch.library.register_fake(f"fastcolor::{name}", fake, lib=_LIBRARY)
    if backward is not None:
        torch.library.register_autograd(f"fastcolor::{name}", backward, setup_context=setup_context, lib=_LIBRARY)
    return getattr(torch.ops.fastcolor, name).default


def check(holds: bool, name: str, rule: str, got: object) -> None:
    """Raise ValueError "name: must rule, got value" unless `holds`."""
    if not holds:
        raise ValueError(f"{name}: must {rule}, got {got}")


def check_tensor(
    tensor: object, name: str, dtypes: Sequence[torch.dtype], shape: str, holds: bool | None = None
) -> None:
    """Raise TypeError for something that is no tensor, sits on an unsupported device or has a dtype not listed."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: must be a torch.Tensor, got {type(tensor).__name__}")
    if tensor.dtype not in dtypes:
        allowed = ", ".join(str(d).removeprefix("torch.") for d in dtypes)
        raise TypeError(f"{name}: must be one of {allowed}, got {str(tensor.dtype).removeprefix('torch.')}")
    if tensor.device.type not in ("cpu", "cuda", "meta"):
        raise ValueError(f"{name}: must be on the CPU or a CUDA device, got {tensor.device}")
    if holds is False:
        raise ValueError(f"{name}: must have shape {shape}, got {tuple(tensor.shape)}")


def check_device(tensor: Tensor, name: str, other: Tensor, other_name: str) -> None:
    """Raise ValueError unless both lie on one device."""
    if tensor.device != other.device:
        raise ValueError(f"{name}: must be on the device of {other_name}, {other.device}, got {tensor.device}")


FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def at_least_float32(tensor: Tensor) -> Tensor:
    """16-bit floats widened; float32 and float64 as they are."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
