"""Going through a data set once for its colours: their histogram, and priors on disk with where they came from."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor
from tqdm import tqdm

from . import __version__, ops
from .data import Item, Source, decode, find
from .files import write_bytes, write_tensors
from .palette import Palette, count_cells


@dataclass(frozen=True)
class Survey:
    """The colours of a data set.

    Attributes:
        counts: (256, 256) float64, see `palette.histogram`. pictures, pixels: how many were counted. skipped: what was
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
    threads = threads or os.cpu_count() or 1
    items = find(source)
    bar = tqdm(total=len(items), unit="picture", disable=None if progress else True)

    def count(mine: list[Item]) -> tuple[Tensor, int, list[str]]:
        counts = torch.zeros(256 * 256, dtype=torch.int64, device=device)
        pictures, problems = 0, []
        for item in mine:
            try:
                rgb = torch.from_numpy(np.array(_decode_small(item.read(), item.name, size)))
            except (ValueError, OSError, zlib.error) as error:
                problems.append(str(error) if item.name in str(error) else f"{item.name}: {error}")
            else:
                counts += count_cells(ops.rgb_to_lab(rgb[None].to(device), layout="hwc")[:, 1:])
                pictures += 1
            bar.update()
        return counts, pictures, problems

    with bar, ThreadPoolExecutor(threads) as pool:
        shares = list(pool.map(count, [items[i::threads] for i in range(threads)]))
    counts = sum(share[0] for share in shares).cpu().double().view(256, 256)
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


def _decode_small(data: bytes, name: str, size: int | None) -> Image.Image:
    """The picture, or with `size` one whose short side lies between it and its double."""
    if size is None:
        return decode(data, name)
    try:
        with Image.open(io.BytesIO(data)) as image:
            factor = min(image.size) // size
            if factor >= 2:
                image.draft("RGB", (image.width // factor, image.height // factor))  # JPEG: by 2, 4 or 8
                factor = min(image.size) // size
                image = image.convert("RGB")
                return image.reduce(factor) if factor >= 2 else image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        pass  # said better below
    return decode(data, name)


def save_prior(
    path: str | os.PathLike[str], p: Tensor, palette: Palette, provenance: Mapping[str, str] | None = None
) -> None:
    """Write a prior (Q,): as `.safetensors` with its palette's points and facts about its making, or as a plain `.npy`
    without them, by the name's ending."""
    path = Path(path)
    if path.suffix not in (".safetensors", ".npy"):
        raise ValueError(f"prior: must be written as .safetensors or .npy, got {path}")
    if path.suffix == ".npy":
        content = io.BytesIO()
        np.save(content, p.double().numpy())
        write_bytes(path, content.getvalue())
    else:
        write_tensors(path, {"prior": p.double(), "points": palette.points}, provenance or {})


def load_prior(path: str | os.PathLike[str], palette: Palette | None = None) -> Tensor:
    """Read a colour prior: a plain (Q,) `.npy` such as the published `prior_probs.npy`, or what `save_prior` wrote.

    Returns:
        (Q,) float64, sums to 1. The published prior is smoothed already.

    Raises:
        FileNotFoundError: no such file. ValueError: no distribution over this palette; or a plain file over the grid
            whose most frequent colour is not gray: one of the published name with its maximum at (-90, 90) circulates
            and is wrong.
    """
    path, palette = Path(path), palette or Palette.grid()
    if not path.is_file():
        raise FileNotFoundError(f"prior: no such file: {path}")
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}
        except (SafetensorError, OSError) as error:
            raise ValueError(f"prior: {path} is not a safetensors file or is damaged ({error})") from None
        if not {"prior", "points"} <= tensors.keys():
            raise ValueError(f"prior: {path} holds no prior, but {', '.join(sorted(tensors)) or 'nothing'}")
        if Palette(tensors["points"]) != palette:
            raise ValueError(f"prior: {path} is over another palette of {len(tensors['points'])} bins")
        p = tensors["prior"].double()
    else:
        try:
            p = torch.from_numpy(np.load(path, allow_pickle=False).astype(np.float64))
        except (ValueError, EOFError) as error:
            raise ValueError(f"prior: {path} is not a .npy file of numbers ({error})") from None
    if p.shape != (len(palette),) or not bool((p >= 0).all()) or not 0.99 < float(p.sum()) < 1.01:
        raise ValueError(
            f"prior: {path} must hold ({len(palette)},) probabilities that sum to 1, "
            f"got shape {tuple(p.shape)}, sum {float(p.sum()):g}"
        )
    most = int(p.argmax())
    if path.suffix != ".safetensors" and palette == Palette.grid() and most != 120:
        a, b = palette.points[most].int().tolist()
        raise ValueError(
            f"prior: {path} must peak at bin 120, ab (0, 0), as pictures do, got bin {most}, ab ({a}, {b}): "
            "a wrong file of the published name circulates"
        )
    return p / p.sum()
