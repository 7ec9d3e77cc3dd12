"""How `fastcolor serve` bears many at once, and how soon it answers a click: `python -m bench.bench_serve [--save]`.

A real server on the loopback. Twice, eight clients send 25 pictures each, all at once; then somebody changes a picture
of 12 megapixels again and again. Times are of the answers that a browser would get, JPEG included.
"""

from __future__ import annotations

import argparse
import io
import json
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
from bench.run import RESULTS, machine_name

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))
from page_server import Server, send, serving, settled  # noqa: E402

PICTURES = [(ROOT / "bench" / "demo" / f"{name}.jpg").read_bytes() for name in ("coffee", "chelsea", "astronaut")]
CLIENTS, EACH = 8, 25
GOALS = {"first answer, s": 2.0, "slider, s": 0.1}


def megabytes(pid: int) -> int:
    """Of memory that a process has now."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) // 1024


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

    begun = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(work, range(CLIENTS)))
    items = settled(client, CLIENTS * EACH, 600)
    seconds = time.perf_counter() - begun
    assert len(items) == CLIENTS * EACH and {item["state"] for item in items} == {"ready"}
    memory = [megabytes(pid) for pid in (server.process.pid, *server.children())]
    for item in items:
        client.delete(f"api/items/{item['id']}")
    return {"seconds": round(seconds, 2), "slowest_answer": round(max(answers), 3), "megabytes": memory}


def live(client: httpx.Client, rounds: int) -> dict[str, float]:
    """Medians of the seconds until a changed picture is there."""
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
            begun = time.perf_counter()
            answer = client.put(f"api/items/{key}/look", json=change(step))
            taken.append(time.perf_counter() - begun)
            assert answer.status_code == 200, answer.text
        found[name] = round(statistics.median(taken[1:]), 4)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--save", action="store_true", help="write bench/results/<machine>-serve.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving("serve", temporary=Path(folder, "tmp")) as server:
        client = server.client()
        crowds = [crowd(server, client) for _ in range(2)]
        answers = live(client, options.rounds)
    for number, row in enumerate(crowds, 1):
        print(f"crowd {number}: {row}")
    print(f"live answers of 12 megapixels, s: {answers}")
    worst = {
        "first answer, s": max(row["slowest_answer"] for row in crowds),
        "slider, s": max(answers["saturation"], answers["temperature"]),
    }
    for name, goal in GOALS.items():
        print(f"{name}: {worst[name]:.3f}, goal {goal}: {'ok' if worst[name] <= goal else 'MISSED'}")
    if options.save:
        load = os.getloadavg()[0]
        result = {"machine": timing.machine(), "load": load, "crowds": crowds, "live": answers, "goals": GOALS}
        (RESULTS / f"{machine_name()}-serve.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
