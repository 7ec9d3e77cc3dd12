"""Every network as ONNX: the same results at every size, in ONNX Runtime; TensorRT-RTX builds it without a GPU."""

from __future__ import annotations

import functools
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import fastcolor
from bench import parity, table
from fastcolor import Colorizer, models
from fastcolor.engines import openvino, tensorrt
from fastcolor.engines.choose import _runs_on_gpu, check_fits
from fastcolor.engines.exported import Exported
from fastcolor.engines.load import load
from fastcolor.engines.onnx import OnnxEngine
from fastcolor.engines.parity import BOUNDS, Trial, photographs
from fastcolor.engines.quantize import to_int8
from fastcolor.engines.session import BY_PIXEL
from fastcolor.engines.split import split_onnx
from fastcolor.engines.tracing import to_onnx
from fastcolor.models import weights
from fastcolor.models.generator import ENGINES, Generator
from fastcolor.palette import Palette

PHOTOGRAPH = Path(__file__).parents[2] / "bench" / "demo" / "chelsea.jpg"


def weights_of(model: nn.Module, name: str = "test") -> Generator:
    palette = Palette.grid() if model.kind == "classifier" else None
    model = model.eval().requires_grad_(False)
    return Generator.of(model, name, {}, palette, temperature=0.38, size=256)


@functools.lru_cache(maxsize=1)
def fresh(name: str) -> Generator:
    """A network whose BatchNorms have seen something, so that folding them matters."""
    torch.manual_seed(1)
    model = models.build(name)
    with torch.no_grad():
        model(torch.rand(2, 1, 2 * model.stride, 2 * model.stride) * 100)
    return weights_of(model, name)


def test_a_network_that_follows_no_hints_is_not_exported_with_them() -> None:
    with pytest.raises(ValueError, match="hints: need the default network in torch, got eccv16"):
        split_onnx(fresh("eccv16"))


# Each of these takes minutes and gigabytes to export, more than a test may.
TOO_LARGE = {"ddcolor", "ddcolor-tiny", "deoldify", "deoldify-wide"}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", [name for name in models.names() if name not in TOO_LARGE])
def test_every_network_gives_the_same_at_every_size_and_builds_in_tensorrt(name: str, precision: str) -> None:
    given = fresh(name)
    content = to_onnx(given, precision)
    graph = onnx.load_from_string(content)
    onnx.checker.check_model(graph)
    assert {o.version for o in graph.opset_import if o.domain == ""} == {20 if precision == "fp32" else 21}
    body = onnx.TensorProto.FLOAT if precision == "fp32" else onnx.TensorProto.FLOAT16
    big = [x for x in graph.graph.initializer if np.prod(x.dims) > 64]
    assert big and all(x.data_type == body for x in big if x.data_type != onnx.TensorProto.INT64)
    makers = {name: node.op_type for node in graph.graph.node for name in node.output}
    norms = [node for node in graph.graph.node if node.op_type == "BatchNormalization"]
    assert not [node for node in norms if makers[node.input[0]] == "Conv"]  # folded, but for those after a ReLU
    assert str(Path(__file__).parents[2]).encode() not in content  # no traces of the machine

    run, side = OnnxEngine(content), given.model.stride
    for shape in ((1, 1, 3 * side, 2 * side), (4, 1, 2 * side, 2 * side)):
        lightness = torch.rand(shape) * 100
        with torch.no_grad():
            truth = given.model(lightness)
        output = run(lightness)
        assert output.shape == truth.shape and output.dtype == torch.float32
        assert float((output - truth).norm() / truth.norm()) <= BOUNDS[precision][0]

    assert (
        len(tensorrt.build(content, tensorrt.shapes_of(given)))
        > sum(len(x.raw_data) for x in graph.graph.initializer) / 2
    )


def test_bfloat16_builds_in_tensorrt() -> None:
    for given in (weights.load("default"), weights_of(Attends())):  # traced with numbers, with symbols
        content = to_onnx(given, "bf16")
        graph = onnx.load_from_string(content)
        assert onnx.TensorProto.BFLOAT16 in {x.data_type for x in graph.graph.initializer}
        assert [bool(d.dim_value) for d in graph.graph.input[0].type.tensor_type.shape.dim] == [
            False,
            True,
            False,
            False,
        ]
        assert tensorrt.build(content, tensorrt.shapes_of(given))


def test_default_weights_are_themselves_again_from_an_onnx_file(tmp_path: Path) -> None:
    report = fastcolor.export("default", tmp_path / "new" / "net.onnx")
    assert report.precision == "fp32" and report.parity.problem("fp32") is None and report.pictures == 4
    assert 0 < report.parity.output_max < 0.01 and "dE" in str(report)
    told = OnnxEngine(report.path.read_bytes()).metadata()
    assert told["fastcolor"] == fastcolor.__version__ and told["kind"] == "classifier" and told["stride"] == "32"
    assert len(told["weights_sha256"]) == 64 and "L in [0, 100]" in told["input"]

    again, known = load(report.path), weights.load("default")
    assert isinstance(again.network, Exported)
    for field in ("name", "options", "palette", "temperature", "saturation", "size", "card"):
        assert getattr(again, field) == getattr(known, field)
    ours = Colorizer(weights=report.path, device="cpu", engine="onnx")
    assert ours.engine == "onnx cpu fp32"
    theirs = Colorizer(device="cpu", engine="torch")
    difference = np.asarray(ours(PHOTOGRAPH)).astype(int) - np.asarray(theirs(PHOTOGRAPH))
    assert np.abs(difference).mean() < 3  # torch may run in bfloat16
    with pytest.raises(ValueError, match=r"torch runs \.safetensors weights, got an exported file"):
        Colorizer(weights=report.path, device="cpu", engine="torch")
    with pytest.raises(ValueError, match="an exported fp32 file cannot become fp16"):
        fastcolor.export(report.path, tmp_path / "half.onnx", precision="fp16")


def test_half_precision_is_compared_on_ones_own_pictures(tmp_path: Path) -> None:
    report = fastcolor.export("default", tmp_path / "half.onnx", precision="fp16", pictures=PHOTOGRAPH.parent)
    assert report.pictures == len(list(PHOTOGRAPH.parent.glob("*.jpg")))
    assert 1e-4 < report.parity.relative < BOUNDS["fp16"][0] and 0.01 < report.parity.de_mean < 0.5
    assert report.path.stat().st_size < 0.6 * len(to_onnx(weights.load("default"), "fp32"))
    assert Colorizer(weights=report.path, device="cpu")(PHOTOGRAPH).size == Image.open(PHOTOGRAPH).size


def test_int8_is_calibrated_on_some_pictures_and_compared_on_others(tmp_path: Path) -> None:
    report = fastcolor.export("default", tmp_path / "small.onnx", precision="int8", pictures=PHOTOGRAPH.parent)
    assert report.pictures == len(list(PHOTOGRAPH.parent.glob("*.jpg"))) // 2
    assert 1e-3 < report.parity.relative < BOUNDS["int8"][0] and 0.1 < report.parity.de_mean < BOUNDS["int8"][1]
    content = report.path.read_bytes()
    assert len(content) < 0.35 * len(to_onnx(weights.load("default"), "fp32"))
    graph = onnx.load_from_string(content)
    onnx.checker.check_model(graph)
    assert [opset.domain for opset in graph.opset_import] == [""]
    makers = {name: node.op_type for node in graph.graph.node for name in node.output}
    convolutions = [node for node in graph.graph.node if node.op_type == "Conv"]
    (scene,) = (i for i, node in enumerate(convolutions) if makers.get(node.input[0]) == "ReduceMean")
    rounded = [node for i, node in enumerate(convolutions) if i not in (0, 1, scene)]
    assert len(rounded) > 50 and {makers[node.input[1]] for node in rounded} == {"DequantizeLinear"}
    # Whose roundings all others, and all places, would stand on.
    assert not any(convolutions[i].input[1] in makers for i in (0, 1, scene))
    assert {makers.get(node.input[0], "").endswith("Linear") for node in convolutions[:2]} == {False}
    last = graph.graph.node[-1]
    assert (last.op_type, list(last.output)) == ("Gemm", [BY_PIXEL])  # in float: logits in 256 steps would tie
    assert [makers[name] for name in last.input] == 3 * ["DequantizeLinear"]
    assert OnnxEngine(content)(torch.full((3, 1, 64, 96), 50.0)).is_contiguous(memory_format=torch.channels_last)
    ours, exact = Colorizer(weights=report.path, engine="onnx"), Colorizer(engine="torch")
    modes = [np.asarray(c(PHOTOGRAPH, temperature=0)).astype(int) for c in (ours, exact)]
    assert np.abs(modes[0] - modes[1]).mean() < 8

    ours = Colorizer(weights=report.path, device="cpu", engine="onnx")
    assert ours.engine == "onnx cpu int8"
    other = Colorizer(weights=report.path, device="cpu", engine="openvino")
    assert other.engine == "openvino cpu int8"
    difference = np.asarray(ours(PHOTOGRAPH)).astype(int) - np.asarray(other(PHOTOGRAPH))
    assert 0 < np.abs(difference).mean() < 3
    with pytest.raises(ValueError, match="an exported int8 file cannot become fp32"):
        fastcolor.export(report.path, tmp_path / "again.onnx")
    copy = fastcolor.export(report.path, tmp_path / "copy.onnx", precision="int8")
    assert copy.path.read_bytes() == content and "against ONNX Runtime on 4 pictures" in str(copy)
    given = load(report.path)
    with pytest.raises(ValueError, match="an exported file in int8 runs on the CPU, got device cuda:0"):
        check_fits(given, "tensorrt", torch.device("cuda:0"))
    assert not _runs_on_gpu(given, "auto")


@pytest.mark.parametrize(("name", "relative"), [("cgan-attention", 0.1), ("resnet-unet", 0.3)])
def test_int8_of_networks_with_groupnorm_and_attention(name: str, relative: float) -> None:
    given = fresh(name)
    engine = OnnxEngine(to_int8(given, to_onnx(given, "fp32"), photographs()[::2]), "int8")
    assert Trial(given, photographs()[1::2]).compare(engine).relative < relative
    assert engine(torch.full((2, 1, 64, 96), 50.0)).shape[0] == 2


def test_int8_beyond_its_bound_is_not_written(tmp_path: Path) -> None:
    """GroupNorm's fresh weights let activations span more than 256 steps serve."""
    given = fresh("resnet-unet")
    source = tmp_path / "net.safetensors"
    weights.save(source, given.model, name="resnet-unet", options={}, palette=given.palette, temperature=0.38, size=256)
    with pytest.raises(RuntimeError, match=r"small\.onnx: not written, because its relative error of the output"):
        fastcolor.export(source, tmp_path / "small.onnx", precision="int8")
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]


def test_a_difference_beyond_the_bound_fails_and_leaves_nothing(tmp_path: Path) -> None:
    """Logits beyond 65,504 are infinite in half precision, and fine in single."""
    known = weights.load("default")
    with torch.no_grad():
        known.model.head.weight.mul_(5e3)
        known.model.head.bias.mul_(5e3)
    source, t = tmp_path / "loud.safetensors", 5e3 * known.temperature
    weights.save(source, known.model, name="default", options={}, palette=known.palette, temperature=t, size=256)
    assert fastcolor.export(source, tmp_path / "single.onnx").parity.problem("fp32") is None
    with pytest.raises(RuntimeError, match="relative error"):
        fastcolor.export(source, tmp_path / "half.onnx", precision="fp16")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["loud.safetensors", "single.onnx"]


class Attends(nn.Module):
    """A classifier whose trace at one size is good for no other: attention over all pixels of 1/32 size."""

    kind, stride = "classifier", 32

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(1, 16, 32, 32)
        self.attend = nn.MultiheadAttention(16, 2, batch_first=True)
        self.head = nn.Conv2d(16, 313, 1)

    def forward(self, lightness: Tensor) -> Tensor:
        x = self.enter((lightness / 100).to(self.head.weight.dtype))
        n, c, h, w = x.shape
        rows = x.view(n, c, h * w).transpose(1, 2)
        rows = rows + self.attend(rows, rows, rows, need_weights=False)[0]
        return self.head(rows.transpose(1, 2).reshape(n, c, h, w))


def test_sizes_that_a_trace_bakes_in_are_freed_by_symbols() -> None:
    given = weights_of(Attends())
    run = OnnxEngine(to_onnx(given, "fp32"))
    for shape in ((1, 1, 64, 160), (5, 1, 96, 64)):
        lightness = torch.rand(shape) * 100
        with torch.no_grad():
            assert torch.allclose(run(lightness), given.model(lightness), atol=1e-4)


class Chooses(nn.Module):
    """A regressor that does something else for tall pictures, or from a height on, which no graph can say."""

    kind, stride = "regressor", 8

    def __init__(self, limit: int | None = None) -> None:
        super().__init__()
        self.limit = limit
        self.conv = nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, lightness: Tensor) -> Tensor:
        ab = self.conv(lightness.to(self.conv.weight.dtype))
        return -ab if lightness.shape[2] > (self.limit or lightness.shape[3]) else ab


class Cancels(nn.Module):
    """A classifier whose colours are small differences of large numbers, which bfloat16 does not hold."""

    kind, stride = "classifier", 8

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(1, 32, 8, 8)
        self.head = nn.Conv2d(32, 313, 1)
        with torch.no_grad():
            self.enter.bias.fill_(500)
            self.head.bias.copy_(-500 * self.head.weight.sum((1, 2, 3)))

    def forward(self, lightness: Tensor) -> Tensor:
        return self.head(self.enter(((lightness - 50) / 10).to(self.head.weight.dtype)).relu())


def test_a_network_that_no_graph_describes_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"cannot be exported|differs from torch"):
        to_onnx(weights_of(Chooses()), "fp32")


def test_parity_sees_errors_in_any_form() -> None:
    given = weights.load("default")
    given.model.requires_grad_(False)
    trial = Trial(given)
    assert trial.compare(given.model).problem("fp32") is None
    assert trial.compare(given.model).relative == 0
    speckled = trial.compare(lambda x: given.model(x).index_fill(3, torch.tensor([7]), float("nan")))
    assert "relative error of the output nan" in speckled.problem("bf16")
    assert trial.compare(lambda x: given.model(x) * 0).problem("bf16") is not None
    turned = trial.compare(lambda x: given.model(x.flip(3)))
    assert turned.problem("bf16") is not None and turned.de_max > turned.de_mean > 1
    with pytest.raises(ValueError, match="output must have shape"):
        trial.compare(lambda x: given.model(x)[:, :5])
    assert photographs().shape == (4, 256, 256) and photographs().float().std() > 30


def test_the_parity_table_tells_what_ran_and_what_is_beyond_its_bound() -> None:
    exact = Cancels()
    with torch.no_grad():
        exact.enter.bias.zero_()
        exact.head.bias.zero_()
    told = {(row["engine"], row["precision"]): row for row in parity.rows(weights_of(exact), torch.device("cpu"))}
    assert {name for name, _ in told} == set(ENGINES)
    assert {p for name, p in told if name == "onnx"} == {"fp32", "fp16", "int8"}
    assert {p for name, p in told if name == "openvino"} == {*openvino.precisions(), "int8"}
    for (name, precision), row in told.items():
        if name == "tensorrt":  # TensorRT-RTX, which needs no GPU for that
            assert row["status"] == "built" and row["mb"] > 0.01 and table.parity_cell(row).startswith("built, ")
        elif precision == "int8" and row["status"] == "refused":  # as an export would be
            assert "more than int8's bound" in row["problem"]
        else:
            assert row["status"] == "run" and row["problem"] is None, row
            assert 0 <= row["relative"] < row["bound"]["relative"] and "BEYOND" not in table.parity_cell(row)
    if ("torch", "bf16") in told:
        _, row = itertools.islice(parity.rows(weights_of(Cancels()), torch.device("cpu")), 2)
        assert "more than bf16's bound" in row["problem"] and row["problem"] in parity.text(row)
        assert "BEYOND" in table.parity_cell(row)


def test_bad_input_is_named(tmp_path: Path) -> None:
    (tmp_path / "there.onnx").write_bytes(b"nothing")
    for words, arguments in [
        (r"out: must end in \.onnx or \.engine", ("default", tmp_path / "net.pt")),
        ("there.onnx: exists already; --overwrite", ("default", tmp_path / "there.onnx")),
        ("no such file", (tmp_path / "no.onnx", tmp_path / "net.onnx")),
        ("there.onnx is not an ONNX file or is damaged", (tmp_path / "there.onnx", tmp_path / "net.onnx")),
    ]:
        with pytest.raises((ValueError, FileNotFoundError, FileExistsError), match=words):
            fastcolor.export(*arguments)
    with pytest.raises(ValueError, match=r"precision: must be fp32, fp16 or int8 for \.onnx, got 'bf16'"):
        fastcolor.export("default", tmp_path / "net.onnx", precision="bf16")
    with pytest.raises(ValueError, match=r"precision: must be fp32, fp16 or bf16 for \.engine, got 'int8'"):
        fastcolor.export("default", tmp_path / "net.engine", precision="int8")
    with pytest.raises(ValueError, match=r"pictures: int8 needs two, .* got .*chelsea\.jpg"):
        fastcolor.export("default", tmp_path / "net.onnx", precision="int8", pictures=PHOTOGRAPH)
    with pytest.raises(ValueError, match="must be a CUDA device for TensorRT, got cpu"):
        fastcolor.export("default", tmp_path / "net.engine", device="cpu")
    foreign = onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], []))
    onnx.save(foreign, tmp_path / "foreign.onnx")
    (tmp_path / "bad.engine").write_bytes(b"\x05\0\0\0hello")
    with pytest.raises(ValueError, match=r"foreign\.onnx is"):
        Colorizer(weights=tmp_path / "foreign.onnx")
    with pytest.raises(ValueError, match=r"bad\.engine is not an engine file"):
        Colorizer(weights=tmp_path / "bad.engine")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.engine", "foreign.onnx", "there.onnx"]


def test_command(tmp_path: Path) -> None:
    code = "from fastcolor.commands.cli import main; main()"
    command = [sys.executable, "-c", code, "export", "default", str(tmp_path / "net.onnx"), "--precision", "fp32"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    first = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert first.returncode == 0 and "against torch float32 on 4 pictures" in first.stdout and not first.stderr
    again = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert again.returncode == 2 and "exists already" in again.stderr and len(again.stderr.splitlines()) == 1


def test_the_default_network_pads_within_its_convolutions() -> None:
    """Padding of its own would be a pass over memory at every halving of the size, and be rounded apart in INT8."""
    onnx = pytest.importorskip("onnx")
    torch.manual_seed(0)
    given = weights_of(models.build("default"), "default")
    nodes = onnx.load_from_string(to_onnx(given, "fp32")).graph.node
    assert not [node for node in nodes if node.op_type == "Pad"]
    pads = [list(a.ints) for node in nodes for a in node.attribute if node.op_type == "Conv" and a.name == "pads"]
    assert pads.count([0, 0, 1, 1]) == 3 and pads.count([1, 1, 2, 2]) == 2
