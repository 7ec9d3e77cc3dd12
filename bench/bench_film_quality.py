"""What a film loses when the network does not see every frame: bench/results/<machine>-film-quality.json.

Run as `python -m bench.bench_film_quality CLIP ... --sheet docs/film-quality.jpg`. The first seconds of each clip, and
films made of the package's photographs, whose true colours are known, are painted three times and encoded without loss:
each frame alone (`--temporal off --adaptive off`), steadied (`--adaptive off`) and as usual. The first is what the
others are compared with. The sheet shows the worst frame of each made film: the frame before it, it itself alone and as
usual, and the frame behind it.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from PIL import Image
from torch import Tensor

import fastcolor
from fastcolor import ops
from fastcolor.evaluation.measures import colorfulness
from fastcolor.film.change import change_of, codes_of
from fastcolor.film.probe import choose_stream
from fastcolor.film.smoothing import warp_error
from fastcolor.predictor import Predictor

from . import timing
from .films import photographs
from .run import keep

WAYS: dict[str, dict[str, Any]] = {
    "each frame alone": {"temporal": "off", "adaptive": "off"},
    "every frame, steadied": {"adaptive": "off"},
    "as usual": {},
}
WIDTH, HEIGHT, FRAMES = 320, 240, 48  # of the made films
MEASURED = 320  # pixels of the longer side on which frames are compared


@dataclass(frozen=True)
class QualityOptions:
    """Compare films painted with and without the network seeing every frame."""

    clips: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Films; their luma is painted."""
    seconds: float = 15.0
    """Of each clip."""
    sheet: Path | None = None
    """Picture of the made films' worst frames to write."""
    out: Path | None = None
    """File for the figures. None: bench/results/<machine>-film-quality.json."""


def _cut_out(photo: Image.Image, left: float, top: float, share: float) -> np.ndarray:
    """A part of a photograph, `share` of what fits, at the made films' size."""
    side = min(photo.width / WIDTH, photo.height / HEIGHT) * share
    x, y = left * (photo.width - side * WIDTH), top * (photo.height - side * HEIGHT)
    box = (x, y, x + side * WIDTH, y + side * HEIGHT)
    return np.asarray(photo.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box=box))


def made_films() -> dict[str, list[np.ndarray]]:
    """RGB frames of films whose colours are known."""
    photos, random = photographs(), np.random.default_rng(0)
    times = np.linspace(0, 1, FRAMES)

    def entering(t: float) -> np.ndarray:
        ground, thing = _cut_out(photos[2], 0.5, 0.5, 0.9).copy(), _cut_out(photos[1], 0.5, 0.5, 0.7)[40:200, 60:220]
        shown = round(160 * min(1.0, 1.6 * t))
        if shown:
            ground[60:220, :shown] = thing[:, 160 - shown :]
        return ground

    def old(t: float, flicker: float) -> np.ndarray:
        """Grain, and light that flickers by a share, on a slow pan."""
        frame = _cut_out(photos[0], 0.2 * t, 0.3, 0.8).astype(np.float32)
        grain = random.normal(0, 7, (HEIGHT, WIDTH, 1))
        return (frame * (1 + random.normal(0, flicker)) + grain).clip(0, 255).astype(np.uint8)

    def barred(frame: np.ndarray) -> np.ndarray:
        """Black bars above and below, which leave little more than half."""
        bars = np.zeros_like(frame)
        bars[54:186] = frame[54:186]
        return bars

    def cuts(t: float) -> np.ndarray:
        return _cut_out(photos[int(t * 3.99) % len(photos)], t, 0.5, 0.8)

    def dissolving(t: float) -> np.ndarray:
        share = np.interp(t, (0.25, 0.75), (0, 1))
        first, second = (_cut_out(photo, 0.3 * t, 0.5, 0.8).astype(np.float32) for photo in photos[:2])
        return (first + share * (second - first)).round().astype(np.uint8)

    def dipping(t: float) -> np.ndarray:
        """To black, and out of it with another shot."""
        frame = _cut_out(photos[0 if t < 0.5 else 2], 0.3 * t, 0.5, 0.8)
        return (frame * min(1, abs(t - 0.5) * 4)).round().astype(np.uint8)

    makers: dict[str, Callable[[float], np.ndarray]] = {
        "pan": lambda t: _cut_out(photos[2], t, 0.5 * t, 0.7),
        "zoom": lambda t: _cut_out(photos[0], 0.5, 0.2, 0.9 - 0.5 * t),
        "cuts": lambda t: _cut_out(photos[int(t * 7.99) % len(photos)], t, 0.5, 0.8),
        "something enters": entering,
        "grain and flicker": partial(old, flicker=0.03),
        "strong flicker": partial(old, flicker=0.12),
        "night between bars": lambda t: barred(cuts(t) // 4),
        "fog between bars": lambda t: barred((153 + 0.12 * cuts(t)).astype(np.uint8)),
        "dissolve": dissolving,
        "dip to black": dipping,
    }
    return {name: [make(float(t)) for t in times] for name, make in makers.items()}


def write_film(path: Path, frames: list[np.ndarray]) -> None:
    """Gray, without loss."""
    import av

    with av.open(str(path), "w") as film:
        stream = film.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "gray"
        for t, frame in enumerate(frames):
            gray = np.asarray(Image.fromarray(frame).convert("L"))
            out = av.VideoFrame.from_ndarray(np.ascontiguousarray(gray), "gray")
            out.pts, out.time_base = t, Fraction(1, 25)
            film.mux(stream.encode(out))
        film.mux(stream.encode(None))


def small(rgb: np.ndarray) -> Tensor:
    """(3, h, w) uint8 of the size on which frames are compared."""
    image = Image.fromarray(rgb)
    image.thumbnail((MEASURED, MEASURED), Image.Resampling.BOX)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def painted(src: Path, folder: Path, seconds: float, options: dict[str, Any]) -> tuple[Tensor, int]:
    """A painted film's frames (T, 3, h, w), and on how many the network ran."""
    import av

    runs = 0
    original = {name: getattr(Predictor, name) for name in ("predict_ab", "predict_ab_of_luma")}

    def counting(name: str) -> Callable[..., Tensor]:
        def count(self: Predictor, batch: Tensor, *rest: Any, **named: Any) -> Tensor:
            nonlocal runs
            runs += len(batch)
            return original[name](self, batch, *rest, **named)

        return count

    dst = folder / "painted.mkv"
    try:
        for name in original:
            setattr(Predictor, name, counting(name))
        fastcolor.video(src, dst, device="cpu", lossless=True, overwrite=True, progress=False, end=seconds, **options)
    finally:
        for name, method in original.items():
            setattr(Predictor, name, method)
    with av.open(str(dst)) as film:
        frames = film.decode(choose_stream(film))  # others may be there, copied
        return torch.stack([small(frame.to_ndarray(format="rgb24")) for frame in frames]), runs


def ab_of(rgb: Tensor) -> Tensor:
    """(T, 2, h, w) of (T, 3, h, w) uint8."""
    return torch.cat([ops.rgb_to_lab(some)[:, 1:] for some in rgb.split(16)])


def flicker(rgb: Tensor, luma: Tensor) -> float:
    """E_warp within shots: what a cut changes is no flicker, and a hundred times as much.

    Args:
        rgb: (T, 3, h, w) uint8. luma: (T, h, w) uint8.
    """
    borders = [0, *(int(i) + 1 for i in change_of(luma[1:], luma[:-1]).cut.nonzero()), len(luma)]
    shots = [slice(*ends) for ends in itertools.pairwise(borders) if ends[1] - ends[0] > 1]
    if not shots:  # cuts alone
        return float("nan")
    pairs = [shot.stop - shot.start - 1 for shot in shots]
    return float(np.average([warp_error(rgb[shot].float() / 255, luma[shot]) for shot in shots], weights=pairs))


def measured(
    src: Path, folder: Path, seconds: float, truth: list[np.ndarray] | None
) -> tuple[list[dict[str, Any]], Tensor]:
    """A row for each way, and the worst frame: (3, h, w) of gray, alone and as usual side by side."""
    rows, alone, sheet = [], None, None
    for way, options in WAYS.items():
        rgb, runs = painted(src, folder, seconds, options)
        gray = ops.rgb_to_lab(rgb)[:, :1]
        ab = ab_of(rgb)
        alone = ab if alone is None else alone
        apart = (ab - alone).norm(dim=1).mean((1, 2))
        worst = int(apart.argmax())
        row: dict[str, Any] = {
            "way": way,
            "frames": len(rgb),
            "runs": runs,
            "apart": float(apart.mean()),
            "apart_99": float(apart.quantile(0.99)),
            "worst": float(apart.max()),
            "worst_frame": worst,
            "e_warp": flicker(rgb, codes_of(gray)) * 1e3,
            "colorfulness": float(np.mean([colorfulness(frame.permute(1, 2, 0).numpy()) for frame in rgb])),
        }
        if truth is not None:
            error = (ab - ab_of(torch.stack([small(frame) for frame in truth]))).square().mean()
            row["ab_psnr"] = float(10 * torch.log10(255**2 / error))
        rows.append(row)
        print(f"{src.stem}: {json.dumps(row)}", flush=True)
        if way == "each frame alone":
            first = rgb
        elif way == "as usual":
            shown = [rgb[max(0, worst - 1)], first[worst], rgb[worst], rgb[min(len(rgb) - 1, worst + 1)]]
            sheet = torch.cat([F.interpolate(one[None].float(), (180, 240))[0] for one in shown], 2)
    assert sheet is not None
    return rows, sheet


def main(options: QualityOptions) -> dict[str, Any]:
    films: dict[str, list[dict[str, Any]]] = {}
    sheets = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources: list[tuple[str, Path, list[np.ndarray] | None]] = [(clip.stem, clip, None) for clip in options.clips]
        for title, frames in made_films().items():
            path = folder / f"{title}.mkv"
            write_film(path, frames)
            sources.append((title, path, frames))
        for title, path, truth in sources:
            films[title], sheet = measured(path, folder, options.seconds, truth)
            if truth is not None:
                sheets.append(sheet)
    if options.sheet:
        Image.fromarray(torch.cat(sheets, 1).permute(1, 2, 0).byte().numpy()).save(options.sheet)
    command = "python -m bench.bench_film_quality CLIP ..."
    results = {"machine": timing.machine() | {"threads": torch.get_num_threads(), "command": command}, "films": films}
    keep(results, "film-quality", options.out)
    return results


if __name__ == "__main__":
    main(tyro.cli(QualityOptions, config=(tyro.conf.FlagCreatePairsOff,)))
