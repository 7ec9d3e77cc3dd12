"""Tables of what things cost: the page under a crowd, networks compared, the library that is built."""

from __future__ import annotations

from .markdown import conditions, load, table


def serve_table() -> str:
    """The page under a crowd, and how soon it answers, beside what was asked for."""
    parts = []
    for result in load("serve"):
        facts = result["machine"]
        rows = [[one["name"], one["value"], one["bar"], "yes" if one["holds"] else "**no**"] for one in result["rows"]]
        cores, memory = facts["cores used"], [f"{one['megabytes']}" for one in result["crowds"]]
        crowd = result["crowds"][-1]
        note = (
            f"Server, painter and clients on {cores} core{'s' if cores > 1 else ''}, load average {facts['load']}. A "
            f"picture of the crowd takes {crowd['processor_ms']:.0f} ms of processor; memory after each crowd: "
            f"{', '.join(memory)} MB."
        )
        parts.append(f"{conditions(result)}\n\n{table(['', 'measured', 'asked for', 'holds'], rows)}\n\n{note}")
    return "\n\n".join(parts)


def library_table() -> str:
    """What the extension with every architecture takes, beside its first form."""
    parts = []
    for result in load("library"):
        facts, names = result["machine"], {"before": "at first, when decoding and painting had a kernel together"}
        rows = [
            [f"{names.get(row['name'], 'now')} ({row['commit']})", f"{row['mb']:.1f} MB", f"{row['seconds']:.0f} s"]
            for row in result["rows"]
        ]
        note = (
            f"{' '.join(result['architectures'])}: {facts['cpu']}, nvcc {facts['nvcc'].rpartition(', ')[2]}, "
            f"{facts['g++']}, load average {facts['load']}, {facts['date']}; `{facts['command']} --before TREE`"
        )
        parts.append(f"{table(['', 'library', 'time of one core'], rows)}\n\n{note}")
    return "\n\n".join(parts)


def compare_table() -> str:
    """Networks compared by one command, beside a command each."""
    parts = []
    for result in load("compare"):
        rows = [[row["name"], f"{row['seconds']:.1f} s", f"{row['mb']} MB"] for row in result["rows"]]
        body = table(["", "processor time", "memory at most"], rows)
        parts.append(f"{body}\n\nLoad average {result['machine']['load']}; {conditions(result)}")
    return "\n\n".join(parts)
