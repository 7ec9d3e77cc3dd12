"""The commands about this machine and others: `export`, `bench` and `info`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..options.export import ExportOptions

_SHOWN = (  # distributions whose versions `info` tells
    "av",
    "safetensors",
    "pillow",
    "onnx",
    "onnxruntime",
    "openvino",
    "scikit-image",
    "opencv-python-headless",
    "pillow-heif",
    "ray",
)


def run_export(options: ExportOptions) -> int:
    from ..engines.export import export

    print(export(**vars(options)))
    return 0


@dataclass(frozen=True)
class BenchOptions:
    """Time every op here beside plain torch, torch.compile, kornia, OpenCV and others; `fastcolor[bench]` has them."""

    device: str = "cpu"
    """cpu or cuda."""
    threads: int = 1
    """CPU threads for everybody."""
    only: tuple[Literal["color", "encode", "loss", "decode"], ...] = ()
    """Families of ops; none: all."""
    seconds: float = 4.0
    """Time for each row."""
    out: Path | None = None
    """File for the figures as JSON."""


def run_bench(options: BenchOptions) -> int:
    from ..bench import run

    return 1 if run.main(run.BenchOptions(**vars(options)))["failed"] else 0


@dataclass(frozen=True)
class InfoOptions:
    """Show versions, devices, and which kernels and engines are usable here, how fast, and why not the others."""

    measure: bool = False
    """Measure the engines anew and remember the fastest for "auto"."""
    weights: bool = False
    """Show the weights that have names instead: licence, file, how it is checked, and whether it is here."""


def run_info(options: InfoOptions) -> int:
    if options.weights:
        from ..models import download, named

        print("\n".join([f"{'default':18} MIT; in the package", *download.describe(named.PUBLISHED)]))
        return 0
    import platform

    import torch

    from .. import _native
    from ..constants import __version__
    from ..engines.choose import describe
    from ..engines.versions import versions
    from ..models import named

    able = _native.capabilities()
    lines = [
        ("fastcolor", __version__),
        ("python, torch", f"{platform.python_version()}, {torch.__version__}"),
        ("cpu kernels", f"usable ({able['isa']}, {torch.get_num_threads()} threads)"),
        (
            "cuda kernels",
            f"usable ({able['cuda_devices']} devices)" if able["cuda_devices"] else f"no: {able['cuda_problem']}",
        ),
    ]
    lines += [(f"engine {name}", told) for name, told in describe(measure=options.measure).items()]
    lines += [("weights", ", ".join(named.names()))]
    lines += versions(_SHOWN).items()
    print("\n".join(f"{name:16} {value}" for name, value in lines))
    return 0
