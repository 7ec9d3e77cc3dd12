"""Hints of the default network: what is told of a few places, for all that looks like them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..palette import Palette
from .guided import guided
from .kriging import Likeness, Places, carried

_COLOUR = 50.0  # ab in units of about its spread
_LOOKS = 32  # channels by which places are compared
_FOUND = 9  # channels of told colours: those of the cell itself, of what is alike as a thing, and up to its edges
_GOLDEN = 0.6180339887  # whose multiples' fractions are spread evenly
# Share of told colours from which on they count in full: of what resembles nothing that was told little is found, and
# what is said there all the same moves what lies beyond a thing's edges.
_LITTLE = 0.2
_SPREAD = 12.0  # ab units: how near a told colour another one is, before training says it
# How alike errors are, of which told places show the rest: by distance, by looks at 1/4 and 1/16, by colour. The model
# card tells on which pictures these numbers were chosen.
LIKENESS = Likeness(near=0.7, alike=(1.0, 0.5), colour=0.3, noise=0.03)
# Where hints lie all over a picture, what is guessed between them follows lightness from cell to cell, from this
# variance on. Chosen like the rest.
_RADIUS, _EPSILON = 1, 4.0


def up(x: Tensor, factor: int = 2) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="nearest")


def _unit(x: Tensor) -> Tensor:
    """Channels of length 1; `normalize` in a graph would hold for one size alone."""
    return x / x.norm(dim=1, keepdim=True).clamp(min=1e-12)


class Maps(NamedTuple):
    """What a picture shows, which stays while hints alone are learnt.

    Attributes:
        sixteenth, quarter: the decoder's features at these sizes. looks_8, looks_16: the trunk's maps, by which
            references are matched. lightness: (N, 1, H, W), what was looked at.
    """

    sixteenth: Tensor
    quarter: Tensor
    looks_8: Tensor
    looks_16: Tensor
    lightness: Tensor


class Encoded(NamedTuple):
    """All of a picture that hints do not change, `Maps` and what hints make of them before anything is told.

    Attributes:
        quarter, looks_8, looks_16: of `Maps`. lightness: (N, 1, H/4, W/4) float32, of the cells. things, edges:
            (N, 32, h, w) float32 of length 1, by which places are compared, at 1/16 and 1/4. heard: (N, 48, H/4, W/4),
            what the first step of `Hints.say` makes of the latter.
    """

    quarter: Tensor
    looks_8: Tensor
    looks_16: Tensor
    lightness: Tensor
    things: Tensor
    edges: Tensor
    heard: Tensor


class Asked(NamedTuple):
    """Told places, m of them.

    Attributes:
        given: (N, m) how strongly; 0: it is none, there are fewer. told: (N, 2, m) colours in units of `_COLOUR`. row,
            column: (N, m) float32 in the features' cells. at, weights: (N, m, p) the cells of each, and their shares.
    """

    given: Tensor
    told: Tensor
    row: Tensor
    column: Tensor
    at: Tensor
    weights: Tensor

    def at_them(self, cells: Tensor) -> Tensor:
        """(N, C, m) means of cells (N, C, h w)."""
        n, most, _ = self.at.shape
        found = cells.gather(2, self.at.view(n, 1, -1).expand(-1, cells.shape[1], -1))
        return (self.weights[:, None] * found.view(n, cells.shape[1], most, -1)).sum(3)


class Heard(NamedTuple):
    """What hints say.

    Attributes:
        added: (N, narrow, H/4, W/4), for the features. trusted: (N, 3, H/4, W/4), for `classes`: a colour in units of
            `_COLOUR` times how much it is trusted, and that. asked: the places where it was told.
    """

    added: Tensor
    trusted: Tensor
    asked: Asked


class Match(nn.Module):
    """Finds told colours for every cell: it asks the strongest told places, each for a cell of 16 x 16 pixels with a
    hint, the more the more its looks resemble theirs and the nearer they are, with a learned share for none of them.

    Args:
        channels: of the features. part: sides of a cell of 16 x 16 pixels in cells of the features. most: places asked;
            they are bounded, as every cell asks them all.
    """

    def __init__(self, channels: int, part: int, most: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(channels, _LOOKS, 1)
        self.sharpness = nn.Parameter(torch.tensor(8.0))
        self.distance = nn.Parameter(torch.tensor(2.0))
        self.none = nn.Parameter(torch.tensor(4.0))
        self._part, self._most = part, most

    def asked(self, cells: Tensor, covered: Tensor) -> Asked:
        """The strongest told places.

        Args:
            cells: (N, 3, H/16, W/16) of `cells_of`. covered: (N, 1, h, w) how much of the features' cells is told.
        """
        part, most, (n, _, high, wide) = self._part, self._most, cells.shape
        given = cells[:, 2].flatten(1)
        if not (torch.compiler.is_compiling() or torch.compiler.is_exporting()):  # whose graphs hold for all hints
            most = min(most, max(int((given > 0).sum(1).max()), 1))  # and few hints are asked in no time
        # Of many of one strength those are asked that lie all over the picture, and the same ones wherever this runs.
        order = torch.arange(high * wide, device=given.device) * _GOLDEN
        given, order = (F.pad(x, (0, most)) for x in (given, given * (1 - 1e-3 * (order - order.floor()))))
        strongest = order.topk(most, 1).indices
        given = given.gather(1, strongest)  # a small picture has fewer
        strongest = strongest.clamp(max=high * wide - 1)
        inside, down, across = (torch.arange(side, device=given.device) for side in (part, high, wide))
        row, column = down[:, None].expand(high, wide).flatten(), across.expand(high, wide).flatten()
        rows = (part * row[strongest][..., None, None] + inside[:, None]).expand(n, most, part, part)
        columns = (part * column[strongest][..., None, None] + inside).expand(n, most, part, part)
        at = (rows * covered.shape[3] + columns).flatten(2)
        weights = covered.flatten(1).gather(1, at.flatten(1)).view(n, most, -1)
        weights = weights / weights.sum(2, keepdim=True).clamp(min=1e-6)  # where in the cell the hint lies
        row, column = ((weights * places.flatten(2)).sum(2) for places in (rows, columns))
        told = cells[:, :2].flatten(2).gather(2, strongest[:, None].expand(-1, 2, -1))
        told = told / given.clamp(min=1e-6)[:, None] * given.gt(0)[:, None]  # those that fill up may lie on told cells
        return Asked(given, told, row, column, at, weights)

    def forward(self, looks: Tensor, asked: Asked) -> Tensor:
        """Ask.

        Args:
            looks: (N, 32, h, w) float32 of length 1, made of `look`. asked: of `asked`.

        Returns:
            (N, 3, h, w) float32, the sum of told colours by their shares, and that of the shares.
        """
        n, _, h, w = looks.shape
        looks = looks.flatten(2)
        alike = self.sharpness.float() * _unit(asked.at_them(looks))
        down, across = (torch.arange(side, device=looks.device) for side in (h, w))
        row, column = asked.row[..., None, None], asked.column[..., None, None]
        away = ((down[:, None] - row).square() + (across - column).square()).sqrt().flatten(2)
        score = alike.transpose(1, 2) @ looks - self.distance.float() / (16 * self._part) * away
        score = score + asked.given.clamp(min=1e-8).log()[..., None]
        share = torch.cat([score, self.none.float().expand(n, 1, h * w)], 1).softmax(1)[:, :-1]
        colours = torch.cat([asked.told, asked.given.gt(0)[:, None].to(asked.told.dtype)], 1)
        return (colours @ share).view(n, 3, h, w)


class Hints(nn.Module):
    """Turns hints into what is added to the decoder's features at a quarter of the size, and to the classes.

    A hint says its colour where it lies, and to what looks alike: to things, by features at 1/16, and up to their
    edges, by those at 1/4.

    Args:
        wide, narrow: channels of the decoder at 1/16 and 1/4. bins: of the palette.
    """

    def __init__(self, wide: int, narrow: int, bins: int) -> None:
        super().__init__()
        self.things = Match(wide, 1, 256)
        self.edges = Match(narrow, 4, 64)
        self.say = nn.Sequential(
            nn.Conv2d(_FOUND + _LOOKS, 48, 3, padding=1), nn.ReLU6(inplace=True), nn.Conv2d(48, narrow + 3, 1)
        )
        self.classes = nn.Conv2d(3, bins, 1, bias=False)
        for parameter in self.say[-1].parameters():  # at first hints say nothing
            nn.init.zeros_(parameter)
        if bins == len(Palette.grid()):
            self.set_palette(Palette.grid())

    @torch.no_grad()
    def set_palette(self, palette: Palette) -> None:
        """Let a told colour count for the classes as a Gaussian about it does."""
        bins = palette.points.float() / _COLOUR
        wanted = torch.cat([bins, -bins.square().sum(1, keepdim=True) / 2], 1) * (_COLOUR / _SPREAD) ** 2
        self.classes.weight.copy_(wanted[:, :, None, None])

    @torch.no_grad()
    def trust(self, factor: float) -> None:
        """Trust told colours so many times as much."""
        last: Any = self.say[-1]
        last.weight[:3] *= factor
        last.bias[:3] *= factor

    def ready(self, maps: Maps) -> Encoded:
        """What is made of a picture before anything is told of it."""
        things, edges = self.things.look(maps.sixteenth), self.edges.look(maps.quarter)
        first: Any = self.say[0]
        heard = F.conv2d(edges, first.weight[:, _FOUND:], first.bias, padding=1)
        with torch.autocast(edges.device.type, enabled=False):  # lengths
            things, edges = _unit(things.float()), _unit(edges.float())
        lightness = F.avg_pool2d(maps.lightness.float(), 4)
        return Encoded(maps.quarter, maps.looks_8, maps.looks_16, lightness, things, edges, heard)

    def forward(self, ab: Tensor, mask: Tensor, seen: Encoded) -> Heard:
        """What hints say.

        Args:
            ab, mask: (N, 2, H, W), and (N, 1, H, W) in 0..1. seen: of the picture.
        """
        with torch.autocast(ab.device.type, enabled=False):  # few numbers, and logarithms
            here_4, here_16, covered = cells_of(ab.float(), mask.float())
            things = self.things(seen.things, self.things.asked(here_16, here_16[:, 2:]))
            asked = self.edges.asked(here_16, covered)
            edges = self.edges(seen.edges, asked)
        found = torch.cat([here_4, up(things, 4), edges], 1).to(seen.heard.dtype)
        first: Any
        first, act, last = self.say
        said = last(act(seen.heard + F.conv2d(found, first.weight[:, :_FOUND], padding=1)))
        by_way = found.unflatten(1, (3, 3))
        if not self.training:  # which finds little of anything at first
            said = said * (by_way[:, :, 2].amax(1, keepdim=True) / _LITTLE).clamp(max=1)
        trusted = (said[:, :3, None] * by_way).sum(1)
        if not self.training:  # which begins at none, and has to come from there
            trusted = trusted * trusted[:, 2:].gt(0)  # less than none would ask for every colour but the told one
        trusted = trusted.contiguous(memory_format=torch.channels_last)  # as what it is joined to
        told = mask.amax((1, 2, 3), keepdim=True).gt(0).to(said.dtype)  # a picture without hints stays as it is
        return Heard(said[:, 3:] * told, trusted * told, asked)

    def settled(self, ab: Tensor, mask: Tensor, asked: Asked, seen: Encoded, likeness: Likeness = LIKENESS) -> Tensor:
        """Colours that came of hints, brought on to what was told, and what looks alike with it.

        Args:
            ab: (N, 2, H/4, W/4) in the units of what was told. mask: (N, 1, H, W) of the hints. asked: what ab was made
                by. seen: of the picture.
        """
        n, _, h, w = ab.shape
        ab = ab.float()
        # What is told only as a suggestion, or everywhere, leaves nothing to be guessed better.
        between = mask.amax((1, 2, 3)) - mask.mean((1, 2, 3))
        all_over = ((2 * reached(mask) - 1).clamp(min=0) * between).view(n, 1, 1, 1)
        if bool(all_over.any()):
            ab = ab + all_over * (guided(ab, seen.lightness, _RADIUS, _EPSILON) - ab)
        flat, looks = ab.flatten(2), (seen.edges.flatten(2), up(seen.things, 4).flatten(2))
        came = asked.at_them(flat)
        there = Places(asked.row, asked.column, tuple(_unit(asked.at_them(one)) for one in looks), came)
        down, across = (torch.arange(side, device=ab.device, dtype=torch.float32) for side in (h, w))
        row, column = down[:, None].expand(h, w).reshape(1, -1), across.expand(h, w).reshape(1, -1)
        cells = Places(row.expand(n, -1), column.expand(n, -1), looks, flat)
        left = _COLOUR * asked.told - came
        return (flat + carried(left, asked.given, there, cells, min(h, w), likeness)).view_as(ab)


def reached(mask: Tensor) -> Tensor:
    """The share of each picture that is no further from what is told than an eighth of its shorter side, by cells.

    Args:
        mask: (N, 1, h, w), above 0 where something is told.

    Returns:
        (N,) float32.

    Example:
        >>> mask = torch.zeros(1, 1, 64, 128)
        >>> mask[..., :64] = 1
        >>> reached(mask)
        tensor([0.5625])
    """
    cells = F.max_pool2d(mask, 8, ceil_mode=True)
    reach = min(cells.shape[2:]) // 8
    return F.max_pool2d(cells, 2 * reach + 1, 1, reach).gt(0).float().mean((1, 2, 3))


def cells_of(ab: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cells of 4 x 4 and of 16 x 16 pixels, (N, 3, h, w): ab in units of `_COLOUR` times the strongest hint, and it;
    and (N, 1, H/4, W/4), how much of the former is told."""
    cells: list[Tensor] = []
    told, strongest = [torch.cat([ab * mask, mask], 1)], mask
    for _ in range(2):
        told.append(F.avg_pool2d(told[-1], 4))
        strongest = F.max_pool2d(strongest, 4)
        mean = told[-1][:, :2] / told[-1][:, 2:].clamp(min=1e-6)
        cells.append(torch.cat([mean / _COLOUR * strongest, strongest], 1))
    return cells[0], cells[1], told[1][:, 2:]
