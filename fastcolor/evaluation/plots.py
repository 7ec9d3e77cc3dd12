"""Pictures of palettes and priors, for looking at them."""

from __future__ import annotations

import io
import os
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from .. import ops
from ..atomic import write_bytes
from ..palette import Palette

_SCALE, _MARGIN, _REACH = 3, 24, 115  # pixels an ab unit, and the ab that the plane reaches to
_SIDE = 2 * (_REACH * _SCALE + _MARGIN)


def plot_palette(path: str | os.PathLike[str], palette: Palette, counts: Tensor | None = None) -> None:
    """Draw every bin as a dot of its colour at L = 65 in the ab plane, a to the right and b up; a PNG.

    Args:
        counts: (256, 256) histogram that the palette was fitted on: darker where there are more pixels.
    """
    image = _plane(counts)
    draw = ImageDraw.Draw(image)
    for (x, y), colour in zip(_places(palette), _colours(palette), strict=True):
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=colour, outline=(40, 40, 40))
    draw.text((_MARGIN, 6), f"{len(palette)} bins, ab plane, L = 65", fill=(0, 0, 0))
    _save(image, path)


def plot_prior(path: str | os.PathLike[str], p: Tensor, palette: Palette) -> None:
    """Draw every bin as a dot whose area shows its probability (Q,) on a logarithmic scale of six decades; a PNG."""
    image = _plane(None)
    draw = ImageDraw.Draw(image)
    size = (1 + (p.double() / p.max()).clamp(min=1e-6).log10() / 6).sqrt() * 12
    for (x, y), colour, radius in zip(_places(palette), _colours(palette), size.tolist(), strict=True):
        if radius > 0:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline=(40, 40, 40))
    most = palette.points[int(p.argmax())].tolist()
    draw.text(
        (_MARGIN, 6),
        f"prior over {len(palette)} bins, area: log p over 6 decades; most {float(p.max()):.3f} at "
        f"({most[0]:.0f}, {most[1]:.0f})",
        fill=(0, 0, 0),
    )
    _save(image, path)


def _plane(counts: Tensor | None) -> Image.Image:
    image = Image.new("RGB", (_SIDE, _SIDE), (255, 255, 255))
    if counts is not None:
        shade = (counts + 1).log()
        shade = (255 - 120 * shade / shade.max().clamp(min=1e-9)).to(torch.uint8)
        shade = shade[128 - _REACH : 128 + _REACH, 128 - _REACH : 128 + _REACH].T.flip(0).contiguous()
        side = 2 * _REACH * _SCALE
        image.paste(Image.fromarray(shade.numpy()).resize((side, side), Image.Resampling.NEAREST), (_MARGIN, _MARGIN))
    draw = ImageDraw.Draw(image)
    middle, end = _SIDE // 2, _SIDE - _MARGIN
    draw.line((_MARGIN, middle, end, middle), fill=(160, 160, 160))
    draw.line((middle, _MARGIN, middle, end), fill=(160, 160, 160))
    for value in range(-100, 101, 50):
        at = middle + value * _SCALE
        draw.text((at - 10, end + 4), f"a {value}", fill=(0, 0, 0))
        draw.text((2, _SIDE - at - 6), f"{value}", fill=(0, 0, 0))
    return image


def _places(palette: Palette) -> list[tuple[float, float]]:
    return [(_SIDE / 2 + a * _SCALE, _SIDE / 2 - b * _SCALE) for a, b in palette.points.tolist()]


def _colours(palette: Palette) -> list[tuple[int, int, int]]:
    lab = torch.cat([torch.full((len(palette), 1), 65.0), palette.points], 1)
    rgb = ops.lab_to_rgb(lab.T.reshape(1, 3, 1, -1).contiguous(), layout="hwc")
    return [tuple(colour) for colour in rgb[0, 0].tolist()]


def _save(image: Image.Image, path: str | os.PathLike[str]) -> None:
    content = io.BytesIO()
    image.save(content, format="PNG")
    write_bytes(Path(path), content.getvalue())
