"""Weights, the engine that runs them, and the decoding of what comes out: lightness or luma in, ab out."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from . import ops
from .device import device_of, free_memory
from .engines.choose import choose
from .engines.load import load
from .engines.timings import Engine
from .engines.torch import TorchEngine
from .models import follows_hints, named
from .models.demos import DEMOS
from .models.generator import Generator
from .models.mixing import mix
from .models.sizes import at_once, check_loading, check_memory, input_size, memory
from .options.base import check_value, rules
from .options.look import Edges, Look, Merge, check_merge, is_sharp
from .palette import Palette
from .threads import painters


@dataclass(frozen=True)
class _Member:
    """One of the networks that colour: what runs it, the side that suits it, and its share in a merge."""

    generator: Generator
    engine: Engine
    size: int
    share: float

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        return input_size(height, width, self.size, self.generator.stride)

    def at_once(self, most: int, height: int, width: int) -> int:
        return at_once(most, height, width, self.generator.name)

    def ab(self, lightness: Tensor, temperature: float | None) -> Tensor:
        return self.generator.ab_of(self.engine(lightness), temperature)


_Self = TypeVar("_Self", bound="Predictor")


class Predictor:
    """A network that is loaded once and predicts the colours of many pictures or frames; or several, merged.

    Args:
        weights, device, engine, size, merge, trust_first, as_published, edges: as `fastcolor.Colorizer` takes them,
            which adds pictures. amount: about how many will be coloured, if that is known: for many, preparing a faster
            engine pays.

    Raises:
        ValueError, FileNotFoundError: unknown or damaged weights, a device or engine that is not there, a size that
            does not fit into memory.

    Example:
        >>> Predictor().predict_ab(torch.full((1, 1, 64, 64), 50.0)).shape
        torch.Size([1, 2, 16, 16])
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] = "default",
        device: str = "auto",
        engine: str = "auto",
        *,
        size: int | None = None,
        merge: Merge = "share",
        trust_first: bool = False,
        as_published: bool = False,
        edges: Edges = "auto",
        amount: int = 1,
    ) -> None:
        hints = rules(Look)
        check_value("size", size, hints["size"])
        check_value("merge", merge, hints["merge"])
        check_merge(merge, weights)
        check_value("edges", edges, hints["edges"])
        self._edges: Edges = edges
        self._by: Merge = merge
        self._members: list[_Member] = []
        for name, share in named.members(weights):
            where = str(self._members[0].engine.device) if self._members else device
            path = named.locate(name, trust_first=trust_first)
            on_cpu = device_of(where).type == "cpu"
            if on_cpu:  # what does not fit there ends the process; a GPU's error is in words
                check_loading(name, path.stat().st_size, free_memory())
            generator = load(name)
            if as_published and generator.name not in DEMOS:
                raise ValueError(f"as_published: must come with one of {', '.join(DEMOS)}, got {generator.name}")
            seen = size or generator.size
            if on_cpu:
                check_memory(generator.name, seen, free_memory())
            chosen = choose(generator, where, engine, amount=amount)
            if generator.large:  # the engine has its own copy
                generator.network.forget()
            self._members.append(_Member(generator, chosen, seen, share))
        # Of a merge, the one that sees the most: what the others see is made from that.
        self._main = max(self._members, key=lambda one: (one.size, one.generator.stride))
        self._demo = DEMOS[self._main.generator.name] if as_published else None
        self._interactive: TorchEngine | None = None
        self.size, self.temperature = self._main.size, self._main.generator.temperature
        self.saturation = self._main.generator.saturation
        self.device: torch.device = self._main.engine.device

    @classmethod
    def of(cls: type[_Self], look: Look, *, amount: int = 1) -> _Self:
        """One that colours as options say."""
        return cls(
            look.weights,
            look.device,
            look.engine,
            size=look.size,
            merge=look.merge,
            trust_first=look.trust_first,
            as_published=look.as_published,
            edges=look.edges,
            amount=amount,
        )

    @property
    def engine(self) -> str:
        """What runs the network, such as "torch cpu bfloat16"; of a merge, of each."""
        return " + ".join(one.engine.name for one in self._members)

    @property
    def painters(self) -> int:
        """How many threads may colour at once: as many as the cores have work for, and fit into memory."""
        most, free = painters(self.device), free_memory() if self.device.type == "cpu" else None
        batches = [memory(one.generator.name, one.size) * one.at_once(8, one.size, one.size) for one in self._members]
        return most if free is None else max(1, min(most, free // max(*batches, 1)))

    def at_once(self, most: int, size: tuple[int, int]) -> int:
        """How many pictures, at most `most`, of a size (h, w) from `input_size` go through the network together: on a
        CPU fewer of large ones, and of networks that take much memory."""
        if self.device.type != "cpu":
            return most
        return min(one.at_once(most, *one.input_size(*size)) for one in self._members)

    @property
    def coarse(self) -> bool:
        """Do the networks answer at no more than half the size that they see? Classifiers do, at a quarter."""
        return all(member.generator.kind == "classifier" for member in self._members)

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """(h, w) that the network sees of a picture of this size: its shape, about `size` x `size` pixels in all,
        each side a multiple of the network's stride. A very long side is capped at four times `size`."""
        return self._main.input_size(*((height, width) if self._demo is None else (1, 1)))

    def lightness(
        self, luma: Tensor, size: tuple[int, int], *, full_range: bool = True, bits: int | None = None
    ) -> Tensor:
        """`ops.luma_to_input`; for colours as published, resized as the network's demo does it."""
        if self._demo is not None and not self._demo.antialias:
            luma, bits = _sampled(luma, size, full_range, bits), None
        return ops.luma_to_input(luma, size, full_range=full_range, bits=bits)

    def is_sharp(self, *, known: bool = False) -> bool:
        """Whether painting is to take a `guide`. known: the colours are no guess."""
        return is_sharp(self._edges, known=known)

    def enlarged(self, ab: Tensor, size: tuple[int, int]) -> Tensor:
        """Colours that are as large as the picture where the network's demo enlarges them otherwise than we; else as
        they are, for painting enlarges them. ab: (N, 2, h, w). size: of the picture."""
        nearest = self._demo is not None and self._demo.nearest
        return F.interpolate(ab, size, mode="nearest") if nearest else ab

    @torch.inference_mode()
    def predict_ab(self, lightness: Tensor, *, temperature: float | None = None) -> Tensor:
        """Colours for lightness at network size, a batch in one go.

        Args:
            lightness: (N, 1, h, w) float32, L in [0, 100], h and w from `input_size`.
            temperature: of the annealed mean; None: the weights' own.

        Returns:
            (N, 2, h', w') float32 ab in Lab units, times the saturation that the weights ask for.
        """
        return self._replay("lightness", lambda x: x, temperature, lightness.to(self.device))

    @torch.inference_mode()
    def predict_ab_of_luma(
        self,
        luma: Tensor,
        size: tuple[int, int],
        *,
        full_range: bool = True,
        bits: int | None = None,
        turns: int = 0,
        temperature: float | None = None,
    ) -> Tensor:
        """Colours for luma planes: `ops.luma_to_input`, the network and its decoding, on a GPU as one graph.

        Args:
            luma, size, full_range, bits: as `ops.luma_to_input` takes them. turns: quarters counterclockwise by which
                the network sees the picture turned. temperature: as for `predict_ab`.

        Returns:
            (N, 2, h', w') as `predict_ab`, turned back.
        """

        def lightness(luma: Tensor) -> Tensor:
            return self.lightness(luma, size, full_range=full_range, bits=bits).rot90(turns, (2, 3))

        key = (size, full_range, bits, turns)
        return self._replay(key, lightness, temperature, luma.to(self.device)).rot90(-turns, (2, 3))

    def at(self: _Self, size: int | None) -> _Self:
        """The same networks, loaded once, seeing pictures at another size; None: the weights' own.

        Raises:
            ValueError: `size` is out of range, or does not fit into memory.
        """
        check_value("size", size, rules(Look)["size"])
        if size is not None and self.device.type == "cpu":
            for one in self._members:
                check_memory(one.generator.name, size, free_memory())
        other = copy.copy(self)
        other._members = [replace(one, size=size or one.generator.size) for one in self._members]
        other._main = next(new for new, old in zip(other._members, self._members, strict=True) if old is self._main)
        other.size = other._main.size
        return other

    @property
    def bins(self) -> Tensor | None:
        """(Q, 2) ab in Lab units of the colours that the network's logits are about; None: it has none, or is a merge
        of several."""
        generator = self._main.generator
        if len(self._members) > 1 or generator.kind != "classifier":
            return None
        return (generator.palette or Palette.grid()).points.float()

    @torch.inference_mode()
    def logits(self, lightness: Tensor) -> Tensor:
        """(N, Q, h', w') of lightness at network size, (N, 1, h, w), where there are `bins`."""
        return self._main.engine(lightness.to(self.device))

    @torch.inference_mode()
    def decoded(self, logits: Tensor, *, temperature: float | None = None) -> Tensor:
        """The colours of `logits`, as `predict_ab` gives them."""
        return self._main.generator.ab_of(logits, temperature)

    @torch.inference_mode()
    def see(self, lightness: Tensor) -> tuple[Tensor, ...]:
        """What the network sees in lightness at network size: the part of its work that hints do not change.

        Raises:
            ValueError: the network takes no hints, or is an exported file, which is the plain network.
        """
        return self._hinted().features(lightness.to(self.device))

    @torch.inference_mode()
    def follow(
        self, seen: tuple[Tensor, ...], hints: tuple[Tensor, Tensor] | None, *, temperature: float | None = None
    ) -> Tensor:
        """Colours from what `see` returned.

        Args:
            seen: of `see`. hints: (ab, mask) at the size of its lightness: (N, 2, h, w) in Lab units and (N, 1, h, w),
                from 0, nothing is known, to 1; or None.

        Returns:
            (N, 2, h', w') float32 ab as `predict_ab`; there hints are factors on the weights' saturation too.
        """
        engine, generator = self._hinted(), self._main.generator
        if hints is None:
            return generator.ab_of(engine.colours(seen), temperature)
        within = self.saturation or 1.0  # what the network says before
        ab, mask = (plane.to(self.device) for plane in hints)
        output, settled = engine.hinted(seen, (ab / within, mask))
        return self.saturation * settled(generator.ab_of(output, temperature) / within)

    def check_hints(self) -> None:
        """Find out whether the network follows hints.

        Raises:
            ValueError: it does not.
        """
        self._hinted()

    def _hinted(self) -> TorchEngine:
        """The network in torch, which alone takes hints."""
        if self._interactive is None:
            if len(self._members) > 1:
                raise ValueError(f"hints: need one network that follows them, got a merge of {len(self._members)}")
            generator, found = self._main.generator, self._main.engine
            if "torch" not in generator.runs_on:
                raise ValueError("hints: need the network in torch; an exported file is the plain network without them")
            if not follows_hints(generator.name):  # of a large network, which is told without making it again
                raise ValueError(f"hints: need a network that follows them, got {generator.name}")
            if hasattr(generator.model, "check_taught"):
                generator.model.check_taught()
            if not isinstance(found, TorchEngine):
                found = choose(generator, str(self.device), "torch")
            assert isinstance(found, TorchEngine)
            self._interactive = found
        return self._interactive

    def _replay(
        self, key: Hashable, lightness: Callable[[Tensor], Tensor], temperature: float | None, source: Tensor
    ) -> Tensor:
        def ab(source: Tensor) -> Tensor:
            return self._ab(lightness(source), temperature)

        engine = self._main.engine
        if isinstance(engine, TorchEngine) and all(isinstance(one.engine, TorchEngine) for one in self._members):
            # What a merge does lies in its members too, which `at` gives other sizes and the same engines.
            merged = (self._by, *((one.size, one.share) for one in self._members)) if len(self._members) > 1 else None
            return engine.replay((key, temperature, merged), ab, source)
        return ab(source)

    def _ab(self, lightness: Tensor, temperature: float | None) -> Tensor:
        """Every network's colours, mixed. lightness: (N, 1, h, w) as the one that sees the most wants it."""
        colours = []
        for one in self._members:
            seen = lightness
            if one.size != self._main.size or any(side % one.generator.stride for side in lightness.shape[2:]):
                size = one.input_size(*lightness.shape[2:])
                seen = F.interpolate(lightness, size, mode="bilinear", align_corners=False, antialias=True)
            colours.append(one.ab(seen, temperature))
        if len(colours) == 1:
            return colours[0]
        return mix(colours, [one.share for one in self._members], lightness, self._by)


def _sampled(luma: Tensor, size: tuple[int, int], full_range: bool, bits: int | None) -> Tensor:
    """Luma (N, H, W) at another size without averaging what is shrunk, as 16-bit codes of the same range."""
    bits = bits or (8 if luma.dtype == torch.uint8 else 16)
    factor = 65535 / (2**bits - 1) if full_range else 2.0 ** (16 - bits)
    resized = F.interpolate(luma.float()[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    return (resized * factor).round().to(torch.uint16)
