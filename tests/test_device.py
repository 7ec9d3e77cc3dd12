"""Which device a name means, on machines where torch and the kernels do not agree about the GPU."""

from __future__ import annotations

import platform
import warnings

import pytest
import torch

import fastcolor
from bench.memory import held
from fastcolor import device
from fastcolor.engines.torch import precisions


@pytest.fixture
def torch_with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch answers where it has CUDA and a driver; the extension is the real one, which finds none."""
    if device.kernels_lack() == "":
        pytest.skip("here the kernels have a GPU")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    device._warn_once.cache_clear()


def test_auto_colours_on_the_cpu_with_one_warning(torch_with_a_gpu: None) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        colorizer = fastcolor.Colorizer()
        assert device.device_of("auto") == torch.device("cpu")
    assert colorizer.device.type == "cpu"
    (only,) = [str(one.message) for one in said if "GPU" in str(one.message)]
    assert "the CPU does the work: " in only and device.kernels_lack() in only
    assert colorizer(torch.zeros(32, 32, dtype=torch.uint8).numpy()).size == (32, 32)


def test_cuda_is_refused_with_the_reason(torch_with_a_gpu: None) -> None:
    with pytest.raises(ValueError, match=r"^device: 'cuda' asked for, but fastcolor's kernels cannot use it: .+"):
        device.device_of("cuda")


@pytest.mark.parametrize(("capability", "fast"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_bfloat16_needs_ampere(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], fast: bool) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda where: capability)
    assert device.bf16_is_fast(torch.device("cuda", 0)) is fast
    assert precisions(torch.device("cuda", 0)) == (("bf16",) if fast else ("fp32",))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone keeps so much")
def test_freed_memory_goes_back_to_the_system() -> None:
    many = [bytearray(60_000) for _ in range(1500)]  # too small for pages of their own
    kept = many[::50]
    del many
    before = held("VmRSS")
    device.give_memory_back()
    assert before - held("VmRSS") > 60 << 20 and len(kept) == 30
