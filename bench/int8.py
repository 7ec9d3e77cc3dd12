"""The default network in INT8, quantised by ONNX Runtime and calibrated on photographs: how far off, and how fast?

`python -m bench.int8 OTHERS --calibrate PICTURES` tries several ways (Q/DQ, per channel), each in ONNX Runtime and in
OpenVINO, against the engines there are: parity as `fastcolor.engines.parity` measures it, on its photographs and on
others, which should not be those calibrated on; and processor time of one thread, alternated in one process, which
other programs disturb less than the clock.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor

from fastcolor import ops, weights
from fastcolor.engines import ort, ov
from fastcolor.engines.parity import Parity, compare, photographs, read_pictures, side_of
from fastcolor.engines.pytorch import TorchEngine
from fastcolor.export import to_onnx

BATCHES = (1, 8)
Run = Callable[[Tensor], Tensor]


class Pictures(CalibrationDataReader):
    """L of (N, H, W) gray pictures, one at a time."""

    def __init__(self, gray: Tensor) -> None:
        self._rows = iter(gray.split(1))

    def get_next(self) -> dict[str, object] | None:
        row = next(self._rows, None)
        return None if row is None else {"lightness": ops.luma_to_input(row, tuple(row.shape[1:])).numpy()}


def ways(content: bytes) -> dict[str, dict[str, object]]:
    """What `quantize_static` takes beyond the format, by name."""
    convs = [node.name for node in onnx.load_from_string(content).graph.node if node.op_type == "Conv"]
    ends = {"nodes_to_exclude": [convs[0], convs[-1]]}
    percentile = {
        "calibrate_method": CalibrationMethod.Percentile,
        "extra_options": {"CalibPercentile": 99.99, "CalibMaxIntermediateOutputs": 4},
    }
    # A convolution's range is that behind its ReLU6 where that is quantised too, and much wider where it is not.
    return {
        "all, min-max": {},
        "all, 99.99 %": percentile,
        "all but the first and last convolution, min-max": ends,
        "all but the first and last convolution, 99.99 %": ends | percentile,
        "convolutions alone, min-max": {"op_types_to_quantize": ["Conv"]},
    }


def quantised(content: bytes, gray: Tensor, how: dict[str, object]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(content)
        quant_pre_process(source, source, skip_symbolic_shape=True)
        quantize_static(
            source,
            out,
            Pictures(gray),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            **how,
        )
        return out.read_bytes()


def milliseconds(runs: dict[str, Run], lightness: Tensor, seconds: float) -> dict[str, str]:
    """Median and least milliseconds of processor time a picture, in turns for about `seconds` by the clock."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run(lightness)
        run(lightness)
    stop = time.perf_counter() + seconds
    while len(next(iter(times.values()))) < 9 or time.perf_counter() < stop:
        for name, run in runs.items():
            start = time.process_time()
            run(lightness)
            times[name].append((time.process_time() - start) * 1e3 / len(lightness))
    return {name: f"{statistics.median(t):.1f} ({min(t):.1f})" for name, t in times.items()}


def figures(parity: Parity) -> str:
    return f"{parity.relative:.2g} / {parity.ab_mean:.2g} / {parity.de_mean:.2g} (at most {parity.de_max:.2g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("others", type=Path, help="folder, zip or tar file, or list of pictures to compare on")
    parser.add_argument("--calibrate", type=Path, help="the same, to calibrate on; default: the package's photographs")
    parser.add_argument("--count", type=int, default=100, help="how many of each, at most")
    parser.add_argument("--seconds", type=float, default=60.0, help="time for each batch size")
    options = parser.parse_args()
    torch.set_num_threads(1)
    given = weights.load("default")
    given.model.requires_grad_(False)
    side, content = side_of(given), to_onnx(given, "fp32")
    others = read_pictures(options.others, side, options.count)
    gray = photographs() if options.calibrate is None else read_pictures(options.calibrate, side, options.count)
    best = ov.precisions()[0]
    runs: dict[str, Run] = {
        "torch": TorchEngine(given.model, torch.device("cpu")),
        "onnx fp32": ort.OnnxEngine(content),
        f"openvino {best}": ov.OpenVinoEngine(content, best),
    }
    for name, how in ways(content).items():
        small = quantised(content, gray, how)
        print(f"{name}: {len(small) / 1e6:.1f} MB after {len(content) / 1e6:.1f}", flush=True)
        runs[f"onnx int8, {name}"] = ort.OnnxEngine(small)
        runs[f"openvino int8 and {best}, {name}"] = ov.OpenVinoEngine(small, best)
    times = [milliseconds(runs, torch.full((n, 1, side, side), 50.0), options.seconds) for n in BATCHES]
    parities = [f"{n} pictures: relative / ab / dE" for n in (4, len(others))]
    print(f"\n| engine | {' | '.join([*parities, *(f'ms a picture, {n} at once' for n in BATCHES)])} |")
    print("|---" * 3 + "|---:" * len(BATCHES) + "|")
    for name, run in runs.items():
        row = [figures(compare(run, given)), figures(compare(run, given, others)), *(t[name] for t in times)]
        print(f"| {name} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
