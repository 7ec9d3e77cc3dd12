"""How large a network sees a picture, and that what does not fit into memory is said before it is tried."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fastcolor import models
from fastcolor.device import free_memory
from fastcolor.models import weights
from fastcolor.models.named import PUBLISHED
from fastcolor.models.sizes import check_memory, memory
from fastcolor.predictor import Predictor

ROOT = Path(__file__).parents[2]


def test_the_large_published_networks_are_known() -> None:
    large = {network for network, _ in PUBLISHED.values()} - {"eccv16"}
    assert all(memory(network, 64) < memory(network, 1024) > 1e9 for network in large)
    assert memory("default", 1024) == 0


def test_a_size_that_does_not_fit_is_refused_with_one_that_does() -> None:
    check_memory("ddcolor", 1024, None)
    check_memory("ddcolor", 512, memory("ddcolor", 512))
    with pytest.raises(
        ValueError, match=r"^size: must be at most 512 for ddcolor here \(--detail 512\), got 1024"
    ) as said:
        check_memory("ddcolor", 1024, memory("ddcolor", 512) + 1)
    assert f"about {memory('ddcolor', 1024) / 1e9:.1f} GB of memory, of which" in str(said.value)
    with pytest.raises(ValueError, match=r"^weights: deoldify takes about .* at any size"):
        check_memory("deoldify", 512, 1 << 20)


@pytest.mark.skipif(free_memory() is None, reason="no account of memory but on Linux")
def test_the_estimate_is_what_is_held() -> None:
    command = [sys.executable, "-m", "bench.bench_memory", "ddcolor-tiny", "--one", "256"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert 0.5 < json.loads(done.stdout)["more"] / memory("ddcolor-tiny", 256) < 1.5


def test_a_predictor_is_not_made_where_it_would_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tiny.safetensors"
    model = models.build("ddcolor-tiny")
    weights.save(path, model, name="ddcolor-tiny", options={}, palette=None, temperature=1.0, size=64)
    predictor = Predictor(path, "cpu", "torch")
    assert predictor.painters >= 1
    monkeypatch.setattr("fastcolor.predictor.free_memory", lambda: memory("ddcolor-tiny", 256))
    with pytest.raises(ValueError, match=r"size: must be at most 256 for ddcolor-tiny here \(--detail 256\), got 512"):
        Predictor(path, "cpu", "torch", size=512)
    with pytest.raises(ValueError, match="must be at most 256"):
        predictor.at(272)
    assert predictor.at(256).size == 256
    assert predictor.at(128).painters == 1
