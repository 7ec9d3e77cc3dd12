"""What the emulated kernels launch, where, and that the emulation itself finds faults."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import torch
from emulated_ops import DTYPES, LAYOUTS, MARKS, logits_of
from emulation import build
from op_results import plane

from fastcolor import Palette, ops
from fastcolor.ops import color, decode, encode, loss, paint, temporal
from fastcolor.ops._register import on_device_of_tensors

pytestmark = MARKS


def launches(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def run_everything(size: tuple[int, int], n: int = 2) -> None:
    """Every op, forward and backward, every dtype and layout."""
    ab, luma = torch.randn(n, 2, *size) * 40, plane(*size, 8)[:n]
    for dtype in DTYPES:
        for memory in LAYOUTS:
            logits = logits_of(size, dtype, memory, n=n).requires_grad_()
            for reduction in ("weighted_mean", "none"):
                per_pixel = ops.rebalanced_cross_entropy(logits, ab, reduction=reduction)
                (per_pixel.sum() * 2).backward()
            for temperature in (0, 0.38):
                ops.annealed_mean(logits, temperature=temperature).sum().backward()
    for dtype in (torch.uint8, torch.float32, torch.float64):
        image = torch.rand(n, 3, *size) if dtype != torch.uint8 else torch.zeros(n, 3, *size)
        image = image.to(dtype).requires_grad_(dtype != torch.uint8)
        lab = ops.rgb_to_lab(image)
        rgb = ops.lab_to_rgb(lab, dtype=dtype)
        if dtype != torch.uint8:
            rgb.sum().backward()
    ops.encode_bins(ab)
    small = ab[..., :1, :1]
    for guide in (None, small[:, :1]):
        for source in (ab[:, :1] + 50, luma[..., None].expand(-1, -1, -1, 3), luma, luma.to(torch.uint16)):
            ops.paint_rgb(small, source, guide=guide)
        for film in (luma, luma.to(torch.uint16)):
            ops.paint_chroma(small, film, subsampling="420", matrix="bt709", full_range=False, guide=guide)
    for film in (luma, luma.to(torch.uint16)):
        ops.luma_to_input(film, (3, 4))
    motion, _ = ops.block_motion(luma, luma, radius=2)
    ops.temporal_average(ab, luma, ab, luma, motion)


def test_every_kernel_and_every_instance_of_it_runs(
    extension: ModuleType, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_everything((3, 5))
    run_everything((2, 4))
    monkeypatch.setenv("FASTCOLOR_EMULATION_SHARED", str(16 << 10))  # too little to keep a tile of logits
    run_everything((3, 5))
    run_everything((2, 4))
    run = {int(line.split()[1], 16) for line in launches(log) if line.startswith("launch")}
    symbols = subprocess.run(["nm", "-C", extension.__file__], capture_output=True, text=True, check=True).stdout
    kernels = {}
    for line in symbols.splitlines():
        match = re.match(r"([0-9a-f]+) \w (?:void )?fastcolor::cuda::\(anonymous namespace\)::(\w+_kernel\b.*)", line)
        if match and "lambda" not in line and "[clone" not in line:
            kernels[int(match[1], 16)] = match[2]
    assert len(kernels) > 60
    assert not {name for address, name in kernels.items() if address not in run}


def test_empty_inputs_launch_nothing(log: Path) -> None:
    run_everything((3, 5), n=0)
    logits = torch.zeros(2, 313, 0, 4, requires_grad=True)
    ab = ops.annealed_mean(logits)
    (ops.rebalanced_cross_entropy(logits, ab.detach(), reduction="none") * 2).sum().backward()
    ops.encode_bins(ab.detach())
    ops.lab_to_rgb(ops.rgb_to_lab(torch.zeros(3, 5, 0)))
    assert launches(log) == []


def test_stream_and_device(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A launch goes to its tensor's device and the current stream, and leaves the current device as it was."""
    for module in (color, encode, loss, decode, paint, temporal):
        monkeypatch.setattr(module, "target", lambda tensor: (1, 0x5EED, 1))
    run_everything((2, 4))
    lines = [line for line in launches(log) if not line.startswith("most shared memory")]
    assert len(lines) > 60 and len(lines) % 3 == 0
    for before, launch, after in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        assert before == "device 1" and launch.endswith("device 1 stream 5eed") and after == "device 0"


def test_an_op_runs_with_its_own_gpu_current(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's guard stands around it, which opens no context where there was none; the library's own has nothing to
    restore. Torch is stood in for by what notes who comes and goes."""
    seen: list[object] = []

    @contextmanager
    def device(which: torch.device) -> Iterator[None]:
        seen.append(which)
        yield
        seen.append("left")

    monkeypatch.setattr(torch.cuda, "device", device)
    run = on_device_of_tensors(lambda palette, x: seen.append("run") or x + 1)
    assert float(run("key", torch.zeros(()))) == 1
    assert seen == [torch.device("cpu"), "run", "left"]


def test_no_launch_lowers_what_another_needs(log: Path) -> None:
    """The limit of shared memory is the kernel's: launches of two threads, with palettes of two sizes, share it."""
    for bins in (600, 440):
        palette = Palette(torch.randn(bins, 2) * 40)
        ops.rebalanced_cross_entropy(torch.randn(1, bins, 1, 32), torch.randn(1, 2, 1, 32) * 40, palette=palette)
    limits = [int(line.split()[-1]) for line in launches(log) if line.startswith("most shared memory")]
    assert limits == [227 << 10] * 2


def test_a_failed_launch_throws_where_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "target", lambda tensor: (7, 0, 1))
    with pytest.raises(RuntimeError, match=r"encode\.cu:\d+: emulation: no such device"):
        ops.encode_bins(torch.zeros(1, 2, 4, 4))


@pytest.mark.builds("sanitized extension")
@pytest.mark.skipif(build.SANITIZE in os.environ, reason="all of this run is sanitized")
def test_no_kernel_leaves_its_memory(pytestconfig: pytest.Config) -> None:
    """Every instance of every kernel once more, under AddressSanitizer and UBSan. .ci/sanitize runs all tests so."""
    runtimes = build.sanitizer_runtimes()
    if runtimes is None:
        pytest.skip(f"{build.COMPILER} has no sanitizers")
    environment = {
        **os.environ,
        build.SANITIZE: build.SANITIZERS,
        "LD_PRELOAD": runtimes,
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "halt_on_error=1",
    }
    command = [sys.executable, "-m", "pytest", "-q", f"{__file__}::test_every_kernel_and_every_instance_of_it_runs"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, cwd=pytestconfig.rootpath
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]


FAULTS = {
    "none": "right",
    "missing_barrier": "NaN",
    "race_in_one_order": "NaN",
    "divergent_barrier": r"faults\.cu:\d+: .*threads wait at different barriers or shuffles, block 0",
    "return_before_barrier": "a barrier that threads which have returned never reach",
    "divergent_shuffle": "threads wait at different barriers or shuffles",
    "shared_overrun": "shared memory was written out of bounds",
    "uninitialised": "NaN",
}
SANITIZED_FAULTS = {
    "none": "right",
    "race_in_one_order": "NaN",
    "shared_overrun": "AddressSanitizer: use-after-poison",
    "global_overrun": "AddressSanitizer: heap-buffer-overflow",
}


@pytest.mark.parametrize(
    "sanitize",
    [
        pytest.param(False, marks=pytest.mark.builds("faults")),
        pytest.param(True, marks=pytest.mark.builds("sanitized faults")),
    ],
)
def test_planted_faults_are_caught(sanitize: bool) -> None:
    program = build.faults(build.SANITIZERS if sanitize else "")

    def words(fault: str, seed: str) -> str:
        environment = {**os.environ, "FASTCOLOR_EMULATION_SEED": seed}
        done = subprocess.run([program, fault], capture_output=True, text=True, check=False, env=environment)
        assert (done.returncode == 0) == ("right" in done.stdout)
        return done.stdout + done.stderr

    for fault, expected in (SANITIZED_FAULTS if sanitize else FAULTS).items():
        for seed in ("1", "2"):
            assert re.search(expected, words(fault, seed)), fault
    assert "right" in words("race_in_one_order", "")  # one order of threads hides it: why the order is shuffled
