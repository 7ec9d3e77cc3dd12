"""The marks of time, emulsions and cheap copies on a picture, so that training sees the gray pictures that people have.

Only the network's input is changed: the true colours stay.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import ops

# Shares of red, green and blue light (linear) that blacken an emulsion; every picture gets one of its own between the
# two rows. Plates of silver bromide see blue alone, dyed ones (from 1873) green too, panchromatic ones (from 1906)
# everything, with more blue than the eye.
_EMULSIONS = (
    ((0.0, 0.0, 1.0), (0.0, 0.15, 0.85)),
    ((0.0, 0.35, 0.65), (0.05, 0.8, 0.15)),
    ((0.15, 0.45, 0.40), (0.35, 0.35, 0.30)),
    ((0.20, 0.72, 0.08), (0.22, 0.71, 0.07)),
)
_CHANCES = (0.2, 0.25, 0.3, 0.25)
# The luma table of JPEG (ITU-T T.81, table K.1).
_JPEG = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


def old_film(rgb: Tensor, lightness: Tensor, random: np.random.Generator, share: float = 1.0) -> Tensor:
    """Lightness of pictures, some as old film and prints would show them.

    Args:
        rgb: (N, H, W, 3) uint8, H and W multiples of 8. lightness: (N, 1, H, W), their L as the eye sees it.
        random: what decides. share: of the pictures that are made old, each by itself; the others are left as they are.

    Returns:
        L (N, 1, H, W) in [0, 100]: of those made old by an emulsion's sight, faded, of other contrast, blurred, with
        grain, scratches, dust and JPEG's blocks, each of these in some.

    Source: emulsions after Luo et al., "Time-Travel Rephotography", 2021, section 3.2, whose blue-sensitive,
    orthochromatic and panchromatic plates these are, loosened to ranges.

    Example:
        >>> black = torch.zeros(2, 64, 64, 3, dtype=torch.uint8)
        >>> old_film(black, torch.zeros(2, 1, 64, 64), np.random.default_rng(0)).shape
        torch.Size([2, 1, 64, 64])
    """
    chosen = np.flatnonzero(random.random(len(rgb)) < share)
    if not len(chosen):
        return lightness
    rows = torch.from_numpy(chosen).to(rgb.device)
    noise = torch.Generator(rgb.device).manual_seed(int(random.integers(2**62)))
    gray = _exposed(rgb[rows], random)
    gray = _developed(gray, random)
    gray = _blurred(gray, random)
    gray = _grained(gray, random, noise)
    gray = _scratched(gray, random, noise)
    gray = _compressed(gray.clamp(0, 1), random)
    levels = (gray.clamp(0, 1) * 255).round().to(torch.uint8)
    made = lightness.clone()
    made[rows] = ops.rgb_to_lab(levels.expand(-1, 3, -1, -1))[:, :1]
    return made


def _column(values: np.ndarray, like: Tensor) -> Tensor:
    """One number a picture, to be broadcast."""
    return torch.from_numpy(values.astype(np.float32)).to(like.device).view(-1, 1, 1, 1)


def _some(random: np.random.Generator, count: int, chance: float, low: float, high: float) -> np.ndarray:
    """From `low` to `high`, but 0 where chance does not have it."""
    return random.uniform(low, high, count) * (random.random(count) < chance)


def _exposed(rgb: Tensor, random: np.random.Generator) -> Tensor:
    """(n, 1, H, W) in [0, 1], gamma 2.2."""
    table = (torch.arange(256, device=rgb.device) / 255).pow(2.2)
    light = table[rgb.long()]
    ends = np.array(_EMULSIONS)[random.choice(len(_EMULSIONS), len(rgb), p=_CHANCES)]
    shares = ends[:, 0] + random.random((len(rgb), 1)) * (ends[:, 1] - ends[:, 0])
    weights = torch.from_numpy(shares.astype(np.float32)).to(rgb.device)
    return torch.einsum("nhwc,nc->nhw", light, weights)[:, None].pow(1 / 2.2)


def _developed(gray: Tensor, random: np.random.Generator) -> Tensor:
    """Contrast and fading."""
    count = len(gray)
    gamma = _column(np.exp(random.normal(0, 0.2, count)), gray)
    black = _column(_some(random, count, 0.4, 0.0, 0.3), gray)
    white = _column(1 - _some(random, count, 0.4, 0.0, 0.25), gray)
    return black + (white - black) * gray.clamp(0, 1).pow(gamma)


def _blurred(gray: Tensor, random: np.random.Generator) -> Tensor:
    """A Gaussian of each picture's own widths: lenses and copies soften both ways, video tape lines more."""
    count = len(gray)
    both = _some(random, count, 0.4, 0.3, 1.3)
    along = np.hypot(both, _some(random, count, 0.1, 0.5, 2.0))
    for sigmas, across in ((both, (-1, 1)), (along, (1, -1))):
        steps = torch.arange(-4, 5, device=gray.device, dtype=torch.float32)
        sigma = torch.from_numpy(np.maximum(sigmas, 0.05).astype(np.float32)).to(gray.device)[:, None]
        kernel = torch.exp(-0.5 * (steps / sigma).square())
        kernel = (kernel / kernel.sum(1, keepdim=True)).view(count, 1, *across)
        pad = (0, 0, 4, 4) if across == (-1, 1) else (4, 4, 0, 0)
        gray = F.conv2d(F.pad(gray.transpose(0, 1), pad, mode="replicate"), kernel, groups=count).transpose(0, 1)
    return gray


def _grained(gray: Tensor, random: np.random.Generator, noise: torch.Generator) -> Tensor:
    """Noise that is strongest in the middle tones, fine or coarse."""
    count, _, height, width = gray.shape
    fine = torch.randn(gray.shape, generator=noise, device=gray.device)
    coarse = torch.randn((count, 1, height // 2, width // 2), generator=noise, device=gray.device)
    coarse = F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    blend = _column(random.random(count), gray)
    strength = _column(_some(random, count, 0.6, 0.0, 0.06), gray)
    return gray + strength * (0.4 + 1.2 * (gray * (1 - gray)).clamp(min=0).sqrt()) * (
        fine * (1 - blend) + coarse * blend
    )


def _scratched(gray: Tensor, random: np.random.Generator, noise: torch.Generator) -> Tensor:
    """Upright scratches and specks of dust, light or dark."""
    count, _, height, width = gray.shape
    contrast = _column(_some(random, count, 0.25, 0.1, 0.5) * random.choice((-1, 1), count), gray)
    lines = torch.rand((count, 1, 1, width), generator=noise, device=gray.device) < 2.0 / width
    specks = torch.rand((count, 1, height // 2, width // 2), generator=noise, device=gray.device) < 1e-3
    marks = torch.maximum(0.6 * lines.float(), F.interpolate(specks.float(), (height, width)))
    return gray + contrast * marks


def _compressed(gray: Tensor, random: np.random.Generator) -> Tensor:
    """JPEG at qualities 15 to 75, in some."""
    count, _, height, width = gray.shape
    chosen = np.flatnonzero(random.random(count) < 0.2)
    quality = random.uniform(15, 75, count)[chosen]
    if not len(chosen):
        return gray
    factor = np.where(quality < 50, 50 / quality, 2 - quality / 50)
    rows = torch.from_numpy(chosen).to(gray.device)
    steps = torch.tensor(_JPEG, device=gray.device, dtype=torch.float32) * _column(factor, gray)[..., None, None] / 255
    k = torch.arange(8, device=gray.device, dtype=torch.float32)
    cosine = torch.cos((2 * k + 1) * k[:, None] * math.pi / 16) / 2
    cosine[0] /= math.sqrt(2)
    blocks = gray[rows].reshape(len(chosen), 1, height // 8, 8, width // 8, 8).transpose(3, 4)
    kept = ((cosine @ blocks @ cosine.T) / steps).round() * steps
    result = gray.clone()
    result[rows] = (cosine.T @ kept @ cosine).transpose(3, 4).reshape(len(chosen), 1, height, width)
    return result
