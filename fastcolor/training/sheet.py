"""Sample sheets: rows of pictures, gray, coloured and true."""

from __future__ import annotations

import io
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from .. import ops
from ..models.generator import decode
from ..palette import Palette


@torch.no_grad()
def sample_sheet(model: Any, rgb: Tensor, palette: Palette, temperature: float) -> bytes:
    """A PNG of three rows: pictures (N, H, W, 3) uint8 in gray, as the network colours them, and as they are."""
    training = model.training
    model.eval()
    lab = ops.rgb_to_lab(rgb, layout="hwc")
    ab = decode(model(lab[:, :1]), model.kind, palette, temperature)
    model.train(training)
    rows = [ops.paint_rgb(torch.zeros_like(ab), lab[:, :1]), ops.paint_rgb(ab, lab[:, :1]), rgb]
    sheet = torch.cat([torch.cat(list(row), dim=1) for row in rows], dim=0)
    content = io.BytesIO()
    Image.fromarray(sheet.cpu().numpy()).save(content, format="PNG")
    return content.getvalue()
