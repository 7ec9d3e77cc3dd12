"""Presets for training, as data: network, sizes, losses, optimisers and their schedules, with the published numbers.

A stage is a stretch of a run. Neighbouring stages with an equal optimiser share its state and one schedule; where the
optimiser changes, a new one begins, and with it a fresh discriminator if the new stage has one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from .schedule import Optimiser


@dataclass(frozen=True)
class View:
    """How a training crop is cut: a square of `low` to `high` times the picture's short side, resized to `crop` px."""

    crop: int
    low: float
    high: float


@dataclass(frozen=True)
class CrossEntropy:
    """Cross entropy of a classifier's logits against softly encoded colours; `gamma` > 0 makes it the focal loss.

    `weighting`, `mix` and `alpha` are those of `palette.class_weights`.
    reduction: the sum over pixels is divided by the number of "pixels" or of "pictures". gray_below: a picture none of
    whose |a| and |b| exceeds it does not count.
    """

    weight: float = 1.0
    weighting: Literal["rebalance", "inverse_log", "none"] = "rebalance"
    mix: float = 0.5
    alpha: float = 1.0
    neighbours: int = 5
    sigma: float = 5.0
    gamma: float = 0.0
    reduction: Literal["pixels", "pictures"] = "pixels"
    gray_below: float = 0.0
    name: str = "cross_entropy"


@dataclass(frozen=True)
class L1:
    """Mean absolute difference of ab / `scale`; rare colours weigh more with a `weighting` of `class_weights`.

    gray_below: as of `CrossEntropy`.
    """

    weight: float = 1.0
    scale: float = 110.0
    weighting: Literal["rebalance", "inverse_log", "none"] = "none"
    mix: float = 0.5
    alpha: float = 1.0
    gray_below: float | None = None
    name: str = "l1"


@dataclass(frozen=True)
class L2(L1):
    """Mean squared difference of ab / `scale`, otherwise as `L1`."""

    name: str = "l2"


@dataclass(frozen=True)
class Huber(L1):
    """Quadratic up to a difference of `delta` ab units, linear beyond, in units of `scale`; otherwise as `L1`. What the
    paper of `siggraph17` has where its released code has `L1`."""

    delta: float = 1.0
    name: str = "huber"


@dataclass(frozen=True)
class Gan:
    """The discriminator's verdict on the generator's colours; it sees (L, ab), of a classifier the annealed mean."""

    weight: float = 1.0
    kind: Literal["vanilla", "least_squares", "hinge"] = "vanilla"
    name: str = "gan"


@dataclass(frozen=True)
class FeatureMatching:
    """Mean absolute difference of the discriminator's features for true and made colours (Wang et al. 2018)."""

    weight: float = 10.0
    name: str = "feature_matching"


@dataclass(frozen=True)
class Stay:
    """How far a classifier's logits are from what they were without hints, where `told.Told.stay` asks for that: the
    Kullback-Leibler divergence, both softened by the preset's temperature, as colours are made of them."""

    weight: float = 1.0
    name: str = "stay"


@dataclass(frozen=True)
class Recognise:
    """What the decoder is told of a whole gray picture must tell, through a layer that is learnt and left behind, what
    the ImageNet classifier whose weights the encoder began with sees in the colours: the Kullback-Leibler divergence of
    their classes, over pictures. So the encoder forgets less of what things look like, and learns to know them in gray.
    Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015.

    A run that is given no such weights (`encoder`) does without this term. size: side in pixels at which the classifier
    sees crops that are smaller.
    """

    weight: float = 0.2
    size: int = 160
    name: str = "recognise"


@dataclass(frozen=True)
class Own:
    """A function of your own, by its import path, so that a run's settings tell all of it.

    function: "package.module:name", called as name(made, true, lightness, **options) with ab (N, 2, h, w) made and true
    and L (N, 1, h, w), float32 in Lab units at the network's output size; it returns a scalar. name: in the log; empty:
    the function's.
    """

    function: str
    weight: float = 1.0
    options: Mapping[str, object] = field(default_factory=dict, hash=False)
    name: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.function.rpartition(":")[2])


Term = CrossEntropy | L1 | Gan | FeatureMatching | Stay | Recognise | Own


@dataclass(frozen=True)
class Stage:
    """A part of training, up to the share `until` of all steps.

    hints: true colours go into the network too, as simulated user hints: "patches" of `hints.random_hints`, "strokes"
    of `hints.random_strokes`, these and "objects" in colours of elsewhere, of `hints.random_objects`, or "told": every
    kind, in every picture, of `told.random_told`. old: share of the pictures that the network sees as old film would
    show them. trunk: of `siggraph17`, the answer whose losses its
    shared layers learn from; None: both.
    """

    until: float
    batch_size: int
    view: View
    losses: tuple[Term, ...]
    optimiser: Optimiser
    hints: Literal["patches", "strokes", "objects", "told"] | None = None
    old: float = 0.0
    trunk: Literal["classes", "colours"] | None = None


START = "start"  # as a preset's model: that of the weights that the run starts from


@dataclass(frozen=True)
class Preset:
    """All that a run is made by but its pictures and its seed.

    Attributes:
        model, options: as `models.build` takes them, or `START`: network, temperature, saturation and size are those of
            the weights that the run starts from, and it hears hints if these do.
        encoder: what the encoder's parameter names begin with.
        only: what the names of all parameters that learn begin with; the rest keep weights and statistics. None: all.
        freeze: so many first blocks of the encoder keep their weights. keep_statistics: all of the encoder keeps its
            BatchNorm statistics, which saves time. keep_filters: and its depthwise filters, whose gradients are dear.
        target: true ab at the network's output size, by the mean over "area" or by the "point" at the upper left.
        ema: decay of the exponential average over steps that is exported; 0 exports the last weights.
        initialise: "default" leaves the network's own; "kmeans" is `initialise.data_dependent` and `balance_gradients`
            on the first crops.
        discriminator, discriminator_options: as `models.build_discriminator` takes them.
        palette: of a classifier, unless another is given: the 313-point "grid", or the "square" of 529 points.
        shift: times the logarithm of the class weights (lambda 0.5), it goes onto the classes' bias in the weights that
            are written: below 0 takes some of the weight back that the loss gave rare colours, without training anew.
        trust: times as much hints are trusted in the weights that are written: told colours are to be seen, where the
            loss only asks for them to be likelier.
        temperature: of the annealed mean. saturation: factor on ab. size: short side in pixels. With these the weights
            want to colour.
    """

    model: str
    steps: int
    stages: tuple[Stage, ...]
    options: Mapping[str, object] = field(default_factory=dict)
    encoder: str = ""
    only: str | None = None
    freeze: int = 0
    keep_statistics: bool = False
    keep_filters: bool = False
    target: Literal["area", "point"] = "area"
    ema: float = 0.0
    initialise: Literal["default", "kmeans"] = "default"
    discriminator: str = "patch70"
    discriminator_options: Mapping[str, object] = field(default_factory=dict)
    palette: Literal["grid", "square"] = "grid"
    temperature: float = 0.38
    saturation: float = 1.0
    shift: float = 0.0
    trust: float = 1.0
    size: int = 256

    def stage(self, step: int) -> Stage:
        """The stage that a step (from 0) belongs to."""
        return next(s for s in self.stages if step < s.until * self.steps or s is self.stages[-1])

    def phase(self, step: int) -> tuple[int, int]:
        """(first, end) of the steps that share this one's optimiser."""
        at = self.stages.index(self.stage(step))
        first = last = at
        while first > 0 and self.stages[first - 1].optimiser == self.stages[at].optimiser:
            first -= 1
        while last + 1 < len(self.stages) and self.stages[last + 1].optimiser == self.stages[at].optimiser:
            last += 1
        ends = [math.ceil(s.until * self.steps) for s in self.stages]
        return (ends[first - 1] if first else 0), ends[last]

    @property
    def classifies(self) -> bool:
        """Does a term look at logits?"""
        return any(isinstance(term, CrossEntropy) for stage in self.stages for term in stage.losses)

    @property
    def needs_prior(self) -> bool:
        """Does a term weigh colours by how rare they are?"""
        return any(getattr(term, "weighting", "none") != "none" for stage in self.stages for term in stage.losses)

    @property
    def recognises(self) -> bool:
        """Does a term want somebody who knows what pictures show?"""
        return any(isinstance(term, Recognise) for stage in self.stages for term in stage.losses)

    @property
    def adversarial(self) -> bool:
        return any(isinstance(term, (Gan, FeatureMatching)) for stage in self.stages for term in stage.losses)


_DEFAULT_OPTIMISER = Optimiser(
    1.5e-3, "adamw", (0.9, 0.99), weight_decay=0.02, encoder_learning_rate=4e-4, schedule="cosine", warmup=300, clip=5.0
)
_DEFAULT_LOSSES = CrossEntropy(alpha=0.65), Recognise()
# Adam as pix2pix and its descendants set it.
_GAN_ADAM = Optimiser(2e-4, betas=(0.5, 0.999))


def _hints_stage(until: float, stay: float) -> Stage:
    """Of learning hints alone: first where they must not reach, then how far they may."""
    optimiser = replace(_DEFAULT_OPTIMISER, encoder_learning_rate=None, warmup=100)
    losses = CrossEntropy(alpha=0.55), Stay(stay)
    return Stage(until, 16, View(192, 0.6, 1.0), losses, optimiser, "told", 0.25)


PRESETS: dict[str, Preset] = {
    # Small crops until the network knows what things look like, then larger ones.
    "default": Preset(
        model="default",
        steps=9_000,
        stages=(
            Stage(0.4, 32, View(128, 0.5, 1.0), _DEFAULT_LOSSES, _DEFAULT_OPTIMISER, "objects", 0.25),
            Stage(1.0, 16, View(192, 0.6, 1.0), _DEFAULT_LOSSES, _DEFAULT_OPTIMISER, "objects", 0.25),
        ),
        encoder="encoder.",
        freeze=4,
        keep_statistics=True,
        keep_filters=True,
        ema=0.999,
        shift=-0.1,
        temperature=0.4,
        saturation=0.9,
    ),
    # For weights that know much already: a tenth of the rates, the largest crops, nothing that shakes the encoder, and
    # rare colours weigh what they weigh in the shipped weights (0.65 and their shift).
    "fine-tune": Preset(
        model=START,
        steps=2_000,
        stages=(
            Stage(
                1.0,
                16,
                View(192, 0.6, 1.0),
                (CrossEntropy(alpha=0.55),),
                replace(_DEFAULT_OPTIMISER, learning_rate=2e-4, encoder_learning_rate=None, warmup=100),
                "objects",
                0.25,
            ),
        ),
        freeze=4,
        keep_statistics=True,
        keep_filters=True,
        ema=0.999,
    ),
    # For a network that follows hints: it learns to follow them better, and colours what nobody hints at bit for bit as
    # before. Everything in front of the hints is computed and never differentiated, so steps are short.
    "hints": Preset(
        model=START,
        steps=3_600,
        stages=(_hints_stage(0.25, 1.0), _hints_stage(7 / 12, 0.3), _hints_stage(1.0, 0.1)),
        only="hints.",
        ema=0.998,
        trust=3.0,
    ),
    # Zhang, Isola and Efros 2016, by the released code: ten neighbours, true colours by point, gray pictures left out,
    # weight decay added to the gradient, the sum over pixels divided by pictures. 176 px out of 256.
    "eccv16": Preset(
        model="eccv16",
        steps=450_000,
        stages=(
            Stage(
                1.0,
                40,
                View(176, 176 / 256, 176 / 256),
                (CrossEntropy(neighbours=10, reduction="pictures", gray_below=5.0),),
                Optimiser(
                    3.16e-5,
                    betas=(0.9, 0.99),
                    weight_decay=1e-3,
                    schedule="step",
                    factor=0.316,
                    marks=(215 / 450, 430 / 450),
                ),
            ),
        ),
        target="point",
        initialise="kmeans",
    ),
    # Zhang et al. 2017, by the released PyTorch code (richzhang/colorization-pytorch, scripts/train_siggraph.sh):
    # 15 epochs of ImageNet to classify without hints, then 15 to follow hints, the last five at a tenth of the rate.
    # Both losses are there throughout, and the shared layers learn from the first of each stage alone. The distance is
    # ten times the sum of |a| and |b| (the paper has a smooth L1 there), so 20 times their mean; crops have 8 to 100 %
    # of a square's area. Left out: 100 epochs of a small subset before all that, and crops of other aspects.
    "siggraph17": Preset(
        model="siggraph17",
        steps=1_537_000,
        stages=(
            Stage(
                0.5,
                25,
                View(176, 0.08**0.5, 1.0),
                (CrossEntropy(weighting="none", neighbours=1, gray_below=5.0), L1(20.0, gray_below=5.0)),
                Optimiser(1e-4),
                trunk="classes",
            ),
            Stage(
                1.0,
                25,
                View(176, 0.08**0.5, 1.0),
                (L1(20.0, gray_below=5.0), CrossEntropy(weighting="none", neighbours=1, gray_below=5.0)),
                Optimiser(1e-5, schedule="step", factor=0.1, marks=(2 / 3,)),
                hints="patches",
                trunk="colours",
            ),
        ),
        target="point",
        palette="square",
    ),
    # Isola et al. 2017: 100 epochs at one rate, 100 more on a line to zero; here of 1,000 pictures. One picture a step,
    # 256 px out of 286.
    "pix2pix": Preset(
        model="pix2pix",
        steps=200_000,
        stages=(
            Stage(
                1.0,
                1,
                View(256, 256 / 286, 256 / 286),
                (Gan(), L1(100.0)),
                replace(_GAN_ADAM, schedule="linear", marks=(0.5,)),
            ),
        ),
    ),
    # A U-Net of ResNet18's encoder in two stages of 20 epochs of 8,000 pictures: distances alone, then pix2pix's loss
    # with a discriminator that knows nothing yet.
    "resnet-unet": Preset(
        model="resnet-unet",
        steps=20_000,
        stages=(
            Stage(0.5, 16, View(256, 1.0, 1.0), (L1(),), Optimiser(1e-4)),
            Stage(1.0, 16, View(256, 1.0, 1.0), (Gan(), L1(100.0)), _GAN_ADAM),
        ),
        encoder="features.",
    ),
    # A discriminator beside the cross entropy whose classes weigh by the inverse logarithm of their prior.
    "cgan-attention": Preset(
        model="cgan-attention",
        steps=60_000,
        stages=(Stage(1.0, 16, View(192, 0.65, 1.0), (CrossEntropy(weighting="inverse_log"), Gan(0.1)), _GAN_ADAM),),
        ema=0.999,
    ),
}
