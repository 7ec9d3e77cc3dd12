"""The package as a whole: what importing it costs and drags in."""

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
    homes = ("pictures.colorize", "evaluation.evaluate", "engines.export", "training.train", "film.video")
    for home in homes:
        importlib.import_module(f"fastcolor.{home}")
        name = home.rpartition(".")[2]
        assert callable(getattr(fastcolor, name))
    assert set(fastcolor.__all__) <= set(dir(fastcolor))


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
