"""Every op of `fastcolor.ops` in plain torch, with the same signatures.

This file is the specification: the native kernels are tested against it in float64, and benchmarks use it as their
baseline. It favours clearness; where it materialises a full volume, the kernels do not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .bins import Bins
from .constants import LUMA_WEIGHTS, RGB_TO_XYZ, WHITE


def _srgb_to_linear(c: Tensor) -> Tensor:
    return torch.where(c <= 0.04045, c / 12.92, ((c.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)


def _linear_to_srgb(c: Tensor) -> Tensor:
    return torch.where(c <= 0.0031308, 12.92 * c, 1.055 * c.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


def _lightness(y: Tensor) -> Tensor:
    """CIE f(t): the cube root with its linear toe."""
    return torch.where(y > 0.008856, y.clamp(min=0.008856) ** (1 / 3), 7.787 * y + 16 / 116)


def _inverse_lightness(f: Tensor) -> Tensor:
    return torch.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787).clamp(min=0)


def _mix(matrix: Tensor, planes: Tensor) -> Tensor:
    return torch.einsum("ij,...jhw->...ihw", matrix.to(planes), planes)


def _unit(image: Tensor) -> Tensor:
    """Integers to [0, 1]; floats stay, at no less than float32."""
    if not image.is_floating_point():
        return image.float() / torch.iinfo(image.dtype).max
    return image if image.dtype == torch.float64 else image.float()


def rgb_to_lab(image: Tensor, *, layout: Literal["chw", "hwc"] = "chw") -> Tensor:
    """See `fastcolor.ops.rgb_to_lab`."""
    if layout == "hwc":
        image = image.movedim(-1, -3)
    xyz = _mix(torch.tensor(RGB_TO_XYZ, dtype=torch.float64), _srgb_to_linear(_unit(image)))
    white = torch.tensor(WHITE, dtype=torch.float64).to(xyz)[:, None, None]
    x, y, z = _lightness(xyz / white).unbind(-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-3)


def _lab_to_linear(lab: Tensor) -> Tensor:
    lightness, a, b = lab.unbind(-3)
    y = (lightness + 16) / 116
    white = torch.tensor(WHITE, dtype=torch.float64).to(lab)[:, None, None]
    xyz = _inverse_lightness(torch.stack([y + a / 500, y, y - b / 200], dim=-3)) * white
    return _mix(torch.tensor(RGB_TO_XYZ, dtype=torch.float64).inverse(), xyz)


def _chroma_that_fits(lab: Tensor) -> Tensor:
    """The largest factor in [0, 1] on (a, b) at which the colour lies inside sRGB, by 16 halvings. (…,1,H,W)"""
    factor = torch.tensor([1.0, 0, 0]).to(lab)[:, None, None]
    low, high = torch.zeros_like(lab[..., :1, :, :]), torch.ones_like(lab[..., :1, :, :])

    def fits(s: Tensor) -> Tensor:
        linear = _lab_to_linear(lab * (factor + s * (1 - factor)))
        return ((linear >= -1e-5) & (linear <= 1 + 1e-5)).all(dim=-3, keepdim=True)

    whole = fits(high)
    for _ in range(16):
        middle = (low + high) / 2
        inside = fits(middle)
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    return torch.where(whole, torch.ones_like(low), low)


def lab_to_rgb(
    lab: Tensor,
    *,
    dtype: torch.dtype = torch.uint8,
    layout: Literal["chw", "hwc"] = "chw",
    gamut: Literal["clip", "chroma"] = "clip",
) -> Tensor:
    """See `fastcolor.ops.lab_to_rgb`."""
    lab = _unit(lab)
    if gamut == "chroma":
        scale = _chroma_that_fits(lab)
        lab = torch.cat([lab[..., :1, :, :], lab[..., 1:, :, :] * scale], dim=-3)
    rgb = _linear_to_srgb(_lab_to_linear(lab).clamp(0, 1))
    if layout == "hwc":
        rgb = rgb.movedim(-3, -1)
    if dtype == torch.uint8:
        return (rgb.nan_to_num(0) * 255 + 0.5).floor().to(torch.uint8)
    return rgb.to(dtype)


def encode_bins(
    ab: Tensor, palette: Bins | None = None, *, neighbours: int = 5, sigma: float = 5.0
) -> tuple[Tensor, Tensor]:
    """See `fastcolor.ops.encode_bins`. Brute force over all bins, distances in float64."""
    points = (palette or Bins.grid()).points.to(ab.device, torch.float64)
    n, _, h, w = ab.shape
    y = ab.to(torch.float64).permute(0, 2, 3, 1).reshape(-1, 1, 2)
    squared = ((y - points) ** 2).sum(-1)
    nearest, index = squared.sort(dim=-1, stable=True)  # stable: a tie goes to the lower bin
    nearest, index = nearest[:, :neighbours], index[:, :neighbours]
    weight = torch.exp(-(nearest - nearest[:, :1]) / (2 * sigma**2))
    weight = weight / weight.sum(-1, keepdim=True)

    def planes(t: Tensor) -> Tensor:
        return t.reshape(n, h, w, neighbours).permute(0, 3, 1, 2).contiguous()

    return planes(index).to(torch.int32), planes(weight).to(
        torch.float64 if ab.dtype == torch.float64 else torch.float32
    )


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
    reduction: Literal["mean", "sum", "weighted_mean", "none"] = "mean",
    inplace: bool = False,
) -> Tensor:
    """See `fastcolor.ops.rebalanced_cross_entropy` (`inplace` changes nothing here)."""
    del inplace
    logits = _unit(logits)
    index, target = encode_bins(ab, palette, neighbours=neighbours, sigma=sigma)
    index, target = index.long(), target.to(logits.dtype)
    if mask is not None:
        keep = mask.to(torch.bool)[:, None]  # a masked pixel counts for nothing, whatever it holds
        logits = torch.where(keep, logits, torch.zeros((), dtype=logits.dtype, device=logits.device))
        target = torch.where(keep, target, torch.zeros((), dtype=target.dtype, device=target.device))
    log_p = F.log_softmax(logits, dim=1).gather(1, index)
    focus = 1.0 if gamma == 0 else (1 - log_p.exp()).clamp(min=0) ** gamma
    per_pixel = -(target * focus * log_p).sum(1)
    v = torch.ones_like(per_pixel) if class_weight is None else class_weight.to(per_pixel)[index[:, 0]]
    if mask is not None:
        v = v * mask.to(v)
    per_pixel = v * per_pixel
    if reduction == "none":
        return per_pixel
    total = per_pixel.sum()
    return {
        "mean": lambda: total / per_pixel.numel() if per_pixel.numel() else total / total.new_zeros(()),
        "sum": lambda: total,
        "weighted_mean": lambda: total / v.sum(),
    }[reduction]()


def annealed_mean(logits: Tensor, *, palette: Bins | None = None, temperature: float = 0.38) -> Tensor:
    """See `fastcolor.ops.annealed_mean`."""
    logits = _unit(logits)
    points = (palette or Bins.grid()).points.to(logits)
    if temperature == 0:
        mode = points[logits.argmax(dim=1)].permute(0, 3, 1, 2)
        return mode + 0 * logits.sum(1, keepdim=True)  # keeps NaN and a zero gradient
    return torch.einsum("nqhw,qk->nkhw", F.softmax(logits / temperature, dim=1), points)


def _luma_unit(luma: Tensor, full_range: bool, bits: int) -> Tensor:
    """Code values of a luma plane to [0, 1] (ITU-R BT.601/709/2020: limited range is 16..235 at 8 bits)."""
    y = luma.float()
    if full_range:
        return y / (2**bits - 1)
    return ((y / 2 ** (bits - 8) - 16) / 219).clamp(0, 1)


def _bits(luma: Tensor, bits: int | None) -> int:
    return bits or (8 if luma.dtype == torch.uint8 else 16)


def _gray_to_l(gray: Tensor) -> Tensor:
    return 116 * _lightness(_srgb_to_linear(gray)) - 16


def _triangle_matrix(out: int, size: int, like: Tensor) -> Tensor:
    """(out, size): each row a triangle filter as wide as the shrinking, summing to 1.

    What `F.interpolate(mode="bilinear", antialias=True)` does, which is not used because torch 2.13 gets planes of
    width 1 wrong on the CPU.
    """
    ratio = size / out
    support = max(ratio, 1.0)
    center = (torch.arange(out, dtype=torch.float64) + 0.5) * ratio
    at = torch.arange(size, dtype=torch.float64) + 0.5
    weight = (1 - (at - center[:, None]).abs() / support).clamp(min=0)
    return (weight / weight.sum(1, keepdim=True)).to(like)


def luma_to_input(luma: Tensor, size: tuple[int, int], *, full_range: bool = True, bits: int | None = None) -> Tensor:
    """See `fastcolor.ops.luma_to_input`."""
    gray = _luma_unit(luma, full_range, _bits(luma, bits))
    rows, columns = (_triangle_matrix(o, s, gray) for o, s in zip(size, gray.shape[1:], strict=True))
    return _gray_to_l(rows @ gray @ columns.T)[:, None]


def chroma_share(lightness: Tensor) -> Tensor:
    """The share of a predicted chroma that a lightness can have: none in black and white (csrc/math/paint.h)."""
    x = torch.minimum((lightness - 1) / 5, (98.25 - lightness) / 0.5).clamp(0, 1)
    return x * x * (3 - 2 * x)


def _slopes(ab: Tensor, lightness: Tensor) -> Tensor:
    """(N, 2, h, w): how fast a and b change with lightness (N, 1, h, w) within 3x3 cells."""
    values = torch.cat([ab, lightness], 1)
    n, _, h, w = values.shape
    cells = F.unfold(F.pad(values, (1, 1, 1, 1), mode="replicate"), 3).view(n, 3, 9, h, w)
    weight = torch.tensor([1.0, 2, 1, 2, 4, 2, 1, 2, 1], dtype=ab.dtype, device=ab.device).view(1, 1, 9, 1, 1) / 16
    away = cells - (weight * cells).sum(2, keepdim=True)
    return (weight * away[:, :2] * away[:, 2:]).sum(2) / ((weight * away[:, 2:] ** 2).sum(2) + 64)


def _guided(ab: Tensor, guide: Tensor | None, lightness: Tensor, enlarge: Callable[[Tensor], Tensor]) -> Tensor:
    """ab at the places of `lightness`, by `enlarge` and, with a guide, with sharp edges."""
    if guide is None:
        return enlarge(ab)
    guide = F.interpolate(guide.to(ab), ab.shape[-2:], mode="bilinear", antialias=True, align_corners=False)
    slopes = _slopes(ab, guide).nan_to_num(0.0, 0.0, 0.0)
    return enlarge(ab) + enlarge(slopes) * (lightness - enlarge(guide))


def paint_rgb(
    ab: Tensor,
    l_or_rgb: Tensor,
    *,
    saturation: float = 1.0,
    gamut: Literal["clip", "chroma"] = "clip",
    guide: Tensor | None = None,
) -> Tensor:
    """See `fastcolor.ops.paint_rgb`."""
    if l_or_rgb.dim() == 4 and l_or_rgb.is_floating_point():
        lightness = l_or_rgb.float()
    elif l_or_rgb.dim() == 4:
        lightness = rgb_to_lab(l_or_rgb, layout="hwc")[:, :1]
    else:
        lightness = _gray_to_l(_luma_unit(l_or_rgb, True, _bits(l_or_rgb, None)))[:, None]
    if lightness.numel() == 0:
        return torch.empty((*lightness.shape[:1], *lightness.shape[2:], 3), dtype=torch.uint8, device=ab.device)
    full = _guided(
        ab.float(),
        guide,
        lightness,
        lambda t: F.interpolate(t, lightness.shape[-2:], mode="bilinear", align_corners=False),
    )
    full = full * saturation * chroma_share(lightness)
    return lab_to_rgb(torch.cat([lightness, full], dim=1), layout="hwc", gamut=gamut)


def paint_chroma(
    ab: Tensor,
    luma: Tensor,
    *,
    subsampling: Literal["420", "422", "444"],
    matrix: Literal["bt601", "bt709", "bt2020"],
    full_range: bool,
    saturation: float = 1.0,
    bits: int | None = None,
    siting: Literal["left", "center"] = "left",
    guide: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """See `fastcolor.ops.paint_chroma`."""
    depth = _bits(luma, bits)
    (height, width), (h, w) = luma.shape[1:], ab.shape[-2:]
    sx, sy = (1 if subsampling == "444" else 2), (2 if subsampling == "420" else 1)
    rows, columns = -(-height // sy), -(-width // sx)
    y = _luma_unit(luma, full_range, depth)
    if sy == 2:  # the chroma row lies midway between two luma rows
        top = torch.arange(rows, device=y.device) * 2
        y = (y[:, top] + y[:, (top + 1).clamp(max=height - 1)]) / 2
    position_x = torch.arange(columns, device=y.device) * sx
    if sx == 2 and siting == "left":  # on the even luma column
        left, right = (position_x - 1).clamp(min=0), (position_x + 1).clamp(max=width - 1)
        y = (y[..., left] + 2 * y[..., position_x] + y[..., right]) / 4
    elif sx == 2:
        y = (y[..., position_x] + y[..., (position_x + 1).clamp(max=width - 1)]) / 2
    # The same places in the coordinates of ab (pixel centres at i + 0.5, edges repeated).
    offset_x = 0.5 if sx == 2 and siting == "center" else 0.0
    offset_y = 0.5 if sy == 2 else 0.0
    at_x = ((position_x + offset_x + 0.5) * w / width - 0.5).clamp(0, w - 1)
    at_y = ((torch.arange(rows, device=y.device) * sy + offset_y + 0.5) * h / height - 0.5).clamp(0, h - 1)

    def interpolate(t: Tensor, at: Tensor, dim: int) -> Tensor:
        low = at.floor().long()
        high = (low + 1).clamp(max=t.shape[dim] - 1)
        fraction = (at - low).to(t)
        fraction = fraction[:, None] if dim == 2 else fraction
        return t.index_select(dim, low) * (1 - fraction) + t.index_select(dim, high) * fraction

    lightness = _gray_to_l(y)[:, None]
    full = _guided(ab.float(), guide, lightness, lambda t: interpolate(interpolate(t, at_y, 2), at_x, 3))
    color = full * saturation * chroma_share(lightness)
    red, green, blue = lab_to_rgb(torch.cat([lightness, color], dim=1), dtype=torch.float32).unbind(1)
    k_red, k_blue = LUMA_WEIGHTS[matrix]
    painted = k_red * red + (1 - k_red - k_blue) * green + k_blue * blue
    excursion = 2**depth - 1 if full_range else 224 * 2 ** (depth - 8)

    def quantise(difference: Tensor) -> Tensor:
        code = (difference * excursion + 2 ** (depth - 1) + 0.5).floor().clamp(0, 2**depth - 1)
        return code.nan_to_num(2 ** (depth - 1)).to(torch.int32).to(luma.dtype)

    return quantise((blue - painted) / (2 * (1 - k_blue))), quantise((red - painted) / (2 * (1 - k_red)))


def _moved(plane: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
    """plane (N, C, H, W) read at (y + dy, x + dx), dy and dx (N, H, W) or scalars, edges repeated."""
    n, channels, height, width = plane.shape
    y = (torch.arange(height, device=plane.device)[:, None] + dy).clamp(0, height - 1)
    x = (torch.arange(width, device=plane.device) + dx).clamp(0, width - 1)
    at = (y * width + x).expand(n, height, width).flatten(1)[:, None].expand(-1, channels, -1)
    return plane.flatten(2).gather(2, at).view_as(plane)


def block_motion(luma: Tensor, previous: Tensor, *, radius: int = 6) -> tuple[Tensor, Tensor]:
    """See `fastcolor.ops.block_motion`."""
    n, height, width = luma.shape
    now, before = luma.int(), previous.int()[:, None]
    sums: list[Tensor] = []
    ranks: list[Tensor] = []
    ways: list[Tensor] = []
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            way = torch.tensor([dy, dx], device=luma.device)
            difference = (now - _moved(before, *way)[:, 0]).abs()
            padded = F.pad(difference, (0, -width % 8, 0, -height % 8))
            sums.append(padded.view(n, -(-height // 8), 8, -(-width // 8), 8).sum((2, 4)))
            # Among equals the first in scan order.
            ranks.append((sums[-1] + 16 * (abs(dy) + abs(dx))) * 1024 + len(ways))
            ways.append(way)
    best = torch.stack(ranks).min(0, keepdim=True).indices
    motion = torch.stack(ways)[best[0]].movedim(-1, 1)
    return motion.to(torch.int32), torch.stack(sums).gather(0, best)[0].to(torch.int32)


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
    """See `fastcolor.ops.temporal_average`."""
    n, height, width = luma.shape
    if motion is None:
        motion = torch.zeros((n, 2, -(-height // 8), -(-width // 8)), dtype=torch.int32, device=luma.device)
    dy, dx = motion.long().repeat_interleave(8, 2).repeat_interleave(8, 3)[:, :, :height, :width].unbind(1)
    before, previous = _moved(previous_ab, dy, dx), _moved(previous_luma[:, None], dy, dx)[:, 0]
    agreement = 1 / (1 + ((luma.to(ab) - previous.to(ab)) / tolerance) ** 4)
    agreement = agreement / (1 + (((before - ab) / tolerance_ab) ** 2).sum(1) ** 2)
    weight = agreement * torch.as_tensor(keep, device=ab.device).to(ab).view(-1, 1, 1)
    return ab + weight[:, None] * (before - ab)
