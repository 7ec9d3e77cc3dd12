"""The package as a whole: what importing it costs and drags in, and every instruction set of its kernels."""

from __future__ import annotations

import doctest
import importlib
import json
import os
import subprocess
import sys

import pytest

import fastcolor
from fastcolor import _native


def python(code: str, **environment: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_import_adds_under_a_second_and_pulls_in_nothing_heavy() -> None:
    code = """
import json, sys, time, numpy, PIL.Image, torch
before, start = set(sys.modules), time.perf_counter()
import fastcolor, fastcolor.ops
print(json.dumps([time.perf_counter() - start, sorted({m.split(".")[0] for m in set(sys.modules) - before})]))
"""
    seconds, modules = json.loads(python(code))
    assert seconds < 1
    heavy = {"av", "cv2", "onnx", "onnxruntime", "tensorrt", "tyro", "tqdm", "fastapi", "ray", "skimage", "scipy"}
    assert not heavy & set(modules)


def test_import_takes_no_gpu() -> None:
    assert python("import fastcolor, fastcolor.ops, torch; print(torch.cuda.is_initialized())").strip() == "False"


def test_public_names_stay_functions_after_their_modules_are_imported() -> None:
    for name in ("colorize", "evaluate", "train", "video"):
        importlib.import_module(f"fastcolor.{name}")
        assert callable(getattr(fastcolor, name))
    assert set(fastcolor.__all__) <= set(dir(fastcolor))


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_gives_the_same(isa: str) -> None:
    code = """
import torch
from fastcolor import _native, ops, reference
torch.manual_seed(0)
rgb = torch.randint(0, 256, (2, 3, 65, 67), dtype=torch.uint8)
lab = ops.rgb_to_lab(rgb)
assert torch.equal(ops.lab_to_rgb(lab), rgb)
assert torch.allclose(lab.double(), reference.rgb_to_lab(rgb.double() / 255), atol=2e-3)
side = torch.arange(-240, 241) / 2
ab = torch.stack(torch.meshgrid(side, side[::7], indexing="ij"))[None]
assert torch.equal(ops.encode_bins(ab)[0], reference.encode_bins(ab)[0])
for dtype, error in ((torch.float32, 4e-6), (torch.bfloat16, 1e-2), (torch.float16, 2e-3)):
    for memory in (torch.contiguous_format, torch.channels_last):
        z = (torch.randn(2, 313, 33, 35) * 3).to(dtype).to(memory_format=memory)
        ours, exact = z.clone().requires_grad_(), z.double().requires_grad_()
        for leaf, f in ((ours, ops), (exact, reference)):
            loss = f.rebalanced_cross_entropy(leaf, lab[:, 1:, :33, :35], reduction="sum")
            loss.backward()
        assert torch.allclose(ours.grad.double(), exact.grad, rtol=0, atol=error * float(exact.grad.abs().max()))
        assert torch.allclose(ops.annealed_mean(z).double(), reference.annealed_mean(z.double()), atol=1e-3)
gray = rgb[:, 0]
difference = ops.paint_rgb(lab[:, 1:, ::4, ::4], gray).int() - reference.paint_rgb(lab[:, 1:, ::4, ::4], gray).int()
assert int(difference.abs().max()) <= 1
print(_native._C.isa())
"""
    used = python(code, FASTCOLOR_ISA=isa).strip()
    flags = open("/proc/cpuinfo").read() if os.path.exists("/proc/cpuinfo") else ""
    if isa == "baseline" or (isa == "avx2" and "avx2" in flags) or (isa == "avx512" and "avx512vl" in flags):
        assert used == isa


def test_unknown_instruction_set_is_named() -> None:
    run = subprocess.run(
        [sys.executable, "-c", "from fastcolor._native import _C; _C.isa()"],
        env={**os.environ, "FASTCOLOR_ISA": "sse9"}, capture_output=True, text=True,
    )  # fmt: skip
    assert "FASTCOLOR_ISA: must be baseline, avx2 or avx512, got 'sse9'" in run.stderr


def test_capabilities_say_why() -> None:
    able = _native.capabilities()
    assert able["isa"] in ("baseline", "avx2", "avx512")
    assert able["cuda_devices"] or able["cuda_problem"]


def test_extension_needs_neither_torch_nor_cuda_libraries() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("reads ELF headers")
    needed = subprocess.run(["objdump", "-p", _native._C.__file__], capture_output=True, text=True).stdout
    libraries = [line.split()[1] for line in needed.splitlines() if line.strip().startswith("NEEDED")]
    assert libraries and not [name for name in libraries if "torch" in name or "cuda" in name or "c10" in name]


@pytest.mark.parametrize("name", ["palette", "ops.color", "ops.encode", "ops.loss", "ops.decode", "ops.paint"])
def test_examples_in_docstrings(name: str) -> None:
    module = importlib.import_module(f"fastcolor.{name}")
    import torch

    scope = {"torch": torch, **vars(module)}
    result = doctest.testmod(module, extraglobs=scope)
    assert result.attempted and not result.failed
