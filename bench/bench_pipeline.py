"""The default network and a whole film on this machine, into bench/results/<machine>.json.

Medians of repeated runs in one process. Each figure stands beside a floor: the network's beside its own arithmetic at
the matrix rate measured here, the film's beside the same film decoded and encoded again without colouring.
"""

from __future__ import annotations

import json
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import torch

import fastcolor
from fastcolor import _native, weights
from fastcolor.models.layers import fold_batch_norm

sys.path.insert(0, str(Path(__file__).parent))
from demo import HERE, make_film

RESULTS = Path(__file__).parent / "results"


def median_ms(work: Callable[[], object], repeats: int = 30) -> float:
    for _ in range(3):
        work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


@torch.inference_mode()
def network() -> dict[str, float]:
    """One 256 x 256 picture; the floor is its multiply-adds at the rate of a large matrix product."""
    model = fold_batch_norm(weights.load("default").model.requires_grad_(False)).to(memory_format=torch.channels_last)
    lightness = torch.full((1, 1, 256, 256), 50.0)
    multiply_adds = count_multiply_adds(model, lightness)
    result: dict[str, float] = {"multiply_adds": multiply_adds}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            continue
        model = model.to(dtype)
        a, b = torch.randn(2048, 2048, dtype=dtype), torch.randn(2048, 2048, dtype=dtype)
        rate = 2048**3 / median_ms(lambda a=a, b=b: a @ b, 10)
        result[f"{name}_ms"] = median_ms(lambda model=model: model(lightness))
        result[f"{name}_floor_ms"] = multiply_adds / rate
    return result


def count_multiply_adds(model: torch.nn.Module, lightness: torch.Tensor) -> float:
    total = 0.0

    def count(module: torch.nn.Conv2d, _: object, output: torch.Tensor) -> None:
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    model(lightness)
    for hook in hooks:
        hook.remove()
    return total


def film() -> dict[str, float]:
    """Frames a second of the demo film (640x360, 200 frames, H.264, AAC), coloured; and only decoded and encoded."""
    with tempfile.TemporaryDirectory() as folder:
        gray = Path(folder) / "gray.mp4"
        make_film(sorted(HERE.glob("*.jpg")), gray)
        coloured, copied = [], []
        for i in range(3):  # alternated
            start = time.perf_counter()
            frames = recode(gray, Path(folder) / "copy.mp4")
            copied.append(frames / (time.perf_counter() - start))
            coloured.append(fastcolor.video(gray, Path(folder) / f"{i}.mp4", progress=False).fps)
        return {
            "fps": statistics.median(coloured),
            "fps_without_colouring": statistics.median(copied),
            "frames": frames,
        }


def recode(source: Path, target: Path) -> int:
    frames = 0
    with av.open(source) as old, av.open(target, "w") as new:
        stream = new.add_stream("libx264", rate=25, options={"crf": "18", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for frame in old.decode(video=0):
            frame.pict_type = 0
            new.mux(stream.encode(frame))
            frames += 1
        new.mux(stream.encode(None))
    return frames


def machine() -> dict[str, str]:
    try:
        cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[1]
    except (OSError, TypeError):
        cpu = platform.processor() or platform.machine()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {
        "cpu": f"{cpu}, {torch.get_num_threads()} threads",
        "isa": _native._C.isa(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": commit,
        "command": "make bench",
        "malloc": "default",
    }


def main() -> None:
    facts = machine()
    results = {"machine": facts, "network_256": network(), "film_360p": film()}
    name = re.sub(r"[^a-z0-9]+", "-", facts["cpu"].lower()).strip("-")
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))
    print(path)


if __name__ == "__main__":
    main()
