"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import tempfile

# Tests run beside each other: two pools of threads on two cores would spin in each other's way.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

# What engines keep between runs is this run's own.
_HOME = tempfile.TemporaryDirectory(prefix="fastcolor-test-")
os.environ["FASTCOLOR_HOME"] = _HOME.name


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each test of an op runs on every device; FASTCOLOR_REQUIRE_CUDA=1 makes a missing GPU a failure."""
    if request.param == "cuda" and not torch.cuda.is_available():
        if os.environ.get("FASTCOLOR_REQUIRE_CUDA") == "1":
            pytest.fail("FASTCOLOR_REQUIRE_CUDA=1, but torch sees no GPU")
        pytest.skip("no GPU")
    return torch.device(request.param)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)
