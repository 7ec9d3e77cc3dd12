"""Results of benchmarks, and tables of Markdown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results"


def load(kind: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob(f"*-{kind}.json"))]


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
