"""The very .cu files, compiled for the CPU and run through the bindings, against the float64 reference.

tests/emulation says how. Everything of the CUDA path runs here except a GPU's own arithmetic; thread order is shuffled
by seed, so that a missing barrier shows. FASTCOLOR_EMULATION_SANITIZE=address,undefined builds with sanitizers; their
runtimes must be preloaded into Python (LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ ...libubsan.so)").
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from emulation import build

from fastcolor.ops import color, decode, encode, loss, paint, temporal


@pytest.fixture(scope="session")
def extension() -> ModuleType:
    return build.load()


@pytest.fixture(autouse=True)
def emulated(extension: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """CPU tensors go to the emulated CUDA kernels."""
    for module in (color, encode, loss, decode, paint, temporal):
        monkeypatch.setattr(module, "_C", extension)
        monkeypatch.setattr(module, "target", lambda tensor: (0, 0, 1))


@pytest.fixture(params=["1", "2", "3"])
def order(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FASTCOLOR_EMULATION_SEED", request.param)
    return request.param


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTCOLOR_EMULATION_LOG", str(tmp_path / "log"))
    return tmp_path / "log"
