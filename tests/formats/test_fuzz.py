"""A small share of the damaged files of `bench.fuzz`, which does thousands."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bench import fuzz
from fastcolor.formats import reading


@pytest.fixture(autouse=True)
def few_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_PIXELS", fuzz.PIXELS)


def test_what_the_files_are_made_from_is_sound(tmp_path: Path) -> None:
    for name, data in fuzz.seeds().items():
        (tmp_path / name).write_bytes(data)
        file = reading.read(tmp_path / name)
        frames = list(file.frames)
        assert len(frames) == (3 if name.startswith(("frames", "pages")) else 1), name
        if name != "fax.tif":
            assert all(len(np.unique(frame.pixels)) > 1 for frame in frames), name


def test_damaged_files_are_written_or_refused(tmp_path: Path) -> None:
    results: Counter[str] = Counter()
    for number in range(1_000_000, 1_000_400):  # others than the large run's
        result, fault = fuzz.fault_of(number, 0, tmp_path)
        assert fault is None, f"{number}: {fault}"
        results[result] += 1
    assert results["written"] > 50 and results["refused"] > 50


def test_the_command_counts_damaged_files(net: str) -> None:
    assert fuzz.command_fault(list(range(1_000_000, 1_000_041)), 0, net) is None


def test_the_same_seed_gives_the_same_files() -> None:
    assert fuzz.mutated(3, 17) == fuzz.mutated(3, 17) != fuzz.mutated(4, 17)
