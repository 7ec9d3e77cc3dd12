"""nvcc's own report on every CUDA kernel: no registers spilled, no stack, launch bounds stated. Needs no GPU."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CUDA = Path(__file__).resolve().parents[2] / "csrc" / "cuda"
# CMakeLists.txt builds five; the oldest, the newest and the one that budgets are counted for stand for all but in
# `make test-large`.
ARCHITECTURES = ("75", "80", "90", "100", "120") if os.environ.get("FASTCOLOR_LARGE") == "1" else ("75", "90", "120")
# (function, architecture) -> why its stack frame is accepted. None is.
ACCEPTED: dict[tuple[str, str], str] = {}

pytestmark = pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not on PATH")


@pytest.mark.parametrize("source", sorted(CUDA.glob("*.cu")), ids=lambda path: path.stem)
def test_no_kernel_spills(source: Path, tmp_path: Path) -> None:
    targets = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in ARCHITECTURES]
    flags = ["-std=c++17", "-O3", "-fatbin", "-Xptxas=-v", "-Werror=all-warnings"]
    command = ["nvcc", *flags, *targets, str(source), "-o", str(tmp_path / "out.fatbin")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = done.stdout + done.stderr
    # "Compiling entry function 'f' for 'sm_90'", and for each function "Function properties for f", its memory below.
    architecture, kernels, wasteful = "", set(), set()
    for line in report.splitlines():
        if match := re.search(r"Compiling entry function '(\S+)' for 'sm_(\d+)'", line):
            architecture = match[2]
            kernels.add((match[1], architecture))
        elif match := re.search(r"Function properties for (\S+)", line):
            function = match[1]
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            if any(int(count) for count in match.groups()) and (function, architecture) not in ACCEPTED:
                wasteful.add((function, architecture, match[0]))
    assert not wasteful
    instances = {architecture: sum(a == architecture for _, a in kernels) for architecture in ARCHITECTURES}
    assert len(set(instances.values())) == 1
    assert instances[ARCHITECTURES[0]] >= source.read_text().count("__global__")


def test_the_report_shows_spills(tmp_path: Path) -> None:
    """The wording this file looks for is the compiler's: a kernel that must use a stack says so."""
    source = tmp_path / "stack.cu"
    source.write_text(
        "__global__ void f(float* x, int n) { float a[64]; for (int i = 0; i < 64; i++) a[i] = x[i];"
        " for (int i = 0; i < n; i++) x[i] = a[(i * 7 + n) & 63]; }"
    )
    command = ["nvcc", "-arch=sm_90", "-cubin", "-Xptxas=-v", str(source), "-o", str(tmp_path / "out.cubin")]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert re.search(r"Function properties for \S+\s+[1-9]\d* bytes stack frame, \d+ bytes spill stores", report)


@pytest.mark.parametrize("source", sorted(CUDA.glob("*.cu")), ids=lambda path: path.stem)
def test_every_kernel_states_its_launch_bounds(source: Path) -> None:
    text = source.read_text()
    assert text.count("__global__") == text.count("__global__ void __launch_bounds__(")
