"""The instruction budget of the CUDA kernels: what bench/results/sass-sm90.json says of them is so, and within it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import sass
from machine_code import launches

ROWS = json.loads(sass.RESULTS.read_text())
CASES = {case.name: case for case in sass.cases()}


def name_of(row: dict) -> str:
    return f"{row['kernel']}, {row['dtype']}, {row['layout']}"


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_no_kernel_exceeds_its_budget(row: dict) -> None:
    assert row["budget"] == sass.BUDGETS[name_of(row)][0]
    assert row["instructions"] <= sass.SLACK * row["budget"]
    assert row["spills"] == 0


def test_every_kernel_has_a_budget() -> None:
    text = "".join(path.read_text() for path in launches.sources())
    kernels = set(re.findall(r"__global__[^;{]*?(\w+)_kernel\(", text))
    assert len(kernels) > 15
    assert {row["kernel"] for row in ROWS} == kernels == {case.kernel for case in CASES.values()}
    assert {name_of(row) for row in ROWS} == CASES.keys() == sass.BUDGETS.keys()


def test_the_page_has_the_rows() -> None:
    assert sass.table(ROWS) in sass.PAGE.read_text()


@pytest.mark.builds("extension")
@pytest.mark.skipif(bool(launches.missing()), reason=f"not here: {launches.missing()}")
def test_the_counts_are_those_of_the_sources() -> None:
    """Every kernel is counted anew where a source has changed since `make gpu-budget`; one kernel where none has."""
    current = all(row["sources"] == sass.sources_digest() for row in ROWS)
    for row in [row for row in ROWS if row["kernel"] == "planar_decode"][:1] if current else ROWS:
        counted = sass.count_of(CASES[name_of(row)])
        assert counted["instructions"] <= sass.SLACK * row["budget"], name_of(row)
        assert counted["spills"] == 0
        if row["nvcc"] == launches.nvcc_version():  # another compiler makes other code
            assert counted | {"sources": "", "nvcc": ""} == row | {"sources": "", "nvcc": ""}, "run `make gpu-budget`"
    assert current or row["nvcc"] != launches.nvcc_version(), "a source has changed: run `make gpu-budget`"
