"""The default preset beside variants of it, each trained from nothing for the same few steps, then measured.

`python -m bench.presets DATA... --validation PICTURES --encoder FILE` prints the table of the model card. Runs lie in
`--out`; those that are done are not repeated. Short runs rank presets, they do not tell how good a long one gets.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import fastcolor
from fastcolor.palette import Palette
from fastcolor.training.presets import PRESETS, CrossEntropy, Preset

DEFAULT = PRESETS["default"]
MEASURES = ("macro_auc", "auc", "psnr_rgb", "colorfulness_ratio", "cast_neutral")
MOBILENET = "the first default network, MobileNetV2"


def with_stages(**changes: object) -> Preset:
    return replace(DEFAULT, stages=tuple(replace(stage, **changes) for stage in DEFAULT.stages))


def with_loss(**changes: object) -> Preset:
    return with_stages(losses=(CrossEntropy(**{"alpha": 0.5, **changes}),))


VARIANTS: dict[str, Preset] = {
    "the default preset": DEFAULT,
    MOBILENET: replace(
        DEFAULT, model="default-mobilenet", encoder="features.", keep_statistics=False, keep_filters=False,
        stages=with_stages(hints=None).stages,
    ),
    "all of the encoder learns": replace(DEFAULT, freeze=0, keep_statistics=False, keep_filters=False),
    "no hints": with_stages(hints=None),
    "no old film": with_stages(old=0.0),
    "no class weights": with_loss(weighting="none"),
    "class weights in full": with_loss(alpha=1.0),
    "class weights 1 / prior (lambda 0)": with_loss(mix=0.0, alpha=1.0),
    "class weights by the inverse logarithm": with_loss(weighting="inverse_log"),
    "focal loss, gamma 2": with_loss(gamma=2.0),
    "k-means palette, 313 bins": DEFAULT,
    "decoder 1.5 times as wide": replace(DEFAULT, options={"widths": (240, 144, 96)}),
    "10 neighbours": with_loss(neighbours=10),
    "true colours by point": replace(DEFAULT, target="point"),
    "no exponential average": replace(DEFAULT, ema=0.0),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", type=Path, help="training pictures, as `fastcolor train` takes them")
    parser.add_argument("--validation", type=Path, required=True, help="pictures to measure on")
    parser.add_argument("--encoder", type=Path, help="ImageNet weights of EfficientNet-Lite0")
    parser.add_argument("--mobilenet", type=Path, help="those of MobileNetV2, for the first default network")
    parser.add_argument("--palette", type=Path, help="of the k-means run: from `fastcolor palette --bins 313`")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("runs/presets"))
    options = parser.parse_args()
    print("| preset | steps | seconds | " + " | ".join(MEASURES) + " |")
    print("|---|" + "---:|" * (2 + len(MEASURES)))
    for name, preset in VARIANTS.items():
        palette = Palette.load(options.palette) if name.startswith("k-means") and options.palette else None
        if name.startswith("k-means") and palette is None:
            continue
        encoder = options.mobilenet if name == MOBILENET else options.encoder
        out = options.out / f"{options.steps} steps, {name.replace('/', 'by')}"
        told = out / f"{options.validation.stem}.json"
        if not told.exists():
            start = time.perf_counter()
            result = fastcolor.train(
                options.data, preset, out, steps=options.steps, encoder=encoder, palette=palette,
                checkpoint_every=options.steps, keep=1, resume=(out / "run.json").exists(),
            )  # fmt: skip
            seconds = time.perf_counter() - start
            found = fastcolor.evaluate(result.weights, options.validation, engine="torch")
            told.write_text(json.dumps({"seconds": seconds, **found}))
        found = json.loads(told.read_text())
        values = " | ".join(f"{found[measure]:.4g}" for measure in MEASURES)
        print(f"| {name} | {options.steps:,} | {found['seconds']:.0f} | {values} |", flush=True)


if __name__ == "__main__":
    main()
