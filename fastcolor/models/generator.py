"""A network that colours, and how it wants to be used: what files of weights and exported networks both hold."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .. import ops
from ..bins import Bins
from ..palette import Palette
from .sizes import memory

Precision = Literal["fp32", "fp16", "bf16", "int8"]
ENGINES = ("torch", "onnx", "openvino", "tensorrt")


def decode(output: Tensor, kind: str, palette: Bins | None, temperature: float) -> Tensor:
    """A network's output as colours.

    Args:
        output: logits (N, Q, h, w) of a "classifier", ab (N, 2, h, w) of a "regressor". palette, temperature: of the
            annealed mean, which regressors do without.

    Returns:
        (N, 2, h, w) ab in Lab units.
    """
    return ops.annealed_mean(output, palette=palette, temperature=temperature) if kind == "classifier" else output


@dataclass(frozen=True, eq=False)
class Network:
    """The network of a generator, made when something first needs it.

    Attributes:
        kind: "classifier" (logits over a palette) or "regressor" (ab). stride: H and W are multiples of it. make: the
        network, L (N, 1, H, W) in, on the CPU. source: SHA-256 of what it is made from; None: of its tensors.
        precision: of its body. runs_on: the engines that can run it.
    """

    kind: str
    stride: int
    make: Callable[[], Callable[[Tensor], Tensor]] = field(repr=False)
    source: str | None = None
    precision: Precision = "fp32"
    runs_on: tuple[str, ...] = ENGINES

    @functools.cached_property
    def made(self) -> Any:
        return self.make()

    def having(self, made: Any) -> Network:
        """The same; `made` was made already."""
        self.__dict__["made"] = made
        return self

    def forget(self) -> None:
        """Let go of what was made, which takes as much memory as its engine; asked for again it is made again."""
        self.__dict__.pop("made", None)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of what its results depend on."""
        if self.source is not None:
            return self.source
        result = hashlib.sha256()
        for key, value in sorted(self.made.state_dict().items()):
            result.update(key.encode())
            result.update(value.detach().contiguous().cpu().numpy().tobytes())
        return result.hexdigest()


@dataclass(frozen=True)
class Generator:
    """A network ready to colour, and how it wants to be used.

    Attributes:
        network: see `Network`. name, options: as `models.build` takes them. palette: of a classifier, else None.
        temperature: of the annealed mean. saturation: factor on ab that the weights want. size: side in pixels of a
        square with as many as the network sees. card: facts about the training, by name.

    Example:
        >>> from fastcolor import models
        >>> Generator.of(models.build("pix2pix"), "pix2pix", {}, None, temperature=1.0, size=256).kind
        'regressor'
    """

    network: Network
    name: str
    options: dict[str, object]
    palette: Palette | None
    temperature: float
    size: int
    saturation: float = 1.0
    card: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def of(
        model: nn.Module,
        name: str,
        options: dict[str, object],
        palette: Palette | None,
        *,
        temperature: float,
        size: int,
        saturation: float = 1.0,
        card: dict[str, str] | None = None,
    ) -> Generator:
        """A generator of a network that is there. model: on the CPU, float32; the rest as the attributes say."""
        network = Network(model.kind, model.stride, lambda: model)  # type: ignore[arg-type]
        return Generator(network, name, options, palette, temperature, size, saturation, card or {})

    @property
    def model(self) -> Any:
        """The network itself: a torch module on the CPU, float32, in evaluation mode; of an exported file what runs it
        there."""
        return self.network.made

    @property
    def kind(self) -> str:
        return self.network.kind

    @property
    def stride(self) -> int:
        return self.network.stride

    @property
    def precision(self) -> Precision:
        return self.network.precision

    @property
    def runs_on(self) -> tuple[str, ...]:
        return self.network.runs_on

    @property
    def side(self) -> int:
        """The side of a square picture in pixels as the network sees it."""
        return max(round(self.size / self.stride), 2) * self.stride

    @property
    def trial_side(self) -> int:
        """The side that engines are compared and timed at: of networks that see more than 256 pixels, whose pictures
        take seconds each, no more than that."""
        return min(self.side, max(256 // self.stride, 2) * self.stride)

    @property
    def large(self) -> bool:
        """Does it take so much memory that there should be one engine of it at a time?"""
        return memory(self.name, self.trial_side) > 0

    @property
    def digest(self) -> str:
        """SHA-256 of all that an export depends on: tensors, network, palette and how it wants to be used."""
        points = None if self.palette is None else self.palette.key
        facts = [self.name, self.options, points, self.temperature, self.saturation, self.size, self.network.digest]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def ab_of(self, output: Tensor, temperature: float | None = None) -> Tensor:
        """The network's output as colours.

        Args:
            output: logits (N, Q, h, w), or ab (N, 2, h, w), as `kind` says. temperature: of the annealed mean; None:
                the generator's own.

        Returns:
            (N, 2, h, w) float32 ab in Lab units, times the saturation that the generator asks for.
        """
        temperature = self.temperature if temperature is None else temperature
        return decode(output, self.kind, self.palette, temperature).float() * self.saturation

    def facts(self) -> dict[str, str]:
        """All but the network, as the metadata of a file."""
        return {
            "model": self.name,
            "options": json.dumps(self.options),
            "palette": json.dumps(None if self.palette is None else self.palette.points.tolist()),
            "temperature": repr(float(self.temperature)),
            "saturation": repr(float(self.saturation)),
            "size": str(self.size),
            "card": json.dumps(self.card),
        }

    @staticmethod
    def from_facts(network: Network, facts: Mapping[str, str]) -> Generator:
        """What `facts` said of a generator, with its network. KeyError, TypeError, ValueError: they do not fit."""
        points = json.loads(facts["palette"])
        return Generator(
            network,
            name=facts["model"],
            options=json.loads(facts["options"]),
            palette=None if points is None else Palette(torch.tensor(points)),
            temperature=float(facts["temperature"]),
            saturation=float(facts["saturation"]),
            size=int(facts["size"]),
            card=json.loads(facts["card"]),
        )
