"""What an exported network is: a file that stands for a generator, the facts in it, and the name it is kept under."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from torch import Tensor, nn

from ..constants import __version__
from ..models.weights import Weights

FORMAT = "fastcolor-onnx-1"
_INPUT = "CIE L in [0, 100] of sRGB, D65, float32 (n, 1, h, w), h and w multiples of stride"
_OUTPUT = {
    "classifier": "logits, float32 (n, bins, h', w'); ab: the palette's mean under softmax(logits / temperature)",
    "regressor": "CIE a and b, float32 (n, 2, h, w)",
}


class Network(nn.Module):
    """A network that is an exported file. It takes and returns what the generator it came from does, on a CPU.

    Attributes:
        content: the file's bytes. on_cpu: whether it is an ONNX file, else a TensorRT engine. precision: of its body.
        kind, stride: as a generator's.
    """

    def __init__(self, content: bytes, precision: str, kind: str, stride: int, *, on_cpu: bool = True) -> None:
        super().__init__()
        self.content, self.precision, self.kind, self.stride, self.on_cpu = content, precision, kind, stride, on_cpu
        self._run: Any = None

    def forward(self, lightness: Tensor) -> Tensor:
        if not self.on_cpu:
            raise RuntimeError("weights: a TensorRT engine runs on its GPU alone")
        if self._run is None:
            from .onnx import OnnxEngine

            self._run = OnnxEngine(self.content)
        return self._run(lightness.float())


def describe(weights: Weights, precision: str) -> dict[str, str]:
    kind: str = weights.model.kind  # type: ignore[assignment]
    return {
        "format": FORMAT,
        "fastcolor": __version__,
        "weights_sha256": digest(weights),
        "model": weights.name,
        "options": json.dumps(weights.options),
        "kind": kind,
        "stride": str(weights.model.stride),
        "precision": precision,
        "palette": json.dumps(None if weights.palette is None else weights.palette.points.tolist()),
        "temperature": repr(weights.temperature),
        "saturation": repr(weights.saturation),
        "size": str(weights.size),
        "input": _INPUT,
        "output": _OUTPUT[kind],
        "card": json.dumps(weights.card),
    }


def digest(weights: Weights) -> str:
    """SHA-256 of all that an export depends on: tensors, network, palette and how it wants to be used."""
    if isinstance(weights.model, Network):
        return hashlib.sha256(weights.model.content).hexdigest()
    points = None if weights.palette is None else weights.palette.key
    facts = [weights.name, weights.options, points, weights.temperature, weights.saturation, weights.size]
    result = hashlib.sha256(json.dumps(facts).encode())
    for key, value in sorted(weights.model.state_dict().items()):
        result.update(key.encode())
        result.update(value.detach().contiguous().cpu().numpy().tobytes())
    return result.hexdigest()


class TakesLong(RuntimeError):
    """The network has to be traced with symbols."""
