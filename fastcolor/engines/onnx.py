"""The network in ONNX Runtime, on the CPU."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from torch import Tensor

from ..device import int8_is_fast
from .session import session_of


def can_export() -> bool:
    """Whether the packages that exporting needs are installed; importing them takes a second."""
    return all(importlib.util.find_spec(package) is not None for package in ("onnx", "onnxscript"))


def require_exporter() -> Any:
    """The onnx package. ValueError: it or another package that exporting needs is not there."""
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(f"export: {error}; pip install 'fastcolor[onnx]'") from None
    return onnx


class OnnxEngine:
    """An exported generator, in the precision of its file.

    Args:
        content: the file's bytes. precision: of its body, which the name tells.

    Raises:
        ValueError: ONNX Runtime is not installed. RuntimeError: the file is damaged.
    """

    def __init__(self, content: bytes, precision: str = "fp32") -> None:
        self.device = torch.device("cpu")
        self.precision = precision
        self._session = session_of(content, torch.get_num_threads(), int8_is_fast())

    @property
    def name(self) -> str:
        """Such as "onnx cpu fp32"."""
        return f"onnx cpu {self.precision}"

    def metadata(self) -> dict[str, str]:
        """What the file says of itself."""
        return dict(self._session.facts)

    def __call__(self, lightness: Tensor) -> Tensor:
        return torch.from_numpy(self._session(lightness.to(torch.float32).contiguous().numpy()))
