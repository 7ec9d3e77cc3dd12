"""Engines: the same colours from each, the fastest chosen and remembered, and what is wrong is not used."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
import torch
from film_clips import clip, in_process
from test_export import PHOTOGRAPH, Attends, Cancels, Chooses, fresh, weights_of

from fastcolor import Colorizer, ops
from fastcolor.device import int8_is_fast
from fastcolor.engines import cache, choose, files, openvino, tensorrt, timings
from fastcolor.engines.exported import describe
from fastcolor.engines.load import load
from fastcolor.engines.onnx import OnnxEngine
from fastcolor.engines.parity import Trial, photographs
from fastcolor.engines.torch import precisions
from fastcolor.models import weights
from fastcolor.models.generator import Generator

CPU = torch.device("cpu")


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


def plant(content: bytes) -> bytes:
    """A real ONNX file with a quarter of its last filters' weights turned around."""
    model = onnx.load_from_string(content)
    head = next(x for x in model.graph.initializer if len(x.dims) == 4 and x.dims[0] == 313)
    values = onnx.numpy_helper.to_array(head).copy()
    values[::4] *= -1
    head.CopyFrom(onnx.numpy_helper.from_array(values, head.name))
    return model.SerializeToString()


def names_of(generator: Generator) -> list[str]:
    """What "auto" chooses among on the CPU."""
    return [str(candidate) for candidate in choose.candidates(generator, CPU)]


def in_torch() -> list[str]:
    """Torch's ways on the CPU."""
    return [f"torch {precision}" for precision in precisions(CPU)]


def said(caplog: pytest.LogCaptureFixture) -> str:
    """Our own warnings so far, and a clean page."""
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("fastcolor")]
    caplog.clear()
    return "\n".join(lines)


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
        assert float((first - truth).norm() / truth.norm()) < (1e-4 if precision == "fp32" else 0.06)
        assert not torch.allclose(first, second)  # no memory is shared between results
    colorizer = Colorizer(device="cpu", engine=name)
    assert np.ptp(np.asarray(colorizer(PHOTOGRAPH)).astype(int), axis=2).max() > 10
    with pytest.raises(ValueError, match=f"engine: {name} runs on the CPU, got device cuda"):
        choose.check_fits(default, name, torch.device("cuda:0"))


def test_the_package_s_network_in_int8_is_that_of_the_default_weights(home: Path, default: Generator) -> None:
    path = files.shipped_path(default)
    told, known = OnnxEngine(path.read_bytes()).metadata(), describe(default, "int8")
    assert told.pop("fastcolor") and known.pop("fastcolor")  # the version that made it may be an earlier one
    assert json.loads(told.pop("answer")) and told == known
    assert told["weights_sha256"] and told["precision"] == "int8"
    assert list(files._ASSETS.glob("*.onnx")) == [path]
    assert Trial(default, photographs()[1::2]).compare(OnnxEngine(path.read_bytes(), "int8")).problem("int8") is None


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
    scale = [x for x in wrong.graph.initializer if x.name.endswith("_scale") and x.dims][-1]
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


def way_of(engine: timings.Engine) -> str:
    """Such as "torch bf16"."""
    name, _, precision = engine.name.split()
    return f"{name} {precision.replace('bfloat16', 'bf16').replace('float32', 'fp32')}"


def test_a_slow_network_is_not_timed_in_batches(home: Path, own: Generator) -> None:
    """Eight pictures at once of a network that takes seconds each would make somebody wait a minute for one."""

    class Slow:
        device, name, asked = CPU, "torch cpu float32", 0

        def __call__(self, lightness: torch.Tensor) -> torch.Tensor:
            Slow.asked += len(lightness)
            time.sleep(0.3)
            return lightness

    names = ["torch fp32"]
    found = timings.remember(timings.measure({"torch fp32": Slow()}, own, CPU), own, CPU, names)
    assert Slow.asked == 2 and [len(row) for row in found["ms"].values()] == [1]
    assert timings.recall(own, CPU, names) == found and found["fastest"] == "torch fp32"


def test_auto_measures_once_and_remembers(home: Path, default: Generator, caplog: pytest.LogCaptureFixture) -> None:
    names = names_of(default)
    assert list(dict.fromkeys(name.split()[0] for name in names)) == ["onnx", "openvino", "torch"]
    assert timings.recall(default, CPU, names) is None
    engine = choose.choose(default, "cpu")
    found = timings.recall(default, CPU, names)
    assert set(found["ms"]) == set(names) and all(0 < t < 60_000 for row in found["ms"].values() for t in row)
    assert way_of(engine) == found["fastest"] == min(names, key=lambda n: np.prod(found["ms"][n]))
    record = (home / "engines.json").read_text()
    assert way_of(choose.choose(default, "cpu")) == found["fastest"]
    assert (home / "engines.json").read_text() == record  # nothing was measured again

    records = json.loads(record)
    ((key, choice),) = records["choices"].items()
    for other in names:  # the choice is what the file says
        records["choices"][key] = {**choice, "fastest": other}
        (home / "engines.json").write_text(json.dumps(records))
        assert way_of(choose.choose(default, "cpu")) == other
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    assert timings.recall(default, CPU, names) is None  # another machine, so to speak
    torch.set_num_threads(threads)
    for damage in ("{", "[]", '{"choices": 3}', json.dumps({"choices": {key: {"fastest": "caffe", "ms": {}}}})):
        (home / "engines.json").write_text(damage)
        assert timings.recall(default, CPU, names) is None
    assert choose.choose(default, "cpu").name and timings.recall(default, CPU, names) is not None
    assert not said(caplog)


def test_other_people_s_files_stay_where_choices_are_remembered(home: Path) -> None:
    home.mkdir()
    for number in range(20):
        (home / f"{number}.json").write_text("{}")
    cache.remember("checks", "key", 1)
    assert cache.recall("checks", "key") == 1 and len(list(home.glob("*.json"))) == 21


def test_processes_that_note_at_once_lose_nothing(tmp_path: Path) -> None:
    """Each adds to what the others wrote meanwhile."""
    code = """
import sys
from fastcolor.engines import cache
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    cache.remember("checks", f"{sys.argv[1]} {number}", number)
"""
    command, environment = [sys.executable, "-c", code], {**os.environ, "FASTCOLOR_HOME": str(tmp_path)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    writers = [subprocess.Popen([*command, name], **pipes) for name in ("one", "other")]
    assert [writer.stdout.readline() for writer in writers] == ["ready\n"] * 2
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    assert [writer.wait(60) for writer in writers] == [0, 0]
    noted = json.loads((tmp_path / "engines.json").read_text())["checks"]
    assert noted == {f"{name} {number}": number for name in ("one", "other") for number in range(40)}


def test_auto_starts_no_long_export_but_counts_one_that_is_there(home: Path) -> None:
    given = weights_of(Attends())
    assert choose.choose(given, "cpu").name.startswith("torch cpu")
    assert set(timings.recall(given, CPU, names_of(given))["ms"]) == set(in_torch()) and not list(home.glob("onnx/*"))
    assert choose.choose(given, "cpu").name.startswith("torch cpu")
    assert choose.choose(given, "cpu", "onnx").name == "onnx cpu fp32"
    choose.choose(given, "cpu")
    names = names_of(given)
    assert {"onnx", "openvino"} <= {name.split()[0] for name in names}
    assert set(timings.recall(given, CPU, names)["ms"]) == set(names)


def python(code: str, **environment: str) -> str:
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout


ABSENT = "import sys; sys.modules.update(dict.fromkeys(['onnx', 'onnxscript', 'onnxruntime', 'openvino']))\n"
CHOSEN = "import fastcolor; print(fastcolor.Colorizer(device='cpu').engine)"


def test_torch_alone_is_measured_for_its_precisions(tmp_path: Path) -> None:
    assert python(ABSENT + CHOSEN, FASTCOLOR_HOME=str(tmp_path)).startswith("torch cpu ")
    if len(in_torch()) > 1:
        (choice,) = json.loads((tmp_path / "engines.json").read_text())["choices"].values()
        assert set(choice["ms"]) == set(in_torch())
    else:
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["eccv16", "siggraph17"])
def test_a_processor_that_has_bfloat16_need_not_be_fast_at_it(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those with AVX-512's alone are slower in it than in float32, with the published networks: both are measured."""
    monkeypatch.setattr(choose, "_ON_CPU", ())  # torch alone is there
    monkeypatch.setattr(choose, "precisions", lambda device: ("bf16", "fp32"))
    engine = choose.choose(replace(fresh(name), size=64), "cpu")
    (choice,) = json.loads((home / "engines.json").read_text())["choices"].values()
    assert set(choice["ms"]) == {"torch bf16", "torch fp32"}
    assert way_of(engine) == choice["fastest"] == min(choice["ms"], key=lambda way: np.prod(choice["ms"][way]))


def test_a_package_that_is_not_there_is_named(tmp_path: Path) -> None:
    code = """
import fastcolor
for name in ('onnx', 'openvino'):
    try:
        fastcolor.Colorizer(device='cpu', engine=name)
    except ValueError as error:
        print(error)
"""
    told = python(ABSENT + code, FASTCOLOR_HOME=str(tmp_path))
    assert "onnx is not usable" in told and "pip install 'fastcolor[openvino]'" in told


def test_where_nothing_can_be_kept_nothing_is_measured_or_exported(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    home = str(tmp_path / "plain" / "home")
    expected = "onnx cpu int8" if int8_is_fast() else "torch cpu "
    assert python(CHOSEN, FASTCOLOR_HOME=home).startswith(expected)
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]


def test_the_plain_install_is_the_fast_one(tmp_path: Path) -> None:
    """With ONNX Runtime alone, without what exporting needs, and without openvino."""
    without = "import sys; sys.modules.update(dict.fromkeys(['onnx', 'onnxscript', 'openvino']))\n"
    told = python(without + "from fastcolor.commands.cli import main; main(['info'])", FASTCOLOR_HOME=str(tmp_path))
    line = next(line for line in told.splitlines() if line.startswith("engine onnx"))
    if int8_is_fast():
        assert "int8" in line and "chosen by auto" in line
    code = "import fastcolor; print(fastcolor.Colorizer(device='cpu', engine='onnx').engine)"
    if int8_is_fast():
        assert python(without + code, FASTCOLOR_HOME=str(tmp_path)) == "onnx cpu int8\n"
    assert not (tmp_path / "onnx").exists()


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


def test_information_tells_choice_and_timings(tmp_path: Path) -> None:
    code = "from fastcolor.commands.cli import main; main(['info'])"
    before = python(code, FASTCOLOR_HOME=str(tmp_path))
    ways = 2 + len(in_torch())
    assert before.count("not measured yet") == ways and not list(tmp_path.iterdir())
    after = python(code.replace("'info'", "'info', '--measure'"), FASTCOLOR_HOME=str(tmp_path))
    assert after.count("ms in batches of 8") == ways and after.count("; chosen by auto") == 1
    assert python(code, FASTCOLOR_HOME=str(tmp_path)) == after
    assert torch.cuda.is_available() or "engine tensorrt  no: " in after


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
