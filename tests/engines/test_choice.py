"""The fastest engine is chosen, and remembered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_choices import CPU, in_torch, names_of, python, said, way_of
from test_export import Attends, fresh, weights_of

from fastcolor.device import int8_is_fast
from fastcolor.engines import cache, choose, timings
from fastcolor.models.generator import Generator


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


def test_information_tells_choice_and_timings(tmp_path: Path) -> None:
    code = "from fastcolor.commands.cli import main; main(['info'])"
    before = python(code, FASTCOLOR_HOME=str(tmp_path))
    ways = 2 + len(in_torch())
    assert before.count("not measured yet") == ways and not list(tmp_path.iterdir())
    after = python(code.replace("'info'", "'info', '--measure'"), FASTCOLOR_HOME=str(tmp_path))
    assert after.count("ms in batches of 8") == ways and after.count("; chosen by auto") == 1
    assert python(code, FASTCOLOR_HOME=str(tmp_path)) == after
    assert torch.cuda.is_available() or "engine tensorrt  no: " in after
