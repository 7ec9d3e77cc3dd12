"""What everything that colours has in common: the network, and how its colours look."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from .base import Must, NameOrPath, Options, check_value, rules

Engine = Literal["auto", "torch", "onnx", "openvino", "tensorrt"]
Merge = Literal["share", "confidence", "luma"]
Edges = Literal["auto", "on", "off"]


@dataclass(frozen=True, kw_only=True)
class Look(Options):
    """Which network colours, on what, and how its colours look."""

    weights: Annotated[NameOrPath, tyro.conf.arg(metavar="WEIGHTS")] = "default"
    """default, eccv16, siggraph17, ddcolor, ddcolor-modelscope, ddcolor-artistic, ddcolor-tiny, deoldify,
    deoldify-stable or deoldify-video, or a .safetensors, .pth, .onnx or .engine file; A*0.4+B*0.6
    or A+B merges two."""
    merge: Merge = "share"
    """share is the mean, confidence trusts what sees more colour, luma the first in the dark and the last in light."""
    trust_first: bool = False
    """Download weights of which nobody states a SHA-256 (ddcolor, ddcolor-tiny), and keep the one that they have."""
    as_published: bool = False
    """Squeeze pictures into a square and enlarge colours as the network's authors' demo does, to compare with it."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N; auto: the first GPU, else the CPU."""
    engine: Engine = "auto"
    """What runs the network; auto: the fastest that is ready here."""
    temperature: Annotated[
        float | None, Must("be 0 or lie in 0.001..10", lambda value: value == 0 or 1e-3 <= value <= 10)
    ] = None
    """0 or 0.001 to 10; lower is nearer to the likeliest colour and less even. None: the weights' own."""
    saturation: Annotated[float, Must("lie in 0..10", lambda value: 0 <= value <= 10)] = 1.0
    """0 to 10, times the weights' own; 0 is gray."""
    edges: Edges = "auto"
    """End colours where lightness does, finer than they are known; auto: those of small versions, and of
    pictures with many hints."""
    size: Annotated[
        int | None,
        tyro.conf.arg(name="detail", metavar="N"),
        Must("lie in 64..1024", lambda value: 64 <= value <= 1024),
    ] = None
    """Side of a square that the network sees, 64 to 1024; more shows it smaller things. None: the weights' own."""

    def check(self) -> None:
        """Compare every field with its rule, and those that need each other.

        Raises:
            ValueError: one is out of range, or lacks another.
        """
        super().check()
        check_merge(self.merge, self.weights)


def check_merge(merge: Merge, weights: str | os.PathLike[str]) -> None:
    """ValueError where a way to merge is given and there is one network."""
    if merge != "share" and "+" not in os.fspath(weights):
        raise ValueError(f"merge: must come with several networks joined by +, got weights {str(weights)!r}")


def is_sharp(edges: Edges, *, known: bool) -> bool:
    """Whether colours are painted with sharp edges. known: they are no guess of the network's."""
    return edges == "on" or (edges == "auto" and known)


def check_look(temperature: float | None = None, saturation: float = 1.0) -> None:
    """Compare both numbers with their fields' rules.

    Raises:
        ValueError: temperature is neither None nor 0 nor within 0.001..10, or saturation not within 0..10.
    """
    hints = rules(Look)
    check_value("temperature", temperature, hints["temperature"])
    check_value("saturation", saturation, hints["saturation"])
