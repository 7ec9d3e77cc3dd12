"""Everything that only a GPU can show, in one command that needs no network: `make gpu`.

Builds the package into a folder of its own, runs the kernel tests on the GPU, the same kernels under compute-sanitizer,
the benchmarks, films and a training step, and reads DRAM bytes with ncu: most important first. Each step has a time
limit, a log and a line in summary.txt; one that fails loses nothing of the others, and when all is told to end, what
the running step has measured is kept. A step that cannot run here says why. Ends with 1 unless all of them held.
Standard library alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gpu_tables as tables

ROOT = Path(__file__).resolve().parent.parent


def tests_of(names: str) -> list[Path]:
    return [ROOT / "tests" / room / f"test_{stem}.py" for room, stem in (name.split("/") for name in names.split())]


TESTS = tests_of("ops/cuda ops/color ops/encode ops/loss ops/decode ops/paint film/smoothing")
FILM = tests_of("film/video_gpu")
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
TOOLS = ("memcheck", "racecheck", "synccheck")
FIGURES = ("ops", "train", "once")  # what benchmarks write as they go, one file each
# What a step says in the summary: the last line of its log that has one of these.
GOOD = ("passed", "ERROR SUMMARY")
BAD = ("Error", "error", "FAILED", "ailed", "ERR_", "not supported")

PROBE = """
import json
from fastcolor import _native
from fastcolor.bench import timing
print(json.dumps(timing.machine() | _native.capabilities()))
"""


@dataclass
class Step:
    """name: in the summary. log: the file it adds its output to. seconds: its limit. need: why it cannot run here, or
    empty. after: looks at what the step has made, and returns a line for the summary."""

    name: str
    command: list[object]
    log: str
    seconds: float
    need: str = ""
    environment: dict[str, str] | None = None
    after: Callable[[], str] | None = None


class Runner:
    """Runs steps one after another and keeps summary.txt up to date."""

    def __init__(self, out: Path, site: Path, seconds: float) -> None:
        self.out, self.site, self.stop = out, site, time.monotonic() + seconds
        self.lines: list[str] = []
        self.tables: list[str] = []
        self.held = True
        self.children: set[subprocess.Popen[bytes]] = set()
        self.writing = threading.Lock()  # steps may run at once
        # CMake and ninja as Python packages, and CUDA's tools, may not be on PATH.
        self.path = f"{os.environ['PATH']}:{Path(sys.executable).parent}:/usr/local/cuda/bin"

    def tool(self, name: str) -> str | None:
        return shutil.which(name, path=self.path)

    def run(self, step: Step) -> bool:
        """Did it hold?"""
        limit = min(step.seconds, self.stop - time.monotonic())
        if not step.need and limit < 5:
            step.need = "no time is left"
        start, code, said = time.monotonic(), "-", step.need
        print(f"{step.name} ...", flush=True)
        if not step.need:
            with (self.out / step.log).open("a") as log:
                log.write(f"\n==== {step.name}: {' '.join(map(str, step.command))}\n")
                log.flush()
                code, said = self._call(step, log, limit)
            if step.after is not None:
                try:
                    said = "; ".join(filter(None, (said, step.after())))
                except (OSError, ValueError, KeyError) as error:
                    ended = "it ended well" if code == "0" else "it was ended"
                    said = f"{said or ended}; no result to read: {error!r}"
                    code = "0 but" if code == "0" else code
        held = code == "0"
        self.held &= held
        verdict = "ok" if held else "NOT RUN" if step.need else "FAILED"
        line = f"{verdict:8} {step.name:28} {time.monotonic() - start:6.1f} s  exit {code:6} {said}"
        self.lines.append(line.rstrip())
        print(self.lines[-1], flush=True)
        self.write()
        return held

    def _call(self, step: Step, log: Any, limit: float) -> tuple[str, str]:
        """(exit code, the telling line). The working folder is the one the package was built into, so that Python finds
        that one and not the source folder's."""
        environment = {**os.environ, "PATH": self.path, "FASTCOLOR_REQUIRE_CUDA": "1", **(step.environment or {})}
        command = [str(word) for word in step.command]
        where = self.site if self.site.exists() else ROOT
        begin = log.tell()
        child = subprocess.Popen(
            command, cwd=where, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        self.children.add(child)
        try:
            code = child.wait(max(0, min(limit, self.stop - time.monotonic())))
        except subprocess.TimeoutExpired:
            return "limit", f"stopped at its limit of {limit:.0f} s"
        finally:
            self.kill(child)
        with (self.out / step.log).open(errors="replace") as text:
            text.seek(begin)
            lines = [line.strip() for line in text if line.strip()]
        telling = [line for line in lines if any(word in line for word in (BAD if code else GOOD))]
        return str(code), (telling or lines[-1:] * bool(code) or [""])[-1][:160]

    def kill(self, child: subprocess.Popen[bytes]) -> None:
        """End it, with what it has started."""
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        self.children.discard(child)

    def end(self, *_: object) -> None:
        """Whoever waits for a step goes on at once: with what it has left behind, and with no time for the others. For
        a signal, which may come while somebody waits for a child: here nobody does."""
        self.stop = 0.0
        for child in tuple(self.children):
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)

    def write(self) -> None:
        with self.writing:
            replace(self.out / "summary.txt", "\n".join([*self.lines, *self.tables]))


def replace(path: Path, text: str) -> None:
    """Write a file whose reader, and whoever is killed, sees the old text or the new."""
    part = path.with_name(path.name + ".part")
    part.write_text(text + "\n")
    os.replace(part, path)


def probe(site: Path) -> tuple[dict[str, Any], str]:
    """What the built package finds here, and why no step can use a GPU, or empty."""
    done = subprocess.run([sys.executable, "-c", PROBE], cwd=site, capture_output=True, text=True)
    if done.returncode:
        return {}, f"the built package does not load: {done.stderr.strip().splitlines()[-1]}"
    facts = json.loads(done.stdout)
    if not facts["cuda_built"]:
        problem = "built without CUDA kernels: no nvcc was found"
    elif "gpu" not in facts:
        problem = f"no GPU: torch {facts['torch']} sees none; CUDA says: {facts['cuda_problem'] or 'one is there'}"
    else:
        problem = "" if facts["cuda_devices"] else f"the kernels see no GPU: {facts['cuda_problem']}"
    return facts, problem


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "gpu-results", help="folder for summary, figures and logs")
    parser.add_argument("--seconds", type=float, default=525, help="limit for all steps together")
    given = parser.parse_args()
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    logs = ("tests.log", "bench.log", "ncu.log", *(f"{tool}.log" for tool in TOOLS))
    for name in ("summary.txt", "results.json", *logs, *(f"{figures}.json" for figures in FIGURES)):
        (out / name).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="fastcolor-gpu-") as scratch:
        held = run_all(out, Path(scratch), given.seconds)
    print(f"\n{(out / 'summary.txt').read_text()}\n{out}")
    sys.exit(0 if held else 1)


def run_all(out: Path, scratch: Path, seconds: float) -> bool:
    runner = Runner(out, scratch / "site", seconds)
    for told in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(told, runner.end)
    git = [shutil.which("git") or "true", "-C", ROOT, "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip() or "unknown"
    results: dict[str, Any] = {}
    python = [sys.executable, "-m"]

    def keep(name: str, value: Any, lines: Iterable[str]) -> None:
        results[name] = value
        replace(out / "results.json", json.dumps(results, indent=1))
        runner.tables.extend(lines)

    pip = [*python, "pip", "install", "--no-index", "--no-build-isolation", "--no-deps", "--disable-pip-version-check"]
    # For the GPU that is here alone: each architecture more takes its time.
    native = {"FASTCOLOR_CUDA_ARCHS": "native"} if runner.tool("nvidia-smi") else None
    built = runner.run(Step("build", [*pip, "--target", runner.site, ROOT], "tests.log", 180, environment=native))
    facts, no_gpu = probe(runner.site) if built else ({}, "the package was not built")
    keep("machine", facts | {"commit": commit}, [f"\ncommit {commit}, {json.dumps(facts)}"])

    command = [*PYTEST, "--tb=short", "-k", "cuda", *TESTS]
    runner.run(Step("kernel tests on the GPU", command, "tests.log", 130, no_gpu))

    # At once: they judge what is computed, not how fast. Tensors are allocated singly, else their neighbours in torch's
    # pool would hide an index that is out of bounds.
    sanitizer = runner.tool("compute-sanitizer")
    why = no_gpu or ("" if sanitizer else "compute-sanitizer is not on PATH")
    flags: list[object] = ["--error-exitcode", 9, "--report-api-errors", "no"]
    if sanitizer and "--kernel-regex" in subprocess.getoutput(f"'{sanitizer}' --help"):  # else torch's kernels too
        flags += ["--kernel-regex", "kns=fastcolor"]
    small = [*PYTEST, "-k", "every_kernel", TESTS[0]]
    alone = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    steps = [Step(tool, [sanitizer, "--tool", tool, *flags, *small], f"{tool}.log", 120, why, alone) for tool in TOOLS]
    with ThreadPoolExecutor(len(steps)) as pool:
        list(pool.map(runner.run, steps))

    ops, train, once = (out / f"{name}.json" for name in FIGURES)

    def ops_done() -> str:
        figures = json.loads(ops.read_text())
        keep("ops", figures, tables.ops(figures))
        return f"{len(figures['rows'])} rows measured, {len(figures['failed'])} failed"

    def train_done(device: str) -> str:
        rows = json.loads(train.read_text())["rows"]
        keep(f"train_{device}", rows, tables.train(rows))
        return ", ".join(f"{name} {ratio:.2f}x our time" for name, ratio in rows[0]["time_ratio"].items())

    command = [*python, "fastcolor.bench.run", "--device", "cuda", "--seconds", 0.5, "--out", ops]
    runner.run(Step("ops against plain torch", command, "bench.log", 170, no_gpu, after=ops_done))

    def train_step(device: str, need: str) -> None:
        train.unlink(missing_ok=True)
        command = [*python, "fastcolor.bench.bench_train_step", "--device", device, "--seconds", 8, "--out", train]
        runner.run(Step(f"training step, {device}", command, "bench.log", 120, need, after=lambda: train_done(device)))

    command = [*PYTEST, "--tb=short", "-k", "nvdec or nvenc", *FILM]
    why = no_gpu or ("" if importlib.util.find_spec("av") else "PyAV is not installed")
    runner.run(Step("film on the GPU", command, "tests.log", 100, why))
    train_step("cuda", no_gpu)

    def ncu_done() -> str:
        found = tables.ncu_kernels(out / "ncu.log", json.loads(once.read_text())["rows"])
        keep("dram", found, tables.ncu(found))
        if not found:
            raise ValueError("ncu named no kernel of ours")
        return f"{len(found)} kernels"

    ncu = runner.tool("ncu")
    flags = "--csv --page raw --print-units base --nvtx --clock-control none --kernel-name-base demangled".split()
    flags += ["--kernel-name", "regex:fastcolor", "--metrics", ",".join(tables.METRICS)]
    command = [ncu, *flags, *python, *"fastcolor.bench.run --device cuda --once --malloc default --out".split(), once]
    why = no_gpu or ("" if ncu else "ncu is not on PATH")
    runner.run(Step("DRAM bytes by ncu", command, "ncu.log", 120, why, after=ncu_done))
    train_step("cpu", "" if facts else no_gpu)
    runner.write()
    return runner.held


if __name__ == "__main__":
    main()
