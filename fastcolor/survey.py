"""Going through a data set once for its colours: their histogram, and where it came from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from . import ops
from .constants import __version__
from .data import Item, Source, decode, find
from .device import device_of

# The histogram that k-means and priors are fitted on: cells of 1 ab unit over [-128, 128).
HISTOGRAM = 256


@dataclass(frozen=True)
class Survey:
    """The colours of a data set.

    Attributes:
        counts: (256, 256) float64, see `histogram`. pictures, pixels: how many were counted. skipped: what was
            wrong with each picture that could not be read. provenance: all of that in words, for files' metadata.
    """

    counts: Tensor
    pictures: int
    pixels: int
    skipped: list[str]
    provenance: dict[str, str]


def survey(
    source: Source, *, size: int | None = None, threads: int | None = None, device: str = "cpu", progress: bool = False
) -> Survey:
    """Count the colours of every picture in one streaming pass.

    Args:
        source: a folder, zip or tar file, list (.txt), or several of these.
        size: pictures whose short side is at least twice this are shrunk by a whole factor first, JPEGs while they
            are decoded; None counts every pixel. threads: that decode; None: one a core. device: that counts.
        progress: show a bar.

    Raises:
        ValueError: not one picture could be read; FileNotFoundError, ValueError as `data.find`.

    Example:
        >>> survey("photos/", size=256).pictures  # doctest: +SKIP
        8119
    """
    if size is not None and size < 1:
        raise ValueError(f"size: must be at least 1, got {size}")
    threads, where = threads or os.cpu_count() or 1, device_of(device)
    items = find(source)
    bar = tqdm(total=len(items), unit="picture", disable=None if progress else True)

    def count(mine: list[Item]) -> tuple[Tensor, int, list[str]]:
        counts = torch.zeros(HISTOGRAM * HISTOGRAM, dtype=torch.int64, device=where)
        pictures, problems = 0, []
        for item in mine:
            try:
                rgb = torch.from_numpy(np.array(_decode_small(item, size)))
            except ValueError as error:
                problems.append(str(error))
            else:
                counts += count_cells(ops.rgb_to_lab(rgb[None].to(where), layout="hwc")[:, 1:])
                pictures += 1
            bar.update()
        return counts, pictures, problems

    with bar, ThreadPoolExecutor(threads) as pool:
        shares = list(pool.map(count, [items[i::threads] for i in range(threads)]))
    counts = torch.stack([share[0] for share in shares]).sum(0).cpu().double().view(HISTOGRAM, HISTOGRAM)
    pictures, skipped = sum(share[1] for share in shares), [problem for share in shares for problem in share[2]]
    if not pictures:
        raise ValueError(f"data: no readable picture in {source}, such as {skipped[0]}")
    sources = [source] if isinstance(source, (str, os.PathLike)) else source
    provenance = {
        "sources": json.dumps([str(one) for one in sources]),
        "pictures": str(pictures),
        "pixels": str(int(counts.sum())),
        "skipped": str(len(skipped)),
        "size": "full" if size is None else str(size),
        "histogram_sha256": hashlib.sha256(counts.numpy().tobytes()).hexdigest(),
        "fastcolor": __version__,
    }
    return Survey(counts, pictures, int(counts.sum()), skipped, provenance)


def _decode_small(item: Item, size: int | None) -> Image.Image:
    """The picture, or with `size` one whose short side lies between it and its double."""
    image = decode(item, at_least=size)
    factor = 1 if size is None else min(image.size) // size
    return image.reduce(factor) if factor >= 2 else image


def histogram(data: Tensor | Iterable[Tensor] | str | os.PathLike[str]) -> Tensor:
    """Count the ab colours of a data set in 1-unit cells. One pass, any number of pictures.

    Args:
        data: ab tensors (N, 2, H, W), one or many, or a folder, list or zip of pictures (see also `survey`).

    Returns:
        (256, 256) float64 counts; cell (i, j) is centred on a = i - 128, b = j - 128. Non-finite pixels count nowhere.
    """
    if isinstance(data, (str, os.PathLike)):
        return survey(data).counts
    counts = torch.zeros(HISTOGRAM * HISTOGRAM, dtype=torch.float64)
    for ab in [data] if isinstance(data, Tensor) else data:
        if ab.dim() != 4 or ab.shape[1] != 2:
            raise ValueError(f"data: ab must have shape (N, 2, H, W), got {tuple(ab.shape)}")
        counts += count_cells(ab).cpu()
    return counts.view(HISTOGRAM, HISTOGRAM)


def count_cells(ab: Tensor) -> Tensor:
    """(65536,) int64 counts of the cells of `histogram`, on the device of ab (N, 2, H, W)."""
    a, b = ab.detach().float().transpose(0, 1).reshape(2, -1)
    finite = torch.isfinite(a) & torch.isfinite(b)
    if not bool(finite.all()):
        a, b = a[finite], b[finite]
    a, b = ((plane + (HISTOGRAM // 2 + 0.5)).clamp_(0, HISTOGRAM - 1).int() for plane in (a, b))
    return torch.bincount(a.mul_(HISTOGRAM).add_(b), minlength=HISTOGRAM**2)
