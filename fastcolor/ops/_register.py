"""Registers an op with torch, and the argument checks that all ops share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

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
    _LIBRARY.impl(name, implementation, "CPU")
    _LIBRARY.impl(name, on_device_of_tensors(implementation), "CUDA")
    torch.library.register_fake(f"fastcolor::{name}", fake, lib=_LIBRARY)
    if backward is not None:
        torch.library.register_autograd(f"fastcolor::{name}", backward, setup_context=setup_context, lib=_LIBRARY)
    return getattr(torch.ops.fastcolor, name).default


def on_device_of_tensors(implementation: Callable[..., Any]) -> Callable[..., Any]:
    """The implementation with its first tensor's GPU current. Torch makes the one before current again where that has a
    context; CUDA's runtime, which knows no better, would open one there: half a GB of a GPU that nobody uses."""

    def run(*arguments: Any) -> Any:
        with torch.cuda.device(next(x.device for x in arguments if isinstance(x, Tensor))):
            return implementation(*arguments)

    return run


def has_tangent(*tensors: object) -> bool:
    """Does one of these carry a derivative forwards (`torch.func.jvp`, `torch.autograd.forward_ad`)?"""
    return any(isinstance(t, Tensor) and forward_ad.unpack_dual(t).tangent is not None for t in tensors)


def is_transformed(*tensors: object) -> bool:
    """Does a transform see one of these that kernels do not know: forward derivatives, `torch.func`'s grad or vmap?

    Plain torch (fastcolor/reference.py) then computes the op, with more time and memory.
    """
    if torch.compiler.is_compiling():
        return False
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor
    return any(isinstance(t, Tensor) and wrapped(t) for t in tensors) or has_tangent(*tensors)


def wants_derivative(*tensors: object) -> bool:
    """Would a derivative with respect to one of these be asked for?"""
    grad = torch.is_grad_enabled() and any(isinstance(t, Tensor) and t.requires_grad for t in tensors)
    return grad or (not torch.compiler.is_compiling() and has_tangent(*tensors))


def refuse_derivative(tensor: Tensor, name: str, op: str) -> None:
    """Raise ValueError where a derivative is wanted that there is none of; else it would be zero without a word."""
    if wants_derivative(tensor):
        raise ValueError(f"{name}: must not want a derivative, {op} has none for it; pass {name}.detach()")


def differentiable_vjp(plain: Callable[[Tensor], Tensor], at: Tensor, grad: Tensor) -> Tensor:
    """The vector-Jacobian product of a plain torch function, which can be differentiated again: for backward passes
    under create_graph=True. Takes plain torch's time and memory: kernels of second derivatives, rarely asked for, would
    be as many again as those of the first."""
    with torch.enable_grad():
        return torch.autograd.grad(plain(at), at, grad, create_graph=True)[0]


def check(holds: bool, name: str, rule: str, got: object, *values: object) -> None:
    """Raise ValueError "name: must rule, got value" unless `holds`. `values` fill the rule's {}: sizes that were
    written into it before it is needed would bind a compiler to them."""
    if not holds:
        raise ValueError(f"{name}: must {rule.format(*values)}, got {got}")


def check_tensor(
    tensor: object, name: str, dtypes: Sequence[torch.dtype], shape: str | tuple[int, ...], holds: bool | None = None
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
