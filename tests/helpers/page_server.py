"""A real `fastcolor serve` on the loopback, and a client that came with its address."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

PATIENCE = 240.0  # seconds that a busy machine may take for anything; a test ends after ten minutes


class Server:
    """A server in a process of its own. arguments: of the command, the first one its name."""

    def __init__(self, *arguments: object, temporary: Path, code: str = "from fastcolor.__main__ import main; main()"):
        temporary.mkdir(exist_ok=True)
        self.temporary = temporary
        environment = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", code, *map(str, arguments)]
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None and self.process.stderr is not None
        self.address = self.process.stdout.readline().removeprefix("fastcolor: ").strip()
        assert self.address.startswith("http://127.0.0.1:"), self.process.stderr.read()
        self.base = self.address.partition("?")[0]

    def client(self) -> httpx.Client:
        """A client whose requests the server takes."""
        client = httpx.Client(base_url=self.base, timeout=PATIENCE)
        deadline = time.monotonic() + 30
        while True:  # it listens before it is up
            try:
                assert client.get(self.address).status_code == 200
                return client
            except httpx.TransportError:
                assert time.monotonic() < deadline and self.process.poll() is None
                time.sleep(0.05)

    def children(self) -> list[int]:
        """Its processes, of which one paints."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                cmdline = (stat.parent / "cmdline").read_text()
                if int(fields[1]) == self.process.pid and "spawn_main" in cmdline:
                    found.append(int(stat.parent.name))
        return found

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """End it; its exit code, and what it said on stderr."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said


@contextlib.contextmanager
def serving(*arguments: object, temporary: Path) -> Iterator[Server]:
    server = Server(*arguments, temporary=temporary)
    try:
        yield server
    finally:
        server.stop(signal.SIGTERM)


def send(client: httpx.Client, path: Path | bytes, name: str | None = None) -> httpx.Response:
    """Upload a file."""
    content = path if isinstance(path, bytes) else path.read_bytes()
    if name is None:
        name = "picture.png" if isinstance(path, bytes) else path.name
    return client.post("api/items", params={"name": name}, content=content)


def settled(client: httpx.Client, count: int, seconds: float = PATIENCE, every: float = 0.05) -> list[dict[str, Any]]:
    """All items, once so many have been coloured or have failed; who waits asks each `every` seconds."""
    deadline = time.monotonic() + seconds
    while True:
        items = client.get("api/items").json()
        if sum(item["state"] in ("ready", "failed") for item in items) >= count:
            return items
        assert time.monotonic() < deadline, items
        time.sleep(every)


def exported(client: httpx.Client, *ids: str, format: str | None = None) -> httpx.Response:
    """The file of an export."""
    told = client.post("api/exports", json={"ids": list(ids), "format": format})
    assert told.status_code == 201, told.text
    deadline = time.monotonic() + PATIENCE
    while (state := client.get(f"api/exports/{told.json()['id']}").json())["state"] == "working":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert state["state"] == "ready", state
    return client.get(f"api/exports/{told.json()['id']}/file")


def gray(width: int = 48, height: int = 32, seed: int = 0) -> bytes:
    """A small picture, as PNG."""
    data = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8), dtype=np.uint8)
    Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC).save(data, "PNG")
    return data.getvalue()
