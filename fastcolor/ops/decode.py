"""annealed_mean."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import reference
from .._native import _C
from ..bins import Bins, of_key
from ._register import FLOATS, check, check_tensor, differentiable_vjp, is_transformed, register
from ._tensors import address, target, volume
from .encode import check_palette
from .loss import compute_dtype, dense


def _points(key: str, logits: Tensor) -> tuple[int, int, int, int, int]:
    """What the binding takes for a palette of which only the colours are read."""
    points = of_key(key).points_on(logits.device)
    return address(points), 0, 0, 0, points.shape[1]


def _annealed_mean(logits: Tensor, palette: str, temperature: float) -> tuple[Tensor, Tensor]:
    logits = dense(logits)
    ab, stats = _fake(logits, palette, temperature)
    points = _points(palette, logits)
    _C.annealed_mean(volume(logits), address(ab), address(stats), temperature, points, target(logits))
    return ab, stats


def _fake(logits: Tensor, palette: str, temperature: float) -> tuple[Tensor, Tensor]:
    shape = (logits.shape[0], 2, logits.shape[2], logits.shape[3])
    dtype = compute_dtype(logits)
    return logits.new_empty(shape, dtype=dtype), logits.new_empty(shape, dtype=dtype)


def _annealed_mean_backward(
    grad: Tensor, logits: Tensor, ab: Tensor, stats: Tensor, palette: str, temperature: float
) -> Tensor:
    grad, logits = grad.contiguous(), dense(logits)
    grad_logits = torch.empty_like(logits)
    _C.annealed_mean_backward(
        volume(logits), address(grad), address(ab), address(stats), address(grad_logits), temperature,
        _points(palette, logits), target(logits),
    )  # fmt: skip
    return grad_logits


annealed_mean_backward_op = register(
    "annealed_mean_backward(Tensor grad, Tensor logits, Tensor ab, Tensor stats, str palette, float temperature) "
    "-> Tensor",
    _annealed_mean_backward,
    lambda grad, logits, *_: torch.empty_like(dense(logits)),
)


def _setup_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]  # torch's own protocol
    logits, ctx.palette, ctx.temperature = inputs
    ctx.save_for_backward(logits, *output)


def _backward(ctx, grad: Tensor, _) -> tuple[Tensor, None, None]:  # type: ignore[no-untyped-def]
    logits, ab, stats = ctx.saved_tensors
    if torch.is_grad_enabled():

        def plain(z: Tensor) -> Tensor:
            return reference.annealed_mean(z, palette=of_key(ctx.palette), temperature=ctx.temperature)

        return differentiable_vjp(plain, logits, grad), None, None
    return annealed_mean_backward_op(grad, logits, ab, stats, ctx.palette, ctx.temperature), None, None


annealed_mean_op = register(
    "annealed_mean(Tensor logits, str palette, float temperature) -> (Tensor, Tensor)",
    _annealed_mean,
    _fake,
    setup_context=_setup_context,
    backward=_backward,
)


def annealed_mean(logits: Tensor, *, palette: Bins | None = None, temperature: float = 0.38) -> Tensor:
    """Decode colour logits to one colour a pixel: the mean of the palette under softmax(logits / temperature).

    Args:
        logits: (N, Q, h, w) float32, float16, bfloat16 (sums in float32) or float64; NCHW or channels_last.
        palette: of Q bins; None is the 313-point grid.
        temperature: 1 is the mean, towards 0 the mode; 0 is exactly the most likely bin (the lowest on ties), with a
            zero gradient. Otherwise at least 0.001.

    Returns:
        (N, 2, h, w) ab in Lab units, float32 (float64 for float64). NaN logits give NaN.

    Raises:
        TypeError, ValueError: wrong type, dtype, shape or number; the message says which.

    Source: Zhang et al., "Colorful Image Colorization", ECCV 2016, equation 5.

    Example:
        >>> annealed_mean(torch.zeros(1, 313, 8, 8)).shape
        torch.Size([1, 2, 8, 8])
    """
    palette = check_palette(palette)
    check_tensor(logits, "logits", FLOATS, "(N, Q, h, w)")
    check(
        logits.dim() == 4 and logits.shape[1] == len(palette),
        "logits",
        f"have shape (N, {len(palette)}, h, w) for a palette of {len(palette)} bins",
        tuple(logits.shape),
    )
    check(temperature == 0 or 1e-3 <= temperature < float("inf"), "temperature", "be 0 or at least 0.001", temperature)
    if is_transformed(logits):
        return reference.annealed_mean(logits, palette=palette, temperature=temperature)
    return annealed_mean_op(logits, palette.key, float(temperature))[0]
