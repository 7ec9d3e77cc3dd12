"""Every op of fastcolor, forward and backward, in every dtype and layout, on inputs that depend on nothing else.

Run as a program, it saves the results to the file that is named: that is how other processes are compared.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from fastcolor import Palette, ops

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
LAYOUTS = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}
Run = Callable[[], list[Tensor]]


def every_op(height: int, width: int, bins: int = 313, dtypes: tuple[torch.dtype, ...] = FLOATS) -> dict[str, Run]:
    """Name -> a call that returns its results, gradients included. An odd number of pixels leaves a rest anywhere."""
    generator = torch.Generator().manual_seed(0)
    random = functools.partial(torch.randn, generator=generator)

    def codes(*shape: int, bits: int = 8, dtype: torch.dtype = torch.uint8) -> Tensor:
        return torch.randint(0, 2**bits, shape, generator=generator, dtype=torch.int32).to(dtype)

    n = 2
    palette = Palette.grid() if bins == 313 else Palette(random(bins, 2) * 40)
    ab = random(n, 2, height, width) * 40
    small = random(n, 2, 5, 9) * 30
    rgb, gray, previous = codes(n, 3, height, width), codes(n, height, width), codes(n, height, width)
    film = codes(n, height, width, bits=10, dtype=torch.uint16)
    motion = torch.randint(-3, 4, (n, 2, -(-height // 8), -(-width // 8)), generator=generator, dtype=torch.int32)
    mask, class_weight = random(n, height, width) > -1, torch.rand(bins, generator=generator) + 0.5
    works: dict[str, Run] = {}

    def add(
        name: str, function: Callable[..., Tensor | tuple[Tensor, ...]], *inputs: Tensor, **options: object
    ) -> None:
        def work() -> list[Tensor]:
            results = function(*inputs, **options)
            return list(results) if isinstance(results, tuple) else [results]

        works[name] = work

    def add_with_gradient(name: str, function: Callable[..., Tensor], leaf: Tensor, **options: object) -> None:
        def work() -> list[Tensor]:
            variable = leaf.detach().requires_grad_()
            result = function(variable * 1 if options.get("inplace") else variable, **options)
            upstream = torch.linspace(0.5, 1.5, max(result.numel(), 1)).to(result.dtype)[: result.numel()]
            return [result.detach(), torch.autograd.grad(result, variable, upstream.view(result.shape))[0]]

        works[name] = work

    for layout in ("chw", "hwc"):
        image = rgb if layout == "chw" else rgb.movedim(1, -1).contiguous()
        add(f"rgb_to_lab uint8 {layout}", ops.rgb_to_lab, image, layout=layout)
        lab = ops.rgb_to_lab(image.double() * 0.9 / 255 + 0.05, layout=layout)
        for gamut in ("clip", "chroma"):
            add(f"lab_to_rgb uint8 {layout} {gamut}", ops.lab_to_rgb, lab.float(), layout=layout, gamut=gamut)
        for dtype in dtypes:
            name = f"{str(dtype).removeprefix('torch.')} {layout}"
            unit = (image.double() / 255).to(dtype)
            add_with_gradient(f"rgb_to_lab {name}", ops.rgb_to_lab, unit, layout=layout)
            add_with_gradient(f"lab_to_rgb {name}", ops.lab_to_rgb, lab.to(dtype), layout=layout, dtype=dtype)
    for neighbours in (1, 5, 16 if bins >= 16 else 8):
        add(f"encode_bins {neighbours}", ops.encode_bins, ab, palette, neighbours=neighbours)
    volume = random(n, bins, height, width) * 3
    for dtype in dtypes:
        for layout, memory in LAYOUTS.items():
            name = f"{str(dtype).removeprefix('torch.')} {layout}"
            logits = volume.to(dtype).contiguous(memory_format=memory)
            options = {"ab": ab, "palette": palette}
            loss = functools.partial(add_with_gradient, function=ops.rebalanced_cross_entropy, leaf=logits, **options)
            loss(f"loss {name}")
            loss(f"loss in place {name}", inplace=True, class_weight=class_weight, reduction="weighted_mean")
            loss(f"loss each {name}", reduction="none", mask=mask, gamma=2.0)
            for temperature in (0.0, 0.38):
                decode = functools.partial(ops.annealed_mean, palette=palette, temperature=temperature)
                add_with_gradient(f"decode {temperature} {name}", decode, logits)
    sources = {"lightness": ab[:, :1] + 50, "picture": rgb.movedim(1, -1).contiguous(), "gray": gray, "gray16": film}
    for kind, source in sources.items():
        for gamut in ("clip", "chroma"):
            add(f"paint_rgb {kind} {gamut}", ops.paint_rgb, small, source, gamut=gamut)
            add(f"paint_rgb sharp {kind} {gamut}", ops.paint_rgb, small, source, gamut=gamut, guide=small[:, :1] + 50)
    for bits, luma in ((8, gray), (10, film)):
        for full_range in (True, False):
            add(f"luma_to_input {bits} {full_range}", ops.luma_to_input, luma, size=(17, 31), full_range=full_range,
                bits=bits)  # fmt: skip
        for subsampling in ("420", "422", "444"):
            for siting in ("left", "center"):
                add(f"paint_chroma {bits} {subsampling} {siting}", ops.paint_chroma, small, luma, bits=bits,
                    subsampling=subsampling, siting=siting, matrix="bt709", full_range=False)  # fmt: skip
        add(f"paint_chroma sharp {bits}", ops.paint_chroma, small, luma, bits=bits, subsampling="420", matrix="bt709",
            full_range=False, guide=small[:, :1] + 50)  # fmt: skip
    add("block_motion", ops.block_motion, gray, previous)
    add("temporal_average", ops.temporal_average, ab, gray, ab.flip(0), previous, motion)
    return works


def results(height: int, width: int, bins: int = 313) -> Iterator[tuple[str, Tensor]]:
    for name, work in every_op(height, width, bins).items():
        for i, tensor in enumerate(work()):
            yield f"{name} [{i}]", tensor


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.save({f"{bins} {name}": tensor for bins in (313, 21) for name, tensor in results(19, 29, bins)}, sys.argv[1])
