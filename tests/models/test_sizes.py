"""How large a network sees a picture, and that what does not fit into memory is said before it is tried."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fastcolor import models
from fastcolor.device import free_memory
from fastcolor.models import weights
from fastcolor.models.layers import fold_batch_norm, shared_copy
from fastcolor.models.named import PUBLISHED
from fastcolor.models.sizes import at_once, check_memory, memory
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
    monkeypatch.setattr("fastcolor.predictor.free_memory", lambda: path.stat().st_size)
    with pytest.raises(ValueError, match=r"weights: .*tiny.safetensors takes about 0.2 GB of memory to load, of which"):
        Predictor(path, "cpu", "torch")


def test_large_networks_see_few_pictures_at_once_and_lie_in_memory_once(tmp_path: Path) -> None:
    assert at_once(8, 512, 512) == 2 and at_once(8, 512, 512, "ddcolor") == 1 == at_once(4, 336, 336, "deoldify-wide")
    model = models.build("ddcolor-tiny").eval()
    torch.save(model.network.state_dict(), tmp_path / "tiny.pth")
    given = weights.load(tmp_path / "tiny.pth")
    held = {tensor.data_ptr() for tensor in given.model.state_dict().values()}
    copy = shared_copy(given.model)
    assert {tensor.data_ptr() for tensor in copy.state_dict().values()} == held
    assert not any(one.requires_grad or one.is_meta for one in copy.parameters())
    lightness = torch.rand(1, 1, 64, 64) * 100
    with torch.inference_mode():
        before = given.model(lightness)
        fold_batch_norm(copy).to(torch.bfloat16)
        assert torch.equal(given.model(lightness), before)  # nothing of it was written to
        given.network.forget()
        assert torch.equal(given.model(lightness), before)
    predictor = Predictor(tmp_path / "tiny.pth", "cpu", "torch")
    network = predictor._members[0].generator.network
    assert predictor.at_once(8, (512, 512)) == 1 and "made" not in vars(network)
    with pytest.raises(ValueError, match="hints: need a network that follows them, got ddcolor-tiny"):
        predictor.check_hints()
    assert "made" not in vars(network)  # it is not made again only to be refused
