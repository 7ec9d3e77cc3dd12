"""TensorRT: engines kept, built again, refused; TensorRT-RTX builds them without a GPU."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from engine_choices import plant

from fastcolor import Colorizer
from fastcolor.engines import choose, files, tensorrt
from fastcolor.engines.exported import describe
from fastcolor.engines.load import load
from fastcolor.engines.parity import Trial
from fastcolor.models.generator import Generator


def test_tensorrt_rtx_has_the_calls_that_keep_its_kernels() -> None:
    """By name: without a GPU no engine loads that would make them."""
    trt = pytest.importorskip("tensorrt_rtx")
    assert hasattr(trt.ICudaEngine, "create_runtime_config")
    for name in ("set_execution_context_allocation_strategy", "create_runtime_cache", "set_runtime_cache"):
        assert hasattr(trt.IRuntimeConfig, name)
    assert hasattr(trt.IRuntimeCache, "deserialize") and hasattr(trt.IRuntimeCache, "serialize")


def test_a_stale_or_damaged_tensorrt_engine_is_built_again(home: Path, default: Generator) -> None:
    """Built for real; TensorRT-RTX needs no GPU for that."""
    path = home / "tensorrt" / "net.engine"
    shapes, built = tensorrt.shapes_of(default), []
    source = files.exported(default, "fp32")

    def get(onnx_file: bytes, shapes: list[tuple[int, int, int, int]] = shapes) -> bytes:
        key = tensorrt.key_of(onnx_file, shapes, None)

        def make() -> bytes:
            built.append(key)
            return tensorrt.pack({"key": key, "precision": "fp32"}, tensorrt.build(onnx_file, shapes))

        return tensorrt.kept_or(path, lambda precision: key, make)

    first = get(source)
    header, plan = tensorrt.unpack(first)
    assert header["key"]["onnx"] == hashlib.sha256(source).hexdigest() and "gpu" in header["key"]
    assert len(plan) > 1e7 and path.read_bytes() == first
    assert get(source) == first and len(built) == 1
    get(plant(source))
    get(source, [shapes[0], shapes[1], (16, 1, 512, 512)])
    assert len(built) == 3
    stale = dict(header["key"], library="tensorrt 10.0.0")
    path.write_bytes(tensorrt.pack({"key": stale, "precision": "fp32"}, plan))
    assert tensorrt.unpack(get(source))[0]["key"] == header["key"] and len(built) == 4
    for damage in (b"", b"\xff\xff\xff\xff{}", first[:100]):
        path.write_bytes(damage)
        assert tensorrt.unpack(get(source))[0]["key"] == header["key"]
    assert len(built) == 7
    with pytest.raises(RuntimeError, match="TensorRT does not take the network"):
        tensorrt.build(source[: len(source) // 2], shapes)


def test_an_engine_file_of_another_gpu_is_refused(default: Generator, tmp_path: Path) -> None:
    file = tmp_path / "net.engine"
    key = {"gpu": "NVIDIA Nothing", "library": "tensorrt 10.0.0", "onnx": "", "shapes": []}
    file.write_bytes(tensorrt.pack({"key": key, "precision": "fp16", "network": describe(default, "fp16")}, b"plan"))
    given = load(file)
    assert given.palette == default.palette and given.temperature == default.temperature
    words = (
        "built for NVIDIA Nothing by tensorrt 10.0.0"
        if torch.cuda.is_available()
        else "on the GPU that it was built for, got device cpu"
    )
    with pytest.raises(ValueError, match=words):
        Colorizer(weights=file)
    file.write_bytes(tensorrt.pack({"network": {"format": "another"}}, b"plan"))
    with pytest.raises(ValueError, match="is an engine file, but not one of fastcolor's"):
        load(file)


def test_tensorrt_on_a_gpu(device: torch.device, home: Path, default: Generator, tmp_path: Path) -> None:
    if device.type == "cpu":
        with pytest.raises(ValueError, match="tensorrt runs on a GPU, got device cpu"):
            choose.choose(default, "cpu", "tensorrt")
        return
    engine = choose.choose(default, str(device), "tensorrt")
    assert engine.name.startswith("tensorrt")
    assert Trial(default).compare(engine).problem(engine.name.split()[-1]) is None
    assert "tensorrt" in map(str, choose.candidates(default, engine.device))
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        lightness = torch.rand(3, 1, 96, 128, device=device) * 100
        output = engine(lightness)
    stream.synchronize()
    with torch.no_grad():
        truth = default.model(lightness.cpu())
    assert float((output.cpu() - truth).norm() / truth.norm()) < 0.06
