"""DDColor (Kang et al., "DDColor: Towards Photo-Realistic Image Colorization via Dual Decoders", ICCV 2023), under its
published names: a ConvNeXt encoder, a decoder of pixels, and one of 100 colour queries that look at its three levels.

227.9 M parameters with ConvNeXt-L, 55.0 M with ConvNeXt-T.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .eccv16 import PublishedGenerator
from .layers import IMAGENET_MEAN, IMAGENET_STD, check_lightness, gray_of
from .shuffle_unet import Shuffle, ShuffleUp, SpectralConv2d

_SIZES = {"large": ((3, 3, 27, 3), (192, 384, 768, 1536)), "tiny": ((3, 3, 9, 3), (96, 192, 384, 768))}
_WIDTH, _HEADS, _QUERIES, _LAYERS = 256, 8, 100, 9


class DDColorGenerator(nn.Module):
    """L (N, 1, H, W) in [0, 100], H and W multiples of 32 -> ab (N, 2, H, W), float32, in Lab units.

    The network is shown the gray picture in RGB, as its authors do; `network` holds it under the published names.

    Args:
        size: "large" (ConvNeXt-L) or "tiny" (ConvNeXt-T).
    """

    kind = "regressor"
    stride = 32
    bakes_sizes = True  # its positions are made of them

    def __init__(self, size: str = "large") -> None:
        super().__init__()
        self.network = DDColor(size)

    def forward(self, lightness: Tensor) -> Tensor:
        check_lightness(lightness, self.stride)
        gray = gray_of(lightness).to(self.network.mean.dtype)
        return self.network(gray.expand(-1, 3, -1, -1)).float()


class DDColor(PublishedGenerator):
    """RGB (N, 3, H, W) in [0, 1], H and W multiples of 32 -> ab (N, 2, H, W) in Lab units."""

    mean: Tensor
    std: Tensor

    def __init__(self, size: str = "large") -> None:
        super().__init__()
        if size not in _SIZES:
            raise ValueError(f"size: must be one of {', '.join(_SIZES)}, got {size!r}")
        depths, widths = _SIZES[size]
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))
        self.encoder = nn.ModuleDict({"arch": ConvNeXt(depths, widths)})
        self.decoder = Decoders(widths)
        self.refine_net = nn.Sequential(nn.Sequential(SpectralConv2d(_QUERIES + 3, 2, 1, bias=True)))

    def forward(self, rgb: Tensor) -> Tensor:
        x = (rgb - self.mean) / self.std
        maps = self.decoder(self.encoder["arch"](x))
        return self.refine_net(torch.cat([maps, x], 1))


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """7x7 depthwise, then a wide pair of linear layers, scaled and added (Liu et al. 2022)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(torch.full((channels,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        return x + y.permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """(N, 3, H, W) -> features at 1/4, 1/8, 1/16 and 1/32, each by a norm of its own that the trunk does not see."""

    def __init__(self, depths: tuple[int, ...], widths: tuple[int, ...]) -> None:
        super().__init__()
        self.downsample_layers = nn.ModuleList([nn.Sequential(nn.Conv2d(3, widths[0], 4, 4), ChannelNorm(widths[0]))])
        for before, after in pairwise(widths):
            self.downsample_layers.append(nn.Sequential(ChannelNorm(before), nn.Conv2d(before, after, 2, 2)))
        self.stages = nn.ModuleList(
            nn.Sequential(*(ConvNeXtBlock(width) for _ in range(depth)))
            for depth, width in zip(depths, widths, strict=True)
        )
        for i, width in enumerate(widths):
            self.add_module(f"norm{i}", ChannelNorm(width))
        self.norm = nn.LayerNorm(widths[-1], eps=1e-6)  # in the file; of the classifier that is gone

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for i, (down, stage) in enumerate(zip(self.downsample_layers, self.stages, strict=True)):
            x = stage(down(x))
            found.append(self.get_submodule(f"norm{i}")(x))
        return found


class Decoders(nn.Module):
    """The encoder's four levels -> 100 maps (N, 100, H, W): how much each pixel is of each colour query."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        ups, inputs = [], widths[3]
        for skip, outputs in zip(widths[2::-1], (512, 512, 256), strict=True):
            ups.append(ShuffleUp(inputs, skip, outputs, {"conv": outputs}))
            inputs = outputs
        self.layers = nn.ModuleList(ups)
        self.last_shuf = Shuffle(256, 256, 4, norm=False)
        self.color_decoder = ColorDecoder((512, 512, 256))

    def forward(self, levels: list[Tensor]) -> Tensor:
        x, found = levels[3], []
        for up, skip in zip(self.layers, levels[2::-1], strict=True):
            x = up(x, skip)
            found.append(x)
        return self.color_decoder(found, self.last_shuf(x))


class ColorDecoder(nn.Module):
    """Three levels of features, coarsest first, and the full-size ones -> a map for every query."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.query_feat = nn.Embedding(_QUERIES, _WIDTH)
        self.query_embed = nn.Embedding(_QUERIES, _WIDTH)
        self.level_embed = nn.Embedding(len(channels), _WIDTH)
        self.input_proj = nn.ModuleList(nn.Conv2d(inputs, _WIDTH, 1) for inputs in channels)
        self.transformer_self_attention_layers = nn.ModuleList(_Attention("self_attn") for _ in range(_LAYERS))
        self.transformer_cross_attention_layers = nn.ModuleList(_Attention("multihead_attn") for _ in range(_LAYERS))
        self.transformer_ffn_layers = nn.ModuleList(_FeedForward() for _ in range(_LAYERS))
        self.decoder_norm = nn.LayerNorm(_WIDTH)
        self.color_embed = _Perceptron()

    def forward(self, levels: list[Tensor], full: Tensor) -> Tensor:
        seen, places = [], []
        for i, (project, level) in enumerate(zip(self.input_proj, levels, strict=True)):
            places.append(positions(level).flatten(2).transpose(1, 2))
            features = project(level).flatten(2) + self.level_embed.weight[i][None, :, None]
            seen.append(features.transpose(1, 2))
        n = full.shape[0]
        query_place = self.query_embed.weight.expand(n, -1, -1)
        queries = self.query_feat.weight.expand(n, -1, -1)
        for i in range(_LAYERS):
            at = i % len(levels)
            look, mix = self.transformer_cross_attention_layers[i], self.transformer_self_attention_layers[i]
            queries = look(queries, queries + query_place, seen[at] + places[at], seen[at])
            queries = mix(queries, queries + query_place, queries + query_place, queries)
            queries = self.transformer_ffn_layers[i](queries)
        colors = self.color_embed(self.decoder_norm(queries))
        return torch.einsum("nqc,nchw->nqhw", colors, full)


class _Attention(nn.Module):
    """Attention of 8 heads, added to what it came from, then normalised. Under the published name of its kind."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.add_module(name, nn.MultiheadAttention(_WIDTH, _HEADS, batch_first=True))
        self.norm = nn.LayerNorm(_WIDTH)

    def forward(self, x: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        attended, _ = self.get_submodule(self._name)(query, key, value, need_weights=False)
        return self.norm(x + attended)


class _FeedForward(nn.Module):
    def __init__(self, hidden: int = 2048) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(_WIDTH, hidden), nn.Linear(hidden, _WIDTH)
        self.norm = nn.LayerNorm(_WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.linear2(F.relu(self.linear1(x))))


class _Perceptron(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(_WIDTH, _WIDTH) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        first, second, last = self.layers
        return last(F.relu(second(F.relu(first(x)))))


def positions(like: Tensor) -> Tensor:
    """(1, 256, h, w): where each cell lies, as sines and cosines by turns, 128 numbers of y, then 128 of x.

    Row r (from 1) of n is the angle 2 pi r / n, which number k divides by 10000^(2 floor(k / 2) / 128).
    """
    height, width = like.shape[2:]
    half = _WIDTH // 2
    powers = torch.arange(half, device=like.device, dtype=torch.float32).div(2, rounding_mode="floor") * 2 / half
    divisors = 10000.0**powers

    def axis(n: int) -> Tensor:
        angle = torch.arange(1, n + 1, device=like.device, dtype=torch.float32) / (n + 1e-6) * (2 * math.pi)
        angle = angle[:, None] / divisors
        return torch.stack([angle[:, 0::2].sin(), angle[:, 1::2].cos()], 2).flatten(1)

    y = axis(height)[:, None].expand(-1, width, -1)
    x = axis(width)[None].expand(height, -1, -1)
    return torch.cat([y, x], 2).permute(2, 0, 1)[None].to(like.dtype)
