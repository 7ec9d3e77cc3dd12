"""Sample sheets: rows of pictures, gray, coloured and true."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from .. import ops
from ..atomic import write_bytes
from ..palette import Palette
from .checkpoint import TrainingError, last


@torch.no_grad()
def sample_sheet(path: Path, model: nn.Module, rgb: Tensor, palette: Palette, temperature: float) -> None:
    """Rows of pictures: gray, coloured, true. TrainingError when the disk is full."""
    training = model.training
    model.eval()
    lab = ops.rgb_to_lab(rgb, layout="hwc")
    _, ab = decode(model, model(lab[:, :1]), palette, temperature)
    model.train(training)
    rows = [ops.paint_rgb(torch.zeros_like(ab), lab[:, :1]), ops.paint_rgb(ab, lab[:, :1]), rgb]
    sheet = torch.cat([torch.cat(list(row), dim=1) for row in rows], dim=0)
    content = io.BytesIO()
    Image.fromarray(sheet.cpu().numpy()).save(content, format="PNG")
    try:
        write_bytes(path, content.getvalue())
    except OSError as error:
        raise TrainingError(f"{path} cannot be written ({error.strerror}); {last(path.parent)}") from None


def decode(model: nn.Module, output: Tensor, palette: Palette, temperature: float) -> tuple[Tensor | None, Tensor]:
    """What a network returned as (logits or None, ab)."""
    if model.kind == "classifier":
        return output, ops.annealed_mean(output, palette=palette, temperature=temperature)
    return None, output
