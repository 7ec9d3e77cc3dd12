"""luma_to_input, paint_rgb and paint_chroma: between a picture's or film's own size and the network's."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .._native import _C
from ..constants import LUMA_WEIGHTS
from ._register import FLOATS, check, check_device, check_tensor, register
from ._tensors import address, planes, target

_INTEGERS = (torch.uint8, torch.uint16)
_EPSILON = 64.0  # of the variance of lightness, from which on slopes are believed: grain has less
LIGHTNESS, RGB, GRAY = 0, 1, 2  # fastcolor::Source in csrc/ops.h


def _luma_code(full_range: bool, bits: int) -> tuple[float, float]:
    """(offset, scale) from code values to [0, 1]; limited range is 16..235 at 8 bits (ITU-R BT.601, 709, 2020)."""
    step = 2.0 ** (bits - 8)
    return (0.0, 1.0 / (2**bits - 1)) if full_range else (16 * step, 1 / (219 * step))


def _chroma_code(full_range: bool, bits: int) -> tuple[float, float, float]:
    """(scale, middle, largest) of code values of a colour difference in [-0.5, 0.5]."""
    excursion = 2**bits - 1 if full_range else 224 * 2 ** (bits - 8)
    return float(excursion), 2.0 ** (bits - 1), 2.0**bits - 1


def _check_luma(luma: object, bits: int | None) -> int:
    """The bit depth of a luma plane that is in order."""
    check_tensor(luma, "luma", _INTEGERS, "(N, H, W)", luma.dim() == 3 if isinstance(luma, Tensor) else None)
    assert isinstance(luma, Tensor)
    most = 8 if luma.dtype == torch.uint8 else 16
    bits = most if bits is None else bits
    check(bits == 8 if most == 8 else 8 < bits <= 16, "bits", "be 8 for uint8 and 9..16 for uint16", bits)
    return bits


def _check_ab(ab: object, images: int) -> Tensor:
    check_tensor(
        ab, "ab", FLOATS, "(N, 2, h, w)", ab.dim() == 4 and ab.shape[1] == 2 if isinstance(ab, Tensor) else None
    )
    assert isinstance(ab, Tensor)
    check(ab.shape[0] == images, "ab", "hold as many images as the picture, {}", ab.shape[0], images)
    check(images == 0 or (ab.shape[2] > 0 and ab.shape[3] > 0), "ab", "have at least one pixel", tuple(ab.shape))
    return ab.detach().float()


def _edge_planes(ab: Tensor, lightness: Tensor) -> Tensor:
    """What `paint_rgb` and `paint_chroma` need for sharp edges (`Note [Sharp edges]` in csrc/math/paint.h).

    Args:
        ab: (N, 2, h, w). lightness: (N, 1, h, w).

    Returns:
        (N, 5, h, w): ab, lightness, and how fast a and b change with lightness within 3x3 cells, by least squares with
        binomial weights.
    """
    moments = torch.cat([lightness, ab, lightness * lightness, lightness * ab], 1)
    wide = F.pad(moments, (1, 1, 1, 1), mode="replicate")
    # Sums, not a convolution: GPUs round its factors to ten bits, and squares of lightness need more.
    rows = wide[..., :-2, :] + 2 * wide[..., 1:-1, :] + wide[..., 2:, :]
    mean = (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 16
    variance = mean[:, 3:4] - mean[:, :1].square()
    slopes = (mean[:, 4:] - mean[:, :1] * mean[:, 1:3]) / (variance.clamp(min=0) + _EPSILON)
    return torch.cat([ab, lightness, slopes.nan_to_num(0.0, 0.0, 0.0)], 1)


def _with_edges(ab: Tensor, guide: Tensor | None) -> Tensor:
    """ab, and behind it what makes edges sharp where there is a guide."""
    if guide is None:
        return ab
    check_tensor(guide, "guide", FLOATS, "(N, 1, h, w)", guide.dim() == 4 and guide.shape[1] == 1)
    check(guide.shape[0] == ab.shape[0], "guide", "hold as many images as ab, {}", guide.shape[0], ab.shape[0])
    check_device(guide, "guide", ab, "ab")
    if not ab.numel():
        return torch.cat([ab, ab, ab[:, :1]], 1)
    lightness = guide.detach().float()
    if lightness.shape[-2:] != ab.shape[-2:]:
        check(guide.shape[-2] > 0 and guide.shape[-1] > 0, "guide", "have at least one pixel", tuple(guide.shape))
        lightness = F.interpolate(lightness, ab.shape[-2:], mode="bilinear", antialias=True, align_corners=False)
    return _edge_planes(ab, lightness)


def _check_source(l_or_rgb: object) -> tuple[int, Tensor]:
    """What kind of source for `paint_rgb` this is, and it as the op takes it."""
    check_tensor(l_or_rgb, "l_or_rgb", (*_INTEGERS, *FLOATS), "(N, 1, H, W), (N, H, W, 3) or (N, H, W)")
    assert isinstance(l_or_rgb, Tensor)
    shape = tuple(l_or_rgb.shape)
    if l_or_rgb.is_floating_point():
        check(len(shape) == 4 and shape[1] == 1, "l_or_rgb", "have shape (N, 1, H, W) when float", shape)
        return LIGHTNESS, l_or_rgb.detach().float()
    if len(shape) == 4:
        check(
            shape[3] == 3 and l_or_rgb.dtype == torch.uint8,
            "l_or_rgb",
            "be uint8 of shape (N, H, W, 3)",
            f"{str(l_or_rgb.dtype).removeprefix('torch.')} {shape}",
        )
        return RGB, l_or_rgb
    check(len(shape) == 3, "l_or_rgb", "have shape (N, H, W) when gray", shape)
    return GRAY, l_or_rgb


def _check_look(saturation: float, gamut: str) -> None:
    check(0 <= saturation < float("inf"), "saturation", "be finite and not negative", saturation)
    check(gamut in ("clip", "chroma"), "gamut", "be 'clip' or 'chroma'", repr(gamut))


def _check_film(subsampling: str, matrix: str, siting: str, saturation: float) -> tuple[int, int, bool]:
    """(columns, rows) of luma to one of chroma, and whether chroma sits midway between columns."""
    check(subsampling in ("420", "422", "444"), "subsampling", "be '420', '422' or '444'", repr(subsampling))
    check(matrix in LUMA_WEIGHTS, "matrix", f"be one of {', '.join(LUMA_WEIGHTS)}", repr(matrix))
    check(siting in ("left", "center"), "siting", "be 'left' or 'center'", repr(siting))
    check(0 <= saturation < float("inf"), "saturation", "be finite and not negative", saturation)
    return 1 if subsampling == "444" else 2, 2 if subsampling == "420" else 1, siting == "center"


def _luma_to_input(luma: Tensor, height: int, width: int, offset: float, scale: float) -> Tensor:
    luma = luma.contiguous()
    lightness = _luma_to_input_fake(luma, height, width, offset, scale)
    if lightness.numel():
        _C.luma_to_input(planes(luma), planes(lightness), (offset, scale), target(luma))
    return lightness


def _luma_to_input_fake(luma: Tensor, height: int, width: int, offset: float, scale: float) -> Tensor:
    return luma.new_empty((luma.shape[0], 1, height, width), dtype=torch.float32)


def _paint_rgb(ab: Tensor, source: Tensor, kind: int, saturation: float, chroma: bool) -> Tensor:
    ab, source = ab.contiguous(), source.contiguous()
    rgb = _empty_rgb(ab, source, kind)
    if rgb.numel():
        picture = planes(source, interleaved=kind == RGB)
        _C.paint_rgb(planes(ab), ab.shape[1] == 5, picture, kind, address(rgb), saturation, chroma, target(ab))
    return rgb


def _empty_rgb(ab: Tensor, source: Tensor, kind: int, *_: object) -> Tensor:
    height, width = source.shape[2:] if kind == LIGHTNESS else source.shape[1:3]
    return ab.new_empty((source.shape[0], height, width, 3), dtype=torch.uint8)


def _paint_chroma(
    ab: Tensor,
    luma: Tensor,
    step_x: int,
    step_y: int,
    centered: bool,
    matrix: str,
    full_range: bool,
    bits: int,
    saturation: float,
) -> tuple[Tensor, Tensor]:
    ab, luma = ab.contiguous(), luma.contiguous()
    cb, cr = _empty_chroma(ab, luma, step_x, step_y)
    if cb.numel():
        _C.paint_chroma(
            planes(ab), ab.shape[1] == 5, planes(luma), (address(cb), address(cr)), (step_x, step_y, centered),
            _luma_code(full_range, bits), (*LUMA_WEIGHTS[matrix], *_chroma_code(full_range, bits)), saturation,
            target(ab),
        )  # fmt: skip
    return cb, cr


def _empty_chroma(ab: Tensor, luma: Tensor, step_x: int, step_y: int, *_: object) -> tuple[Tensor, Tensor]:
    n, height, width = luma.shape
    shape = (n, (height + step_y - 1) // step_y, (width + step_x - 1) // step_x)
    return luma.new_empty(shape), luma.new_empty(shape)


luma_to_input_op = register(
    "luma_to_input(Tensor luma, int height, int width, float offset, float scale) -> Tensor",
    _luma_to_input,
    _luma_to_input_fake,
)
paint_rgb_op = register(
    "paint_rgb(Tensor ab, Tensor source, int kind, float saturation, bool chroma) -> Tensor", _paint_rgb, _empty_rgb
)
paint_chroma_op = register(
    "paint_chroma(Tensor ab, Tensor luma, int step_x, int step_y, bool centered, str matrix, bool full_range, "
    "int bits, float saturation) -> (Tensor, Tensor)",
    _paint_chroma,
    _empty_chroma,
)


def luma_to_input(luma: Tensor, size: tuple[int, int], *, full_range: bool = True, bits: int | None = None) -> Tensor:
    """Bring a luma plane to the network: anti-aliased resize, then lightness, in one pass.

    Args:
        luma: (N, H, W) uint8 or uint16: luma of film, or a gray picture in sRGB.
        size: (h, w) of the result.
        full_range: code values span all bits; False: 16..235 at 8 bits.
        bits: depth of uint16 values, 9 to 16; None: 16.

    Returns:
        (N, 1, h, w) float32, L in [0, 100]. The resize is a triangle filter as wide as the shrinking, on code values
        (what `F.interpolate(mode="bilinear", antialias=True)` does).

    Raises:
        TypeError, ValueError: wrong type, dtype, shape or number; the message says which.

    Example:
        >>> round(luma_to_input(torch.full((1, 720, 1280), 255, dtype=torch.uint8), (256, 256)).max().item(), 3)
        100.0
    """
    bits = _check_luma(luma, bits)
    good = len(size) == 2 and all(isinstance(s, int) and s > 0 for s in size)
    check(good, "size", "be two positive integers (h, w)", size)
    check(luma.shape[0] == 0 or luma.shape[1] * luma.shape[2] > 0, "luma", "have at least one pixel", tuple(luma.shape))
    return luma_to_input_op(luma, size[0], size[1], *_luma_code(full_range, bits))


def paint_rgb(
    ab: Tensor,
    l_or_rgb: Tensor,
    *,
    saturation: float = 1.0,
    gamut: Literal["clip", "chroma"] = "clip",
    guide: Tensor | None = None,
) -> Tensor:
    """Join colours of network size with a picture's own full-size lightness: upsampling, Lab and sRGB in one pass.

    Args:
        ab: (N, 2, h, w) float, in Lab units.
        l_or_rgb: float (N, 1, H, W) lightness in [0, 100]; or the picture: uint8 (N, H, W, 3), or gray uint8 or
            uint16 (N, H, W).
        saturation: factor on ab. gamut: "clip" or "chroma", see `lab_to_rgb`.
        guide: (N, 1, h', w') float, lightness of the picture at ab's size or more, such as `luma_to_input` makes:
            colours that change with it then end where the picture's own lightness does. None: bilinear.

    Returns:
        (N, H, W, 3) uint8. Black and white are gray whatever ab says: chroma fades to nothing at both ends of lightness
        (`Note [Neutral ends]` in csrc/math/paint.h).

    Raises:
        TypeError, ValueError: wrong type, dtype, shape or number; the message says which.

    Example:
        >>> paint_rgb(torch.zeros(1, 2, 64, 64), torch.full((1, 300, 200), 9, dtype=torch.uint8)).unique().tolist()
        [9]
    """
    kind, source = _check_source(l_or_rgb)
    ab = _check_ab(ab, source.shape[0])
    check_device(ab, "ab", l_or_rgb, "l_or_rgb")
    _check_look(saturation, gamut)
    return paint_rgb_op(_with_edges(ab, guide), source, kind, float(saturation), gamut == "chroma")


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
    """The chroma planes of a film frame from colours of network size and the frame's own luma plane, in one pass.

    Args:
        ab: (N, 2, h, w) float, in Lab units.
        luma: (N, H, W) uint8 or uint16, passed through by the caller untouched.
        subsampling: of the chroma planes. matrix: of the film. full_range: of luma and chroma.
        saturation: factor on ab.
        bits: depth of uint16 values, 9 to 16; None: 16.
        siting: subsampled chroma sits on the even luma column ("left", as MPEG-2 and later have it) or midway
            ("center", as JPEG has it); between two luma rows in either case.
        guide: as for `paint_rgb`.

    Returns:
        (Cb, Cr), each (N, ceil(H / 2 or 1), ceil(W / 2 or 1)) of luma's dtype. Neutral in black and in white, as
        `paint_rgb` has it.

    Raises:
        TypeError, ValueError: wrong type, dtype, shape or choice; the message says which.

    Source: ITU-R BT.601, BT.709, BT.2020 (non-constant luminance).

    Example:
        >>> luma = torch.full((1, 480, 640), 128, dtype=torch.uint8)
        >>> cb, cr = paint_chroma(torch.zeros(1, 2, 64, 64), luma, subsampling="420", matrix="bt709", full_range=False)
        >>> cb.shape, cb.unique().tolist()
        (torch.Size([1, 240, 320]), [128])
    """
    bits = _check_luma(luma, bits)
    ab = _check_ab(ab, luma.shape[0])
    check_device(ab, "ab", luma, "luma")
    step_x, step_y, centered = _check_film(subsampling, matrix, siting, saturation)
    ab = _with_edges(ab, guide)
    return paint_chroma_op(ab, luma, step_x, step_y, centered, matrix, full_range, bits, float(saturation))
