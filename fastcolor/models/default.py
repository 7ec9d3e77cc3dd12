"""The default generator: EfficientNet-Lite0's trunk, a small U-Net decoder, colour logits at quarter size, and hints.

4.7 M parameters. Trained from ImageNet weights it knows things by their looks, which is most of what colouring needs;
depthwise filters keep it fast on a CPU. Hints enter last of all: what comes before them is computed once a picture,
however often somebody changes their mind about a colour.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..palette import Palette
from .efficientnet import LEVELS, EfficientNetLite0, renamed
from .layers import ConvNormAct, Residual, check_lightness, check_state

# sRGB's gray value s of L, as the trunk wants it, (255 s - 127) / 128: a parabola over L = 0 to 100 by least squares,
# on average within 0.7 of 255 gray levels.
_GRAY = (-0.9505, 0.016021, 3.5104e-5)
_COLOUR = 50.0  # ab in units of about its spread
_LOOKS = 32  # channels by which places are compared
_FOUND = 9  # channels of told colours: those of the cell itself, of what is alike as a thing, and up to its edges
_GOLDEN = 0.6180339887  # whose multiples' fractions are spread evenly
_SPREAD = 12.0  # ab units: how near a told colour another one is, before training says it
_SOFTER = 0.7  # of the logits where colours are told: what is likely there lies together, and its mean errs less


def _up(x: Tensor, factor: int = 2) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="nearest")


def _unit(x: Tensor) -> Tensor:
    """Channels of length 1; `normalize` in a graph would hold for one size alone."""
    return x / x.norm(dim=1, keepdim=True).clamp(min=1e-12)


class Maps(NamedTuple):
    """What a picture shows, which stays while hints alone are learnt.

    Attributes:
        sixteenth, quarter: the decoder's features at these sizes. looks_8, looks_16: the trunk's maps, by which
            references are matched.
    """

    sixteenth: Tensor
    quarter: Tensor
    looks_8: Tensor
    looks_16: Tensor


class Encoded(NamedTuple):
    """All of a picture that hints do not change, `Maps` and what hints make of them before anything is told.

    Attributes:
        quarter, looks_8, looks_16: of `Maps`. things, edges: (N, 32, h, w) float32 of length 1, by which places are
            compared, at 1/16 and 1/4. heard: (N, 48, H/4, W/4), what the first step of `Hints.say` makes of the latter.
    """

    quarter: Tensor
    looks_8: Tensor
    looks_16: Tensor
    things: Tensor
    edges: Tensor
    heard: Tensor


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

    def forward(self, looks: Tensor, strength: Tensor, cells: Tensor) -> Tensor:
        """Ask.

        Args:
            looks: (N, 32, h, w) float32 of length 1, made of `look`. strength: (N, 1, h, w) of the hints. cells:
                (N, 3, H/16, W/16) of `_cells`.

        Returns:
            (N, 3, h, w) float32, the sum of told colours by their shares, and that of the shares.
        """
        n, _, h, w = looks.shape
        part, most, (high, wide) = self._part, self._most, cells.shape[2:]
        looks = looks.flatten(2)
        given = cells[:, 2].flatten(1)
        if not (torch.compiler.is_compiling() or torch.compiler.is_exporting()):  # whose graphs hold for all hints
            most = min(most, max(int((given > 0).sum(1).max()), 1))  # and few hints are asked in no time
        # Of many of one strength those are asked that lie all over the picture, and the same ones wherever this runs.
        order = torch.arange(high * wide, device=looks.device) * _GOLDEN
        given, order = (F.pad(x, (0, most)) for x in (given, given * (1 - 1e-3 * (order - order.floor()))))
        strongest = order.topk(most, 1).indices
        given = given.gather(1, strongest)  # a small picture has fewer
        strongest = strongest.clamp(max=high * wide - 1)
        inside, down, across = (torch.arange(side, device=looks.device) for side in (part, high, wide))
        row, column = down[:, None].expand(high, wide).flatten(), across.expand(high, wide).flatten()
        rows = (part * row[strongest][..., None, None] + inside[:, None]).expand(n, most, part, part)
        columns = (part * column[strongest][..., None, None] + inside).expand(n, most, part, part)
        at = (rows * w + columns).flatten(1)
        weights = strength.flatten(1).gather(1, at).view(n, most, -1)
        weights = weights / weights.sum(2, keepdim=True).clamp(min=1e-6)  # where in the cell the hint lies
        alike = looks.gather(2, at[:, None].expand(-1, _LOOKS, -1)).view(n, _LOOKS, most, -1)
        alike = self.sharpness.float() * _unit((weights[:, None] * alike).sum(3))
        row, column = ((weights * places.flatten(2)).sum(2)[..., None, None] for places in (rows, columns))
        down, across = (torch.arange(side, device=looks.device) for side in (h, w))
        away = ((down[:, None] - row).square() + (across - column).square()).sqrt().flatten(2)
        score = alike.transpose(1, 2) @ looks - self.distance.float() / (16 * part) * away
        score = score + given.clamp(min=1e-8).log()[..., None]
        share = torch.cat([score, self.none.float().expand(n, 1, h * w)], 1).softmax(1)[:, :-1]
        told = cells[:, :2].flatten(2).gather(2, strongest[:, None].expand(-1, 2, -1))
        colours = torch.cat([told / given.clamp(min=1e-6)[:, None], torch.ones_like(told[:, :1])], 1)
        return (colours * given.gt(0)[:, None] @ share).view(n, 3, h, w)


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
        return Encoded(maps.quarter, maps.looks_8, maps.looks_16, things, edges, heard)

    def forward(self, ab: Tensor, mask: Tensor, seen: Encoded) -> tuple[Tensor, Tensor]:
        """What hints add.

        Args:
            ab, mask: (N, 2, H, W), and (N, 1, H, W) in 0..1. seen: of the picture.

        Returns:
            (N, narrow, H/4, W/4) for the features, and (N, 3, H/4, W/4) for `classes`: a colour in units of `_COLOUR`
            times how much it is trusted, and that.
        """
        with torch.autocast(ab.device.type, enabled=False):  # few numbers, and logarithms
            here_4, here_16 = _cells(ab.float(), mask.float())
            things = self.things(seen.things, here_16[:, 2:], here_16)
            edges = self.edges(seen.edges, here_4[:, 2:], here_16)
        found = torch.cat([here_4, _up(things, 4), edges], 1).to(seen.heard.dtype)
        first: Any
        first, act, last = self.say
        said = last(act(seen.heard + F.conv2d(found, first.weight[:, :_FOUND], padding=1)))
        trusted = (said[:, :3, None] * found.unflatten(1, (3, 3))).sum(1)
        trusted = trusted.contiguous(memory_format=torch.channels_last)  # as what it is joined to
        told = mask.amax((1, 2, 3), keepdim=True).gt(0).to(said.dtype)  # a picture without hints stays as it is
        return said[:, 3:] * told, trusted * told


def _cells(ab: Tensor, mask: Tensor) -> list[Tensor]:
    """Cells of 4 x 4 and of 16 x 16 pixels, (N, 3, h, w): ab in units of `_COLOUR` times the strongest hint, and it."""
    cells, told, strongest = [], torch.cat([ab * mask, mask], 1), mask
    for _ in range(2):
        told, strongest = F.avg_pool2d(told, 4), F.max_pool2d(strongest, 4)
        mean = told[:, :2] / told[:, 2:].clamp(min=1e-6)
        cells.append(torch.cat([mean / _COLOUR * strongest, strongest], 1))
    return cells


def _check(hints: tuple[Tensor, Tensor], quarter: Tensor) -> None:
    n, _, h, w = quarter.shape
    for name, tensor, channels in zip(("ab", "mask"), hints, (2, 1), strict=True):
        wanted = (n, channels, 4 * h, 4 * w)
        if tensor.shape != wanted:
            raise ValueError(f"hints: {name} must have shape {wanted}, got {tuple(tensor.shape)}")


class DefaultGenerator(nn.Module):
    """L (N, 1, H, W) in [0, 100], H and W multiples of 32, and optional hints -> logits (N, bins, H/4, W/4).

    Args:
        bins: of the palette. widths: of the decoder at 1/16, 1/8 and 1/4 of the size.
    """

    kind = "classifier"
    stride = 32  # H and W must be multiples

    def __init__(self, bins: int = 313, widths: tuple[int, int, int] = (160, 96, 64)) -> None:
        super().__init__()
        self.encoder = EfficientNetLite0(1)
        wide, middle, narrow = widths
        quarter, eighth, sixteenth, deepest = LEVELS.values()
        self.enter_32 = ConvNormAct(deepest, wide, 1)
        # What is this a picture of? Asked of what is normalised: of the trunk's own maps, whose means are far from 0,
        # the first steps made such large answers that every ReLU behind them was silent, for good.
        self.scene = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(wide, wide, 1))
        self.mix_32 = nn.Sequential(Residual(wide), Residual(wide))
        self.skip_16 = ConvNormAct(sixteenth, wide, 1)
        self.mix_16 = Residual(wide)
        self.enter_8 = ConvNormAct(wide, middle, 1)
        self.skip_8 = ConvNormAct(eighth, middle, 1)
        self.mix_8 = Residual(middle)
        self.enter_4 = ConvNormAct(middle, narrow, 1)
        self.skip_4 = ConvNormAct(quarter, narrow, 1)
        self.mix_4 = ConvNormAct(narrow, narrow)
        self.head = nn.Conv2d(narrow, bins, 1)
        self.hints = Hints(wide, narrow, bins)

    def maps(self, lightness: Tensor) -> Maps:
        """Everything that hints do not change and do not learn."""
        return self._seen(lightness)[0]

    def features(self, lightness: Tensor) -> Encoded:
        """Everything that hints do not change."""
        return self.hints.ready(self.maps(lightness))

    def _seen(self, lightness: Tensor) -> tuple[Maps, Tensor]:
        """The maps, and the scene: (N, wide, 1, 1)."""
        check_lightness(lightness, self.stride)
        # In the input's own precision: bfloat16 would band L.
        low, slope, bend = _GRAY
        gray = (low + lightness * (slope + bend * lightness)).to(self.head.weight.dtype)
        quarter, eighth, sixteenth, deepest = self.encoder(gray)
        x = self.enter_32(deepest)
        scene = self.scene(x)
        x = self.mix_32(x + scene)
        wide = _up(x) + self.skip_16(sixteenth)
        x = self.mix_8(_up(self.enter_8(self.mix_16(wide))) + self.skip_8(eighth))
        return Maps(wide, _up(self.enter_4(x)) + self.skip_4(quarter), eighth, sixteenth), scene

    def colours(self, features: Encoded | Maps, hints: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Logits from features.

        Args:
            features: of `features`; or of `maps`, from which what hints make of them begins. hints: (ab, mask): ab
                (N, 2, H, W) in Lab units, and mask (N, 1, H, W), from 0, nothing is known, to 1, ab is to be followed.
        """
        if hints is None:
            return self.head(self.mix_4(features.quarter))
        _check(hints, features.quarter)
        if isinstance(features, Maps):
            features = self.hints.ready(features)
        added, trusted = self.hints(*hints, features)
        x = torch.cat([self.mix_4(features.quarter + added), trusted, torch.ones_like(trusted[:, :1])], 1)
        # Training asks for what is likely, painting for its mean. Hints may learn where the rest does not.
        if not self.hints.training:
            x = x * (1 - _SOFTER * trusted[:, 2:].clamp(0, 1))
        # One product: logits are most of what there is to write.
        bias: Any = self.head.bias
        weights = self.head.weight, self.hints.classes.weight, bias[:, None, None, None]
        return F.conv2d(x, torch.cat(weights, 1))

    def forward(
        self, lightness: Tensor, hints: tuple[Tensor, Tensor] | None = None, scene: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Logits; and with `scene` (N, wide, 1, 1) too, what the decoder knows of the whole picture."""
        maps, whole = self._seen(lightness)
        logits = self.colours(maps, hints)
        return (logits, whole) if scene else logits

    @property
    def encoder_blocks(self) -> list[nn.Module]:
        return [self.encoder.stem, *(block for stage in self.encoder.blocks for block in stage.children())]

    def check_taught(self) -> None:
        """Find out whether hints say anything: as a network begins they do not, and neither do those of files from
        when they were followed otherwise.

        Raises:
            ValueError: they do not.
        """
        if not any(bool(one.any()) for one in self.hints.say[-1].parameters()):
            raise ValueError(
                "hints: must come with weights that follow them, got some that never learnt it, or as an earlier "
                "version did; `fastcolor train --preset hints --start FILE` teaches them"
            )

    def set_palette(self, palette: Palette) -> None:
        """What the classes mean, before training."""
        self.hints.set_palette(palette)

    def load_imagenet(self, state: dict[str, Tensor]) -> None:
        """Start the trunk from EfficientNet-Lite0's ImageNet weights, which expect RGB: a gray picture has three equal
        channels, so the first filters are summed over them."""
        trunk = renamed(state)
        stem = "stem.conv_stem.weight"
        if stem in trunk:
            trunk[stem] = trunk[stem].sum(1, keepdim=True)
        check_state(self.encoder, trunk, "encoder weights: must be an EfficientNet-Lite0 state dict")
        self.encoder.load_state_dict(trunk, strict=False)
