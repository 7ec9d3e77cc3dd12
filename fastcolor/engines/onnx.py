"""The network in ONNX Runtime, on the CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..device import int8_is_fast


def runtime() -> Any:
    """The onnxruntime package.

    Raises:
        ValueError: it is not installed or does not load.
    """
    try:
        import onnxruntime
    except (ImportError, OSError) as error:
        raise ValueError(f"engine: onnx is not usable: {error}; pip install 'fastcolor[onnx]'") from None
    return onnxruntime


def require_onnx() -> Any:
    """The onnx package. ValueError: it or another package that exporting needs is not there."""
    try:
        import onnx
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(f"export: {error}; pip install 'fastcolor[onnx]'") from None
    return onnx


def _session(content: bytes) -> Any:
    ort = runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # it raises what it would print
    if not int8_is_fast():  # sums of 8-bit products would saturate; the exact way takes twice as long
        options.add_session_config_entry("session.x64quantprecision", "1")
    # Waiting threads sleep: decoders and encoders run beside them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own types, which have no common base
        raise RuntimeError(str(error).splitlines()[0]) from None


def metadata(content: bytes) -> dict[str, str]:
    """What an ONNX file says of itself. RuntimeError: the file is damaged."""
    return dict(_session(content).get_modelmeta().custom_metadata_map)


class OnnxEngine:
    """An exported generator, in the precision of its file.

    Args:
        content: the file's bytes.

    Raises:
        ValueError: ONNX Runtime is not installed. RuntimeError: the file is damaged.
    """

    def __init__(self, content: bytes, precision: str = "fp32") -> None:
        self.device = torch.device("cpu")
        self.name = f"onnx cpu {precision}"
        self._session = _session(content)

    def __call__(self, lightness: Tensor) -> Tensor:
        return torch.from_numpy(self._session.run(None, {"lightness": lightness.contiguous().numpy()})[0])
