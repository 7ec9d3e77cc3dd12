"""rgb_to_lab and lab_to_rgb."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from .. import reference
from .._native import _C
from ._register import (
    FLOATS,
    at_least_float32,
    check,
    check_tensor,
    differentiable_vjp,
    is_transformed,
    register,
    wants_derivative,
)
from ._tensors import DTYPE_CODES, address, target

Layout = Literal["chw", "hwc"]


def _layout(hwc: bool) -> Layout:
    return "hwc" if hwc else "chw"


def _lab_shape(shape: torch.Size, hwc: bool) -> list[int]:
    """The (…,3,H,W) of an image's shape."""
    return [*shape[:-3], shape[-1], shape[-3], shape[-2]] if hwc else list(shape)


def _rgb_shape(shape: torch.Size, hwc: bool) -> list[int]:
    return [*shape[:-3], shape[-2], shape[-1], shape[-3]] if hwc else list(shape)


def _size(lab_shape: Sequence[int]) -> tuple[int, int]:
    """(images, pixels)."""
    images = 1
    for size in lab_shape[:-3]:
        images *= size
    return images, lab_shape[-2] * lab_shape[-1]


def _rgb_to_lab(image: Tensor, hwc: bool) -> Tensor:
    shape = _lab_shape(image.shape, hwc)
    # A channels_last batch is interleaved memory under another name: no copy.
    interleaved = hwc or (not image.is_contiguous() and image.movedim(-3, -1).is_contiguous())
    image = image if interleaved and not hwc else image.contiguous()
    lab = image.new_empty(shape, dtype=torch.float64 if image.dtype == torch.float64 else torch.float32)
    dtype = DTYPE_CODES[image.dtype]
    _C.rgb_to_lab(address(image), address(lab), _size(shape), interleaved, False, dtype, target(image))
    return lab


def _rgb_to_lab_backward(grad: Tensor, image: Tensor, hwc: bool) -> Tensor:
    grad, image = grad.contiguous(), image.contiguous()
    grad_image = torch.empty_like(image)
    size, dtype = _size(_lab_shape(image.shape, hwc)), DTYPE_CODES[image.dtype]
    _C.rgb_to_lab_backward(address(image), address(grad), address(grad_image), size, hwc, dtype, target(image))
    return grad_image


def _lab_to_rgb(lab: Tensor, dtype: torch.dtype, hwc: bool, chroma: bool) -> Tensor:
    lab = lab.contiguous()
    rgb = lab.new_empty(_rgb_shape(lab.shape, hwc), dtype=dtype)
    _C.lab_to_rgb(address(lab), address(rgb), _size(lab.shape), hwc, chroma, DTYPE_CODES[dtype], target(lab))
    return rgb


def _lab_to_rgb_backward(grad: Tensor, lab: Tensor, hwc: bool) -> Tensor:
    grad, lab = grad.contiguous(), lab.contiguous()
    grad_lab = torch.empty_like(lab)
    size, dtype = _size(lab.shape), DTYPE_CODES[lab.dtype]
    _C.lab_to_rgb_backward(address(lab), address(grad), address(grad_lab), size, hwc, dtype, target(lab))
    return grad_lab


def _keep(hwc: int) -> Callable[..., None]:
    """Keeps the first input, and whether channels come last: input number `hwc`."""

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.hwc = inputs[hwc]

    return setup_context


def _rgb_to_lab_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    (image,) = ctx.saved_tensors
    if torch.is_grad_enabled():
        return differentiable_vjp(lambda x: reference.rgb_to_lab(x, layout=_layout(ctx.hwc)), image, grad), None
    return rgb_to_lab_backward_op(grad, image, ctx.hwc), None


def _lab_to_rgb_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
    (lab,) = ctx.saved_tensors
    if torch.is_grad_enabled():

        def plain(x: Tensor) -> Tensor:
            return reference.lab_to_rgb(x, dtype=x.dtype, layout=_layout(ctx.hwc))

        return differentiable_vjp(plain, lab, grad), None, None, None
    return lab_to_rgb_backward_op(grad, lab, ctx.hwc), None, None, None


rgb_to_lab_backward_op = register(
    "rgb_to_lab_backward(Tensor grad, Tensor image, bool hwc) -> Tensor",
    _rgb_to_lab_backward,
    lambda grad, image, hwc: torch.empty_like(image, memory_format=torch.contiguous_format),
)
rgb_to_lab_op = register(
    "rgb_to_lab(Tensor image, bool hwc) -> Tensor",
    _rgb_to_lab,
    lambda image, hwc: image.new_empty(
        _lab_shape(image.shape, hwc), dtype=torch.float64 if image.dtype == torch.float64 else torch.float32
    ),
    setup_context=_keep(1),
    backward=_rgb_to_lab_gradient,
)
lab_to_rgb_backward_op = register(
    "lab_to_rgb_backward(Tensor grad, Tensor lab, bool hwc) -> Tensor",
    _lab_to_rgb_backward,
    lambda grad, lab, hwc: torch.empty_like(lab, memory_format=torch.contiguous_format),
)
lab_to_rgb_op = register(
    "lab_to_rgb(Tensor lab, ScalarType dtype, bool hwc, bool chroma) -> Tensor",
    _lab_to_rgb,
    lambda lab, dtype, hwc, chroma: lab.new_empty(_rgb_shape(lab.shape, hwc), dtype=dtype),
    setup_context=_keep(2),
    backward=_lab_to_rgb_gradient,
)


def rgb_to_lab(image: Tensor, *, layout: Layout = "chw") -> Tensor:
    """Convert sRGB to CIE Lab (D65, 2-degree observer).

    Args:
        image: uint8, or float in [0, 1]; (…, 3, H, W), or (…, H, W, 3) with `layout="hwc"`.
        layout: where the channels are.

    Returns:
        (…, 3, H, W) float32 (float64 for float64): L in [0, 100], a and b in Lab units.

    Raises:
        TypeError, ValueError: wrong type, dtype or shape; the message says which.

    Source: IEC 61966-2-1 (sRGB), CIE 15 (Lab).

    Example:
        >>> rgb_to_lab(torch.full((3, 1, 1), 255, dtype=torch.uint8))[0].item()
        100.0
    """
    check(layout in ("chw", "hwc"), "layout", "be 'chw' or 'hwc'", repr(layout))
    hwc = layout == "hwc"
    shape = "(…, H, W, 3) for layout='hwc'" if hwc else "(…, 3, H, W)"
    check_tensor(image, "image", (torch.uint8, *FLOATS), shape)
    check(image.dim() >= 3 and image.shape[-1 if hwc else -3] == 3, "image", f"have shape {shape}", tuple(image.shape))
    if is_transformed(image):
        return reference.rgb_to_lab(image, layout=layout)
    return rgb_to_lab_op(at_least_float32(image), hwc)


def lab_to_rgb(
    lab: Tensor, *, dtype: torch.dtype = torch.uint8, layout: Layout = "chw", gamut: Literal["clip", "chroma"] = "clip"
) -> Tensor:
    """Convert CIE Lab to sRGB.

    Args:
        lab: (…, 3, H, W) float; L in [0, 100].
        dtype: torch.uint8 (rounded to nearest), or a float type for values in [0, 1].
        layout: of the result: "chw" or "hwc".
        gamut: a colour outside sRGB has its channels clipped ("clip", differentiable), or its chroma reduced until it
            fits, which keeps lightness and hue ("chroma", no gradient).

    Returns:
        (…, 3, H, W) or (…, H, W, 3). A NaN pixel is 0 in uint8 and NaN in float.

    Raises:
        TypeError, ValueError: wrong type, dtype or shape; the message says which.

    Example:
        >>> lab_to_rgb(torch.tensor([100.0, 0, 0]).view(3, 1, 1)).flatten().tolist()
        [255, 255, 255]
    """
    check(layout in ("chw", "hwc"), "layout", "be 'chw' or 'hwc'", repr(layout))
    check(gamut in ("clip", "chroma"), "gamut", "be 'clip' or 'chroma'", repr(gamut))
    check_tensor(lab, "lab", FLOATS, "(…, 3, H, W)")
    check(lab.dim() >= 3 and lab.shape[-3] == 3, "lab", "have shape (…, 3, H, W)", tuple(lab.shape))
    check(dtype == torch.uint8 or dtype in FLOATS, "dtype", "be torch.uint8 or a float type", dtype)
    lab = at_least_float32(lab)
    if dtype == torch.uint8:
        return lab_to_rgb_op(lab.detach().float(), dtype, layout == "hwc", gamut == "chroma")
    if gamut == "chroma" and wants_derivative(lab):
        raise ValueError("gamut: must be 'clip' when lab requires a gradient ('chroma' has none), got 'chroma'")
    if is_transformed(lab):
        return reference.lab_to_rgb(lab, dtype=dtype, layout=layout, gamut=gamut)
    return lab_to_rgb_op(lab, lab.dtype, layout == "hwc", gamut == "chroma").to(dtype)
