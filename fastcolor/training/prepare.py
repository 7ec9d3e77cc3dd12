"""From the arguments of a run to all that takes its steps."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import models, ops
from ..data import Item
from ..device import bf16_is_fast, device_of
from ..models import download, efficientnet, weights
from ..models.efficientnet import EfficientNetLite0, EfficientNetLite0Classifier
from ..models.generator import Generator
from ..palette import Palette, class_weights, load_prior, prior_of_histogram, smooth_prior
from ..survey import histogram
from .crops import Crops, batches
from .folder import RunFolder, SilentFolder
from .initialise import balance_gradients, data_dependent
from .learner import Learner
from .options import TrainOptions
from .preset_checks import check, check_parts, check_steps
from .presets import START, Preset, Recognise, View
from .processes import Processes, join
from .teacher import Teacher


@dataclass
class Run:
    """A run before its next step.

    Attributes:
        model_options: that its network was built with. crops: what it learns from. folder: where it writes. group: its
            processes. skipped: what was wrong with pictures that it passed over. prior: of the class weights, if any.
    """

    preset: Preset
    model_options: dict[str, object]
    learner: Learner
    crops: Crops
    folder: RunFolder
    group: Processes
    skipped: set[str]
    prior: Tensor | None = None

    def result(self) -> nn.Module:
        """The generator that is written: the average, its classes shifted and its hints trusted as the preset wants."""
        model: Any = copy.deepcopy(self.learner.average)
        if self.preset.shift and self.prior is not None:
            rarity = class_weights(self.prior, "rebalance", 0.5, 1.0).log()
            model.head.bias.data += self.preset.shift * rarity.to(model.head.bias)
        if self.preset.trust != 1:
            model.hints.trust(self.preset.trust)
        return model

    @property
    def palette(self) -> Palette | None:
        """Of a classifier."""
        return self.learner.palette if self.learner.model.kind == "classifier" else None


@contextmanager
def prepared(preset: Preset, items: list[Item], options: TrainOptions) -> Iterator[Run]:
    """A run in its folder, at its beginning or where its last checkpoint left it."""
    started = None
    if options.start is not None:
        started = weights.load(options.start)
        preset = _going_on(preset, started, options.start)
    palette = _palette(preset, started, options)
    weighs = options.prior is None or preset.needs_prior
    check(weighs, "prior", f"be left out: no loss of {preset.model} weighs colours", options.prior)
    own_prior = None if options.prior is None else load_prior(options.prior, palette)
    with join(device_of(options.device)) as (group, device):
        precision = options.precision
        if precision == "auto":
            precision = "bf16" if bf16_is_fast(device) else "fp32"
        model_options = {**preset.options, **({"bins": len(palette)} if options.palette is not None else {})}
        teacher = None
        if started is None:
            model, teacher = _generator(preset, model_options, palette, options)
        else:
            model = started.model
        untaught = _untaught(preset)
        preset, otherwise = (untaught, preset) if teacher is None else (preset, untaught)
        check_parts(model, preset, compiled=options.compile)
        check_crops(model, preset, options.accumulate)
        chosen = {
            "seed": options.seed,
            "start": None if options.start is None else os.fspath(options.start),
            "pictures": len(items),
            "palette": palette.key,
            "precision": precision,
            "accumulate": options.accumulate,
            "processes": group.size,
        }
        hold = "hold its classifier" if teacher is None else "hold no classifier, or be left out"
        rule = f"encoder: must {hold}, as where the run in {options.out} began, got {options.encoder}"
        folder = (RunFolder if group.first else SilentFolder)(Path(options.out), group, options.keep)
        checkpoint = folder.begin(
            _steps_by(preset) | chosen,
            options.resume,
            lambda before, done: check_steps(preset, before, done),
            (_steps_by(otherwise) | chosen, rule),
        )
        class_prior = None
        if preset.needs_prior:
            class_prior = folder.prior(lambda: _measured_prior(items, palette) if own_prior is None else own_prior)
            same = own_prior is None or torch.equal(own_prior, class_prior)
            check(same, "prior", f"be the one that the run in {options.out} began with", options.prior)

        crops = Crops(items, options.seed)
        model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if preset.initialise == "kmeans" and checkpoint is None:
            _start_from_data(model, preset, crops, device, options.seed)
        group.broadcast(model)
        learner = Learner(
            preset,
            group.synchronise(model, device),
            palette,
            class_prior,
            seed=options.seed,
            processes=group,
            device=device,
            amp={"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision),
            accumulate=options.accumulate,
            compile=options.compile,
            teacher=None if teacher is None else Teacher(teacher, device),
        )
        skipped = set[str]()
        if checkpoint is not None:
            learner.restore(checkpoint)
            skipped.update(checkpoint.facts.get("skipped", ()))
            del checkpoint  # as large as the networks
        yield Run(preset, model_options, learner, crops, folder, group, skipped, class_prior)


def _palette(preset: Preset, started: Generator | None, options: TrainOptions) -> Palette:
    """That of the options, of weights to start from, or the preset's own. ValueError where one is given and nothing is
    chosen among its bins."""
    if started is not None and started.palette is not None:
        return started.palette
    given = options.palette
    if given is None:
        return Palette.square() if preset.palette == "square" else Palette.grid()
    check(preset.classifies, "palette", f"be left out: {preset.model} has no classes here", given)
    return given if isinstance(given, Palette) else Palette.load(str(given))


def _going_on(preset: Preset, loaded: Generator, start: str | os.PathLike[str]) -> Preset:
    """The preset for weights that a run goes on from. ValueError where it is one of another network."""
    if preset.model != START:
        check(preset.model == loaded.name, "start", f"be weights of {preset.model}, as the preset says", loaded.name)
        return replace(preset, options=loaded.options)
    rule = "be weights of a classifier, or come with a preset of their network"
    check(loaded.model.kind == "classifier", "start", rule, start)
    hears = models.follows_hints(loaded.name)
    stages = tuple(replace(stage, hints=stage.hints if hears else None) for stage in preset.stages)
    return replace(
        preset, model=loaded.name, options=loaded.options, stages=stages,
        temperature=loaded.temperature, saturation=loaded.saturation, size=loaded.size,
    )  # fmt: skip


def _generator(
    preset: Preset, model_options: dict[str, object], palette: Palette, options: TrainOptions
) -> tuple[nn.Module, EfficientNetLite0Classifier | None]:
    """The network as it begins, on the CPU, and the classifier of its encoder's weights, if they have it and a term
    wants it. ValueError where the encoder does not fit."""
    torch.manual_seed(options.seed)
    model: Any = models.build(preset.model, **model_options)
    if hasattr(model, "set_palette"):
        model.set_palette(palette)
    rule = "have Recognise only for networks with EfficientNet-Lite0's trunk"
    trunk = isinstance(getattr(model, "encoder", None), EfficientNetLite0)
    check(trunk or not preset.recognises, "losses", rule, preset.model)
    encoder = options.encoder
    if encoder is None:
        return model, None
    if not hasattr(model, "load_imagenet"):
        raise ValueError(
            f"encoder: {type(model).__name__} has no encoder to start from ImageNet weights, got {encoder}"
        )
    if str(encoder) == "resnet18":
        check(isinstance(model, models.ResNetUNet), "encoder", "be a file: resnet18 is that of resnet-unet", encoder)
        encoder = download.fetch("resnet18")
    state = weights.state_dict(encoder)
    model.load_imagenet(state)
    if not preset.recognises or "classifier.weight" not in state:
        return model, None
    return model, efficientnet.classifier(state, f"encoder: {encoder} must be")


def _steps_by(preset: Preset) -> dict[str, Any]:
    """What a run's steps depend on in its preset."""
    return {name: value for name, value in asdict(preset).items() if name not in ("saturation", "shift", "trust")}


def _untaught(preset: Preset) -> Preset:
    """The preset where nobody knows what pictures show."""
    stages = (
        replace(stage, losses=tuple(term for term in stage.losses if not isinstance(term, Recognise)))
        for stage in preset.stages
    )
    return replace(preset, stages=tuple(stages))


def check_crops(model: Any, preset: Preset, accumulate: int) -> None:
    """Every stage's crop must fit the network and, at the network's output size, the discriminator; and a single
    picture in a piece of the batch must leave BatchNorm more than one value a channel."""
    for stage in preset.stages:
        crop = stage.view.crop
        check(crop % model.stride == 0, "crop", f"be a multiple of {model.stride} for {preset.model}", crop)
        least = 96 if model.kind == "classifier" else 24
        check(not preset.adversarial or crop >= least, "crop", f"be at least {least} for the discriminator", crop)
        smallest = min(map(len, torch.arange(stage.batch_size).chunk(accumulate)))
        if smallest == 1 and not _takes_one(model, crop):
            rule = f"be at least {2 * accumulate} for {preset.model} at a crop of {crop}"
            check(False, "batch_size", rule, stage.batch_size)


def _takes_one(model: nn.Module, crop: int) -> bool:
    """Whether the network can be trained on one picture at a time."""
    with torch.no_grad(), torch.random.fork_rng(devices=()):
        try:
            copy.deepcopy(model).train()(torch.zeros(1, 1, crop, crop))
        except ValueError:  # BatchNorm's
            return False
    return True


def _measured_prior(items: list[Item], palette: Palette) -> Tensor:
    """The smoothed prior of at most 4,000 of the pictures."""
    requests = ((i, 1, View(64, 0.9, 1.0)) for i in range(min(len(items), 4000)))
    with closing(batches(Crops(items, seed=0), requests, 0)) as feed:
        counts = histogram(ops.rgb_to_lab(batch.rgb, layout="hwc")[:, 1:] for batch in feed)
    return smooth_prior(prior_of_histogram(counts, palette), palette)


def _start_from_data(model: nn.Module, preset: Preset, crops: Crops, device: torch.device, seed: int) -> None:
    """Set the weights from the first batch of the run."""
    first = preset.stages[0]
    with closing(batches(crops, [(0, first.batch_size, first.view)], 0)) as feed:
        rgb = next(feed).rgb.to(device)
    lightness = ops.rgb_to_lab(rgb, layout="hwc")[:, :1]
    balance_gradients(data_dependent(model, lightness, seed=seed), lightness, seed=seed)
