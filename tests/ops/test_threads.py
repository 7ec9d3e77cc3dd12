"""Threads: the same bits from any number of them, from several Python threads at once, and twice the speed from two.

Speed is measured on a quiet machine alone: FASTCOLOR_QUIET=1 says that nothing else runs on it. Elsewhere another
program's work would decide the ratio, so that test is skipped.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import torch
from every_op import FLOATS, every_op

from fastcolor import ops

COUNTS = (1, 2, 7)


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def same(ours: list[torch.Tensor], expected: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, expected, strict=True))


@pytest.mark.parametrize(
    ("height", "width", "bins", "dtypes"),
    [(401, 403, 8, (torch.float32,)), (71, 73, 21, FLOATS)],
    ids=["large", "dtypes"],
)
def test_the_same_bits_on_any_number_of_threads(height: int, width: int, bins: int, dtypes: tuple) -> None:
    """Large enough that every op shares its work out: more than 0.3 ms of it (csrc/cpu/parallel.h)."""
    for name, work in every_op(height, width, bins, dtypes).items():
        results = []
        for count in COUNTS:
            torch.set_num_threads(count)
            results.append(work())
        assert same(results[1], results[0]) and same(results[2], results[0]), name


def test_python_threads_at_once() -> None:
    """Four threads run every op, each in an order of its own: on tensors they share, and on their own."""
    torch.set_num_threads(2)
    shared = every_op(41, 43, bins=21)
    expected = {name: work() for name, work in shared.items()}
    failures: list[str] = []
    start = threading.Barrier(4)

    def work(first: int, works: dict[str, Callable[[], list[torch.Tensor]]]) -> None:
        names = list(works)[first:] + list(works)[:first]
        start.wait()
        for name in names if first % 2 == 0 else reversed(names):
            try:
                if not same(works[name](), expected[name]):
                    failures.append(f"{name}: another result")
            except Exception as error:
                failures.append(f"{name}: {error}")

    # The inputs come from a seed, so what a thread makes for itself equals what the others share.
    own = [shared, shared, every_op(41, 43, bins=21), every_op(41, 43, bins=21)]
    threads = [threading.Thread(target=work, args=(17 * i, works)) for i, works in enumerate(own)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def large_works() -> dict[str, Callable[[], object]]:
    """A few milliseconds of work each, on memory that the caches hold: beyond them two cores share the memory's rate,
    and even a copy gains no more than a tenth."""
    logits = torch.randn(8, 313, 64, 64).requires_grad_()
    ab = torch.randn(8, 2, 64, 64) * 40
    image = torch.randint(0, 256, (1, 1080, 1920, 3), dtype=torch.uint8)
    lab, small = ops.rgb_to_lab(image, layout="hwc"), torch.randn(1, 2, 270, 480) * 20
    return {
        "loss": lambda: ops.rebalanced_cross_entropy(logits.detach().requires_grad_(), ab, inplace=True),
        "decode": lambda: ops.annealed_mean(logits.detach()),
        "lab_to_rgb": lambda: ops.lab_to_rgb(lab, layout="hwc"),
        "paint_rgb": lambda: ops.paint_rgb(small, image[..., 0].contiguous()),
    }


@pytest.mark.skipif(os.environ.get("FASTCOLOR_QUIET") != "1", reason="FASTCOLOR_QUIET=1 says that the machine is quiet")
@pytest.mark.parametrize("name", ["loss", "decode", "lab_to_rgb", "paint_rgb"])
def test_two_threads_are_nearly_twice_as_fast(name: str) -> None:
    work = large_works()[name]
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(15):  # in turns, so that a change of clock rate meets both
        for count, times in seconds.items():
            torch.set_num_threads(count)
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
    one, two = (statistics.median(times[3:]) for times in seconds.values())
    assert one / two >= 1.7, f"{name}: {one * 1e3:.1f} ms on one thread, {two * 1e3:.1f} ms on two"
