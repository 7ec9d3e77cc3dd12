"""Engines: the same colours from each, and what is wrong is not used."""

from __future__ import annotations

import hashlib
import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
import torch
from engine_choices import CPU, in_torch, names_of, plant, python, said
from film_clips import clip, in_process
from test_export import PHOTOGRAPH, Cancels, Chooses, weights_of

from fastcolor import Colorizer, ops
from fastcolor.device import int8_is_fast
from fastcolor.engines import choose, files, openvino, timings
from fastcolor.engines.exported import describe
from fastcolor.engines.load import load
from fastcolor.engines.onnx import OnnxEngine
from fastcolor.engines.parity import Trial, photographs
from fastcolor.engines.quantize import _multiply_pixels
from fastcolor.engines.session import Session
from fastcolor.models.generator import Generator


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_engines_on_the_cpu_colour_as_torch_does(name: str, default: Generator) -> None:
    engine = choose.choose(default, "auto", name)
    assert engine.device == CPU and engine.name.startswith(f"{name} cpu ")
    precision = engine.name.split()[-1]
    assert precision == ("int8" if int8_is_fast() else openvino.precisions()[0] if name == "openvino" else "fp32")
    if name == "openvino":
        exact = openvino.OpenVinoEngine(files.exported(default, "fp32"), "fp32")
        assert Trial(default).compare(exact).problem("fp32") is None
    for n, height, width in ((2, 128, 192), (1, 256, 128), (2, 128, 192)):
        # Pictures, not noise: scales of 8 bits are made for what pictures hold.
        lightness = ops.luma_to_input(photographs()[:n], (height, width))
        lightness = lightness.transpose(2, 3).contiguous().transpose(2, 3)  # not contiguous
        with torch.no_grad():
            truth = default.model(lightness)
        first, second = engine(lightness), engine(lightness * 0)
        assert float((first - truth).norm() / truth.norm()) < (1e-4 if precision == "fp32" else 0.04)
        assert not torch.allclose(first, second)  # no memory is shared between results
    colorizer = Colorizer(device="cpu", engine=name)
    assert np.ptp(np.asarray(colorizer(PHOTOGRAPH)).astype(int), axis=2).max() > 10
    with pytest.raises(ValueError, match=f"engine: {name} runs on the CPU, got device cuda"):
        choose.check_fits(default, name, torch.device("cuda:0"))


def test_the_package_s_network_in_int8_is_that_of_the_default_weights(home: Path, default: Generator) -> None:
    path = files.shipped_path(default)
    told, known = OnnxEngine(path.read_bytes()).metadata(), describe(default, "int8", by_pixel=True)
    assert told.pop("fastcolor") and known.pop("fastcolor")  # the version that made it may be an earlier one
    assert json.loads(told.pop("answer")) and told == known
    assert told["weights_sha256"] and told["precision"] == "int8"
    assert list(files._ASSETS.glob("*.onnx")) == [path]
    assert Trial(default, photographs()[1::2]).compare(OnnxEngine(path.read_bytes(), "int8")).problem("int8") is None


def test_no_pictures_have_no_colours(default: Generator) -> None:
    assert OnnxEngine(files.shipped(default).read_bytes())(torch.zeros(0, 1, 64, 96)).shape[:2] == (0, 313)


def test_a_last_convolution_as_a_product() -> None:
    """Bins whose weights are small or none keep their bias."""
    random = np.random.default_rng(0)
    kernel, bias = random.normal(0, 0.1, (6, 64, 1, 1)).astype(np.float32), np.linspace(-9, 9, 6).astype(np.float32)
    kernel[1:5] *= np.array([1e-3, 1e-5, 1e-8, 0], np.float32)[:, None, None, None]
    make, array = onnx.helper.make_node, onnx.numpy_helper.from_array
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [
                make("QuantizeLinear", ["lightness", "scale", "zero"], ["codes"]),
                make("DequantizeLinear", ["codes", "scale", "zero"], ["pixels"]),
                make("Conv", ["pixels", "kernel", "bias"], ["output"]),
            ],
            "net",
            [onnx.helper.make_tensor_value_info("lightness", onnx.TensorProto.FLOAT, ("n", 64, "h", "w"))],
            [onnx.helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, ("n", 6, "h", "w"))],
            [array(np.float32(0.02), "scale"), array(np.uint8(9), "zero"), array(kernel, "kernel"),
             array(bias, "bias")],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10,
    )  # fmt: skip
    lightness = random.uniform(0, 5, (2, 64, 3, 5)).astype(np.float32)
    wanted = Session(model.SerializeToString(), 1, True)(lightness)
    _multiply_pixels(onnx, model)
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node][-1] == "Gemm"
    found = Session(model.SerializeToString(), 1, True)(lightness)
    assert found.shape == wanted.shape and np.abs(found - wanted).max() < 0.05
    assert np.abs(found - wanted)[:, 2:5].max() < 1e-3


@pytest.mark.skipif(not int8_is_fast(), reason="this CPU has no VNNI")
def test_int8_is_used_for_the_default_weights_alone_and_exports_nothing(
    home: Path, default: Generator, own: Generator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert choose.choose(default, "cpu", "onnx").name == "onnx cpu int8"
    assert choose.choose(default, "cpu", "openvino").name == "openvino cpu int8"
    assert choose.choose(default, "cpu").name.startswith(("onnx cpu int8", "openvino cpu int8", "torch cpu "))
    assert not (home / "onnx").exists()
    assert choose.choose(own, "cpu", "onnx").name == "onnx cpu fp32"
    assert timings.key_of(own, CPU, names_of(own)) != timings.key_of(default, CPU, names_of(default))
    monkeypatch.setattr(files, "int8_is_fast", lambda: False)
    assert choose.choose(default, "cpu", "onnx").name == "onnx cpu fp32"
    assert not said(caplog)


@pytest.mark.skipif(not int8_is_fast(), reason="this CPU has no VNNI")
def test_a_network_in_int8_that_is_wrong_or_damaged_gives_way(
    home: Path, default: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    good = files.shipped(default).read_bytes()
    monkeypatch.setattr(files, "_ASSETS", tmp_path)
    wrong = onnx.load_from_string(good)
    scale = next(x for x in wrong.graph.initializer if x.name.endswith("_scale") and x.dims)
    scale.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(scale) * 3, scale.name))
    for bad, words in ((wrong.SerializeToString(), "more than int8's bound"), (good[: len(good) // 2], "PROTOBUF")):
        files.shipped_path(default).write_bytes(bad)
        for _ in range(2):  # the second time from what was remembered, if it could be run at all
            assert choose.choose(default, "cpu", "onnx").name == "onnx cpu fp32"
            warning = said(caplog)
            assert "engine onnx int8 is not used: " in warning and words in warning


def test_a_kept_export_that_is_wrong_or_damaged_is_made_again(
    home: Path, own: Generator, caplog: pytest.LogCaptureFixture
) -> None:
    good = files.exported(own, "fp32")
    (path,) = home.glob("onnx/*.onnx")
    assert path.read_bytes() == good
    for bad, words in ((plant(good), "relative error of the output"), (good[: len(good) // 2], "INVALID_PROTOBUF")):
        path.write_bytes(bad)
        engine = choose.choose(own, "cpu", "onnx")
        assert engine.name == "onnx cpu fp32" and Trial(own).compare(engine).problem("fp32") is None
        warning = said(caplog)
        assert "engine onnx fp32 is not used: " in warning and words in warning
        assert path.read_bytes() != bad
        assert choose.choose(own, "cpu", "onnx").name == "onnx cpu fp32" and not said(caplog)


def test_a_wrong_exported_file_is_not_run_by_another_engine(home: Path, default: Generator, tmp_path: Path) -> None:
    """ONNX Runtime is what other engines are compared with, when the network is an exported file."""
    (tmp_path / "net.onnx").write_bytes(files.exported(default, "fp32"))
    given = load(tmp_path / "net.onnx")
    assert choose.choose(given, "cpu", "openvino").name.startswith("openvino cpu")
    assert choose.choose(given, "cpu", "auto").name.split()[0] in ("onnx", "openvino")
    content = plant(given.network.content)
    source = hashlib.sha256(content).hexdigest()
    planted = replace(given.network, content=content, source=source)  # beside the results that it should give
    with pytest.raises(RuntimeError, match="relative error of the output"):
        choose.choose(replace(given, network=planted), "cpu", "openvino")


def test_torch_takes_over_for_a_network_that_cannot_be_exported(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = weights_of(Chooses())
    engine = choose.choose(given, "cpu", "onnx")
    assert engine.name.startswith("torch cpu")
    warning = said(caplog)
    assert "engine onnx: " in warning and "torch is used instead" in warning
    assert choose.choose(given, "cpu", "auto").name.startswith("torch cpu") and not said(caplog)


def test_auto_leaves_out_what_is_wrong_on_photographs(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = weights_of(Chooses(limit=200))  # right at the sizes of the trace and its check
    assert choose.choose(given, "cpu").name.startswith("torch cpu")
    warning = said(caplog)
    assert "engine onnx fp32 is not used: relative error of the output" in warning and "engine openvino " in warning
    assert set(timings.recall(given, CPU, names_of(given))["ms"]) == set(in_torch())
    assert choose.choose(given, "cpu").name.startswith("torch cpu") and not said(caplog)


def test_a_precision_that_differs_gives_way_to_the_next(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    if openvino.precisions() == ("fp32",):
        pytest.skip("this CPU has no bfloat16")
    engine = choose.choose(weights_of(Cancels()), "cpu", "openvino")
    assert engine.name == "openvino cpu fp32"
    assert "engine openvino bf16 is not used: " in said(caplog)
    (check,) = [v for k, v in json.loads((home / "engines.json").read_text())["checks"].items() if " fp32 " in k]
    assert check["problem"] is None


def test_a_signal_does_no_harm_when_openvino_s_engines_come_and_go(tmp_path: Path) -> None:
    """Python's handlers run on the thread's own stack for signals, which OpenVINO changes."""
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 1, 8, 8]) for name in "ab"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["a"], ["b"])], "relu", ends[:1], ends[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)]), tmp_path / "net.onnx")
    code = f"""
import pathlib, signal
from fastcolor.engines.openvino import OpenVinoEngine
content = pathlib.Path({str(tmp_path / "net.onnx")!r}).read_bytes()
first = OpenVinoEngine(content)
second = OpenVinoEngine(content)
del first
del second
signal.signal(signal.SIGUSR1, lambda number, frame: print("heard"))
signal.raise_signal(signal.SIGUSR1)
"""
    assert python(code) == "heard\n"


def test_openvino_in_threads_and_beside_forked_workers(default: Generator) -> None:
    engine = openvino.OpenVinoEngine(files.exported(default, "fp32"), "fp32")
    pictures = [torch.rand(1, 1, 64, 64 + 32 * (i % 6)) * 100 for i in range(12)]  # more sizes than are kept
    expected = [engine(picture) for picture in pictures]

    def same(first: int) -> bool:
        order = [(first + i) % len(pictures) for i in range(len(pictures))]
        return all(torch.equal(engine(pictures[i]), expected[i]) for i in order)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(same, range(0, 12, 3)))
    workers = torch.utils.data.DataLoader(pictures, batch_size=None, num_workers=2, multiprocessing_context="fork")
    got = [engine(picture) for picture in workers]  # each worker's end is a signal
    assert len(got) == 12 and all(map(torch.equal, got, expected))


def test_ctrl_c_under_openvino(default: Generator, tmp_path: Path) -> None:
    files.exported(default, "fp32")
    src, dst = clip(tmp_path / "gray.mp4", frames=1000, options={"preset": "ultrafast"}), tmp_path / "colour.mp4"
    process = in_process(
        "from fastcolor.commands import cli; "
        f"cli.main_video([{str(src)!r}, {str(dst)!r}, '--engine', 'openvino', '--adaptive', 'off'])"
    )
    deadline = time.monotonic() + 100
    while not (tmp_path / "colour.mp4.part" / "job.json").exists():  # the engine is there, frames begin to flow
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.wait(60)
    assert process.returncode == 130 and process.stderr.read() == "fastcolor-video: stopped\n"
    assert [path.name for path in tmp_path.iterdir()] == ["gray.mp4"]


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_luma_to_colours_in_one_go(device: torch.device, name: str) -> None:
    """On a GPU the second call captures a graph and later ones replay it."""
    if device.type == "cuda" and name != "torch":
        pytest.skip("runs on the CPU")
    colorizer = Colorizer(device=str(device), engine=name)
    for turns, full_range in ((0, True), (1, False)):
        for _ in range(4):
            luma = torch.randint(16, 236, (2, 90, 130), dtype=torch.uint8, device=device)
            lightness = ops.luma_to_input(luma, (64, 96), full_range=full_range)
            expected = colorizer.predict_ab(lightness.rot90(turns, (2, 3))).rot90(-turns, (2, 3))
            got = colorizer.predict_ab_of_luma(luma, (64, 96), full_range=full_range, turns=turns)
            assert got.shape == (2, 2, 16, 24) and got.dtype == torch.float32
            assert torch.allclose(got, expected, atol=0.5)
