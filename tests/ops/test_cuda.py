"""What only a GPU shows: streams, graphs, no waiting, memory, sizes beyond 2^31; and every kernel at small odd sizes.

The small sizes are what compute-sanitizer runs (`make gpu`). They are held against the CPU's kernels, so that the GPU
runs no kernels but ours.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fastcolor import Palette, ops

LONG = 200_000_000  # cycles: about a tenth of a second, in which a GPU is busy and the host can look
BOUND = {torch.float64: 1e-5, torch.float32: 5e-4, torch.float16: 2e-3, torch.bfloat16: 1e-2}  # of the largest value
DTYPES = tuple(BOUND)
SIZES = [(1, 1), (3, 5), (4, 16), (9, 33)]

Results = dict[str, Tensor]


def normal(device: torch.device, *shape: int, scale: float = 1.0) -> Tensor:
    return (torch.randn(shape) * scale).to(device)


def codes(device: torch.device, *shape: int, dtype: torch.dtype = torch.uint8) -> Tensor:
    return torch.randint(0, 256 if dtype == torch.uint8 else 1024, shape).to(dtype).to(device)


def with_gradient(name: str, results: Results, call: Callable[[Tensor], Tensor], leaf: Tensor) -> None:
    leaf.requires_grad_()
    out = call(leaf)
    results[name] = out.detach()
    upstream = (torch.arange(out.numel(), device=out.device) % 7 + 0.5).to(out.dtype).view(out.shape)
    results[f"{name}, gradient"] = torch.autograd.grad(out, leaf, upstream)[0]


def run_color(device: torch.device, size: tuple[int, int]) -> Results:
    results: Results = {}
    for dtype in (torch.float32, torch.float64):
        for layout, shape in (("chw", (2, 3, *size)), ("hwc", (2, *size, 3))):
            image = torch.rand(shape, dtype=dtype).to(device)
            with_gradient(
                f"rgb_to_lab {layout} {dtype}", results, lambda x, o=layout: ops.rgb_to_lab(x, layout=o), image
            )
            lab = ops.rgb_to_lab(image.detach(), layout=layout)
            results[f"chroma {layout} {dtype}"] = ops.lab_to_rgb(lab * 1.5, dtype=dtype, layout=layout, gamut="chroma")
            with_gradient(
                f"lab_to_rgb {layout} {dtype}",
                results,
                lambda x, o=layout, d=dtype: ops.lab_to_rgb(x, dtype=d, layout=o),
                lab,
            )
    lab = ops.rgb_to_lab(codes(device, 2, *size, 3), layout="hwc")
    results |= {"u8": lab, "to u8": ops.lab_to_rgb(lab), "u8 chroma": ops.lab_to_rgb(lab * 1.5, gamut="chroma")}
    return results


def run_encode(device: torch.device, size: tuple[int, int]) -> Results:
    ab, palette = normal(device, 2, 2, *size, scale=40), Palette(torch.randn(100, 2) * 40)
    results: Results = {}
    for name, chosen, neighbours in (("lattice", None, 5), ("table", None, 10), ("palette", palette, 5)):
        encoded = ops.encode_bins(ab, chosen, neighbours=neighbours)
        results |= {f"{name} index": encoded[0], f"{name} weight": encoded[1]}
    return results


def run_loss(device: torch.device, size: tuple[int, int]) -> Results:
    results: Results = {}
    ab, weight = normal(device, 2, 2, *size, scale=40), (torch.rand(313) + 0.5).to(device)
    mask = (torch.arange(2 * size[0] * size[1]) % 3 > 0).view(2, *size).to(device)
    for dtype in DTYPES:
        for memory in (torch.contiguous_format, torch.channels_last):
            logits = normal(device, 2, 313, *size, scale=3).to(dtype).contiguous(memory_format=memory)
            for reduction, options in (
                ("none", {"gamma": 2.0}),
                ("mean", {"inplace": True}),
                ("sum", {}),
                ("weighted_mean", {"class_weight": weight, "mask": mask}),
            ):
                if reduction == "weighted_mean" and not bool(mask.any()):
                    continue
                with_gradient(
                    f"{reduction} {dtype} {memory}",
                    results,
                    lambda z, r=reduction, o=options: ops.rebalanced_cross_entropy(z * 1, ab, reduction=r, **o),
                    logits.detach().clone(memory_format=torch.preserve_format),
                )
    palette = Palette(torch.randn(600, 2) * 40)  # more bins than shared memory holds in float64
    logits = normal(device, 2, 600, *size).double()
    with_gradient("600 bins", results, lambda z: ops.rebalanced_cross_entropy(z, ab, palette=palette), logits)
    return results


def run_decode(device: torch.device, size: tuple[int, int]) -> Results:
    results: Results = {}
    for dtype in DTYPES:
        for memory in (torch.contiguous_format, torch.channels_last):
            for temperature in (0, 0.38):
                logits = normal(device, 2, 313, *size, scale=3).to(dtype).contiguous(memory_format=memory)
                with_gradient(
                    f"{temperature} {dtype} {memory}",
                    results,
                    lambda z, t=temperature: ops.annealed_mean(z, temperature=t),
                    logits,
                )
    return results


def run_paint(device: torch.device, size: tuple[int, int]) -> Results:
    results: Results = {}
    ab, large = normal(device, 2, 2, *size, scale=30), (3 * size[0] + 1, 4 * size[1])
    for dtype, bits in ((torch.uint8, 8), (torch.uint16, 10)):
        luma = codes(device, 2, *large, dtype=dtype)
        results[f"luma {bits}"] = ops.luma_to_input(luma, size, bits=bits)
        results[f"gray {bits}"] = ops.paint_rgb(ab, luma)
        for subsampling in ("420", "422", "444"):
            planes = ops.paint_chroma(
                ab, luma, subsampling=subsampling, matrix="bt709", full_range=False, siting="left", bits=bits
            )
            results |= {f"{subsampling} {bits} {name}": plane for name, plane in zip("br", planes, strict=True)}
    results["picture"] = ops.paint_rgb(ab, codes(device, 2, *large, 3), gamut="chroma")
    results["lightness"] = ops.paint_rgb(ab, (torch.rand(2, 1, *large) * 100).to(device))
    return results


def run_temporal(device: torch.device, size: tuple[int, int]) -> Results:
    luma, previous = codes(device, 2, *size), codes(device, 2, *size)
    ab, before = normal(device, 2, 2, *size, scale=40), normal(device, 2, 2, *size, scale=40)
    motion, error = ops.block_motion(luma, previous)
    return {"motion": motion, "error": error, "average": ops.temporal_average(ab, luma, before, previous, motion)}


FAMILIES = {
    "color": run_color,
    "encode": run_encode,
    "loss": run_loss,
    "decode": run_decode,
    "paint": run_paint,
    "temporal": run_temporal,
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_kernel_agrees_with_the_cpu(cuda: torch.device, family: str, size: tuple[int, int]) -> None:
    torch.manual_seed(1)
    expected = FAMILIES[family](torch.device("cpu"), size)
    torch.manual_seed(1)
    ours = {name: result.cpu() for name, result in FAMILIES[family](cuda, size).items()}
    assert ours.keys() == expected.keys()
    for name, result in ours.items():
        other = expected[name]
        assert result.shape == other.shape and result.dtype == other.dtype, name
        apart = float((result.double() - other.double()).abs().max())
        if result.dtype == torch.int32:
            assert apart == 0, name
        elif name.startswith("chroma"):
            assert apart <= 3 / 255, (name, apart)  # halving steps may land on either side of the gamut's edge
        elif result.is_floating_point():
            assert apart <= BOUND[result.dtype] * max(float(other.abs().max()), 1e-3), (name, apart)
        else:
            assert apart <= 3, (name, apart)  # levels; see tests/ops/test_paint.py


def calls(device: torch.device) -> dict[str, tuple[Tensor, Callable[[Tensor], Tensor]]]:
    """Every op as it is used: name -> (its input, a function of it). Nothing is made but by the op."""
    logits, ab = normal(device, 2, 313, 32, 32), normal(device, 2, 2, 32, 32, scale=40)
    luma, previous = codes(device, 1, 128, 160), codes(device, 1, 128, 160)
    frame_ab = normal(device, 1, 2, 128, 160, scale=40)
    film = {"subsampling": "420", "matrix": "bt709", "full_range": False}

    def gradient(z: Tensor) -> Tensor:
        z = z.detach().requires_grad_()
        return torch.autograd.grad(ops.rebalanced_cross_entropy(z, ab), z)[0]

    return {
        "rgb_to_lab": (codes(device, 1, 256, 256, 3), lambda x: ops.rgb_to_lab(x, layout="hwc")),
        "lab_to_rgb": (normal(device, 1, 3, 64, 64, scale=30), ops.lab_to_rgb),
        "encode_bins": (ab, lambda x: ops.encode_bins(x)[1]),
        "loss": (logits, gradient),
        "annealed_mean": (logits, ops.annealed_mean),
        "luma_to_input": (luma, lambda y: ops.luma_to_input(y, (32, 64))),
        "paint_rgb": (luma, lambda y: ops.paint_rgb(ab[:1], y)),
        "paint_chroma": (luma, lambda y: ops.paint_chroma(ab[:1], y, **film)[0]),
        "block_motion": (luma, lambda y: ops.block_motion(y, previous)[0]),
        "temporal_average": (frame_ab, lambda x: ops.temporal_average(x, luma, frame_ab, previous)),
    }


def other_than(value: Tensor) -> Tensor:
    return 255 - value if value.dtype == torch.uint8 else value.flip(0) * -0.5


@pytest.mark.parametrize("name", list(calls(torch.device("cpu"))))
def test_runs_on_the_current_stream_and_waits_for_nothing(cuda: torch.device, name: str) -> None:
    """The input arrives late on a stream of its own. On another stream the op would miss it; an op that waited would
    return when the stream is done."""
    value, call = calls(cuda)[name]
    wanted = other_than(value)
    expected = call(wanted)  # also fills the tables that are uploaded once
    late = value.clone()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        call(late)  # so that this stream has memory of its own
        torch.cuda.synchronize()
        torch.cuda._sleep(LONG)
        late.copy_(wanted)
        result = call(late)
        waited = side.query()
    side.synchronize()
    assert not waited, "the op waited for the GPU"
    assert torch.equal(result, expected) and not torch.equal(result, call(value))


@pytest.mark.parametrize("name", list(calls(torch.device("cpu"))))
def test_is_captured_in_a_graph(cuda: torch.device, name: str) -> None:
    value, call = calls(cuda)[name]
    static, wanted = value.clone(), other_than(value)
    expected = call(wanted)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        call(static)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = call(static)
    for given, right in ((wanted, expected), (value, call(value)), (wanted, expected)):
        static.copy_(given)
        graph.replay()
        torch.cuda.synchronize()
        assert torch.equal(result, right)


def test_two_threads_on_two_streams(cuda: torch.device) -> None:
    work = [calls(cuda)["loss"] for _ in range(2)]
    expected = [call(value) for value, call in work]
    torch.cuda.synchronize()
    failures: list[object] = []

    def loop(i: int) -> None:
        value, call = work[i]
        try:
            with torch.cuda.stream(torch.cuda.Stream()):
                for _ in range(50):
                    if not torch.equal(call(value), expected[i]):
                        failures.append(i)
        except RuntimeError as error:
            failures.append(error)

    threads = [threading.Thread(target=loop, args=(i,)) for i in range(2)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not failures


def test_peak_memory(cuda: torch.device) -> None:
    """Beside 82 MB of logits: the loss makes its gradient alone, in place not that, and decoding next to nothing."""
    logits, ab = normal(cuda, 16, 313, 64, 64).requires_grad_(), normal(cuda, 16, 2, 64, 64, scale=40)
    size = logits.numel() * 4

    def extra(work: Callable[[], object]) -> float:
        work()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_stats()["requested_bytes.all.current"]
        work()
        return (torch.cuda.memory_stats()["requested_bytes.all.peak"] - before) / size

    def loss(inplace: bool) -> Tensor:
        return torch.autograd.grad(ops.rebalanced_cross_entropy(logits, ab, inplace=inplace), logits)[0]

    assert extra(lambda: loss(False)) < 1.01
    assert extra(lambda: ops.annealed_mean(logits.detach())) < 0.02
    assert extra(lambda: loss(True)) < 0.01


def test_more_than_two_billion_logits(cuda: torch.device) -> None:
    """Decoding (1, 313, 2200, 3200) bfloat16, 4.4 GB, in both layouts: an index of 32 bits would wrap."""
    if torch.cuda.get_device_properties(cuda).total_memory < 12e9:
        pytest.skip("needs a GPU of 12 GB")
    for memory in (torch.contiguous_format, torch.channels_last):
        logits = torch.empty(1, 313, 2200, 3200, dtype=torch.bfloat16, device=cuda, memory_format=memory).zero_()
        logits[0, 120, -1, -1] = 60
        ab = ops.annealed_mean(logits)
        points = Palette.grid().points.to(cuda)
        assert torch.allclose(ab[0, :, -1, -1], points[120], atol=1e-3)
        assert torch.allclose(ab[0, :, -1, -2], points.mean(0), atol=1e-2)
        del logits, ab


def test_the_current_device_stays(cuda: torch.device) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    torch.cuda.set_device(0)
    lab = ops.rgb_to_lab(torch.zeros(3, 8, 8, dtype=torch.uint8, device="cuda:1"))
    assert torch.cuda.current_device() == 0 and lab.device.index == 1 and not lab.any()
