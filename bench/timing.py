"""How everything here is timed: verified first, then alternated in one process, medians.

CPU times are thread CPU time when one thread computes, so that another program on the machine does not count, else wall
clock. CUDA times come from events around single calls, the L2 cache flushed before each; of rows marked `graph`, from
the replay of a CUDA graph of many calls, the cache warm. glibc hands a fresh tensor of
32 MB or more fresh pages at every call, which inflates baselines that make many of them about two times: `tune_malloc`
lets it keep its memory, and results name the regime.
"""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# No mmap: glibc takes no threshold above 32 MB.
TUNED_MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "68719476736", "MALLOC_TOP_PAD_": "536870912"}

Work = Callable[[], Any]


@dataclass(frozen=True)
class Row:
    """One op beside the other ways to compute the same.

    ours, others: make the same result; each of `others` is made by calling its entry, which raises ImportError where a
    library is missing. bytes: the fewest that must be read and written. same(ours, other): raises AssertionError.
    must, stretch: the least ratio to each of `others`. graph: on a GPU, so short that its launch is what counts.
    """

    name: str
    ours: Work
    others: Mapping[str, Callable[[], Work]]
    bytes: int
    same: Callable[[Any, Any], None]
    must: Mapping[str, float] = field(default_factory=dict)
    stretch: Mapping[str, float] = field(default_factory=dict)
    graph: bool = False


def malloc_regime() -> str:
    return "tuned" if os.environ.items() >= TUNED_MALLOC.items() else "default"


def tune_malloc() -> None:
    """Start this program again with malloc tuned, because glibc reads its settings at the start alone."""
    if malloc_regime() != "tuned" and sys.platform == "linux":
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **TUNED_MALLOC})


def _cpu_clock() -> Callable[[], float]:
    return time.thread_time if torch.get_num_threads() == 1 else time.perf_counter


def once(work: Work, device: str = "cpu", flush: Tensor | None = None) -> float:
    """Milliseconds of one call."""
    if device == "cpu":
        clock = _cpu_clock()
        start = clock()
        result = work()
        elapsed = clock() - start
        del result
        return elapsed * 1e3
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    if flush is not None:
        flush.sum()  # read, not written: dirty lines would go back to memory at the cost of what is timed
    torch.cuda._sleep(2_000_000)  # about 1 ms: all launches are queued before the clock starts; they are not timed
    begin.record()
    work()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def alternate(
    works: Mapping[str, Work], *, device: str = "cpu", seconds: float = 4.0, cold: bool = True
) -> dict[str, float]:
    """Median milliseconds of each, taken in turns for about `seconds` in all and at least five rounds. cold: on a GPU,
    with nothing in its cache."""
    flush = torch.zeros(1 << 26, dtype=torch.int32, device=device) if device != "cpu" and cold else None
    for work in works.values():
        work()
        work()
    times: dict[str, list[float]] = {name: [] for name in works}
    stop = time.perf_counter() + seconds
    while len(next(iter(times.values()))) < 5 or time.perf_counter() < stop:
        for name, work in works.items():
            # A slow baseline runs once a round, a fast op several times: the medians are then equally steady.
            repeats = 1 if not times[name] else max(1, min(20, int(10 / max(times[name][-1], 1e-3))))
            times[name] += [once(work, device, flush) for _ in range(repeats)]
    return {name: statistics.median(t) for name, t in times.items()}


def copy_of(count: int, device: str = "cpu") -> Work:
    """A copy that reads and writes `count` bytes in all: the floor of an op that must move as many."""
    source = torch.ones(max(count // 8, 1), dtype=torch.int32, device=device)
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


GRAPH_CALLS = 20
LAUNCH_BOUND_US = 6.0  # what a call may take on a GPU where its bytes alone would take less
COPY_SHARE = 0.9  # the least share of a copy's rate where the bytes are more than the GPU's cache holds


def graphed(work: Work) -> Work:
    """The replay of a CUDA graph of GRAPH_CALLS calls: one launch by the host, so no gaps between short kernels."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(GRAPH_CALLS):
            work()
    return graph.replay


def copy_ceiling(device: str) -> float:
    """GB/s of a copy of 2 GiB on the device, bytes read and written."""
    count = 1 << 32
    return count / alternate({"copy": copy_of(count, device)}, device=device, seconds=0.5)["copy"] / 1e6


def measure(row: Row, *, device: str = "cpu", seconds: float = 4.0, copy_gb_s: float = 0.0) -> dict[str, Any]:
    """Verify, then time one row. Baselines whose library is missing are named under `absent`. copy_gb_s: on a GPU, the
    rate of a copy far beyond its cache."""
    works: dict[str, Work] = {"fastcolor": row.ours, "copy": copy_of(row.bytes, device)}
    absent = {}
    expected = row.ours()
    for name, make in row.others.items():
        try:
            work = make()
            result = work()
        except ImportError as error:
            absent[name] = str(error)
            continue
        row.same(expected, result)
        del result
        works[name] = work
    del expected
    graph = row.graph and device != "cpu"
    if graph:
        for name, work in list(works.items()):
            try:
                works[name] = graphed(work)
            except RuntimeError as error:
                if name not in row.others:
                    raise
                absent[name] = f"no CUDA graph can hold it: {error}"
                del works[name]
    ms = alternate(works, device=device, seconds=seconds, cold=not graph)
    if graph:
        ms = {name: time / GRAPH_CALLS for name, time in ms.items()}
    ours = ms.pop("fastcolor")
    copy = ms.pop("copy")
    return {
        "name": row.name,
        "ms": ours,
        "bytes": row.bytes,
        "copy_ms": copy,
        "share_of_copy_rate": copy / ours,
        **(gpu_goals(row, ours, copy_gb_s) if device != "cpu" else {}),
        "baseline_ms": ms,
        "ratio": {name: t / ours for name, t in ms.items()},
        "must": dict(row.must),
        "stretch": dict(row.stretch),
        "absent": absent,
    }


def gpu_goals(row: Row, ours: float, copy_gb_s: float) -> dict[str, Any]:
    """A row's bar on a GPU by its size: a share of the copy rate beyond the cache, a time within it. A copy as large as
    the row is no bar: what of it stays in the cache is written later, on nobody's time."""
    facts: dict[str, Any] = {"gb_s": row.bytes / ours / 1e6, "timed": "graph" if row.graph else "call"}
    if row.bytes > torch.cuda.get_device_properties(0).L2_cache_size:
        return facts | {
            "goal": f"{COPY_SHARE:.0%} of the copy rate",
            "goal_met": facts["gb_s"] >= COPY_SHARE * copy_gb_s,
        }
    if row.graph:
        return facts | {"goal": f"{LAUNCH_BOUND_US:g} us", "goal_met": ours * 1e3 <= LAUNCH_BOUND_US}
    return facts


def peak_bytes(work: Work, device: str = "cpu") -> int:
    """The most memory that torch holds for this call beyond what it held before, its result included, to the byte: on
    the CPU from the profiler's record of every allocation and release, on a GPU from the allocator's own."""
    work()
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_stats()["requested_bytes.all.current"]
        work()
        return torch.cuda.memory_stats()["requested_bytes.all.peak"] - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        result = work()
    del result
    held = most = 0
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def machine() -> dict[str, Any]:
    """What a figure's reader must know."""
    from fastcolor import _native

    try:
        cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[1]  # type: ignore[index]
    except (OSError, TypeError):
        cpu = platform.processor() or platform.machine()
    facts: dict[str, Any] = {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "isa": _native._C.isa(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": commit(),
        "malloc": malloc_regime(),
        "date": time.strftime("%Y-%m-%d"),
    }
    if torch.cuda.is_available():
        facts |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
    return facts


def commit(tree: Path = Path(__file__).parents[1]) -> str:
    """The commit of a tree, with `-dirty` where what is measured differs from it: what benchmarks write themselves,
    results and the pages with their tables and pictures, does not count."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=tree).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/results", ":!docs", ":!*.md")
    return git("describe", "--always") + ("-dirty" if changed else "")


def compiled(function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """torch.compile for fixed shapes; bound to `arguments` where there are any."""
    fast = torch.compile(function, dynamic=False)
    return (lambda: fast(*arguments)) if arguments else fast


def suite(rows: Sequence[Callable[[str], Row]]) -> Callable[..., None]:
    """A pytest-benchmark test of our side of every row, verified against the first baseline before it is timed."""
    import pytest

    @pytest.mark.parametrize("make", rows, ids=range(len(rows)))
    def test(benchmark: Any, make: Callable[[str], Row]) -> None:
        row = make("cpu")
        row.same(row.ours(), next(iter(row.others.values()))()())
        benchmark.extra_info |= {"row": row.name, "bytes": row.bytes, **machine()}
        benchmark(row.ours)

    return test
