"""What an exported network is: a file that stands for a generator, and the facts in it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from ..constants import __version__
from ..models.generator import Generator, Network

FORMAT = "fastcolor-onnx-1"
_INPUT = "CIE L in [0, 100] of sRGB, D65, float32 (n, 1, h, w), h and w multiples of stride"
_OUTPUT = {
    "classifier": "logits, float32 {shape}; ab: the palette's mean under softmax(logits / temperature)",
    "regressor": "CIE a and b, float32 (n, 2, h, w)",
}


@dataclass(frozen=True, eq=False)
class Exported(Network):
    """A network that is an exported file, which torch does not run.

    Attributes:
        content: the file's bytes. The rest: see `Network`.
    """

    content: bytes = field(default=b"", repr=False)


def describe(generator: Generator, precision: str, *, by_pixel: bool = False) -> dict[str, str]:
    """The metadata of a generator's exported file. by_pixel: so lies what it gives, see `session.BY_PIXEL`."""
    shape = "(n h' w', bins)" if by_pixel else "(n, bins, h', w')"
    return {
        "format": FORMAT,
        "fastcolor": __version__,
        "weights_sha256": generator.digest,
        "network_sha256": generator.network.digest,
        "kind": generator.kind,
        "stride": str(generator.stride),
        "precision": precision,
        "input": _INPUT,
        "output": _OUTPUT[generator.kind].format(shape=shape),
        **generator.facts(),
    }


def generator_of(
    content: bytes,
    description: Mapping[str, str],
    runs_on: tuple[str, ...],
    make: Callable[[], Callable[[Tensor], Tensor]],
) -> Generator:
    """The generator that an exported file stands for.

    Args:
        content: the file's bytes. description: its metadata. runs_on: the engines that can run it. make: its own
            engine, which others are compared with.

    Raises:
        KeyError, TypeError, ValueError: the description does not fit.
    """
    network = Exported(
        description["kind"],
        int(description["stride"]),
        make,
        source=hashlib.sha256(content).hexdigest(),
        precision=description["precision"],  # type: ignore[arg-type]
        runs_on=runs_on,
        content=content,
    )
    return Generator.from_facts(network, description)
