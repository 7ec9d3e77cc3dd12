"""One binary, three instruction sets: every op gives the same on all of them, within rounding."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fastcolor import _native

HELPERS = Path(__file__).resolve().parents[1] / "helpers"
# Fused multiply-adds and the order of sums differ: absolute for values in Lab units and levels, else of the largest.
LEVELS = {torch.uint8: 1, torch.uint16: 1}
STEP = {torch.float32: 4e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3, torch.float64: 1e-12}


def can(isa: str) -> bool:
    """Does this processor have it? As /proc/cpuinfo names features."""
    if not Path("/proc/cpuinfo").exists():
        return isa == "baseline"
    flags = set(Path("/proc/cpuinfo").read_text().split())
    v3 = {"avx2", "fma", "bmi1", "bmi2", "f16c", "abm"}
    needs = {"baseline": set(), "avx2": v3, "avx512": v3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}}
    return needs[isa] <= flags


def run(arguments: list[str], isa: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FASTCOLOR_ISA": isa, "OMP_NUM_THREADS": "1",
                   "PYTHONPATH": os.pathsep.join([str(Path(_native.__file__).parents[1]), str(HELPERS)])}  # fmt: skip
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=250, check=False
    )


def results_of(isa: str, folder: Path) -> dict[str, torch.Tensor]:
    done = run([str(HELPERS / "every_op.py"), str(folder / isa)], isa)
    assert done.returncode == 0, done.stderr
    return torch.load(folder / isa, weights_only=True)


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    return results_of("baseline", tmp_path_factory.mktemp("isa"))


@pytest.mark.parametrize("isa", ["avx2", "avx512"])
def test_every_op_gives_the_same(isa: str, baseline: dict[str, torch.Tensor], tmp_path: Path) -> None:
    if not can(isa):
        pytest.skip(f"this processor has no {isa}")
    ours = results_of(isa, tmp_path)
    assert ours.keys() == baseline.keys() and len(ours) > 150
    wrong = {}
    for name, expected in baseline.items():
        got = ours[name]
        assert got.dtype == expected.dtype and got.shape == expected.shape, name
        if got.dtype == torch.int32:  # bins, motion: the same, ties included
            bound = 0.0
        elif got.dtype in LEVELS:
            bound = 3 if "chroma" in name and name.count("paint_rgb") + name.count("lab_to_rgb") else LEVELS[got.dtype]
        else:
            bound = STEP[got.dtype] * max(1.0, float(expected.double().abs().max()))
        difference = float((got.double() - expected.double()).abs().max())
        if not difference <= bound:
            wrong[name] = (difference, bound)
    assert not wrong


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_the_variable_chooses(isa: str) -> None:
    done = run(["-c", "from fastcolor._native import _C; print(_C.isa())"], isa)
    best = [name for name in ("baseline", "avx2", "avx512") if can(name)]
    assert done.stdout.strip() == (isa if isa in best else best[-1])


def test_a_wrong_value_is_one_clear_error() -> None:
    call = "import torch; from fastcolor import ops; ops.rgb_to_lab(torch.zeros(3, 2, 2))"
    done = run(["-c", call], "avx1024")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        "ValueError: FASTCOLOR_ISA: must be baseline, avx2 or avx512, got 'avx1024'"
    )
