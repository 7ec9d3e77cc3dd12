"""encode_bins, and the palette arguments that encoding, loss and decoding share."""

from __future__ import annotations

import torch
from torch import Tensor

from .._native import _C
from ..bins import Bins, of_key
from ._register import FLOATS, check, check_tensor, refuse_derivative, register
from ._tensors import address, planes, target

MAX_NEIGHBOURS = 16  # kMaxNeighbours in csrc/math/encode.h


def check_palette(palette: Bins | None) -> Bins:
    if palette is None:
        return Bins.grid()
    if not isinstance(palette, Bins):
        raise TypeError(f"palette: must be a fastcolor.Palette or None, got {type(palette).__name__}")
    return palette


def check_encoding(palette: Bins, neighbours: int, sigma: float) -> None:
    most = min(MAX_NEIGHBOURS, len(palette))
    whole = isinstance(neighbours, int)
    check(whole and 1 <= neighbours <= most, "neighbours", f"be an integer in 1..{most}", repr(neighbours))
    check(1e-3 <= sigma < float("inf"), "sigma", "be finite and at least 0.001 ab units", sigma)


def palette_addresses(key: str, neighbours: int, device: torch.device) -> tuple[int, int, int, int, int]:
    """What the binding takes for a palette whose nearest bins are searched."""
    points, lattice, start, candidates = of_key(key).search_tables(neighbours, device)
    return address(points), address(lattice), address(start), address(candidates), points.shape[1]


def _encode_bins(ab: Tensor, palette: str, neighbours: int, sigma: float) -> tuple[Tensor, Tensor]:
    ab = ab.contiguous()
    index, weight = _encode_fake(ab, palette, neighbours, sigma)
    _C.encode_bins(
        planes(ab), address(index), address(weight), neighbours, sigma,
        palette_addresses(palette, neighbours, ab.device), target(ab),
    )  # fmt: skip
    return index, weight


def _encode_fake(ab: Tensor, palette: str, neighbours: int, sigma: float) -> tuple[Tensor, Tensor]:
    shape = (ab.shape[0], neighbours, ab.shape[2], ab.shape[3])
    return ab.new_empty(shape, dtype=torch.int32), ab.new_empty(shape, dtype=torch.float32)


encode_bins_op = register(
    "encode_bins(Tensor ab, str palette, int neighbours, float sigma) -> (Tensor, Tensor)", _encode_bins, _encode_fake
)


def encode_bins(
    ab: Tensor, palette: Bins | None = None, *, neighbours: int = 5, sigma: float = 5.0
) -> tuple[Tensor, Tensor]:
    """Encode colours softly over the nearest bins of a palette, with Gaussian weights.

    Args:
        ab: (N, 2, H, W) float, in Lab units. Computed in float32.
        palette: None is the 313-point grid.
        neighbours: how many bins, 1 to 16. sigma: of the Gaussian, in ab units.

    Returns:
        (index, weight): (N, neighbours, H, W) int32 and float32, nearest first, a tie going to the lower bin; the
        weights sum to 1. A NaN or infinite colour has NaN weights. An ab that requires a gradient is refused: there
        is none.

    Raises:
        TypeError, ValueError: wrong type, dtype, shape or number; the message says which.

    Source: Zhang et al., "Colorful Image Colorization", ECCV 2016, section 2.1.

    Example:
        >>> index, weight = encode_bins(torch.zeros(1, 2, 1, 1))
        >>> index[0, 0].item()
        120
    """
    palette = check_palette(palette)
    check_tensor(
        ab, "ab", FLOATS, "(N, 2, H, W)", ab.dim() == 4 and ab.shape[1] == 2 if isinstance(ab, Tensor) else None
    )
    check_encoding(palette, neighbours, sigma)
    refuse_derivative(ab, "ab", "encode_bins")
    return encode_bins_op(ab.detach().float(), palette.key, neighbours, float(sigma))
