"""How `fastcolor serve` bears many at once, and how soon it answers a click: `python -m bench.bench_serve [--save]`.

A real server on the loopback. Three times, eight clients send 25 pictures each, all at once; then somebody changes a
picture of 12 megapixels again and again. Times are of the answers that a browser would get, JPEG included; the client
works on the same cores. Processor time is of the server and of the process that paints.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from bench import timing
from bench.run import RESULTS, machine_name, write

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))
from page_server import Server, send, serving, settled  # noqa: E402

PICTURES = [(ROOT / "bench" / "demo" / f"{name}.jpg").read_bytes() for name in ("coffee", "chelsea", "astronaut")]
CLIENTS, EACH, CROWDS = 8, 25, 3
FIRST_ANSWER, LIVE, FLAT = 2.0, 0.1, 1.1  # what is asked for: seconds, seconds, times the memory


def megabytes(server: Server) -> int:
    """Of memory that the server's processes have now."""
    total = 0
    for pid in (server.process.pid, *server.children()):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        total += int(next(line for line in lines if line.startswith("VmRSS")).split()[1])
    return total // 1024


def worked(server: Server) -> float:
    """Seconds of processor time that the server's processes have had."""
    ticks = 0
    for pid in (server.process.pid, *server.children()):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def crowd(server: Server, client: httpx.Client) -> dict[str, Any]:
    """Eight clients at once, each with 25 pictures."""
    answers: list[float] = []

    def work(number: int) -> None:
        with httpx.Client(base_url=server.base, cookies=client.cookies, timeout=120) as mine:
            for index in range(EACH):
                status = 429
                while status == 429:
                    begun = time.perf_counter()
                    status = send(mine, PICTURES[(number + index) % 3], f"{number}-{index}.jpg").status_code
                    answers.append(time.perf_counter() - begun)
                assert status == 201, status

    begun, before = time.perf_counter(), worked(server)
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(work, range(CLIENTS)))
    items = settled(client, CLIENTS * EACH, 600, every=0.5)
    found = {
        "seconds": round(time.perf_counter() - begun, 2),
        "processor_ms": round(1000 * (worked(server) - before) / (CLIENTS * EACH), 1),
        "slowest_answer": round(max(answers), 3),
        "median_answer": round(statistics.median(answers), 3),
        "in_colour": sum(item["state"] == "ready" for item in items),
        "megabytes": megabytes(server),
    }
    for item in items:
        client.delete(f"api/items/{item['id']}")
    return found


def live(server: Server, client: httpx.Client, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds until a changed picture of 12 megapixels is there: median, slowest, and processor time of each."""
    data = io.BytesIO()
    Image.open(io.BytesIO(PICTURES[0])).resize((4000, 3000), Image.Resampling.BICUBIC).save(data, "JPEG", quality=92)
    key = send(client, data.getvalue(), "large.jpg").json()["id"]
    settled(client, 1, 120)
    hint = {"x": 0.3, "y": 0.4, "radius": 0.03}
    changes = {
        "saturation": lambda step: {"saturation": 1 + step / 100},
        "temperature": lambda step: {"temperature": 0.2 + step / 100},
        "hint": lambda step: {"hints": [{**hint, "color": f"#c0{30 + step:02d}20"}]},
    }
    found = {}
    for name, change in changes.items():
        taken = []
        for step in range(rounds + 1):
            if step == 1:  # the first hint has the network look at the picture once more
                before = worked(server)
            begun = time.perf_counter()
            answer = client.put(f"api/items/{key}/look", json=change(step))
            taken.append(time.perf_counter() - begun)
            assert answer.status_code == 200, answer.text
        found[name] = {
            "first": round(taken[0], 4),
            "median": round(statistics.median(taken[1:]), 4),
            "slowest": round(max(taken[1:]), 4),
            "processor": round((worked(server) - before) / rounds, 4),
        }
    return found


def rows_of(crowds: list[dict[str, Any]], answers: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """What was asked for, beside what was measured."""
    all_of_it = CLIENTS * EACH * len(crowds)
    lost = all_of_it - sum(one["in_colour"] for one in crowds)
    slowest = max(one["slowest_answer"] for one in crowds)
    grown = crowds[-1]["megabytes"] / crowds[1]["megabytes"]
    rows = [
        {"name": f"{all_of_it} pictures of {CLIENTS} clients: lost", "value": f"{lost}", "bar": "0", "holds": not lost},
        {"name": "slowest answer to a picture", "value": f"{slowest:.2f} s", "bar": f"{FIRST_ANSWER:g} s",
         "holds": slowest <= FIRST_ANSWER},
        {"name": f"memory after the last {CLIENTS * EACH}, beside those before", "value": f"{grown:.2f}x",
         "bar": f"{FLAT:g}x", "holds": grown <= FLAT},
    ]  # fmt: skip
    for name, one in answers.items():
        told = f"{1000 * one['median']:.0f} ms ({1000 * one['processor']:.0f} ms of processor)"
        rows.append(
            {"name": f"12 megapixels: another {name}", "value": told, "bar": f"{1000 * LIVE:.0f} ms",
             "holds": one["median"] <= LIVE}
        )  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--save", action="store_true", help="write bench/results/<machine>-serve.json")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, serving("serve", temporary=Path(folder, "tmp")) as server:
        client = server.client()
        crowds = [crowd(server, client) for _ in range(CROWDS)]
        answers = live(server, client, options.rounds)
    rows = rows_of(crowds, answers)
    for number, row in enumerate(crowds, 1):
        print(f"crowd {number}: {row}")
    for row in rows:
        print(f"{row['name']}: {row['value']}, asked for {row['bar']}: {'holds' if row['holds'] else 'MISSED'}")
    if options.save:
        facts = {"threads": 1, "command": "python -m bench.bench_serve", "load": round(load, 1)}
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        machine = {**timing.machine(), **facts, "cores used": cores}
        result = {"machine": machine, "rows": rows, "crowds": crowds, "live": answers}
        write(result, RESULTS / f"{machine_name()}-serve.json")


if __name__ == "__main__":
    main()
