"""What each op costs against the size of a picture and the number of pictures, and one call on a picture of one pixel.

`python -m bench.bench_size` writes bench/results/<machine>-sizes.json; bench/table.py makes a table and a plot of it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from fastcolor import ops

from . import timing
from .run import keep

SIZES = ((64, 64), (128, 128), (256, 256), (512, 512), (1080, 1920), (2160, 3840))
BATCHES = (1, 4, 16, 64)
MOST_PIXELS = 16 << 20  # of a batch: about two 4K pictures


def works(images: int, height: int, width: int, device: str) -> dict[str, Callable[[], Any]]:
    """Every op on a batch. Logits and ab are a quarter of the picture's height and width, as networks make them."""
    h, w = max(height // 4, 1), max(width // 4, 1)
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (images, height, width, 3), generator=generator, dtype=torch.uint8).to(device)
    luma = image[..., 0].contiguous()
    ab = (15 * torch.randn((images, 2, h, w), generator=generator)).to(device)
    result: dict[str, Callable[[], Any]] = {
        "rgb_to_lab": lambda: ops.rgb_to_lab(image, layout="hwc"),
        "encode_bins": lambda: ops.encode_bins(ab),
        "luma_to_input": lambda: ops.luma_to_input(luma, (h, w)),
        "paint_rgb": lambda: ops.paint_rgb(ab, luma),
        "paint_chroma": lambda: ops.paint_chroma(ab, luma, subsampling="420", matrix="bt709", full_range=False),
    }
    if images * height * width <= MOST_PIXELS // 2:  # Lab and logits take 12 and 78 bytes a picture's pixel
        lab = ops.rgb_to_lab(image, layout="hwc")
        logits = torch.randn((images, 313, h, w), generator=generator).to(device)
        wanting = logits.clone().requires_grad_()
        result |= {
            "lab_to_rgb": lambda: ops.lab_to_rgb(lab, layout="hwc"),
            "annealed_mean": lambda: ops.annealed_mean(logits),
            "rebalanced_cross_entropy, with gradient": lambda: torch.autograd.grad(
                ops.rebalanced_cross_entropy(wanting, ab), wanting
            ),
        }
    return result


def median_ms(work: Callable[[], Any], device: str) -> float:
    work()
    stop, times = time.perf_counter() + 0.15, []
    while len(times) < 3 or (time.perf_counter() < stop and len(times) < 200):
        times.append(timing.once(work, device))
    return statistics.median(times)


def sizes(device: str) -> list[dict[str, Any]]:
    rows = []
    for height, width in SIZES:
        for images in BATCHES:
            if images * height * width > MOST_PIXELS:
                continue
            for op, work in works(images, height, width, device).items():
                ms = median_ms(work, device)
                rows.append({"op": op, "images": images, "height": height, "width": width, "ms": ms})
                print(f"{op:40} {images:3} x {width}x{height}: {ms:9.3f} ms", flush=True)
    return rows


def overhead(device: str) -> dict[str, float]:
    """Microseconds of one call on one pixel, wall clock; beside them torch's own simplest call."""
    one = torch.ones(1, device=device)
    calls = {"torch: x * 2": lambda: one * 2, **works(1, 1, 1, device)}
    result = {}
    for name, work in calls.items():
        for _ in range(200):
            work()
        times = []
        for _ in range(30):
            start = time.perf_counter()
            for _ in range(100):
                work()
            times.append((time.perf_counter() - start) * 1e4)
        result[name] = statistics.median(times)
        print(f"{name:40} {result[name]:6.1f} us a call", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="default: bench/results/<machine>-sizes.json")
    options = parser.parse_args()
    timing.tune_malloc()
    torch.set_num_threads(options.threads)
    results = {
        "machine": timing.machine()
        | {"threads": options.threads, "device": options.device, "command": "python -m bench.bench_size"},
        "sizes": sizes(options.device),
        "overhead_us": overhead(options.device),
    }
    keep(results, "sizes", options.out)


if __name__ == "__main__":
    main()
