"""The losses that presets are made of: any weighted sum of cross entropy, distances and a discriminator's verdict."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import ops
from ..palette import Palette, class_weights
from .imports import imported
from .preset_checks import check_terms
from .presets import L1, L2, CrossEntropy, FeatureMatching, Gan, Huber, Own, Recognise, Stay, Term

_T = TypeVar("_T")


def discriminator_loss(real: Tensor, fake: Tensor, kind: str = "vanilla") -> Tensor:
    """The loss of a discriminator: half the sum of its losses on true and on made colours.

    Args:
        real, fake: scores of any shape, larger meaning true. kind: "vanilla" (binary cross entropy on logits),
            "least_squares" or "hinge".

    Returns:
        A scalar.

    Raises:
        ValueError: an unknown kind.

    Source: Goodfellow et al. 2014; Mao et al., "Least Squares GANs", 2017; Lim and Ye, "Geometric GAN", 2017; halved as
    in Isola et al. 2017, which slows the discriminator.

    Example:
        >>> round(discriminator_loss(torch.zeros(4), torch.zeros(4)).item(), 4)
        0.6931
    """
    if kind == "hinge":
        return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())
    return 0.5 * (_verdict(real, True, kind) + _verdict(fake, False, kind))


def generator_loss(fake: Tensor, kind: str = "vanilla") -> Tensor:
    """The loss of a generator by the scores of its colours: it wants them taken for true. See `discriminator_loss`."""
    return -fake.mean() if kind == "hinge" else _verdict(fake, True, kind)


def _verdict(scores: Tensor, truth: bool, kind: str) -> Tensor:
    target = torch.full_like(scores, float(truth))
    if kind == "vanilla":
        return F.binary_cross_entropy_with_logits(scores, target)
    if kind == "least_squares":
        return F.mse_loss(scores, target)
    raise ValueError(f"kind: must be 'vanilla', 'least_squares' or 'hinge', got {kind!r}")


def feature_matching(made: Sequence[Tensor], true: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of a discriminator's features, averaged over its layers.

    Args:
        made, true: the same layers' outputs for made and for true colours; no gradient flows to `true`.

    Source: Wang et al., "High-Resolution Image Synthesis with Conditional GANs", CVPR 2018, equation 4.
    """
    return torch.stack([F.l1_loss(m.float(), t.detach().float()) for m, t in zip(made, true, strict=True)]).mean()


def shrink(full: Tensor, like: Tensor, target: Literal["area", "point"] = "area") -> Tensor:
    """Bring planes (N, C, H, W) to the whole fraction of their size that `like` has: the mean over each "area", or the
    "point" at its upper left (the published Caffe code)."""
    step = full.shape[3] // like.shape[3]
    if step == 1:
        return full
    return F.avg_pool2d(full, step) if target == "area" else full[..., ::step, ::step].contiguous()


class Zones(NamedTuple):
    """Where a picture's colours are to be learnt, and where they are to stay.

    Attributes:
        follow, stay: (N, 1, H, W) bool. plain: logits (M, Q, h, w) without hints of the pictures of `rows`, (M,), those
            of which something is to stay.
    """

    follow: Tensor
    stay: Tensor
    rows: Tensor
    plain: Tensor


class Objective:
    """The weighted sum of a stage's loss terms.

    Args:
        terms: of the stage. palette: of a classifier, also of the terms' weights. prior: (Q,) colour prior of the data,
            smoothed; None where no term weighs colours. device: of the tensors to come. target: see `shrink`.
        temperature: of `Stay`.

    Raises:
        ValueError: terms that `check_terms` refuses, or that need a prior when there is none.

    Example:
        >>> objective = Objective((L1(),), Palette.grid(), None, torch.device("cpu"))
        >>> total, parts = objective(torch.full((1, 2, 8, 8), 11.0), None, torch.zeros(1, 2, 8, 8))
        >>> round(parts["l1"].item(), 3)
        0.1
    """

    def __init__(
        self,
        terms: Sequence[Term],
        palette: Palette,
        prior: Tensor | None,
        device: torch.device,
        target: Literal["area", "point"] = "area",
        temperature: float = 1.0,
    ) -> None:
        check_terms(terms)
        self.terms, self.palette, self.target, self._temperature = terms, palette, target, temperature
        self.gan_kind = next((term.kind for term in terms if isinstance(term, Gan)), "vanilla")
        self.matches_features = any(isinstance(term, FeatureMatching) for term in terms)
        self.needs_logits = any(isinstance(term, (CrossEntropy, Stay)) for term in terms)
        self.adversarial = any(isinstance(term, (Gan, FeatureMatching)) for term in terms)
        self.recognises = next((term for term in terms if isinstance(term, Recognise)), None)
        # A classifier's colours are decoded when a term looks at them.
        self.needs_colour = any(not isinstance(term, (CrossEntropy, Stay, Recognise)) for term in terms)
        # Its logits may be overwritten when one term alone does.
        self._alone = sum(not isinstance(term, Recognise) for term in terms) == 1
        self._functions = {term.name: imported(term.function, "losses") for term in terms if isinstance(term, Own)}
        self._weights: dict[str, Tensor] = {}
        for term in terms:
            if isinstance(term, (CrossEntropy, L1)) and term.weighting != "none":
                if prior is None:
                    raise ValueError(f"losses: {term.name} weighs colours by a prior, got none")
                self._weights[term.name] = class_weights(prior, term.weighting, term.mix, term.alpha).to(device)

    def __call__(
        self,
        made: Tensor | None,
        logits: Tensor | None,
        true: Tensor,
        scores: Tensor | None = None,
        features: tuple[Sequence[Tensor], Sequence[Tensor]] | None = None,
        lightness: Tensor | None = None,
        zones: Zones | None = None,
        classes: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Add up the terms.

        Args:
            made: (N, 2, h, w) the network's colours, or None. logits: (N, Q, h, w) of a classifier, or None; they are
                overwritten when no other term looks at them. true: (N, 2, H, W). scores: the discriminator's, of
                `made`.
            features: the discriminator's layers for made and true colours. lightness: (N, 1, H, W), for terms of your
                own. zones: where classes count; None: everywhere. classes: logits (N, classes) of an ImageNet
                classifier for the gray picture and for the true colours.

        Returns:
            The weighted sum, and every term by name, unweighted.
        """
        parts: dict[str, Tensor] = {}
        for term in self.terms:
            if isinstance(term, CrossEntropy):
                parts[term.name] = self._cross_entropy(term, _given(logits, "logits"), true, zones)
            elif isinstance(term, L1):
                parts[term.name] = self._distance(term, _given(made, "made"), true)
            elif isinstance(term, Gan):
                parts[term.name] = generator_loss(_given(scores, "scores").float(), term.kind)
            elif isinstance(term, Stay):
                parts[term.name] = self._stay(_given(logits, "logits"), _given(zones, "hints"))
            elif isinstance(term, Recognise):
                gray, true_classes = (x.float().log_softmax(1) for x in _given(classes, "classes"))
                parts[term.name] = F.kl_div(gray, true_classes, log_target=True, reduction="batchmean")
            elif isinstance(term, Own):
                parts[term.name] = self._own(term, _given(made, "made"), true, _given(lightness, "lightness"))
            else:
                parts[term.name] = feature_matching(*_given(features, "features"))
        return functools.reduce(torch.add, (term.weight * parts[term.name] for term in self.terms)), parts

    def _cross_entropy(self, term: CrossEntropy, logits: Tensor, true: Tensor, zones: Zones | None) -> Tensor:
        true, mask = shrink(true, logits, self.target), None
        if zones is not None:
            mask = shrink(zones.follow.float(), logits, "point")[:, 0]
        if term.gray_below > 0:
            coloured = _coloured(true, term.gray_below).expand(-1, *true.shape[2:])
            mask = coloured if mask is None else coloured & (mask > 0)
        loss = ops.rebalanced_cross_entropy(
            logits,
            true,
            palette=self.palette,
            class_weight=self._weights.get(term.name),
            neighbours=term.neighbours,
            sigma=term.sigma,
            gamma=term.gamma,
            mask=mask,
            inplace=self._alone,
        )
        return loss * (true.shape[2] * true.shape[3]) if term.reduction == "pictures" else loss

    def _stay(self, logits: Tensor, zones: Zones) -> Tensor:
        if not len(zones.rows):
            return logits.new_zeros((), dtype=torch.float32)
        stay = shrink(zones.stay[zones.rows].float(), logits, "point")[:, 0]
        # Classes last, as they lie in memory.
        both = logits.movedim(1, 3)[zones.rows], zones.plain.movedim(1, 3)
        now, before = ((x.float() / self._temperature).log_softmax(3) for x in both)
        return ((before.exp() * (before - now)).sum(3) * stay).sum() / stay.sum().clamp(min=1)

    def _distance(self, term: L1, made: Tensor, true: Tensor) -> Tensor:
        true = shrink(true, made, self.target)
        difference = (made.float() - true) / term.scale
        if isinstance(term, L2):
            loss = difference.square()
        elif isinstance(term, Huber):
            loss = F.huber_loss(difference, torch.zeros_like(difference), "none", term.delta / term.scale)
        else:
            loss = difference.abs()
        weight = self._weights.get(term.name)
        if weight is not None:
            nearest, _ = ops.encode_bins(true, self.palette, neighbours=1)
            loss = loss * weight[nearest.long()]
        if term.gray_below:
            loss = loss * _coloured(true, term.gray_below)[:, None]
        return loss.mean()

    def _own(self, term: Own, made: Tensor, true: Tensor, lightness: Tensor) -> Tensor:
        planes = (shrink(plane, made, self.target).float() for plane in (true, lightness))
        loss = self._functions[term.name](made.float(), *planes, **term.options)
        if not isinstance(loss, Tensor) or loss.dim() != 0:
            shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise TypeError(f"losses: {term.function} must return a scalar tensor, got {shape}")
        return loss


def _given(value: _T | None, name: str) -> _T:
    """What a term needs. ValueError where it is missing."""
    if value is None:
        raise ValueError(f"{name}: must be given for these losses, got None")
    return value


def _coloured(true: Tensor, gray_below: float) -> Tensor:
    """(N, 1, 1) bool: does any |a| or |b| of a picture (N, 2, H, W) exceed `gray_below`?"""
    return (true.abs() > gray_below).flatten(1).any(1)[:, None, None]
