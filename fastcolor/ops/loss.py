"""rebalanced_cross_entropy."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from .. import reference
from .._native import _C
from ..bins import Bins, of_key
from ._register import (
    FLOATS,
    check,
    check_device,
    check_tensor,
    differentiable_vjp,
    is_transformed,
    refuse_derivative,
    register,
)
from ._tensors import address, is_channels_last, planes, target, volume
from .encode import check_encoding, check_palette, palette_addresses

Reduction = Literal["mean", "sum", "weighted_mean", "none"]
_REDUCTIONS = ("mean", "sum", "weighted_mean", "none")


def dense(logits: Tensor) -> Tensor:
    """The logits themselves where their memory is NCHW or channels_last, else an NCHW copy."""
    return logits if is_channels_last(logits) else logits.contiguous()


def compute_dtype(logits: Tensor) -> torch.dtype:
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def _total(values: Tensor) -> Tensor:
    """The sum of (N, H, W) in float64. Torch splits one long sum among its threads, but no row: by rows, the result is
    the same on any number of them. CUDA's is so anyway."""
    if values.is_cuda:
        return values.sum(dtype=torch.float64)
    return values.sum(-1, dtype=torch.float64).sum(-1).sum()


def _pixel_weight(ab: Tensor, palette: str, class_weight: Tensor | None, mask: Tensor | None) -> Tensor:
    weight = ab.new_empty((ab.shape[0], ab.shape[2], ab.shape[3]))
    _C.pixel_weight(
        planes(ab), address(class_weight), address(mask), address(weight), palette_addresses(palette, 5, ab.device),
        target(ab),
    )  # fmt: skip
    return weight


def _run(
    logits: Tensor, grad: Tensor | None, ab: Tensor, palette: str, class_weight: Tensor | None, mask: Tensor | None,
    neighbours: int, sigma: float, gamma: float, reduction: str,
) -> Tensor:  # fmt: skip
    """The loss of dense logits; writes its gradient into `grad`, which may be the logits."""
    n, _, h, w = logits.shape
    ab = ab.contiguous()
    pixel_loss = logits.new_empty((n, h, w), dtype=compute_dtype(logits))
    divisor, grad_scale = None, 1.0
    if reduction == "weighted_mean":
        divisor = _total(_pixel_weight(ab, palette, class_weight, mask)).float()
    elif reduction == "mean":
        grad_scale = 1.0 / max(n * h * w, 1)
    _C.loss(
        volume(logits), address(ab), (address(class_weight), address(mask), address(divisor)),
        (address(pixel_loss), address(grad)), (neighbours, sigma, gamma, grad_scale),
        palette_addresses(palette, neighbours, logits.device), target(logits),
    )  # fmt: skip
    if reduction == "none":
        return pixel_loss
    total = _total(pixel_loss)
    if reduction == "mean":
        total = total * grad_scale if pixel_loss.numel() else total / total  # of no pixels: NaN, as torch has it
    elif divisor is not None:
        total = total / divisor
    return total.to(pixel_loss.dtype)


def _loss(logits: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
    *rest, needs_grad = arguments
    logits = dense(logits)
    grad = torch.empty_like(logits) if needs_grad else logits.new_empty(0)
    return _run(logits, grad if needs_grad else None, *rest), grad


def _loss_fake(logits: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
    reduction, needs_grad = arguments[-2:]
    n, _, h, w = logits.shape
    loss = logits.new_empty((n, h, w) if reduction == "none" else (), dtype=compute_dtype(logits))
    return loss, torch.empty_like(dense(logits)) if needs_grad else logits.new_empty(0)


def _scale_grad_(grad: Tensor, factor: Tensor) -> None:
    factor = factor.to(compute_dtype(grad)).contiguous()
    _C.scale_grad(volume(grad), address(factor), factor.dim() > 0, target(grad))


_ARGUMENTS = (
    "Tensor ab, str palette, Tensor? class_weight, Tensor? mask, int neighbours, float sigma, float gamma, "
    "str reduction"
)
pixel_weight_op = register(
    "pixel_weight(Tensor ab, str palette, Tensor? class_weight, Tensor? mask) -> Tensor",
    lambda ab, *rest: _pixel_weight(ab.contiguous(), *rest),
    lambda ab, *rest: ab.new_empty((ab.shape[0], *ab.shape[2:])),
)
scale_grad_op = register("scale_grad_(Tensor(a!) grad, Tensor factor) -> ()", _scale_grad_, lambda grad, factor: None)
loss_inplace_op = register(
    f"loss_(Tensor(a!) logits, {_ARGUMENTS}) -> Tensor",
    lambda logits, *rest: _run(logits, logits, *rest),
    lambda logits, *rest: _loss_fake(logits, *rest, False)[0],
)


def _scaled(grad: Tensor, factor: Tensor) -> Tensor:
    """grad * factor, without a second volume where nothing can tell the difference."""
    eager = type(factor) is Tensor  # a compiler's tensors have no value to look at
    # A graph that is kept may be run again and needs its own gradient then, whatever becomes of the one handed out.
    if not eager or torch._C._autograd._get_current_graph_task_keep_graph():
        grad = grad.clone()
    if not (eager and factor.dim() == 0 and factor.device.type == "cpu" and factor.item() == 1):
        scale_grad_op(grad, factor)
    return grad


def _keep_gradient(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    # Else torch fills a volume with zeros for the gradient's own gradient: second derivatives take another way.
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(output[1])
    logits, ab, ctx.palette, class_weight, mask, *ctx.rest, _ = inputs
    # The logits are for second derivatives alone. Backward frees them with the gradient, before anything else runs.
    ctx.save_for_backward(output[1], logits, ab, class_weight, mask)


def _loss_backward(ctx: Any, factor: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
    gradient, logits, ab, class_weight, mask = ctx.saved_tensors
    if factor is None:
        return (None,) * 10
    if torch.is_grad_enabled():
        neighbours, sigma, gamma, reduction = ctx.rest

        def plain(z: Tensor) -> Tensor:
            return reference.rebalanced_cross_entropy(
                z, ab, palette=of_key(ctx.palette), class_weight=class_weight, mask=mask, neighbours=neighbours,
                sigma=sigma, gamma=gamma, reduction=reduction,
            )  # fmt: skip

        return differentiable_vjp(plain, logits, factor), *(None,) * 9
    return _scaled(gradient, factor), *(None,) * 9


loss_op = register(
    f"loss(Tensor logits, {_ARGUMENTS}, bool needs_grad) -> (Tensor, Tensor)",
    _loss,
    _loss_fake,
    setup_context=_keep_gradient,
    backward=_loss_backward,
)


class _InPlaceLoss(torch.autograd.Function):
    """The loss whose gradient takes the place of the logits."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, *arguments: Any) -> Tensor:
        ctx.gradient = logits.detach()
        loss = loss_inplace_op(ctx.gradient, *arguments)
        torch.autograd.graph.increment_version(logits)  # whoever kept the logits for a backward pass is told
        return loss

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "rebalanced_cross_entropy: a second derivative needs the logits, which inplace=True has overwritten; "
                "leave inplace out"
            )
        if ctx.gradient is None:
            raise RuntimeError("rebalanced_cross_entropy: a second backward pass needs retain_graph=True in the first")
        gradient = _scaled(ctx.gradient, factor)
        if not torch._C._autograd._get_current_graph_task_keep_graph():
            ctx.gradient = None  # it has been handed out, and scaled
        return gradient, *(None,) * 8


def rebalanced_cross_entropy(
    logits: Tensor,
    ab: Tensor,
    *,
    palette: Bins | None = None,
    class_weight: Tensor | None = None,
    neighbours: int = 5,
    sigma: float = 5.0,
    gamma: float = 0.0,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    inplace: bool = False,
) -> Tensor:
    """Cross entropy of per-pixel colour logits against softly encoded true colours, rare colours weighing more.

    One pass over the logits makes loss and gradient; the soft target is never stored.

    Args:
        logits: (N, Q, H, W) float32, float16, bfloat16 (sums in float32) or float64; NCHW or channels_last.
        ab: (N, 2, H, W) float, the true colours in Lab units. A gradient for it is refused.
        palette: of Q bins; None is the 313-point grid.
        class_weight: (Q,), see `palette.class_weights`; a pixel weighs as its nearest bin. None: 1.
        neighbours, sigma: of the encoding, see `encode_bins`.
        gamma: focusing exponent of the focal loss; 0 is the cross entropy.
        mask: (N, H, W) of 0 and 1 or bool; a pixel with 0 counts for nothing, whatever it holds.
        reduction: "mean" over all pixels, "sum", "weighted_mean" (divided by the sum of pixel weights), or "none".
        inplace: write the gradient over the logits when one is needed; they cannot be used afterwards.

    Returns:
        A scalar, or (N, H, W) for "none"; float32, float64 for float64 logits. The mean over no pixels is NaN.
        Non-finite logits or colours give a non-finite loss.

    Raises:
        TypeError, ValueError: wrong type, dtype, shape, device or number; the message says which.

    Source: Zhang et al., "Colorful Image Colorization", ECCV 2016, equations 2 to 4; Lin et al., "Focal Loss for Dense
    Object Detection", ICCV 2017.

    Example:
        >>> logits = torch.zeros(1, 313, 2, 2, requires_grad=True)
        >>> loss = rebalanced_cross_entropy(logits, torch.zeros(1, 2, 2, 2))
        >>> round(loss.item(), 3)
        5.746
    """
    palette = check_palette(palette)
    check_tensor(logits, "logits", FLOATS, "(N, Q, H, W)")
    check(
        logits.dim() == 4 and logits.shape[1] == len(palette),
        "logits",
        f"have shape (N, {len(palette)}, H, W) for a palette of {len(palette)} bins",
        tuple(logits.shape),
    )
    n, _, h, w = logits.shape
    check_tensor(ab, "ab", FLOATS, (n, 2, h, w), tuple(ab.shape) == (n, 2, h, w) if isinstance(ab, Tensor) else None)
    refuse_derivative(ab, "ab", "the loss")
    check_device(ab, "ab", logits, "logits")
    check_encoding(palette, neighbours, sigma)
    check(0 <= gamma < float("inf"), "gamma", "be finite and not negative", gamma)
    check(reduction in _REDUCTIONS, "reduction", f"be one of {', '.join(_REDUCTIONS)}", repr(reduction))
    if class_weight is not None:
        check_tensor(class_weight, "class_weight", FLOATS, f"({len(palette)},)", class_weight.shape == (len(palette),))
        check_device(class_weight, "class_weight", logits, "logits")
        class_weight = class_weight.detach().float().contiguous()
    if mask is not None:
        check_tensor(
            mask,
            "mask",
            (torch.bool, torch.uint8, torch.int32, torch.int64, *FLOATS),
            (n, h, w),
            tuple(mask.shape) == (n, h, w),
        )
        check_device(mask, "mask", logits, "logits")
        mask = (mask != 0).to(torch.uint8).contiguous()
    if is_transformed(logits, ab, class_weight, mask):
        return reference.rebalanced_cross_entropy(
            logits, ab.float(), palette=palette, class_weight=class_weight, neighbours=neighbours, sigma=sigma,
            gamma=gamma, mask=mask, reduction=reduction,
        )  # fmt: skip
    arguments = (
        ab.detach().float(),
        palette.key,
        class_weight,
        mask,
        neighbours,
        float(sigma),
        float(gamma),
        reduction,
    )
    needs_grad = logits.requires_grad and torch.is_grad_enabled()
    if needs_grad and logits.dtype == torch.float16 and reduction in ("mean", "weighted_mean") and n * h * w > 0:
        # A gradient divided by the number of pixels would underflow in float16 before a GradScaler's factor reaches it.
        count: Tensor | int = n * h * w
        if reduction == "weighted_mean":
            count = pixel_weight_op(arguments[0], *arguments[1:4]).sum(dtype=torch.float64).float()
        return (
            rebalanced_cross_entropy(
                logits, ab, palette=palette, class_weight=class_weight, neighbours=neighbours, sigma=sigma, gamma=gamma,
                mask=mask, reduction="sum", inplace=inplace,
            )
            / count
        )  # fmt: skip
    if inplace and needs_grad and dense(logits) is logits and not torch.compiler.is_compiling():
        return _InPlaceLoss.apply(logits, *arguments)
    return loss_op(logits, *arguments, needs_grad)[0]
