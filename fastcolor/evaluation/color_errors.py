"""Measures of what people see in wrong colours: errors by kind of pixel, casts, bleeding, skin.

All compare ab in Lab units with the truth's. Sums run over the pixels of all pictures of a set, unless a measure says
otherwise: a kind of pixel that most pictures lack still counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

NEUTRAL = 5.0  # chroma below which the truth has no hue
ENOUGH = 200  # pixels of a kind that a picture must have to be judged by them
# Where hues begin, as angles of ab in degrees: the last ends where the first begins.
HUES = {"red": -45.0, "orange": 55.0, "yellow": 85.0, "green": 115.0, "blue": 180.0}
# Skin: an ellipse in ab, whatever the lightness, the first model of Zeng and Luo, "Skin Color Modeling of Digital
# Photographic Images", J. Imaging Sci. Technol. 55(3), 2011. Fitted by `bench/skin_locus.py` to 1,269 faces of all ages
# and origins (UTKFace): it holds 84 % of the pixels of their noses and cheeks, and 16 % of those of other photographs,
# wood and sand among them.
SKIN_CENTER = (16.57, 19.83)
SKIN_COVARIANCE = ((29.3, 24.9), (24.9, 60.0))
SKIN_REACH = 5.99  # squared Mahalanobis distance
EDGE = 5.0  # L a pixel, from which on luma has an edge
NEAR_EDGE = 4  # pixels


def skin(ab: Tensor) -> Tensor:
    """Pixels that may be skin, by their true colours: (N, 2, H, W) -> (N, H, W) bool.

    Example:
        >>> skin(torch.tensor([[16.0, 20.0], [-30.0, 30.0]]).view(2, 2, 1, 1)).flatten().tolist()
        [True, False]
    """
    (aa, cross), (_, bb) = SKIN_COVARIANCE
    a, b = ab[:, 0] - SKIN_CENTER[0], ab[:, 1] - SKIN_CENTER[1]
    return (bb * a**2 - 2 * cross * a * b + aa * b**2) / (aa * bb - cross**2) < SKIN_REACH


def near_edges(lightness: Tensor) -> Tensor:
    """Pixels at most 4 px (along rows and columns) from an edge of lightness (N, 1, H, W) -> (N, H, W) bool. An edge is
    where Sobel's gradient exceeds 5 L a pixel."""
    sobel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], device=lightness.device) / 8
    padded = F.pad(lightness.float(), (1, 1, 1, 1), mode="replicate")
    gradient = F.conv2d(padded, torch.stack([sobel, sobel.T])[:, None]).norm(dim=1, keepdim=True)
    edges = (gradient > EDGE).float()
    return F.max_pool2d(edges, 2 * NEAR_EDGE + 1, 1, NEAR_EDGE)[:, 0] > 0


def kinds(lab: Tensor) -> dict[str, Tensor]:
    """Masks (N, H, W) over true pictures (N, 3, H, W): lightness in three parts, hue in five and none, near edges of
    lightness and far from them, skin."""
    lightness, ab = lab[:, 0], lab[:, 1:]
    chroma, angle = ab.norm(dim=1), torch.atan2(ab[:, 1], ab[:, 0]).rad2deg()
    found = {"dark": lightness < 33, "medium": (lightness >= 33) & (lightness < 67), "light": lightness >= 67}
    coloured, starts = chroma >= NEUTRAL, [*HUES.values(), 360 + next(iter(HUES.values()))]
    found["neutral"] = ~coloured
    for (name, start), end in zip(HUES.items(), starts[1:], strict=True):
        found[name] = coloured & ((angle - start) % 360 < end - start)
    edges = near_edges(lab[:, :1])
    return {**found, "edges": edges, "flat": ~edges, "skin": skin(ab)}


@dataclass
class ColorErrors:
    """Of one way of colouring a set; pictures go in one by one.

    Example:
        >>> lab = torch.tensor([50.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 20, 20)
        >>> errors = ColorErrors()
        >>> errors.add(torch.full((1, 2, 20, 20), 3.0), lab, kinds(lab))
        >>> round(errors.result()["cast_neutral"], 3)
        4.243
    """

    _sums: dict[str, list[float]] = field(default_factory=dict)
    _casts: list[Tensor] = field(default_factory=list)
    _neutral_casts: list[float] = field(default_factory=list)
    _skin: Tensor = field(default_factory=lambda: torch.zeros(4, dtype=torch.float64))

    def add(self, ab: Tensor, lab: Tensor, masks: dict[str, Tensor]) -> None:
        """A picture: ab (1, 2, H, W), the true Lab (1, 3, H, W), and its `kinds`."""
        error = ab.double() - lab[:, 1:].double()
        distance = error.norm(dim=1)
        self._sum("ab_error", distance)
        for name, mask in masks.items():
            self._sum(f"ab_error_{name}", distance[mask])
        self._casts.append(error.mean((0, 2, 3)))
        if int(masks["neutral"].sum()) >= ENOUGH:
            self._neutral_casts.append(_mean(ab, masks["neutral"]).norm().item())
        count = int(masks["skin"].sum())
        if count:
            mean = _mean(ab, masks["skin"]) * count
            chroma = ab.double().norm(dim=1)[masks["skin"]].sum()
            self._skin += torch.stack([*mean, chroma, torch.tensor(float(count), dtype=torch.float64)])

    def _sum(self, name: str, values: Tensor) -> None:
        sums = self._sums.setdefault(name, [0.0, 0.0])
        sums[0] += float(values.sum())
        sums[1] += values.numel()

    def result(self) -> dict[str, float]:
        """The measures by name, without those that no pixel tells of."""
        found = {name: total / count for name, (total, count) in self._sums.items() if count}
        if {"ab_error_edges", "ab_error_flat"} <= found.keys() and found["ab_error_flat"] > 0:
            found["bleeding"] = found["ab_error_edges"] / found["ab_error_flat"]
        if self._casts:
            casts = torch.stack(self._casts)
            found["cast"] = float(casts.norm(dim=1).mean())
            found["cast_a"], found["cast_b"] = casts.mean(0).tolist()
        if self._neutral_casts:
            found["cast_neutral"] = sum(self._neutral_casts) / len(self._neutral_casts)
        a, b, chroma, count = self._skin.tolist()
        if count:
            found["skin_chroma"] = chroma / count
            if math.hypot(a, b) > 1e-3 * count:  # gray has no hue
                found["skin_hue"] = math.degrees(math.atan2(b, a))
        return found


def _mean(ab: Tensor, mask: Tensor) -> Tensor:
    """(2,) float64, the mean ab (1, 2, H, W) over a mask (1, H, W)."""
    return ab.double().transpose(0, 1)[:, mask].mean(1)
