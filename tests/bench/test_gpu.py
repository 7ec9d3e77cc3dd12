"""The driver behind `make gpu`: no step loses another's results, none outlives its limit, and ncu's page is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.append(str(BENCH))
import gpu  # noqa: E402
import gpu_tables  # noqa: E402
import torch  # noqa: E402

from bench import timing  # noqa: E402


def python(text: str, **options: object) -> gpu.Step:
    return gpu.Step(
        options.pop("name", "step"), [sys.executable, "-c", text], "steps.log", **{"seconds": 60, **options}
    )


@pytest.fixture
def runner(tmp_path: Path) -> gpu.Runner:
    return gpu.Runner(tmp_path, tmp_path / "site", 100)


def test_each_step_says_how_it_ended(runner: gpu.Runner) -> None:
    assert runner.run(python("print('12 passed in 3 s'); print('bye')", name="good"))
    assert not runner.run(python("print('RuntimeError: out of paint'); print('bye'); raise SystemExit(3)", name="bad"))
    assert not runner.run(python("pass", name="absent", need="no GPU here"))

    def unreadable() -> str:
        raise OSError("no such file")

    assert not runner.run(python("pass", name="silent", after=unreadable))
    assert runner.run(python("pass", name="last", after=lambda: "3 rows"))
    assert not runner.held
    summary = (runner.out / "summary.txt").read_text().splitlines()
    assert [line[:8].strip() for line in summary[:5]] == ["ok", "FAILED", "NOT RUN", "FAILED", "ok"]
    for line, words in zip(
        summary,
        ("12 passed", "exit 3      RuntimeError: out of paint", "no GPU here", "no such file", "3 rows"),
        strict=True,
    ):
        assert words in line
    log = (runner.out / "steps.log").read_text()
    assert log.count("====") == 4 and "out of paint" in log


def test_a_step_ends_at_its_limit_with_what_it_started(runner: gpu.Runner) -> None:
    child = (
        "import os, subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    )
    start = time.monotonic()
    assert not runner.run(python(f"{child}; print(p.pid, flush=True); time.sleep(60)", seconds=5))
    assert time.monotonic() - start < 20
    assert "stopped at its limit of 5 s" in runner.lines[0]
    pid = int((runner.out / "steps.log").read_text().split()[-1])
    for _ in range(50):  # an orphan is reaped a little later
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return
        time.sleep(0.1)
    raise AssertionError("what the step started lives on")


def test_who_is_told_to_end_keeps_what_was_measured(runner: gpu.Runner) -> None:
    """Here by another thread, where a signal's handler would call: the running step ends, is read, and the rest says
    that there is no time."""
    half = runner.out / "half.json"
    slow = python(
        f"import time; open({str(half)!r}, 'w').write('[1, 2]'); time.sleep(60)",
        name="slow",
        after=lambda: f"{len(json.loads(half.read_text()))} rows",
    )

    def end_it() -> None:
        while not half.exists() or not half.read_text():
            time.sleep(0.02)
        runner.end()

    start, ending = time.monotonic(), threading.Thread(target=end_it)
    ending.start()
    assert not runner.run(slow) and not runner.run(python("pass", name="next"))
    ending.join()
    assert time.monotonic() - start < 30
    first, second = (runner.out / "summary.txt").read_text().splitlines()
    assert first.startswith("FAILED") and "exit -9" in first and "2 rows" in first
    assert second.startswith("NOT RUN") and "no time is left" in second
    assert not [path for path in runner.out.iterdir() if path.suffix == ".part"]


def test_steps_at_once_leave_all_their_lines(runner: gpu.Runner) -> None:
    steps = [python("pass", name=f"step {i}", need="no GPU here") for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        assert not any(pool.map(runner.run, steps))
    assert len((runner.out / "summary.txt").read_text().splitlines()) == 40


def test_no_time_left_is_said(tmp_path: Path) -> None:
    late = gpu.Runner(tmp_path, tmp_path / "site", 1)
    assert not late.run(python("pass")) and "NOT RUN" in late.lines[0] and "no time is left" in late.lines[0]


def test_ncu_kernels_find_their_rows(tmp_path: Path) -> None:
    signature = "(fastcolor::LossParams, unsigned int, bool)"
    page = [
        '"ID","thread Domain:Push/Pop_Range:Msg","Kernel Name","dram__bytes_read.sum","dram__bytes_write.sum",'
        '"gpu__time_duration.sum"',
        '"","","","byte","byte","ns"',
        f'"0","","void fastcolor::cuda::<unnamed>::planar_loss_kernel<float, (int)1>{signature}","1","2","3"',
        f'"1","1 <default domain>:loss, f32:none","void fastcolor::(anonymous namespace)::planar_loss_kernel<float, '
        f'(int)1>{signature}","82,000,000","80000000","40000"',
        f'"2","1 <default domain>:loss, f32, channels_last:none","void fastcolor::row_loss_kernel<float>{signature}",'
        '"5","6","7"',
    ]
    log = tmp_path / "ncu.log"
    log.write_text("==PROF== Connected to process 7\n" + "\n".join(page) + "\n==PROF== Disconnected\n")
    rows = [{"name": "loss, f32", "bytes": 164_000_000}, {"name": "loss, f32, channels_last", "bytes": 11}]
    found = gpu_tables.ncu_kernels(log, rows)
    assert [(k["row"], k["kernel"], k["read"], k["floor"]) for k in found] == [
        ("loss, f32", "planar_loss_kernel", 82e6, 164_000_000),
        ("loss, f32, channels_last", "row_loss_kernel", 5, 11),
    ]
    assert "82.0     80.0    164.0     40.0  planar_loss_kernel  [loss, f32]" in "\n".join(gpu_tables.ncu(found))


def test_bench_runs_without_the_command_line_library(tmp_path: Path) -> None:
    """A GPU machine without a network has torch, not tyro; and a missing GPU is no success."""
    block = "import sys; sys.modules.update(tyro=None, av=None); import runpy; sys.argv = sys.argv[1:];"
    program = f"{block} runpy.run_module('fastcolor.bench.run', run_name='__main__')"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, "run", *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, capture_output=True, text=True, cwd=BENCH.parent, env=environment)

    assert "--device" in run("--help").stdout
    refused = run("--once")
    assert refused.returncode == 2 and "--once: must go with --device cuda" in refused.stderr


def test_the_tests_that_a_gpu_runs_are_there() -> None:
    assert gpu.TESTS and not [path for path in gpu.TESTS if not path.exists()]
    assert gpu.TESTS[0].name == "test_cuda.py"  # of which the sanitizers run a part


def test_the_copy_rate_is_that_of_a_copy_beyond_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """164 MB in 42 us are 3.9 TB/s, 91 % of 4.3, whatever a copy as large takes that leaves half of it in the cache."""

    class Properties:
        L2_cache_size = 50 << 20

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    row = timing.Row("loss", ours=lambda: None, others={}, bytes=164_000_000, same=lambda a, b: None)
    assert timing.gpu_goals(row, 0.042, 4300.0)["goal_met"]
    assert not timing.gpu_goals(row, 0.046, 4300.0)["goal_met"]
