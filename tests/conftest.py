"""Fixtures shared by all tests."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator

# Tests run beside each other: two pools of threads on two cores would spin in each other's way.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

# A shell starts what runs in its background with Ctrl-C ignored, and so would all processes that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What engines keep between runs is this run's own.
_HOME = tempfile.TemporaryDirectory(prefix="fastcolor-test-")
os.environ["FASTCOLOR_HOME"] = _HOME.name


def pytest_collection_finish(session: pytest.Session) -> None:
    """What the chosen tests run on is compiled before the first of them: on no test's clock, once for all workers."""
    marks = (mark for item in session.items for mark in item.iter_markers("builds"))
    wanted = sorted({name for mark in marks for name in mark.args})
    if not wanted or session.config.option.collectonly:
        return
    from emulation import build

    for name in wanted if build.COMPILER else ():
        # What does not compile fails the tests that need it, with the compiler's words, and no others.
        with contextlib.suppress(build.CompileError):
            build.BUILDS[name]()


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


@pytest.fixture(scope="session")
def net(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small network's weights, for films."""
    from film_clips import random_net

    return random_net(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Tiny batches gain nothing from more, and wait for each other where tests run side by side."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)
