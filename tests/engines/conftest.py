"""What tests of engines share: weights, and a place of their own for what engines keep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fastcolor.models import weights
from fastcolor.models.generator import Generator


@pytest.fixture(scope="module")
def default() -> Generator:
    loaded = weights.load("default")
    loaded.model.requires_grad_(False)
    return loaded


@pytest.fixture(scope="module")
def own(default: Generator) -> Generator:
    """Somebody's own weights, which nothing in the package was made for."""
    return replace(default, temperature=0.71)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A FASTCOLOR_HOME of the test's own."""
    monkeypatch.setenv("FASTCOLOR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
