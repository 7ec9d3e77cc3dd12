"""The colours of another version of a picture, where the picture has them."""

from __future__ import annotations

import logging
import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import ops
from ..formats.picture import Picture
from ..formats.pixels import eight_bit
from ..steering.align import SURE, align
from .colored import lacks_color
from .opening import opened

_MOST = 1 << 24  # pixels of colours that are kept: more show no more
log = logging.getLogger("fastcolor")


@dataclass(frozen=True)
class Version:
    """ab (1, 2, h, w) of the part of a picture that is present, and whether the version reaches there, (h, w)."""

    ab: Tensor
    reached: Tensor


def colours_of(version: Picture, picture: Picture) -> Version:
    """The colours of a picture's version, aligned to the picture.

    Args:
        version: of any size, a little turned, shifted or cut.

    Raises:
        ValueError: it is gray, or shows something else.
    """
    if lack := lacks_color(version):
        raise ValueError(f"chroma_from: must be a coloured version, got a {lack} picture")
    gray = _unit(picture.gray)
    alignment = align(gray, _unit(version.gray))
    if not alignment.blind and not alignment.sure:
        raise ValueError(
            f"chroma_from: must show the same picture, got one of likeness {max(alignment.confidence, 0):.2f}, "
            f"below {SURE}"
        )
    if alignment.blind:
        log.warning("chroma_from: the picture has no detail to align by; the version is taken as it lies")
    ab = ops.rgb_to_lab(torch.from_numpy(np.ascontiguousarray(eight_bit(version.pixels)))[None], layout="hwc")[:, 1:]
    height, width = gray.shape
    whole = gray[picture.present].shape == gray.shape
    scale = math.sqrt(_MOST / (height * width))
    if whole and height > ab.shape[2] and width > ab.shape[3]:  # larger than the version: painting brings it up
        scale = min(scale, max(ab.shape[2] / height, ab.shape[3] / width))
    size = (height, width) if scale >= 1 else (math.ceil(height * scale), math.ceil(width * scale))
    brought, reached = alignment.brought(ab, size)
    if version.alpha is not None:  # what is clear in the version has no colour to give
        opaque, _ = alignment.brought(torch.from_numpy(version.alpha.astype(np.float32))[None, None], size)
        reached = reached & (opaque[0, 0] > 127)
    if not whole:
        rows, columns = picture.present
        brought, reached = brought[:, :, rows, columns], reached[rows, columns]
    return Version(brought, reached)


def key_colours(image: Any, gray: np.ndarray, shown: str) -> tuple[Tensor, Tensor]:
    """The colours of a key frame, aligned to its film's frame.

    Args:
        image: the picture, of any size; its alpha says which part counts. gray: (H, W) uint8, the frame. shown: when,
            for messages.

    Returns:
        (ab, mask): (1, 2, H, W) in Lab units, and (1, 1, H, W), from 0 to 1.

    Raises:
        ValueError: it is gray, or shows something else.
    """
    picture = opened(image)
    named = isinstance(image, (str, os.PathLike))
    name = image if named else "a picture"
    lack = lacks_color(picture)
    if picture.pixels.ndim == 2 or (picture.alpha is None and lack):
        got = f"the {lack} {name}" if named else f"a {lack} picture"
        raise ValueError(f"key_frames: must be in colour, got {got} for {shown}")
    alignment = align(_unit(gray), _unit(picture.gray))
    if not alignment.blind and not alignment.sure:
        raise ValueError(
            f"key_frames: must show the film's frame at {shown}, got {name} of likeness "
            f"{max(alignment.confidence, 0):.2f}, below {SURE}"
        )
    ab = ops.rgb_to_lab(torch.from_numpy(np.ascontiguousarray(eight_bit(picture.pixels)))[None], layout="hwc")[:, 1:]
    alpha = torch.ones(1, 1, *ab.shape[-2:]) if picture.alpha is None else _unit(picture.alpha)[None, None]
    brought, reached = alignment.brought(torch.cat([ab, alpha], 1), (gray.shape[0], gray.shape[1]))
    return brought[:, :2], brought[:, 2:] * reached


def _unit(gray: np.ndarray) -> Tensor:
    return torch.from_numpy(gray.astype(np.float32)) / float(np.iinfo(gray.dtype).max)
