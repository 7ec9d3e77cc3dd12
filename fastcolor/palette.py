"""Palettes of ab bins, their colour prior over a data set, and the class weights that rebalance rare colours.

Source: Zhang, Isola, Efros, "Colorful Image Colorization", ECCV 2016, sections 2.1 and 2.2.
"""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from . import reference
from .atomic import write_bytes, write_tensors
from .bins import Bins
from .survey import HISTOGRAM, histogram


class Palette(Bins):
    """A list of ab colours that a classifier chooses among.

    Args:
        points: (Q, 2) a and b of every bin in Lab units, 8 <= Q <= 1024, all finite and distinct.

    Example:
        >>> Palette.grid().points.shape
        torch.Size([313, 2])
    """

    @staticmethod
    def grid() -> Palette:
        """The 313 bins of the published `pts_in_hull.npy`: spacing 10, a ascending, then b ascending."""
        return _GRID

    @staticmethod
    def square() -> Palette:
        """The 529 bins of SIGGRAPH17's classifier: spacing 10 over all of [-110, 110]."""
        side = torch.arange(-110.0, 111.0, 10.0)
        return Palette(torch.cartesian_prod(side, side))

    @staticmethod
    def kmeans(data: Tensor | Iterable[Tensor] | str | os.PathLike[str], bins: int = 313, *, seed: int = 0) -> Palette:
        """Fit `bins` colours to a data set: weighted k-means++ and Lloyd on its ab histogram (1-unit cells).

        Args:
            data: ab tensors (N, 2, H, W), one or many, or a folder, list or zip of pictures.
            bins: number of colours, 8 to 1024; the data must hold at least as many distinct ones.

        Returns:
            The palette, sorted by (a, b).

        Example:
            >>> Palette.kmeans(torch.randn(4, 2, 64, 64) * 20, bins=16)
            Palette(16 bins)
        """
        return Palette.of_histogram(histogram(data), bins, seed=seed)

    @staticmethod
    def of_histogram(counts: Tensor, bins: int = 313, *, seed: int = 0) -> Palette:
        """`kmeans` of what `histogram` counted."""
        occupied = counts.nonzero()
        if not 8 <= bins <= 1024:
            raise ValueError(f"bins: must lie in 8..1024, got {bins}")
        if len(occupied) < bins:
            raise ValueError(f"bins: the data holds {len(occupied)} distinct colours, fewer than the {bins} asked for")
        cells = occupied.double() - HISTOGRAM // 2
        return Palette(_lloyd(cells, counts[occupied[:, 0], occupied[:, 1]], bins, seed))

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Palette:
        """Read a palette saved by `save`, or a plain (Q, 2) `.npy` file.

        Raises:
            FileNotFoundError: no such file. ValueError: it holds no palette.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"palette: no such file: {path}")
        try:
            if path.suffix == ".npy":
                return Palette(np.load(path, allow_pickle=False).astype(np.float32))
            if path.suffix == ".safetensors":
                return Palette(load_file(path)["points"])
            return Palette(torch.tensor(json.loads(path.read_text())["points"]))
        except (ValueError, KeyError, TypeError, EOFError, OverflowError, RuntimeError, SafetensorError) as error:
            reason = str(error).splitlines()[0].removeprefix("palette: ")
            raise ValueError(f"palette: {path} holds no palette ({reason})") from None

    def save(self, path: str | os.PathLike[str], provenance: Mapping[str, str] | None = None) -> None:
        """Write the palette and facts about its making: as JSON, as `.safetensors` with metadata, or as a plain `.npy`
        without them, by the name's ending."""
        path, facts = Path(path), dict(provenance or {})
        if path.suffix == ".npy":
            content = io.BytesIO()
            np.save(content, self.points.numpy())
            write_bytes(path, content.getvalue())
        elif path.suffix == ".safetensors":
            write_tensors(path, {"points": self.points}, facts)
        else:
            write_bytes(path, json.dumps({"points": self.points.tolist(), "provenance": facts}).encode())


_GRID = Palette(Bins.grid().points)


def _lloyd(cells: Tensor, counts: Tensor, bins: int, seed: int) -> Tensor:
    """Weighted k-means++ seeding, then Lloyd's iterations until nothing moves (at most 100)."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.multinomial(counts, 1, generator=generator)
    distance = ((cells - cells[chosen]) ** 2).sum(1)
    for _ in range(bins - 1):
        pick = torch.multinomial(distance * counts, 1, generator=generator)
        chosen = torch.cat([chosen, pick])
        distance = torch.minimum(distance, ((cells - cells[pick]) ** 2).sum(1))
    centres = cells[chosen].clone()
    for _ in range(100):
        squared = torch.cdist(cells, centres) ** 2
        nearest = squared.argmin(1)
        mass = torch.zeros(bins, dtype=torch.float64).index_add_(0, nearest, counts)
        moved = torch.zeros(bins, 2, dtype=torch.float64).index_add_(0, nearest, cells * counts[:, None])
        moved = moved / mass.clamp(min=1e-300)[:, None]
        for empty in (mass == 0).nonzero().flatten().tolist():  # re-seed with the worst represented colour
            worst = (squared.amin(1) * counts).argmax()
            moved[empty] = cells[worst]
            squared[worst] = 0
        if torch.allclose(moved, centres, atol=1e-6, rtol=0):
            break
        centres = moved
    order = np.lexsort((centres[:, 1].numpy(), centres[:, 0].numpy()))
    return centres[torch.from_numpy(order)]


def prior(
    data: Tensor | Iterable[Tensor] | str | os.PathLike[str], palette: Palette | None = None, *, hard: bool = False
) -> Tensor:
    """The empirical distribution of a data set's colours over a palette.

    Args:
        data: ab tensors (N, 2, H, W), one or many, or a folder, list or zip of pictures.
        palette: None is the 313-point grid.
        hard: count the nearest bin only, in place of the soft encoding over the five nearest.

    Returns:
        (Q,) float64, sums to 1. Unsmoothed: see `smooth_prior`.

    Raises:
        ValueError: the data holds no pixel.

    Example:
        >>> float(prior(torch.zeros(1, 2, 4, 4), hard=True).max())
        1.0
    """
    return prior_of_histogram(histogram(data), palette, hard=hard)


def prior_of_histogram(counts: Tensor, palette: Palette | None = None, *, hard: bool = False) -> Tensor:
    """`prior` of what `histogram` counted."""
    palette = palette or Palette.grid()
    if counts.sum() == 0:
        raise ValueError("data: holds no pixel to count")
    occupied = counts.nonzero()
    ab = (occupied - HISTOGRAM // 2).double().t().reshape(1, 2, 1, -1)
    index, weight = reference.encode_bins(ab, palette, neighbours=1 if hard else 5)
    mass = weight[0, :, 0] * counts[occupied[:, 0], occupied[:, 1]]
    p = torch.zeros(len(palette), dtype=torch.float64).index_add_(0, index.flatten().long(), mass.flatten())
    return p / p.sum()


def smooth_prior(p: Tensor | np.ndarray, palette: Palette | None = None, *, sigma: float = 5.0) -> Tensor:
    """Smooth a prior with a Gaussian over the bins' ab distances and renormalise; `sigma=0` leaves it as it is.

    Args:
        p: (Q,) probabilities. palette: None is the grid. sigma: in ab units.

    Returns:
        (Q,) float64, sums to 1.

    Raises:
        ValueError: another number of probabilities than bins, or a sigma that is negative or not finite.
    """
    if not 0 <= sigma < math.inf:
        raise ValueError(f"sigma: must be 0 or more, and finite, got {sigma:g}")
    p = torch.as_tensor(p, dtype=torch.float64)
    points = (palette or Palette.grid()).points.double()
    if p.shape != (len(points),):
        raise ValueError(f"prior: must have one entry a bin, ({len(points)},), got {tuple(p.shape)}")
    if sigma > 0:
        p = torch.exp(-(torch.cdist(points, points) ** 2) / (2 * sigma**2)) @ p
    return p / p.sum()


def class_weights(
    prior: Tensor | np.ndarray,
    weighting: Literal["rebalance", "inverse_log", "none"] = "rebalance",
    mix: float = 0.5,
    alpha: float = 1.0,
) -> Tensor:
    """The weight of each bin in the loss, larger for rare colours, with sum_q p_q w_q = 1.

    Args:
        prior: (Q,) smoothed probabilities.
        weighting: "rebalance": ((1 - mix) p + mix / Q)^-alpha; "inverse_log": -log p (p floored at 1e-8); "none": 1.
        mix: share of the uniform distribution (the paper's lambda). alpha: its exponent.

    Returns:
        (Q,) float32.

    Raises:
        ValueError: a prior that is no distribution, mix outside [0, 1], an unknown weighting.

    Example:
        >>> float(class_weights(torch.full((313,), 1 / 313)).mean())
        1.0
    """
    p = torch.as_tensor(prior, dtype=torch.float64)
    if p.dim() != 1 or not bool((p >= 0).all()) or not 0.99 < float(p.sum()) < 1.01:
        raise ValueError(
            "prior: must be (Q,) probabilities that sum to 1, got "
            f"shape {tuple(p.shape)}, minimum {float(p.min()):g}, sum {float(p.sum()):g}"
        )
    if not 0 <= mix <= 1:
        raise ValueError(f"mix: must lie in [0, 1], got {mix}")
    p = p / p.sum()
    if weighting == "rebalance":
        w = ((1 - mix) * p + mix / len(p)) ** -alpha
    elif weighting == "inverse_log":
        p = p.clamp(min=1e-8) / p.clamp(min=1e-8).sum()
        w = -p.log()
    elif weighting == "none":
        w = torch.ones_like(p)
    else:
        raise ValueError(f"weighting: must be 'rebalance', 'inverse_log' or 'none', got {weighting!r}")
    return (w / (p * w).sum()).float()


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
