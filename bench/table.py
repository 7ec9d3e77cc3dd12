"""Writes the tables of README.md and docs/ from bench/results/*.json, each between its two markers, and the charts.

A results file is <machine>-<kind>.json; `kind` says which function below makes what of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from .cost_tables import compare_table, library_table, serve_table
from .film_tables import (
    film_memory_table,
    film_profile_table,
    film_quality_table,
    film_scaling_table,
    film_versions_table,
    peer_films_table,
)
from .markdown import RESULTS, ROOT, conditions, of_each, table


@of_each("ops")
def ops_table(result: dict[str, Any]) -> str:
    """Each op's time, its share of what a copy of the same bytes takes, and how many times longer the others take."""
    rows = []
    for row in result["rows"]:
        others = ", ".join(f"{name} **{ratio:.3g}x**" for name, ratio in row["ratio"].items())
        share = f"{100 * row['share_of_copy_rate']:.0f} %"
        rows.append([row["name"], f"{row['ms']:.2f} ms", share, others])
    return f"{conditions(result)}\n\n" + table(
        ["op", "fastcolor", "of the copy rate", "the others take so many times as long"], rows
    )


# Of the ops' rows those that README shows, by what each does; of the other forms, which are plain torch.
HEADLINES = {
    "color: rgb_to_lab 1080p, u8 HWC -> f32 planar": "sRGB to Lab, 1080p",
    "color: lab_to_rgb 1080p, f32 planar -> u8 HWC": "Lab to sRGB, 1080p",
    "encode: encode_bins 32x64x64": "colours to soft classes, 32x64x64",
    "loss: forward and backward 16x313x64x64 float32": "loss and its gradient, 16x313x64x64",
    "decode: annealed_mean 16x313x64x64 float32": "classes to colours, 16x313x64x64",
}
PLAIN = ("eager", "dense eager", "compact eager", "softmax+einsum", "softmax+conv")
LIBRARIES = {"kornia": "kornia", "opencv": "OpenCV", "skimage": "scikit-image", "sklearn": "scikit-learn"}


@of_each("ops")
def speed_table(result: dict[str, Any]) -> str:
    """A few ops beside the fastest form in plain torch, torch.compile and the fastest library."""
    rows = {row["name"]: row for row in result["rows"]}
    body = []
    for name, what in HEADLINES.items():
        ratio = rows[name]["ratio"]
        plain = min(ratio[form] for form in PLAIN if form in ratio)
        compiled = f"{ratio['compile']:.3g}x" if "compile" in ratio else "-"
        libraries = [(ratio[key], library) for key, library in LIBRARIES.items() if key in ratio]
        best = "{:.3g}x ({})".format(*min(libraries)) if libraries else "-"
        body.append([what, f"{rows[name]['ms']:.2g} ms", f"{plain:.3g}x", compiled, best])
    head = ["operation", "fastcolor", "plain torch", "torch.compile", "best library"]
    return f"{table(head, body)}\n\n{conditions(result)}"


@of_each("sizes")
def sizes_table(result: dict[str, Any]) -> str:
    """Nanoseconds a picture's pixel against size and batch, and the cost of one call."""
    rows = result["sizes"]
    names = list(dict.fromkeys(row["op"] for row in rows))
    shapes = list(dict.fromkeys((row["images"], row["width"], row["height"]) for row in rows))
    wanted = [s for s in shapes if s[0] in (1, 64) or s[1] == 512]
    cost = {
        (row["op"], row["images"], row["width"], row["height"]): 1e6
        * row["ms"]
        / (row["images"] * row["width"] * row["height"])
        for row in rows
    }
    body = []
    for name in names:
        cells = [f"{cost[(name, *s)]:.2g}" if (name, *s) in cost else "-" for s in wanted]
        body.append([name, *cells, f"{result['overhead_us'][name]:.0f} us"])
    head = ["ns a pixel", *(f"{n} x {w}x{h}" for n, w, h in wanted), "one call on 1x1"]
    simplest = result["overhead_us"]["torch: x * 2"]
    note = (
        f"torch's own `x * 2` takes {simplest:.1f} us; logits and ab have a quarter of the picture's height and width"
    )
    chart = f"![Time of every op against the size of the batch](../bench/results/{result['file']}.png)"
    return f"{conditions(result)}; {note}\n\n{table(head, body)}\n\n{chart}"


@of_each("pipeline")
def pipeline_table(result: dict[str, Any]) -> str:
    """Films and pictures from file to file, beside the way that published demos go."""
    rows = []
    pictures = result["pictures"]
    rate = pictures["per_second"]
    ratio = f"**{pictures['ratio']:.2g}x**" if "ratio" in pictures else "-"
    published = f"{rate['published']:.0f} /s" if "published" in rate else "-"
    stages = pictures["stages_ms"]["fastcolor"]
    codec = stages["read"] + stages["write"]
    work = [f"{sum(stages.values()) - codec:.1f} ms", f"{codec:.1f} ms"]
    rows.append(
        [f"JPEG {pictures['width']}x{pictures['height']}", f"{rate['fastcolor']:.0f} /s", published, ratio, *work]
    )
    for film in result.get("films", []):
        for name in ("fastcolor --fast", "fastcolor"):
            rate, kind = film["per_second"], "--fast" if name.endswith("fast") else "as usual"
            published = f"{rate['published']:.1f} fps" if "published" in rate else "-"
            ratio = f"**{film['ratio'][name]:.2g}x**" if "ratio" in film else "-"
            what = f"film {film['width']}x{film['height']}, {kind}"
            work = [f"{film['network_and_ops_ms']:.1f} ms", f"{film['codec_ms'][kind]:.1f} ms"]
            rows.append([what, f"{rate[name]:.0f} fps", published, ratio, *work])
    best, network = result["best_256"], result["network_256"]
    bf16 = f", {network['bf16_ms']:.1f} ms in bfloat16" if "bf16_ms" in network else ""
    note = (
        f"Engine {result['machine']['engine']}. At 256 px one picture takes {best['latency_ms']:.1f} ms, the best "
        f"rate is {best['pictures_per_second']:.0f} /s; the network alone {network['fp32_ms']:.1f} ms in float32"
        f"{bf16}."
    )
    head = ["from file to file", "fastcolor", "published way", "ratio", "network and ops, processor time", "codec"]
    return f"{conditions(result)}\n\n{table(head, rows)}\n\n{note}"


@of_each("train")
def train_table(result: dict[str, Any]) -> str:
    """Every stage of every preset: pictures a second, waiting for data, what loss and colour ops take of a step."""
    rows = []
    for row in result["rows"]:
        name = row["preset"] + (f", stage {row['stage']}" if row["stages"] > 1 else "")
        batch = f"{row['batch']}" + (f" (of {row['own_batch']})" if row["batch"] != row["own_batch"] else "")
        shares = [f"{100 * row[key]:.1f} %" for key in ("wait_share", "ours_share", "plain_share")]
        rows.append([name, f"{row['crop']} px x {batch}", f"{row['pictures_per_second']:.1f}", *shares])
    head = [
        "preset",
        "crop and batch",
        "pictures/s",
        "waiting for data",
        "our ops in a step",
        "the same in plain torch",
    ]
    return f"{conditions(result)}\n\n{table(head, rows)}"


@of_each("step")
def step_table(result: dict[str, Any]) -> str:
    """A whole training step with our loss, and with the same loss in plain torch."""
    rows = [
        [f"{name} loss", f"{ms:.0f} ms", f"{row['time_ratio'].get(name, 1):.2f}x", f"{row['peak_mib'][name]:.0f} MiB"]
        for row in result["rows"]
        for name, ms in row["ms"].items()
    ]
    title = ", ".join(row["name"] for row in result["rows"])
    return f"{conditions(result)}\n\n{table([title, 'time', '', 'peak memory'], rows)}"


@of_each("parity")
def parity_table(result: dict[str, Any]) -> str:
    """Engines and precisions down, networks across: how far each is from torch in float32."""
    rows = result["rows"]
    networks = list(dict.fromkeys(row["network"] for row in rows))
    cells = {(row["engine"], row["precision"], row["network"]): parity_cell(row) for row in rows}
    body = []
    for engine, precision in dict.fromkeys(key[:2] for key in cells):
        bound = next(row["bound"] for row in rows if row["precision"] == precision)
        told = [cells.get((engine, precision, network), "-") for network in networks]
        body.append([f"{engine} {precision}", *told, f"{bound['relative']:g} / - / {bound['de_mean']:g}"])
    libraries = ", ".join(f"{name} {version}" for name, version in result["machine"]["libraries"].items())
    fresh = [name for name in networks if any(r["weights"] == "fresh" for r in rows if r["network"] == name)]
    note = f"{libraries}. Fresh weights: {', '.join(fresh) or 'none'}."
    loads = [row["load"] for row in rows if "load" in row]
    if loads:
        note += (
            f" Seconds of building are wall clock, once, at a load average of {min(loads):.1f} to {max(loads):.1f} "
            f"on {result['machine']['cores']} cores."
        )
    return f"{conditions(result)}\n\n{table(['', *networks, 'bound'], body)}\n\n{note}"


def parity_cell(row: dict[str, Any]) -> str:
    """Relative error of the output / mean distance of ab / mean dE of the painted picture; or how far it came."""
    built = f"{row['mb']:.0f} MB, {row['build_s']:.1f} s" if "build_s" in row else ""
    if row["status"] != "run":
        return f"{row['status']}, {built}" if built else row["status"]
    figures = f"{row['relative']:.2g} / {row['ab_mean']:.2g} / {row['de_mean']:.2g}"
    figures = f"**{figures} BEYOND**" if row["problem"] else figures
    return f"{figures}; {built}" if built else figures


def plot_sizes() -> None:
    """Milliseconds against pixels for every op, one file a machine."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    for path in sorted(RESULTS.glob("*-sizes.json")):
        result = json.loads(path.read_text())
        figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
        for op in dict.fromkeys(row["op"] for row in result["sizes"]):
            points = sorted(
                (row["images"] * row["width"] * row["height"], row["ms"]) for row in result["sizes"] if row["op"] == op
            )
            axes.loglog(*zip(*points, strict=True), marker="o", markersize=3, linewidth=1, label=op)
        axes.set_xlabel("pixels of the batch")
        axes.set_ylabel("ms")
        facts = result["machine"]
        axes.set_title(f"{facts.get('gpu', facts['cpu'])}, {facts['threads']} thread(s)", fontsize=9)
        axes.grid(True, which="both", linewidth=0.3)
        axes.legend(fontsize=7)
        figure.savefig(path.with_suffix(".png"), dpi=110, metadata={"Software": None})
        plt.close(figure)


def plot_pipeline() -> None:
    """Pictures or frames a second from file to file, ours above the published way's, one file a machine."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    plt.rcParams |= {"svg.hashsalt": "fastcolor", "svg.fonttype": "none", "font.family": "sans-serif"}
    for path in sorted(RESULTS.glob("*-pipeline.json")):
        result = json.loads(path.read_text())
        pictures, films = result["pictures"], result.get("films", [])
        rate = pictures["per_second"]
        bars = [(f"JPEG {pictures['width']}x{pictures['height']}", rate["fastcolor"], rate.get("published"))]
        for film in films:
            rate, size = film["per_second"], f"film {film['width']}x{film['height']}"
            bars.append((f"{size}, --fast", rate["fastcolor --fast"], rate.get("published")))
            bars.append((size, rate["fastcolor"], rate.get("published")))
        figure, axes = plt.subplots(figsize=(7, 0.5 + 0.42 * len(bars)), layout="constrained")
        for i, (_, ours, published) in enumerate(bars):
            axes.barh(i - 0.2, ours, 0.38, color="#2f7d5b", label="fastcolor" if i == 0 else None)
            axes.text(ours, i - 0.2, f" {ours:.0f}", va="center", fontsize=8)
            if published is not None:
                axes.barh(i + 0.2, published, 0.38, color="#b9b9b9", label="the published way" if i == 0 else None)
                axes.text(published, i + 0.2, f" {published:.0f}", va="center", fontsize=8)
        axes.set_yticks(range(len(bars)), [name for name, *_ in bars], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlabel("pictures or frames a second, from file to file", fontsize=8)
        facts = result["machine"]
        axes.set_title(f"{facts.get('gpu', facts['cpu'])}, {facts['threads']} threads", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.legend(fontsize=8, loc="lower right", frameon=False)
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None, "Creator": None})
        plt.close(figure)


def beside(value: float, bar: float) -> str:
    """A number, with as many digits as tell it from its bar."""
    return next((short for digits in (3, 4, 5) if float(short := f"{value:.{digits}g}") != bar), f"{value:g}")


@of_each("control")
def control_table(result: dict[str, Any]) -> str:
    """How far colours follow what people say, beside what was asked for."""
    rows = [
        [
            one["name"],
            beside(one["value"], one["bar"]),
            f"{one['bar']:g} or {one['sense']}",
            "yes" if one["holds"] else "**no**",
        ]
        for one in result["rows"]
    ]
    return f"{table(['', 'measured', 'asked for', 'holds'], rows)}\n\n{conditions(result)}"


@of_each("peers")
def peers_table(result: dict[str, Any]) -> str:
    """The published networks from file to file, beside a plain PyTorch twin of each."""
    return "\n\n".join(map(_beside_twin, result["networks"].values()))


def _beside_twin(network: dict[str, Any]) -> str:
    rows = []
    for row in network["rows"]:
        ours, twin = row["ours"], row["twin"]
        times = [f"{twin[kind] / ours[kind]:.2f}" for kind in ("wall", "processor")]
        rows.append([row["what"], f"{ours['wall']:.2f} s", f"{twin['wall']:.2f} s", *times])
    head = [f"{network['weights']}, {network['detail']} px", "fastcolor", "twin", "times as fast", "by processor"]
    load_average = f"{network['engine']}, load average {network['machine']['load']}"
    return f"{table(head, rows)}\n\n{load_average}; {conditions(network)}"


@of_each("killed")
def killed_table(result: dict[str, Any]) -> str:
    """Films and folders with the published networks: memory over length, killed and resumed."""
    return "\n\n".join(map(_killed, result["networks"].values()))


def _killed(network: dict[str, Any]) -> str:
    film = "the undisturbed, to the bit" if network["film_equal"] else "**another**"
    apart = network["folder_codes"]
    folder = "whole, equal" if not apart else f"whole, pictures within {apart} of 255"
    peaks = [f"{mb:.0f} MB" for mb in network["mb"]]
    name = f"{network['weights']}, {network['detail']} px"
    cells = [name, *peaks, f"{network['mb'][1] / network['mb'][0]:.2f}", film, folder]
    head = ["", "a clip", "the same 4 times", "ratio", "film killed, resumed", "folder killed, begun again"]
    return f"{table(head, [cells])}\n\n{conditions(network)}"


# Page -> marker name -> what stands between its two markers.
PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"speed": speed_table},
    "docs/speed.md": {
        "ops": ops_table,
        "sizes": sizes_table,
        "pipeline": pipeline_table,
        "peer films": peer_films_table,
        "films": film_versions_table,
        "film profile": film_profile_table,
        "film scaling": film_scaling_table,
        "serve": serve_table,
    },
    "docs/film.md": {"film quality": film_quality_table, "film memory": film_memory_table},
    "docs/steering.md": {"control": control_table},
    "docs/gpu.md": {"library": library_table},
    "docs/networks.md": {"peers": peers_table, "killed": killed_table, "compare": compare_table},
    "docs/engines.md": {"parity": parity_table},
    "docs/training.md": {"train": train_table, "step": step_table},
}


def filled(page: str, text: str, tables: dict[str, Callable[[], str]]) -> str:
    """The page's text with each table new between its markers.

    Raises:
        ValueError: a marker is missing, stands twice or is not known.
    """
    known = re.findall(r"<!-- (.*?): written by bench/table\.py -->", text)
    for name in dict.fromkeys([*known, *tables]):
        if name not in tables:
            raise ValueError(f"{page}: must hold markers of {', '.join(tables)} alone, got {name}")
        begin, end = f"<!-- {name}: written by bench/table.py -->", f"<!-- end of {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1 or text.index(end) < text.index(begin):
            raise ValueError(f"{page}: must hold {begin} and then {end}, each once")
        before, after = text.split(begin)[0], text.split(end)[1]
        text = f"{before}{begin}\n{tables[name]()}\n{end}{after}"
    return text


def main() -> None:
    pages = {page: filled(page, (ROOT / page).read_text(), tables) for page, tables in PAGES.items()}
    for page, text in pages.items():
        (ROOT / page).write_text(text)
    plot_sizes()
    plot_pipeline()


if __name__ == "__main__":
    main()
