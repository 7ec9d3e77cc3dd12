"""The options of training."""

from __future__ import annotations

import os
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Any, Literal, Protocol

import tyro

from ..options.base import FilePath, Must, NameOrPath, Options, Sources, one_word
from .presets import Preset


class HasPoints(Protocol):
    """A `fastcolor.Palette`, which needs torch."""

    points: Any
    key: str


PaletteOrPath = Annotated[str | os.PathLike[str] | HasPoints, one_word("PATH", str)]
PresetOrName = Annotated[str | Preset, one_word("NAME", str)]
_FROM_ZERO = Must("be at least 0", lambda value: value >= 0)
_FROM_ONE = Must("be at least 1", lambda value: value >= 1)


@dataclass(frozen=True)
class TrainOptions(Options):
    """Train a generator on your own colour pictures; under torchrun, in several processes."""

    data: Annotated[Sources, tyro.conf.arg(metavar="PATH [PATH ...]", help_behavior_hint="(required)")]
    """Folders, zip or tar files, lists (.txt) or pictures."""
    preset: PresetOrName | None = None
    """All settings of the run: default, fine-tune, hints, eccv16, siggraph17, pix2pix, resnet-unet or cgan-attention,
    or the import path of your own, package.module:name. None: default, or fine-tune with start."""
    out: FilePath = "runs/a"
    """Folder for log, checkpoints, samples and weights."""
    _: KW_ONLY
    steps: Annotated[int | None, _FROM_ONE] = None
    """Steps in all; stages and schedules keep their shares. None: the preset's."""
    batch_size: Annotated[int | None, _FROM_ONE] = None
    """Crops a step and process. None: the preset's."""
    crop: Annotated[int | None, _FROM_ONE] = None
    """Side of a crop in pixels. None: the preset's."""
    seed: Annotated[int, _FROM_ZERO] = 0
    """Of weights, crops and noise."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """Of the networks. auto: bf16 where the processor computes in it. fp16 scales the loss."""
    start: NameOrPath | None = None
    """Weights to go on from, a name or file: their network, palette and all they know."""
    encoder: NameOrPath | None = None
    """ImageNet weights to start the encoder from: a file, or resnet18 to download it. Their classifier, where they have
    one, teaches the default preset what colour pictures show."""
    palette: PaletteOrPath | None = None
    """Of a classifier, from `fastcolor palette`. None: the 313-point grid."""
    prior: FilePath | None = None
    """Colour prior for the class weights, from `fastcolor prior` or a prior_probs.npy. None: measured on the data."""
    workers: Annotated[int, _FROM_ZERO] = 1
    """Processes that read pictures; 0 reads them in this one."""
    accumulate: Annotated[int, _FROM_ONE] = 1
    """Pieces that a batch goes through the networks in, to save memory; BatchNorm sees a piece at a time."""
    compile: bool = False
    """Compile the generator."""
    on_bad_picture: Literal["skip", "stop"] = "skip"
    """A picture that cannot be read: skip names it once and takes another, stop ends the run."""
    on_bad_loss: Literal["skip", "stop"] = "stop"
    """A loss or gradient that is not finite: skip leaves the generator as it was; ten in a row stop in any case."""
    checkpoint_every: Annotated[int, _FROM_ONE] = 500
    """Steps between checkpoints."""
    keep: Annotated[int, _FROM_ONE] = 2
    """Checkpoints that stay."""
    sheet_every: Annotated[int | None, _FROM_ONE] = None
    """Steps between sample sheets. None: with every checkpoint."""
    tensorboard: bool = False
    """Write TensorBoard's files too (extra `tensorboard`)."""
    resume: bool = False
    """Go on from the last checkpoint in the output folder, with the same settings; other steps are taken where the
    schedule would have made those so far the same, as a constant one does."""

    def check(self) -> None:
        """Compare every field with its rule, and those that exclude each other.

        Raises:
            ValueError: one is out of range, or two cannot go together.
        """
        super().check()
        for name in ("encoder", "palette"):
            if self.start is not None and getattr(self, name) is not None:
                rule = "be left out with start, which brings its own"
                raise ValueError(f"{name}: must {rule}, got {getattr(self, name)}")
