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


def _need_cuda() -> None:
    """FASTCOLOR_REQUIRE_CUDA=1 makes a missing GPU, or CUDA kernels that were not built, a failure."""
    from fastcolor import _native

    known = _native.capabilities()
    if not torch.cuda.is_available():
        problem = "torch sees no GPU"
    elif not known["cuda_devices"]:
        problem = f"the kernels see no GPU: {known['cuda_problem']}"
    else:
        return
    if os.environ.get("FASTCOLOR_REQUIRE_CUDA") == "1":
        pytest.fail(f"FASTCOLOR_REQUIRE_CUDA=1, but {problem}")
    pytest.skip("no GPU")


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each test of an op runs on every device."""
    if request.param == "cuda":
        _need_cuda()
    return torch.device(request.param)


@pytest.fixture
def cuda() -> torch.device:
    """For what only a GPU has: streams, graphs, its memory."""
    _need_cuda()
    return torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)
