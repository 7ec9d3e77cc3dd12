"""The default preset beside variants of it, each trained from nothing for the same few steps, then measured.

`python -m bench.presets DATA... --validation PICTURES --encoder FILE` prints the table of the model card. Runs lie in
`--out`; those that are done are not repeated. Short runs rank presets, they do not tell how good a long one gets.

Of the preset they take the first stage, small crops. All are measured at one colourfulness: a shift of the classes
(`Preset.shift`) is sought for each, because a more colourful network has a higher macro AuC and a lower PSNR whatever
it knows. The same is measured on pictures that are aged as old film is, with colours against the true ones.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import fastcolor
from fastcolor import ops
from fastcolor.data import pictures
from fastcolor.engines.torch import TorchEngine, precisions
from fastcolor.evaluation.measures import AreaUnderCurve, colorfulness, psnr
from fastcolor.models import weights
from fastcolor.models.generator import Generator
from fastcolor.models.sizes import input_size
from fastcolor.palette import Palette, class_weights
from fastcolor.training.old_film import old_film
from fastcolor.training.presets import PRESETS, CrossEntropy, Preset

DEFAULT = PRESETS["default"]
FIRST = replace(DEFAULT.stages[0], until=1.0)
SHORT = replace(DEFAULT, stages=(FIRST,))
LOSS = next(term for term in FIRST.losses if isinstance(term, CrossEntropy))
RECIPE = "the recipe"
MOBILENET = "the first default network, MobileNetV2"
MEASURES = ("macro AuC", "AuC", "PSNR", "colourfulness", "cast over neutral truth")


def with_stage(**changes: object) -> Preset:
    return replace(DEFAULT, stages=(replace(FIRST, **changes),))


def with_loss(**changes: object) -> Preset:
    return with_stage(losses=tuple(replace(term, **changes) if term is LOSS else term for term in FIRST.losses))


def with_trunk_rate(factor: float) -> Preset:
    rate = FIRST.optimiser.encoder_learning_rate
    assert rate is not None
    return with_stage(optimiser=replace(FIRST.optimiser, encoder_learning_rate=factor * rate))


VARIANTS: dict[str, Preset] = {
    RECIPE: SHORT,
    MOBILENET: replace(
        with_stage(hints=None, losses=(LOSS,)), model="default-mobilenet", encoder="features.", keep_statistics=False,
        keep_filters=False,
    ),
    "no frozen blocks": replace(SHORT, freeze=0),
    "six frozen blocks": replace(SHORT, freeze=6),
    "all of the trunk learns": replace(SHORT, freeze=0, keep_statistics=False, keep_filters=False),
    "trunk's learning rate x 0.3": with_trunk_rate(0.3),
    "trunk's learning rate x 3": with_trunk_rate(3),
    "truth spread wider, sigma 10": with_loss(sigma=10.0),
    "truth spread wider, 10 neighbours, sigma 10": with_loss(sigma=10.0, neighbours=10),
    "focal loss, gamma 2": with_loss(gamma=2.0),
    "no class weights": with_loss(weighting="none"),
    "class weights in full": with_loss(alpha=1.0),
    "class weights 1 / prior (lambda 0)": with_loss(mix=0.0, alpha=1.0),
    "class weights by the inverse logarithm": with_loss(weighting="inverse_log"),
    "k-means palette, 313 bins": SHORT,
    "no teacher that sees colour": with_stage(losses=(LOSS,)),
    "no hints": with_stage(hints=None),
    "no old film": with_stage(old=0.0),
    "larger crops in the last third": replace(
        DEFAULT, stages=(replace(FIRST, until=2 / 3), replace(DEFAULT.stages[1], until=1.0))
    ),
    "decoder 1.5 times as wide": replace(SHORT, options={"widths": (240, 144, 96)}),
    "true colours by point": replace(SHORT, target="point"),
    "no exponential average": replace(SHORT, ema=0.0),
}  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """A picture (1, H, W, 3) and its lab (1, 3, H, W), and the logits (1, Q, h, w), float16, that a network answers."""

    truth: Tensor
    lab: Tensor
    logits: Tensor


def see(generator: Generator, data: Path, limit: int, *, aged: bool) -> Iterator[Seen]:
    """Show pictures to a network. aged: as old film, each in its own way, always the same."""
    cpu = torch.device("cpu")
    engine = TorchEngine(generator.model, cpu, torch.bfloat16 if "bf16" in precisions(cpu) else torch.float32)
    for number, (_, picture) in enumerate(islice(pictures(data), limit)):
        height, width = (side // 8 * 8 for side in picture.shape[:2])  # as `old_film` wants them
        truth = torch.from_numpy(np.ascontiguousarray(picture[:height, :width]))[None]
        lab = ops.rgb_to_lab(truth, layout="hwc")
        lightness = old_film(truth, lab[:, :1], np.random.default_rng((17, number))) if aged else lab[:, :1]
        gray = ops.lab_to_rgb(lightness * torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1), layout="hwc")[..., 0].contiguous()
        size = input_size(height, width, generator.size, generator.stride)
        yield Seen(truth, lab, engine(ops.luma_to_input(gray, size)).half())


class Meter:
    """Measures of what a network answered, at any shift of its classes.

    Args:
        prior: of the classes, as the run measured it.
    """

    def __init__(self, generator: Generator, prior: Tensor, seen: list[Seen]) -> None:
        self._generator, self._seen = generator, seen
        self._rarity = class_weights(prior, "rebalance", 0.5, 1.0).log().view(1, -1, 1, 1)
        self._true = float(np.mean([colorfulness(one.truth[0].numpy()) for one in seen]))

    def painted(self, shift: float) -> Iterator[tuple[Seen, Tensor]]:
        for one in self._seen:
            ab = self._generator.ab_of((one.logits.float() + shift * self._rarity).contiguous())
            yield one, ops.paint_rgb(ab, one.truth)

    def colourfulness(self, shift: float) -> float:
        """Of the truth's."""
        return float(np.mean([colorfulness(rgb[0].numpy()) for _, rgb in self.painted(shift)])) / self._true

    def shift_for(self, wanted: float) -> float:
        """The shift at which this much of the truth's colourfulness is there, within 0.3 %; -4 or 4 if none between is.

        Colourfulness grows with the shift, slowly where all is nearly gray: false position, which stays between two
        shifts that lie on both sides (the Illinois rule).
        """
        low, high = -4.0, 4.0
        under, over = (math.log(self.colourfulness(shift) / wanted) for shift in (low, high))
        if under >= 0 or over <= 0:
            return low if abs(under) < abs(over) else high
        last = 0.0
        for _ in range(40):
            shift = (low * over - high * under) / (over - under)
            off = math.log(self.colourfulness(shift) / wanted)
            if abs(off) < 0.003:
                break
            again = off * last > 0  # the same side twice: the other one draws too hard
            last = off
            if off < 0:
                low, under, over = shift, off, over / 2 if again else over
            else:
                high, over, under = shift, off, under / 2 if again else under
        return shift

    def measures(self, shift: float) -> dict[str, float]:
        curve, rows, casts = AreaUnderCurve(), [], []
        for one, rgb in self.painted(shift):
            ab = ops.rgb_to_lab(rgb, layout="hwc")[:, 1:]
            curve.add(ab, one.lab[:, 1:])
            rows.append((psnr(rgb, one.truth), colorfulness(rgb[0].numpy())))
            neutral = one.lab[:, 1:].norm(dim=1) < 5
            if neutral.sum() > 500:
                casts.append(float(ab.movedim(1, 3)[neutral].mean(0).norm()))
        decibels, colour = np.mean(rows, axis=0).tolist()
        cast = float(np.mean(casts)) if casts else math.nan
        values = (curve.macro_auc(), curve.auc(), decibels, 100 * colour / self._true, cast)
        return dict(zip(MEASURES, values, strict=True))


def compare(file: Path, prior: Tensor, data: Path, limit: int, wanted: float | None) -> dict[str, float]:
    """Measures of weights on pictures, and on the same aged (`aged ...`), at one shift. wanted: that at which the clean
    ones have so much of the truth's colourfulness; None: the weights as they are."""
    generator, found = weights.load(file), {}
    shift = 0.0
    for front, aged in (("", False), ("aged ", True)):
        meter = Meter(generator, prior, list(see(generator, data, limit, aged=aged)))
        if wanted is not None and not aged:
            shift = meter.shift_for(wanted)
        found |= {front + name: value for name, value in meter.measures(shift).items()}
    return {"shift": shift, "ms": milliseconds(generator), **found}


def milliseconds(generator: Generator) -> float:
    """The least processor time of 15 pictures of 256 px in float32."""
    engine, times = TorchEngine(generator.model, torch.device("cpu")), []
    for _ in range(15):
        start = time.process_time()
        engine(torch.full((1, 1, 256, 256), 50.0))
        times.append(time.process_time() - start)
    return min(times) * 1e3


def prior_of(run: Path) -> Tensor:
    return torch.tensor(json.loads((run / "prior.json").read_text()), dtype=torch.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", type=Path, help="training pictures, as `fastcolor train` takes them")
    parser.add_argument("--validation", type=Path, required=True, help="pictures to measure on")
    parser.add_argument("--encoder", type=Path, help="ImageNet weights of EfficientNet-Lite0")
    parser.add_argument("--mobilenet", type=Path, help="those of MobileNetV2, for the first default network")
    parser.add_argument("--palette", type=Path, help="of the k-means run: from `fastcolor palette --bins 313`")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--limit", type=int, default=100, help="validation pictures that are measured")
    parser.add_argument("--colourfulness", type=float, default=0.56, help="of the truth's, at which all are measured")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=[*VARIANTS], default=[*VARIANTS], metavar="VARIANT")
    parser.add_argument("--out", type=Path, default=Path("runs/presets"))
    options = parser.parse_args()
    columns = ("shift", *MEASURES, *(f"aged {name}" for name in MEASURES), "processor time", "ms")
    print(f"| {options.steps} steps, seed {options.seed} | " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * len(columns))
    prior = options.out / "prior.npy"  # of the first run whose classes are the grid's: the others need not measure it
    for name in options.only:
        kmeans = name.startswith("k-means")
        if (kmeans and options.palette is None) or (name == MOBILENET and options.mobilenet is None):
            continue
        palette, preset = Palette.load(options.palette) if kmeans else None, VARIANTS[name]
        out = options.out / f"{options.steps} steps, seed {options.seed}, {name.replace('/', 'by')}"
        told = out / "found.json"
        if not told.exists():
            start = time.process_time()
            result = fastcolor.train(
                options.data, preset, out, steps=options.steps, seed=options.seed, palette=palette, workers=0,
                encoder=options.mobilenet if name == MOBILENET else options.encoder,
                prior=prior if prior.exists() and preset.needs_prior and not kmeans else None,
                checkpoint_every=options.steps, keep=1, resume=(out / "run.json").exists(),
            )  # fmt: skip
            seconds = time.process_time() - start
            if not prior.exists() and preset.needs_prior and not kmeans:
                np.save(prior, prior_of(out).numpy())
            classes = prior_of(out) if preset.needs_prior else torch.from_numpy(np.load(prior))
            found = compare(result.weights, classes, options.validation, options.limit, options.colourfulness)
            told.write_text(json.dumps({"processor time": seconds, **found}))
        found = json.loads(told.read_text())
        print(f"| {name} | " + " | ".join(f"{found[column]:.4g}" for column in columns) + " |", flush=True)


if __name__ == "__main__":
    main()
