"""Tables of what things cost: the page under a crowd, networks compared, the library that is built."""

from __future__ import annotations

from typing import Any

from .markdown import conditions, of_each, table


@of_each("serve")
def serve_table(result: dict[str, Any]) -> str:
    """The page under a crowd, and how soon it answers, beside what was asked for."""
    facts = result["machine"]
    rows = [[one["name"], one["value"], one["bar"], "yes" if one["holds"] else "**no**"] for one in result["rows"]]
    cores, memory = facts["cores used"], [f"{one['megabytes']}" for one in result["crowds"]]
    crowd = result["crowds"][-1]
    note = (
        f"Server, painter and clients on {cores} core{'s' if cores > 1 else ''}, load average {facts['load']}. A "
        f"picture of the crowd takes {crowd['processor_ms']:.0f} ms of processor; memory after each crowd: "
        f"{', '.join(memory)} MB."
    )
    return f"{conditions(result)}\n\n{table(['', 'measured', 'asked for', 'holds'], rows)}\n\n{note}"


@of_each("library")
def library_table(result: dict[str, Any]) -> str:
    """What the extension with every architecture takes, beside its first form."""
    facts, names = result["machine"], {"before": "at first, when decoding and painting had a kernel together"}
    rows = [
        [f"{names.get(row['name'], 'now')} ({row['commit']})", f"{row['mb']:.1f} MB", f"{row['seconds']:.0f} s"]
        for row in result["rows"]
    ]
    note = (
        f"{' '.join(result['architectures'])}: {facts['cpu']}, nvcc {facts['nvcc'].rpartition(', ')[2]}, "
        f"{facts['g++']}, load average {facts['load']}, {facts['date']}; `{facts['command']} --before TREE`"
    )
    return f"{table(['', 'library', 'time of one core'], rows)}\n\n{note}"


@of_each("compare")
def compare_table(result: dict[str, Any]) -> str:
    """Networks compared by one command, beside a command each."""
    rows = [[row["name"], f"{row['seconds']:.1f} s", f"{row['mb']} MB"] for row in result["rows"]]
    body = table(["", "processor time", "memory at most"], rows)
    return f"{body}\n\nLoad average {result['machine']['load']}; {conditions(result)}"
