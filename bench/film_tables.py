"""Tables of what films cost and lose."""

from __future__ import annotations

from typing import Any

from .markdown import conditions, load, of_each, table


@of_each("film-versions")
def film_versions_table(result: dict[str, Any]) -> str:
    """Films by two commits, and where a frame's time goes."""
    facts, rows = result["machine"], []
    for row in result["rows"]:
        fps, cpu, stages = row["fps"], row["cpu_ms"], row["stages_ms"]
        encode = stages["encode"] if row["fast"] else stages["encode, as usual"]
        own = [f"{stages[name]:.1f}" for name in ("input", "motion", "network and decode", "smoothing", "paint")]
        rows.append(
            [
                f"{row['height']}p, {'--fast' if row['fast'] else 'as usual'}",
                f"{fps['other']:.0f} -> {fps['this']:.0f}",
                f"**{row['fps_ratio']:.2f}x**",
                f"{cpu['other']:.1f} -> {cpu['this']:.1f} ms",
                f"**{row['cpu_ratio']:.2f}x**",
                f"{row['peak_mb']['other']:.0f} -> {row['peak_mb']['this']:.0f} MB" if "peak_mb" in row else "-",
                " / ".join([f"{stages['decode']:.1f}", *own, f"{encode:.1f}"]),
            ]
        )
    head = ["film", "frames a second", "ratio", "processor time", "ratio", "peak memory", "ms a frame by stage"]
    busy = f"; other programs kept the machine busy, load {facts['load']:.0f}" if facts["load"] > 1 else ""
    note = f"Commit {facts['commits']['other']} -> {facts['commits']['this']}{busy}."
    return f"{conditions(result)}\n\n{table(head, rows)}\n\n{note}"


@of_each("film-profile")
def film_profile_table(result: dict[str, Any]) -> str:
    """Where a film's processor time goes, by library."""
    names = list(result["rows"][0]["percent"])
    rows = [
        [
            f"{row['height']}p, {'--fast' if row['fast'] else 'as usual'}",
            f"{row['cpu_ms']:.1f} ms",
            *(f"{row['cpu_ms'] * row['percent'][name] / 100:.2f}" for name in names),
        ]
        for row in result["rows"]
    ]
    return f"{conditions(result)}\n\n{table(['film', 'processor time a frame', *names], rows)}"


_FEATURE = 90 * 60 * 24  # frames


@of_each("film-scaling")
def film_scaling_table(result: dict[str, Any]) -> str:
    """Films by size, and what more cores allow."""
    facts, rows = result["machine"], []
    for row in result["rows"]:
        for way, encode in (("--fast", "encode"), ("as usual", "encode, as usual")):
            stages = row["stages_ms"]
            whole = sum(stages.values()) - stages["encode"] - stages["encode, as usual"] + stages[encode]
            allowed = [f"{rate:.0f}" for rate in row["model_fps"][way].values()]
            codec = stages["decode"] + stages[encode]
            hours, minutes = divmod(round(_FEATURE / row["model_fps"][way]["2"] / 60), 60)
            evening = f"{hours} h {minutes} min" if hours else f"{minutes} min"
            rows.append([f"{row['height']}p, {way}", f"{whole:.1f} ms", f"{codec:.1f} ms", *allowed, evening])
    cores = [f"{count} core{'s' if count != '1' else ''}" for count in result["rows"][0]["model_fps"]["--fast"]]
    apart, at_once = result["two_films_s"]["one after the other"], result["two_films_s"]["at once"]
    busy = f" (load {facts['load']:.0f})" if facts["load"] > facts["cores"] else ""
    painters = result["painters"]
    spent = ", ".join(f"{one['cpu_ms']:.1f}" for one in painters.values())
    note = (
        f"Two films by two processes at once take {at_once / apart:.2f} of their time one after the other{busy}. "
        f"With {', '.join(painters)} batches in the network at once a frame of 480p takes {spent} ms."
    )
    measured = [
        f"{row['height']}p, {'--fast' if row['fast'] else 'as usual'}: {row['fps']['this']:.0f}"
        for versions in load("film-versions")
        if versions["machine"]["threads"] == 2
        for row in versions["rows"]
    ]
    if measured:
        note += f" Frames a second as measured on 2 cores, above: {'; '.join(measured)}."
    head = ["film", "a frame", "of it codecs", *cores, "90 minutes of film on 2 cores"]
    return f"{conditions(result)}\n\n{table(head, rows)}\n\n{note}"


@of_each("film-quality")
def film_quality_table(result: dict[str, Any]) -> str:
    """Films in which the network did not see every frame, beside those in which it did."""
    rows = []
    for film, ways in result["films"].items():
        for row in ways:
            rows.append(
                [
                    f"{film}: {row['way']}",
                    f"{row['runs']} of {row['frames']}",
                    f"{row['apart']:.2f}",
                    f"{row['apart_99']:.2f}",
                    f"{row['worst']:.2f}",
                    f"{row['e_warp']:.3f}",
                    f"{row['colorfulness']:.1f}",
                    f"{row['ab_psnr']:.2f} dB" if "ab_psnr" in row else "-",
                ]
            )
    head = ["film", "runs", "apart", "99 %", "worst", "E_warp", "colourfulness", "ab-PSNR to the truth"]
    return f"{conditions(result)}\n\n{table(head, rows)}"


@of_each("film-memory")
def film_memory_table(result: dict[str, Any]) -> str:
    """Peak memory by a film's length."""
    head = ["", *(f"{minutes} min" for minutes in result["minutes"]), "ratio"]
    rows = [[row["name"], *(f"{mb:.0f} MB" for mb in row["mb"]), f"{row['ratio']:.2f}"] for row in result["rows"]]
    return f"{table(head, rows)}\n\n{conditions(result)}"


@of_each("peer-films")
def peer_films_table(result: dict[str, Any]) -> str:
    """Films by another project's tool, and by fastcolor."""
    rows, tool = [], result["rows"][0]
    for row in result["rows"]:
        took = [f"{row['cpu_ms'] / 1e3:.3g} s", f"{tool['cpu_ms'] / row['cpu_ms']:.1f}"]
        rows.append([row["way"], *took, f"{row['peak_mb']:.0f} MB", f"{row['files_mb']:.0f} MB"])
    what = f"{result['film']}, {tool['frames']:.0f} frames"
    head = [what, "processor time a frame", "times as fast", "memory", "files between"]
    facts = result["machine"]
    return (
        f"{table(head, rows)}\n\nDeOldify's network by {result['engine']} in ours, load {facts['load']}; the "
        f"chroma of its film and of ours correlates by {result['correlation']:.2f} at least; {conditions(result)}"
    )
