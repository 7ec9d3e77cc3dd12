"""How far colours follow what people say: hints, references, key frames, chroma films, on scenes whose truth is known.

`python -m bench.bench_control PICTURES.zip FILM` grays colour photographs and a colour film of one shot, colours them
with what is known of a part, and compares. It writes bench/results/<machine>-control.json, of which bench/table.py
makes the table in docs/steering.md. Bars are what was asked for; what misses one is shown so.
"""

from __future__ import annotations

import argparse
import io
import logging
import statistics
import tempfile
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image
from skimage.segmentation import felzenszwalb

import fastcolor
from fastcolor import Colorizer, Hint, ops
from fastcolor.evaluation.color_errors import ColorErrors, kinds
from fastcolor.film.frames import plane_view
from fastcolor.film.smoothing import warp_error

from . import timing
from .run import keep

FRAMES, RATE = 90, 25


def ab_of(image: Image.Image) -> np.ndarray:
    """(2, H, W)."""
    return ops.rgb_to_lab(torch.from_numpy(np.array(image.convert("RGB")))[None], layout="hwc")[0, 1:].numpy()


def distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.linalg.norm(one - other, axis=0)


def psnr(one: Image.Image, other: Image.Image) -> float:
    a, b = (np.asarray(image.convert("RGB")).astype(float) for image in (one, other))
    return float(10 * np.log10(255**2 / max(np.mean((a - b) ** 2), 1e-6)))


def true_points(truth: Image.Image, count: int, seed: int) -> list[Hint]:
    rng = np.random.default_rng(seed)
    xs, ys = rng.uniform(0.02, 0.98, (2, count))
    small = np.asarray(truth.convert("RGB"))
    height, width = small.shape[:2]
    colours = [tuple(int(v) for v in small[int(y * height), int(x * width)]) for x, y in zip(xs, ys, strict=True)]
    return [Hint(float(x), float(y), c, radius=0.015) for x, y, c in zip(xs, ys, colours, strict=True)]


def one_point(colorizer: Colorizer, truth: Image.Image) -> tuple[float, float, float] | None:
    """After one true point in a region: the way to its colour within, the way to it across strong edges, and any move
    there, to that colour or not, as a share of the way that the region had to go. None: no region is fit for it."""
    known, pixels = ab_of(truth), np.asarray(truth)
    gray = truth.convert("L")
    before = ab_of(colorizer(gray))
    segments = felzenszwalb(pixels, scale=300, sigma=0.8, min_size=1200)
    luma = np.asarray(gray).astype(float)
    best = None
    for label in np.unique(segments):
        inside = segments == label
        mean = known[:, inside].mean(1)
        spread = np.linalg.norm(known[:, inside] - mean[:, None], axis=0).mean()
        wrong = np.linalg.norm(before[:, inside].mean(1) - mean)
        if spread < 8 and wrong > 15 and (best is None or inside.sum() > best[0].sum()):
            best = inside, mean
    if best is None:
        return None
    inside, mean = best
    rows, columns = np.nonzero(inside)
    middle = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
    y, x = (rows[middle] + 0.5) / inside.shape[0], (columns[middle] + 0.5) / inside.shape[1]
    colour = tuple(int(v) for v in pixels[rows[middle], columns[middle]])
    after = ab_of(colorizer(gray, hints=[Hint(float(x), float(y), colour, radius=0.03)]))
    target = known[:, rows[middle], columns[middle]][:, None]
    start = np.linalg.norm(before[:, inside] - target, axis=0).mean()
    way = 1 - np.linalg.norm(after[:, inside] - target, axis=0).mean() / start
    near = torch.nn.functional.max_pool2d(torch.from_numpy(inside[None, None].astype(np.float32)), 27, 1, 13)[0, 0]
    close = torch.nn.functional.max_pool2d(torch.from_numpy(inside[None, None].astype(np.float32)), 17, 1, 8)[0, 0]
    ring = (near.numpy() > 0) & ~(close.numpy() > 0) & (np.abs(luma - luma[inside].mean()) > 40)
    if ring.sum() <= 50:
        return float(way), float("nan"), float("nan")
    left, had = (np.linalg.norm(ab[:, ring] - target, axis=0).mean() for ab in (after, before))
    return float(way), float(1 - left / had), float(distance(after, before)[ring].mean() / start)


def pictures(path: Path, count: int | None) -> list[dict[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        names = names[:: len(names) // (count or len(names))]
        truths = [Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in names]
    colorizer = Colorizer(device="cpu", engine="torch")
    auto = [colorizer(truth.convert("L")) for truth in truths]
    regions = [one for one in (one_point(colorizer, truth) for truth in truths) if one]
    rows = [
        row("one point: way to its colour within a region", np.mean([r[0] for r in regions]), 0.6, "more"),
        row("one point: way to its colour 10 px outside, across an edge", np.nanmean([r[1] for r in regions]), 0.15,
            "less"),
        row("one point: any move there, beside the way within", np.nanmean([r[2] for r in regions]), 0.15, "less"),
    ]  # fmt: skip
    for points, bar in ((10, 2.5), (50, 5.0)):
        gains = [
            psnr(colorizer(truth.convert("L"), hints=true_points(truth, points, i)), truth) - psnr(auto[i], truth)
            for i, truth in enumerate(truths)
        ]
        rows.append(row(f"{points} random true points: gain of PSNR, dB", np.mean(gains), bar, "more"))
    before = [distance(ab_of(auto[i]), ab_of(truth)).mean() for i, truth in enumerate(truths)]

    def way(**given: Any) -> float:
        after = []
        for i, truth in enumerate(truths):
            options = {name: make(truth, i) for name, make in given.items()}
            try:
                after.append(
                    (before[i], distance(ab_of(colorizer(truth.convert("L"), **options)), ab_of(truth)).mean())
                )
            except ValueError:  # the truth itself counts as gray
                continue
        return 1 - float(np.sum([b for _, b in after]) / np.sum([a for a, _ in after]))

    def cropped(image: Image.Image) -> Image.Image:
        return image.crop((image.width // 8, image.height // 8, image.width, image.height))

    rows += [
        row("reference, the scene flipped: way to the truth",
            way(references=lambda t, i: [t.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]), 0.6, "more"),
        row("reference, the scene cropped: way to the truth", way(references=lambda t, i: [cropped(t)]), 0.6, "more"),
        row("reference, another scene: way to the truth",
            way(references=lambda t, i: [truths[(i + 5) % len(truths)]]), -0.02, "more"),
    ]  # fmt: skip

    def codes(version: Any) -> float:
        errors = []
        for i, truth in enumerate(truths):
            try:
                painted = colorizer(truth.convert("L"), chroma_from=version(truth, i))
            except ValueError:
                continue
            a, b = (np.asarray(image.convert("YCbCr"))[..., 1:].astype(float) for image in (painted, truth))
            errors.append(np.abs(a - b).mean())
        return float(np.mean(errors))

    def jpeg(image: Image.Image, box: tuple[float, ...] | None = None) -> Image.Image:
        size = image.width // 2, image.height // 2
        image.resize(size, Image.Resampling.BICUBIC, box=box).save(held := io.BytesIO(), "JPEG", quality=80)
        return Image.open(held)

    def moved(image: Image.Image) -> Image.Image:
        return jpeg(image, (3, 3, image.width / 1.02, image.height / 1.02))

    rows += edges(truths, auto)
    still = codes(lambda t, i: jpeg(t))
    rows += [
        row("chroma from the truth: error in codes", codes(lambda t, i: t), 1.0, "less"),
        row("chroma from a JPEG of half size, 2 % larger, 3 px aside: error beside the unmoved one's",
            codes(lambda t, i: moved(t)) / still, 1.3, "less"),
    ]  # fmt: skip
    gray = truths[0].convert("L")
    features = colorizer.features(gray)
    hint = [Hint(0.5, 0.5, "#8c1f28")]
    reference = truths[0].transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    reference.save(held := Path(tempfile.mkdtemp()) / "reference.png")
    usual = Colorizer(device="cpu")
    seen = usual.features(gray)
    times = timing.alternate(
        {"whole": lambda: colorizer(gray), "edit": lambda: colorizer.colours(features, hint),
         "reference": lambda: colorizer(gray, references=[held]), "usual whole": lambda: usual(gray),
         "usual edit": lambda: usual.colours(seen, hint)}, seconds=6
    )  # fmt: skip
    rows += [
        row("a hint changed: time beside a whole colouring's, both in torch", times["edit"] / times["whole"],
            0.4, "less"),
        row(f"a hint changed, in torch: time beside a whole colouring's as auto runs it, in {usual.engine}",
            times["usual edit"] / times["usual whole"], 0.4, "less"),
        row("a reference: time beside a plain picture's", times["reference"] / times["whole"], 2.0, "less"),
    ]  # fmt: skip
    return rows


def edges(truths: list[Image.Image], auto: list[Image.Image]) -> list[dict[str, Any]]:
    """What sharp edges do to colours that are known at an eighth of the size, to the network's own, and to time."""
    by = {which: Colorizer(device="cpu", engine="torch", edges=which) for which in ("off", "on")}
    known, own = ({which: ColorErrors() for which in by} for _ in range(2))
    for truth, plain in zip(truths, auto, strict=True):
        lab = ops.rgb_to_lab(torch.from_numpy(np.array(truth))[None], layout="hwc")
        masks, gray = kinds(lab), truth.convert("L")
        small = truth.resize((truth.width // 8, truth.height // 8), Image.Resampling.BOX)
        for which, colorizer in by.items():
            painted = plain if which == "off" else colorizer(gray)
            own[which].add(torch.from_numpy(ab_of(painted))[None], lab, masks)
            try:
                painted = colorizer(gray, chroma_from=small)
            except ValueError:  # the truth itself counts as gray
                continue
            known[which].add(torch.from_numpy(ab_of(painted))[None], lab, masks)
    known_errors, own_errors = ({name: one.result() for name, one in each.items()} for each in (known, own))
    noise, luma = torch.Generator().manual_seed(0), torch.full((1, 512, 512), 128.0)
    grainy = (luma + 8 * torch.randn(luma.shape, generator=noise)).round().clamp(0, 255).to(torch.uint8)
    ab = torch.tensor([25.0, 15.0]).view(1, 2, 1, 1) + torch.randn(1, 2, 64, 64, generator=noise)
    lab = [
        ops.rgb_to_lab(ops.paint_rgb(ab, grainy, guide=guide), layout="hwc")[0, 1:]
        for guide in (None, ops.luma_to_input(grainy, (64, 64)))
    ]
    gray, ab = torch.randint(0, 256, (1, 1080, 1920), dtype=torch.uint8), torch.randn(1, 2, 72, 128) * 20
    guide = ops.luma_to_input(gray, (72, 128))
    times = timing.alternate(
        {"off": lambda: ops.paint_rgb(ab, gray), "on": lambda: ops.paint_rgb(ab, gray, guide=guide)}, seconds=4
    )
    return [
        row("sharp edges, colours known at an eighth of the size: their error near edges beside without",
            known_errors["on"]["ab_error_edges"] / known_errors["off"]["ab_error_edges"], 1.0, "less"),
        row("sharp edges, the network's own colours: bleeding beside without",
            own_errors["on"]["bleeding"] / own_errors["off"]["bleeding"], 1.0, "less"),
        row("sharp edges: colour made of grain of 8 codes, Lab units", float((lab[0] - lab[1]).square().mean().sqrt()),
            1.0, "less"),
        row("sharp edges: time of paint_rgb at 1080p beside without", times["on"] / times["off"], 1.35, "less"),
    ]  # fmt: skip


def row(name: str, value: Any, bar: float, sense: str) -> dict[str, Any]:
    value = float(value)
    holds = value >= bar if sense == "more" else value <= bar
    print(f"{'holds' if holds else 'MISSES':7} {name}: {value:.3g} (bar {bar:g} or {sense})", flush=True)
    return {"name": name, "value": value, "bar": bar, "sense": sense, "holds": holds}


def film_pair(source: Path, folder: Path, height: int) -> tuple[Path, Path]:
    """The film's first frames at a height, in colour and in gray, both without loss."""
    paths = folder / "truth.mkv", folder / "gray.mkv"
    outputs = [av.open(str(path), "w") for path in paths]
    streams: list[Any] = []
    with av.open(str(source)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == FRAMES:
                break
            width = round(frame.width * height / frame.height / 2) * 2
            planes = frame.reformat(width, height, "yuv420p").to_ndarray()
            for i, output in enumerate(outputs):
                if number == 0:
                    streams.append(output.add_stream("ffv1", rate=RATE))
                    streams[i].width, streams[i].height, streams[i].pix_fmt = width, height, "yuv420p"
                copy = av.VideoFrame.from_ndarray(planes, format="yuv420p")
                for index in (1, 2) if i else ():
                    plane_view(copy, index, np.uint8)[:] = 128
                copy.pts, copy.time_base = number, Fraction(1, RATE)
                output.mux(streams[i].encode(copy))
    for output, stream in zip(outputs, streams, strict=True):
        output.mux(stream.encode(None))
        output.close()
    return paths


def frames_of(path: Path, every: int = 1) -> list[Image.Image]:
    with av.open(str(path)) as container:
        return [frame.to_image() for frame in list(container.decode(video=0))[::every]]


def chroma_codes(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        planes = [[plane_view(frame, i, np.uint8).astype(int) for i in (1, 2)] for frame in container.decode(video=0)]
    return np.array(planes)


def flicker(path: Path, gray: Path) -> float:
    """E_warp at 320 pixels of width, of the whole shot."""
    sizes = [(320, round(320 * image.height / image.width)) for image in frames_of(gray, FRAMES)]
    frames = [np.asarray(image.resize(sizes[0])) for image in frames_of(path)]
    luma = [np.asarray(image.convert("L").resize(sizes[0])) for image in frames_of(gray)]
    rgb = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255
    return warp_error(rgb, torch.from_numpy(np.stack(luma)))


def films(source: Path) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth, gray = film_pair(source, folder, 480)
        exact = {"lossless": True, "codec": "ffv1", "overwrite": True}
        known = frames_of(truth)
        known[0].save(folder / "first.png")
        known[-1].save(folder / "last.png")
        keys = [(0.0, folder / "first.png"), ((len(known) - 1) / RATE, folder / "last.png")]
        colours = folder / "colours.mkv"
        fastcolor.video(gray, folder / "auto.mkv", chroma_to=colours, **exact)
        fastcolor.video(gray, folder / "again.mkv", chroma_from=colours, **exact)
        fastcolor.video(gray, folder / "truth_again.mkv", chroma_from=truth, **exact)
        fastcolor.video(gray, folder / "keys.mkv", key_frames=keys, **exact)
        middle = slice(len(known) // 2 - 3, len(known) // 2 + 4)
        errors = {
            which: np.mean(
                [distance(ab_of(a), ab_of(b)).mean()
                 for a, b in zip(frames_of(folder / f"{which}.mkv")[middle], known[middle], strict=True)]
            )
            for which in ("auto", "keys")
        }  # fmt: skip
        rows.append(row("key frames at both ends of a shot: error in the middle beside the automatic one's",
                        errors["keys"] / errors["auto"], 0.5, "less"))  # fmt: skip
        unsteady = {which: flicker(folder / f"{which}.mkv", gray) for which in ("keys", "auto", "truth")}
        share = {which: value / unsteady["auto"] for which, value in unsteady.items()}
        rows.append(row("key frames: E_warp of the shot beside the automatic way's (that of the truth: "
                        f"{share['truth']:.2f})", share["keys"], 1.0, "less"))  # fmt: skip
        apart = np.abs(chroma_codes(folder / "again.mkv") - chroma_codes(folder / "auto.mkv"))
        rows.append(row("own chroma film: share of chroma samples within a code of the direct way's",
                        (apart <= 1).mean(), 0.99, "more"))  # fmt: skip
        apart = np.abs(chroma_codes(folder / "truth_again.mkv") - chroma_codes(truth))
        rows.append(row("chroma from the truth's film: largest difference in codes", apart.max(), 0, "less"))
        rates: dict[str, list[float]] = {"auto": [], "from": []}
        usual = {"overwrite": True, "fast": True}
        for _ in range(3):
            rates["auto"].append(fastcolor.video(gray, folder / "a.mp4", adaptive="off", **usual).fps)
            rates["from"].append(fastcolor.video(gray, folder / "b.mp4", chroma_from=colours, **usual).fps)
        rows.append(row("own chroma film, 480p, --fast: frames a second beside the network on every frame's",
                        statistics.median(rates["from"]) / statistics.median(rates["auto"]), 1.8, "more"))  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path, help="a ZIP of colour photographs, .jpg")
    parser.add_argument("film", type=Path, help="a colour film of one shot")
    parser.add_argument("--count", type=int, default=None, help="of the photographs; all unless told")
    parser.add_argument("--out", type=Path, help="default: bench/results/<machine>-control.json")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    facts = timing.machine() | {"threads": torch.get_num_threads(), "device": "cpu"}
    names = f"{options.pictures.name} {options.film.name}"
    asked = "" if options.count is None else f" --count {options.count}"
    facts["command"] = f"python -m bench.bench_control {names}{asked}"
    results = {"machine": facts, "rows": pictures(options.pictures, options.count) + films(options.film)}
    keep(results, "control", options.out)


if __name__ == "__main__":
    main()
