"""The instruction budget of the CUDA kernels, from their machine code for sm_90: `make gpu-budget`. Needs no GPU.

Every case below is an op of the library with data of a named shape. Its launch runs on the CPU, instruction by
instruction (tests/machine_code), and what its warps issue is counted: over all that its blocks run, divided by its
logits, pixels or chroma sites. From that follow bounds on what an H200 can reach; no time is measured. Writes
bench/results/sass-sm90.json and the table of docs/gpu.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import torch  # noqa: E402
from emulation import build  # noqa: E402
from machine_code import launches  # noqa: E402
from torch import Tensor  # noqa: E402

from fastcolor import ops  # noqa: E402
from fastcolor.ops import color, decode, encode, loss, paint, temporal  # noqa: E402

RESULTS = ROOT / "bench" / "results" / "sass-sm90.json"
PAGE = ROOT / "docs" / "gpu.md"
SLACK = 1.05  # of a budget, before it counts as exceeded

# An H200 by NVIDIA's data sheet and programming guide: 132 multiprocessors of four schedulers, each of which issues one
# instruction a clock for a warp of 32; 16 special functions a clock and multiprocessor; 4.8 TB/s. At 1.755 GHz, below
# its boost clock of 1.98.
CLOCK, MULTIPROCESSORS, ISSUED, SPECIAL, DRAM = 1.755e9, 132, 4 * 32, 16, 4.8

# Instructions a unit that a kernel may take, and what it took when they were first counted.
BUDGETS: dict[str, tuple[float, float]] = {
    "planar_decode, f32, planar": (14, 44.03),
    "planar_loss, f32, planar": (22, 64.3),
    "planar_decode_backward, f32, planar": (14, 27.45),
    "planar_decode, f32, planar, mode": (18, 44.54),
    "planar_loss, f32, planar, no gradient": (13, 37.01),
    "scale_grad_per_pixel, f32, planar": (21, 20.35),
    "scale_grad, f32, any": (8, 7.64),
    "planar_decode, f32, planar, two pixels a lane": (12, 44.03),
    "planar_decode_backward, f32, planar, two pixels a lane": (11, 27.45),
    "planar_decode, f32, planar, two pixels a lane, mode": (15, 44.54),
    "interleaved_decode, f32, rows": (15, 53.06),
    "interleaved_loss, f32, rows": (23, 53.73),
    "interleaved_decode_backward, f32, rows": (21, 32.51),
    "interleaved_decode, f32, rows, mode": (19, 47.23),
    "interleaved_loss, f32, rows, no gradient": (14, 37.58),
    "scale_grad_per_pixel, f32, rows": (26, 25.87),
    "planar_decode, bf16, planar": (16, 45.05),
    "planar_loss, bf16, planar": (26, 68.89),
    "planar_decode_backward, bf16, planar": (17, 30.34),
    "planar_decode, bf16, planar, two pixels a lane": (14, 29.39),
    "planar_loss, bf16, planar, two pixels a lane": (21, 48.9),
    "planar_decode_backward, bf16, planar, two pixels a lane": (13, 30.34),
    "interleaved_decode, bf16, rows": (16, 54.49),
    "interleaved_loss, bf16, rows": (24, 55.5),
    "interleaved_decode_backward, bf16, rows": (24, 33.53),
    "planar_decode, f16, planar": (16, 46.84),
    "planar_loss, f16, planar": (25, 65.19),
    "planar_decode_backward, f16, planar": (17, 30.34),
    "planar_decode, f16, planar, two pixels a lane": (13, 29.4),
    "planar_loss, f16, planar, two pixels a lane": (20, 46.68),
    "planar_decode_backward, f16, planar, two pixels a lane": (12, 30.34),
    "interleaved_decode, f16, rows": (16, 54.49),
    "interleaved_loss, f16, rows": (24, 55.5),
    "interleaved_decode_backward, f16, rows": (24, 33.02),
    "rgb_to_lab, u8, HWC": (68, 72.75),
    "lab_to_rgb, u8, HWC": (70, 102.75),
    "rgb_to_lab, f32, HWC": (76, 88.5),
    "lab_to_rgb, f32, HWC": (85, 92.25),
    "rgb_to_lab_backward, f32, CHW": (187, 187.75),
    "lab_to_rgb_backward, f32, CHW": (126, 127.25),
    "encode_bins, f32, 313 bins": (248, 260),
    "pixel_weight, f32, 313 bins": (107, 121),
    "luma_to_input, u8, 1080p to 256": (2128, 2414.38),
    "paint_rgb, f32, from L": (90, 215.78),
    "paint_rgb, u8, from gray": (95, 237.55),
    "paint_rgb, u16, from gray": (105, 237.55),
    "paint_rgb, u8, from RGB": (110, 249.77),
    "paint_rgb, u8, from gray, sharp edges": (117, 139.97),
    "paint_chroma, u8, 4:2:0": (200, 506.47),
    "paint_chroma, u16, 4:2:0": (213, 520.47),
    "paint_chroma, u16, 4:2:0, sharp edges": (246, 293.13),
    "block_motion, u8, 8x8, radius 6": (2527, 2527),
    "temporal_average, f32, 8x8": (221, 235),
}

BINS = 313
PIXELS = (2, 32)  # whole tiles of every kernel, as 64 x 64 pixels are
TYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
LAYOUTS = {"planar": torch.contiguous_format, "rows": torch.channels_last}


@dataclass
class Case:
    """kernel, dtype, layout: what it is called. units: how many of `unit` a call does. bytes: that one of them has to
    read and write, at the least."""

    kernel: str
    dtype: str
    layout: str
    unit: str
    units: int
    bytes: float
    call: Callable[[], object]

    @property
    def name(self) -> str:
        return f"{self.kernel}, {self.dtype}, {self.layout}"


def natural_ab(*shape: int) -> Tensor:
    """Colours as muted as those of photographs."""
    return torch.randn(1, 2, *shape) * 12


def logits_of(dtype: str, layout: str, paired: bool, pixels: tuple[int, int] = PIXELS) -> Tensor:
    """(1,313,*pixels). Not paired: it begins where a pair of pixels is not aligned."""
    values = torch.randn(1, BINS, *pixels) * 3
    if paired or layout == "rows":
        return values.to(TYPES[dtype]).contiguous(memory_format=LAYOUTS[layout])
    place = torch.empty(values.numel() + 1, dtype=TYPES[dtype])[1:].view(values.shape)
    return place.copy_(values)


def logit_cases(dtype: str, layout: str, paired: bool) -> Iterator[Case]:
    """Decoding and the loss."""
    word = {"planar": "planar", "rows": "interleaved"}[layout]
    size, count = TYPES[dtype].itemsize, BINS * PIXELS[0] * PIXELS[1]
    form = f"{layout}, two pixels a lane" if paired else layout

    def case(kernel: str, size: float, call: Callable[[Tensor], object], form: str = form) -> Case:
        return Case(kernel, dtype, form, "logit", count, size, lambda: call(logits_of(dtype, layout, paired)))

    def decoded(z: Tensor) -> None:
        ops.annealed_mean(z.requires_grad_()).sum().backward()

    def loss_of(z: Tensor) -> None:
        ops.rebalanced_cross_entropy(z.requires_grad_(), natural_ab(*PIXELS)).backward()

    yield case(f"{word}_decode", size + 8 / BINS, ops.annealed_mean)
    yield case(f"{word}_decode_backward", 2 * size + 24 / BINS, decoded)
    if dtype == "f32":
        yield case(f"{word}_decode", size + 8 / BINS, lambda z: ops.annealed_mean(z, temperature=0), f"{form}, mode")
    if dtype == "f32" and paired:
        return  # the loss takes one pixel a lane
    yield case(f"{word}_loss", 2 * size + 12 / BINS, loss_of)
    if dtype == "f32":
        yield case(f"{word}_loss", size + 12 / BINS, lambda z: ops.rebalanced_cross_entropy(z, natural_ab(*PIXELS)),
                   f"{form}, no gradient")  # fmt: skip


def scale_cases() -> Iterator[Case]:
    """Of a loss's gradient by another factor than 1: of all, or of each pixel."""
    pixels = (8, 32)  # a whole run of a warp

    def scaled(layout: str, reduction: str) -> None:
        z = logits_of("f32", layout, True, pixels).requires_grad_()
        loss = ops.rebalanced_cross_entropy(z, natural_ab(*pixels), reduction=reduction)
        (loss.sum() * 2).backward()

    count = BINS * pixels[0] * pixels[1]
    yield Case("scale_grad", "f32", "any", "logit", count, 8, lambda: scaled("planar", "mean"))
    for layout in LAYOUTS:
        yield Case("scale_grad_per_pixel", "f32", layout, "logit", count, 8, lambda o=layout: scaled(o, "none"))


def pixel_cases() -> Iterator[Case]:
    """What runs on pictures. Painted rows are 1920 pixels of 1080p, from ab of a quarter of its size."""

    def levels(*shape: int, bits: int = 8) -> Tensor:
        return torch.randint(0, 2**bits, shape).to(torch.uint8 if bits == 8 else torch.uint16)

    count = 1024
    for dtype, size, picture in (("u8", 1, levels(1, 32, 32, 3)), ("f32", 4, torch.rand(1, 32, 32, 3))):
        lab = ops.rgb_to_lab(picture, layout="hwc")
        both = 3 * size + 12
        yield Case("rgb_to_lab", dtype, "HWC", "pixel", count, both, lambda p=picture: ops.rgb_to_lab(p, layout="hwc"))
        yield Case("lab_to_rgb", dtype, "HWC", "pixel", count, both,
                   lambda z=lab, d=picture.dtype: ops.lab_to_rgb(z, dtype=d, layout="hwc"))  # fmt: skip

    def backward(name: str) -> None:
        leaf = (torch.rand(1, 3, 32, 32) * (1 if name == "rgb_to_lab" else 50)).requires_grad_()
        getattr(ops, name)(leaf, **({} if name == "rgb_to_lab" else {"dtype": torch.float32})).sum().backward()

    for name in ("rgb_to_lab", "lab_to_rgb"):
        yield Case(f"{name}_backward", "f32", "CHW", "pixel", count, 36, lambda n=name: backward(n))

    ab = natural_ab(32, 32)
    yield Case("encode_bins", "f32", "313 bins", "pixel", count, 48, lambda: ops.encode_bins(ab))
    weight = torch.rand(BINS)
    yield Case("pixel_weight", "f32", "313 bins", "pixel", count, 12, lambda: ops.rebalanced_cross_entropy(
        torch.zeros(1, BINS, 32, 32), ab, class_weight=weight, reduction="weighted_mean"))  # fmt: skip

    yield Case("luma_to_input", "u8", "1080p to 256", "pixel", 4 * 256, 1920 * 1080 / 256**2 + 4,
               lambda: ops.luma_to_input(levels(1, 17, 1920), (4, 256)))  # fmt: skip
    quarter, count = natural_ab(2, 480), 2 * 1920
    sources = {
        ("f32", "from L"): torch.rand(1, 1, 2, 1920) * 100,
        ("u8", "from gray"): levels(1, 2, 1920),
        ("u16", "from gray"): levels(1, 2, 1920, bits=16),
        ("u8", "from RGB"): levels(1, 2, 1920, 3),
    }
    for (dtype, form), source in sources.items():
        each = source.itemsize * (3 if source.shape[-1] == 3 else 1) + 3 + 0.5
        yield Case("paint_rgb", dtype, form, "pixel", count, each, lambda s=source: ops.paint_rgb(quarter, s))
    guide = torch.rand(1, 1, 2, 480) * 100
    yield Case("paint_rgb", "u8", "from gray, sharp edges", "pixel", count, 4 + 1.25,
               lambda: ops.paint_rgb(quarter, sources["u8", "from gray"], guide=guide))  # fmt: skip
    for dtype, bits in (("u8", 8), ("u16", 10)):
        luma = levels(1, 2, 1920, bits=bits)
        film = {"subsampling": "420", "matrix": "bt709", "full_range": False, "bits": bits}
        yield Case("paint_chroma", dtype, "4:2:0", "site", count // 4, 6 * luma.itemsize + 2,
                   lambda y=luma, o=film: ops.paint_chroma(quarter, y, **o))  # fmt: skip
    yield Case("paint_chroma", "u16", "4:2:0, sharp edges", "site", count // 4, 12 + 5,
               lambda: ops.paint_chroma(quarter, luma, **film, guide=guide))  # fmt: skip

    luma, previous, former, keep = levels(1, 16, 64), levels(1, 16, 64), natural_ab(16, 64), torch.tensor([0.9])
    yield Case("block_motion", "u8", "8x8, radius 6", "pixel", 1024, 2 + 12 / 64,
               lambda: ops.block_motion(luma, previous, radius=6))  # fmt: skip
    motion = torch.zeros(1, 2, 2, 8, dtype=torch.int32)
    yield Case("temporal_average", "f32", "8x8", "pixel", 1024, 26 + 8 / 64, lambda: ops.temporal_average(
        natural_ab(16, 64), luma, former, previous, motion, keep=keep))  # fmt: skip


def cases() -> Iterator[Case]:
    for dtype in TYPES:
        yield from logit_cases(dtype, "planar", paired=False)
        yield from logit_cases(dtype, "planar", paired=True)
        yield from logit_cases(dtype, "rows", paired=False)
    yield from scale_cases()
    yield from pixel_cases()


def launch_of(case: Case) -> launches.Launched:
    """Its one launch, carried out."""
    torch.manual_seed(0)
    extension = build.load()
    modules = (color, decode, encode, loss, paint, temporal)
    kept = [(module, module._C, module.target) for module in modules]
    try:
        for module in modules:
            module._C, module.target = extension, lambda tensor: (0, 0, 1)
        with launches.launches(extension, f"{case.kernel}_kernel") as done:
            case.call()
    finally:
        for module, library, target in kept:
            module._C, module.target = library, target
    (launch,) = done
    return launch


def count_of(case: Case) -> dict[str, Any]:
    """The row of a case: what its launch issued, and the bounds that follow."""
    launch = launch_of(case)
    instructions = sum(launch.issued.values()) * 32 / case.units
    special = launch.issued["MUFU"] * 32 / case.units
    second = CLOCK * MULTIPROCESSORS * case.bytes / 1e12
    bounds = {"issue": ISSUED / instructions * second, "DRAM": DRAM}
    if special:
        bounds["MUFU"] = SPECIAL / special * second
    binding = min(bounds, key=lambda name: bounds[name])
    budget, first = BUDGETS.get(case.name, (None, None))
    return {
        "kernel": case.kernel,
        "dtype": case.dtype,
        "layout": case.layout,
        "unit": case.unit,
        "instructions": round(instructions, 2),
        "before": first,
        "budget": budget,
        "mufu": round(special, 2),
        "bytes": round(case.bytes, 2),
        "registers": launch.registers,
        "shared_bytes": launch.shared_bytes,
        "spills": launch.spills,
        "warps": warps_of(launch),
        "issue_tb_s": round(bounds["issue"], 2),
        "bound_tb_s": round(bounds[binding], 2),
        "bound_by": binding,
    }


def warps_of(launch: launches.Launched) -> int:
    """That a multiprocessor holds at once, of 64: by registers (65536, given out in 256 a warp) and shared memory
    (228 KB, of which every block takes 1 KB more than it asks for)."""
    warps = launch.threads // 32
    by_registers = 65536 // (-(-launch.registers * 32 // 256) * 256) // warps
    by_shared = (228 << 10) // (launch.shared_bytes + 1024)
    return warps * min(64 // warps, by_registers, by_shared, 32)


def sources_digest() -> str:
    """Of all that the counts follow from but the compiler."""
    kinds = ("*.h", "math/*.h", "cuda/*.cuh", "cuda/*.cu")
    return build.digest(*(path.read_bytes() for kind in kinds for path in sorted(build.CSRC.glob(kind))))


def table(rows: list[dict[str, Any]]) -> str:
    head = "kernel|instructions|at first|budget|MUFU|bytes|registers|warps of 64|issue bound|bound"
    lines = [f"| {head.replace('|', ' | ')} |", "| --- |" + " ---: |" * head.count("|")]
    for row in rows:
        shared = f"; {row['shared_bytes'] / 1024:.0f} KB" if row["shared_bytes"] else ""
        cells = [f"{row['kernel']} {row['dtype']}, {row['layout']}", f"**{row['instructions']:.1f}** / {row['unit']}",
                 f"{row['before']:.1f}", f"{row['budget']:g}", f"{row['mufu']:.2f}", f"{row['bytes']:.1f}",
                 f"{row['registers']}{shared}", str(row["warps"]), f"{row['issue_tb_s']:.1f}",
                 f"{row['bound_tb_s']:.1f} ({row['bound_by']})"]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    if lacks := launches.missing():
        sys.exit(f"the budget of the kernels needs {lacks}")
    rows = []
    for case in cases():
        row = count_of(case)
        rows.append(row)
        over = row["budget"] is None or row["instructions"] > SLACK * row["budget"]
        budget = f"{row['instructions']:7.2f} of {row['budget']} (at first {row['before']})"
        sizes = f"{row['registers']:3} registers, {row['warps']} warps, {row['spills']} B spilled"
        bound = f"{row['bound_tb_s']:5.2f} TB/s by {row['bound_by']}{'  OVER' if over else ''}"
        print(f"{case.name:50} {budget}  MUFU {row['mufu']:5.2f}  {sizes}  {bound}", flush=True)
    made_of = {"sources": sources_digest(), "nvcc": launches.nvcc_version()}
    RESULTS.write_text("[\n" + ",\n".join(json.dumps(row | made_of) for row in rows) + "\n]\n")
    begin, end = "<!-- budget: written by bench/sass.py -->\n", "<!-- end of budget -->"
    before, _, rest = PAGE.read_text().partition(begin)
    PAGE.write_text(before + begin + table(rows) + "\n" + end + rest.partition(end)[2])
    sys.exit(any(row["budget"] is None or row["instructions"] > SLACK * row["budget"] or row["spills"] for row in rows))


if __name__ == "__main__":
    main()
