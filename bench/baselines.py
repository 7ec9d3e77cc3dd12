"""The same computations as a good engineer writes them without fastcolor: plain torch, eager.

`fastcolor.reference` specifies and favours clearness (float64 searches, masks, every option); these favour speed and do
what one training step or one film needs, no more.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fastcolor.reference import RGB_TO_XYZ, WHITE, chroma_share

TO_XYZ = (torch.tensor(RGB_TO_XYZ, dtype=torch.float64) / torch.tensor(WHITE, dtype=torch.float64)[:, None]).float()
FROM_XYZ = (torch.tensor(RGB_TO_XYZ, dtype=torch.float64).inverse() * torch.tensor(WHITE, dtype=torch.float64)).float()


def rgb_to_lab(image: Tensor, matrix: Tensor = TO_XYZ) -> Tensor:
    """uint8 (N, H, W, 3) -> float32 (N, 3, H, W). matrix: on the image's device, as a module's buffer would be."""
    c = image.permute(0, 3, 1, 2).float() / 255
    c = torch.where(c > 0.04045, ((c + 0.055) / 1.055) ** 2.4, c / 12.92)
    xyz = torch.einsum("ij,njhw->nihw", matrix, c)
    f = torch.where(xyz > 0.008856, xyz ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def lab_to_rgb(lab: Tensor, matrix: Tensor = FROM_XYZ) -> Tensor:
    """float32 (N, 3, H, W) -> uint8 (N, H, W, 3)."""
    lightness, a, b = lab.unbind(1)
    y = (lightness + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], dim=1)
    xyz = torch.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787).clamp(min=0)
    c = torch.einsum("ij,njhw->nihw", matrix, xyz).clamp(0, 1)
    c = torch.where(c > 0.0031308, 1.055 * c ** (1 / 2.4) - 0.055, 12.92 * c)
    return (c * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def encode(ab: Tensor, points: Tensor, neighbours: int = 5, sigma: float = 5.0) -> tuple[Tensor, Tensor]:
    """ab (N, 2, H, W) -> index, weight (N, K, H, W): distances to all bins, then topk."""
    n, _, h, w = ab.shape
    distance, index = torch.cdist(ab.permute(0, 2, 3, 1).reshape(-1, 2), points).topk(neighbours, largest=False)
    weight = F.softmax(-(distance**2) / (2 * sigma**2), dim=1)
    return (
        index.view(n, h, w, neighbours).permute(0, 3, 1, 2).contiguous(),
        weight.view(n, h, w, neighbours).permute(0, 3, 1, 2).contiguous(),
    )


def compact_loss(logits: Tensor, index: Tensor, weight: Tensor, class_weight: Tensor) -> Tensor:
    """Mean rebalanced cross entropy; the soft target is five (bin, weight) pairs a pixel."""
    log_p = F.log_softmax(logits, dim=1).gather(1, index)
    return -(class_weight[index[:, 0]] * (weight * log_p).sum(1)).mean()


def dense_loss(logits: Tensor, index: Tensor, weight: Tensor, class_weight: Tensor) -> Tensor:
    """The same with the soft target as a volume like the logits, the usual way: `F.cross_entropy` takes it."""
    target = torch.zeros_like(logits).scatter_(1, index, weight)
    return (class_weight[index[:, 0]] * F.cross_entropy(logits, target, reduction="none")).mean()


def decode(logits: Tensor, points: Tensor, temperature: float = 0.38) -> Tensor:
    """Annealed mean by softmax and einsum."""
    return torch.einsum("nqhw,qk->nkhw", F.softmax(logits / temperature, dim=1), points)


def decode_by_convolution(logits: Tensor, points: Tensor, temperature: float = 0.38) -> Tensor:
    """The same; the published network's way: the expectation is a 1x1 convolution."""
    return F.conv2d(F.softmax(logits / temperature, dim=1), points.T[:, :, None, None])


def paint(
    logits: Tensor, points: Tensor, lightness: Tensor, temperature: float = 0.38, matrix: Tensor = FROM_XYZ
) -> Tensor:
    """Logits and full-size L (N, 1, H, W) -> uint8 (N, H, W, 3)."""
    ab = F.interpolate(decode(logits, points, temperature), lightness.shape[-2:], mode="bilinear", align_corners=False)
    return lab_to_rgb(torch.cat([lightness, ab * chroma_share(lightness)], dim=1), matrix)
