"""Writes the README's table of speeds from bench/results/*.json, between its two markers."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- speeds: written by bench/table.py -->", "<!-- end of speeds -->"


def table() -> str:
    lines = [
        "| machine | network at 256 px, fp32 | bf16 | floor fp32 / bf16 | film 640x360 | same film, codec alone |",
        "|---|---|---|---|---|---|",
    ]
    for path in sorted((ROOT / "bench" / "results").glob("*.json")):
        result = json.loads(path.read_text())
        network, film = result["network_256"], result["film_360p"]
        bf16 = f"{network['bf16_ms']:.1f} ms" if "bf16_ms" in network else "-"
        floors = " / ".join(f"{network[k]:.1f}" for k in ("fp32_floor_ms", "bf16_floor_ms") if k in network)
        cells = (
            result["machine"]["cpu"],
            f"{network['fp32_ms']:.1f} ms",
            bf16,
            f"{floors} ms",
            f"{film['fps']:.0f} fps",
            f"{film['fps_without_colouring']:.0f} fps",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    readme = ROOT / "README.md"
    before, rest = readme.read_text().split(BEGIN)
    _, after = rest.split(END)
    readme.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}")


if __name__ == "__main__":
    main()
