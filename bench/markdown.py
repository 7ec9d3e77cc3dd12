"""Results of benchmarks, and tables of Markdown."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results"


def load(kind: str) -> list[dict[str, Any]]:
    """The results of a kind, one a machine, each with the name of its file."""
    return [{**json.loads(path.read_text()), "file": path.stem} for path in sorted(RESULTS.glob(f"*-{kind}.json"))]


def of_each(kind: str) -> Callable[[Callable[[dict[str, Any]], str]], Callable[[], str]]:
    """Makes of what tells one result what tells all of a kind."""

    def of_all(tell: Callable[[dict[str, Any]], str]) -> Callable[[], str]:
        @functools.wraps(tell)
        def told() -> str:
            return "\n\n".join(map(tell, load(kind)))

        return told

    return of_all


def conditions(result: dict[str, Any]) -> str:
    """The machine a table was measured on, for the line above it."""
    facts = result["machine"]
    threads = f"{facts['threads']} thread{'s' if facts['threads'] > 1 else ''}"
    where = facts["gpu"] if facts.get("device", "cpu") != "cpu" else f"{facts['cpu']}, {threads}, {facts['isa']}"
    return (
        f"{where}; torch {facts['torch']}, Python {facts['python']}, malloc {facts['malloc']}, "
        f"commit {facts['commit']}, {facts['date']}; `{facts.get('command', 'make bench')}`"
    )


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
