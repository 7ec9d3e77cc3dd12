"""block_motion and temporal_average: colours that follow the motion of luma from frame to frame."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import reference
from .._native import _C
from ._register import FLOATS, check, check_device, check_tensor, is_transformed, register, wants_derivative
from ._tensors import address, planes, target

BLOCK, MAX_RADIUS = 8, 15  # kPatch, kMaxRadius in csrc/math/temporal.h


def _blocks(luma: Tensor) -> tuple[int, int]:
    return (luma.shape[1] + BLOCK - 1) // BLOCK, (luma.shape[2] + BLOCK - 1) // BLOCK


def _check_lumas(luma: object, previous: object, previous_name: str) -> None:
    for plane, name in ((luma, "luma"), (previous, previous_name)):
        check_tensor(plane, name, (torch.uint8,), "(N, H, W)", plane.dim() == 3 if isinstance(plane, Tensor) else None)
    assert isinstance(luma, Tensor) and isinstance(previous, Tensor)
    same = tuple(previous.shape) == tuple(luma.shape)
    check(same, previous_name, "have luma's shape, {}", tuple(previous.shape), tuple(luma.shape))
    check_device(previous, previous_name, luma, "luma")


def _block_motion(luma: Tensor, previous: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    luma, previous = luma.contiguous(), previous.contiguous()
    motion, error = _block_motion_fake(luma, previous, radius)
    if motion.numel():
        _C.block_motion(planes(luma), address(previous), address(motion), address(error), radius, target(luma))
    return motion, error


def _block_motion_fake(luma: Tensor, previous: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    n, blocks = luma.shape[0], _blocks(luma)
    return luma.new_empty((n, 2, *blocks), dtype=torch.int32), luma.new_empty((n, *blocks), dtype=torch.int32)


def _temporal_average(
    ab: Tensor,
    luma: Tensor,
    previous_ab: Tensor,
    previous_luma: Tensor,
    motion: Tensor,
    keep: Tensor,
    tolerance: float,
    tolerance_ab: float,
) -> Tensor:
    ab, luma, previous_ab = ab.contiguous(), luma.contiguous(), previous_ab.contiguous()
    previous_luma, motion, keep = previous_luma.contiguous(), motion.contiguous(), keep.contiguous()
    out = torch.empty_like(ab)
    if out.numel():
        _C.temporal_average(
            address(ab), planes(luma), (address(previous_ab), address(previous_luma)), address(motion), address(keep),
            address(out), (tolerance, tolerance_ab), target(ab),
        )  # fmt: skip
    return out


def _temporal_average_fake(
    ab: Tensor,
    luma: Tensor,
    previous_ab: Tensor,
    previous_luma: Tensor,
    motion: Tensor,
    keep: Tensor,
    tolerance: float,
    tolerance_ab: float,
) -> Tensor:
    return torch.empty_like(ab, memory_format=torch.contiguous_format)


block_motion_op = register(
    "block_motion(Tensor luma, Tensor previous, int radius) -> (Tensor, Tensor)", _block_motion, _block_motion_fake
)
temporal_average_op = register(
    "temporal_average(Tensor ab, Tensor luma, Tensor previous_ab, Tensor previous_luma, Tensor motion, Tensor keep, "
    "float tolerance, float tolerance_ab) -> Tensor",
    _temporal_average,
    _temporal_average_fake,
)


def block_motion(luma: Tensor, previous: Tensor, *, radius: int = 6) -> tuple[Tensor, Tensor]:
    """Where each block of 8x8 pixels came from: full search for the smallest sum of absolute differences.

    Args:
        luma, previous: (N, H, W) uint8, a frame and the one before it.
        radius: pixels to search on all sides, 0 to 15; pixels beyond the edge repeat it.

    Returns:
        motion: (N, 2, ceil(H / 8), ceil(W / 8)) int32, (dy, dx) such that luma[y, x] is like previous[y + dy, x + dx].
        A pixel of motion must save a quarter of a code a pixel, so that noise moves nothing. error: (N, ceil(H / 8),
        ceil(W / 8)) int32, the sum of absolute differences left over.

    Raises:
        TypeError, ValueError: wrong type, dtype, shape or number; the message says which.

    Example:
        >>> frame = torch.randint(0, 256, (1, 64, 64), dtype=torch.uint8)
        >>> motion, error = block_motion(frame.roll(3, dims=2), frame)
        >>> motion[0, :, 4, 4].tolist(), error[0, 4, 4].item()
        ([0, -3], 0)
    """
    _check_lumas(luma, previous, "previous")
    check(isinstance(radius, int) and 0 <= radius <= MAX_RADIUS, "radius", f"be in 0..{MAX_RADIUS}", radius)
    return block_motion_op(luma, previous, radius)


def temporal_average(
    ab: Tensor,
    luma: Tensor,
    previous_ab: Tensor,
    previous_luma: Tensor,
    motion: Tensor | None = None,
    *,
    keep: float | Tensor = 0.9,
    tolerance: float = 12.0,
    tolerance_ab: float = 16.0,
) -> Tensor:
    """Average colours with those of the frame before, along its motion, where the lumas agree.

    Args:
        ab, previous_ab: (N, 2, H, W) float, in Lab units. luma, previous_luma: (N, H, W) uint8.
        motion: as `block_motion` gives it; None: the frame before is aligned already.
        keep: share of the frame before, in [0, 1], or one for each image (N,) float32: 0 at a scene cut.
        tolerance, tolerance_ab: difference of luma in codes, and distance of colours in Lab units, at which half of
            that share is left.

    Returns:
        (N, 2, H, W) float32: ab + keep * (agreement of luma) * (agreement of colour) * (previous_ab - ab), each
        1 / (1 + (distance / tolerance)^4).

    Raises:
        TypeError, ValueError: wrong type, dtype, shape or number; the message says which.

    Source: a recursive filter with motion compensation, gated as in Lang et al. 2012 (Practical temporal consistency
    for image-based graphics applications), in its simplest form.

    Example:
        >>> ab, luma = torch.ones(1, 2, 16, 16), torch.zeros(1, 16, 16, dtype=torch.uint8)
        >>> round(temporal_average(ab, luma, torch.zeros_like(ab), luma, keep=0.75).max().item(), 3)
        0.25
    """
    _check_lumas(luma, previous_luma, "previous_luma")
    n, height, width = luma.shape
    for colours, name in ((ab, "ab"), (previous_ab, "previous_ab")):
        good = tuple(colours.shape) == (n, 2, height, width) if isinstance(colours, Tensor) else None
        check_tensor(colours, name, FLOATS, "(N, 2, H, W) of the luma's N, H and W", good)
        check_device(colours, name, luma, "luma")
    if motion is None:
        motion = luma.new_zeros((n, 2, *_blocks(luma)), dtype=torch.int32)
    shape = (n, 2, *_blocks(luma))
    check_tensor(
        motion, "motion", (torch.int32,), shape, tuple(motion.shape) == shape if hasattr(motion, "shape") else None
    )
    check_device(motion, "motion", luma, "luma")
    if not isinstance(keep, Tensor):
        check(0 <= keep <= 1, "keep", "be in 0..1", keep)
        keep = torch.full((n,), float(keep), dtype=torch.float32, device=luma.device)
    check_tensor(keep, "keep", (torch.float32,), "(N,)", tuple(keep.shape) == (n,))
    check_device(keep, "keep", luma, "luma")
    for value, name in ((tolerance, "tolerance"), (tolerance_ab, "tolerance_ab")):
        check(1e-3 <= value < float("inf"), name, "be finite and at least 0.001", value)
    if wants_derivative(ab, previous_ab, keep) or is_transformed(ab, luma, previous_ab, previous_luma, motion, keep):
        return reference.temporal_average(
            ab.float(), luma, previous_ab.float(), previous_luma, motion, keep=keep, tolerance=tolerance,
            tolerance_ab=tolerance_ab,
        )  # fmt: skip
    return temporal_average_op(
        ab.detach().float(),
        luma,
        previous_ab.detach().float(),
        previous_luma,
        motion,
        keep,
        float(tolerance),
        float(tolerance_ab),
    )
