"""What learns in a run: a generator, its average over steps and, where a stage has one, a discriminator.

A step has two halves, so that what its losses are can be looked at before it changes the generator: `backward` makes
gradients, and `update` follows them. What is not finite is not followed, and leaves no trace in a network.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import models
from ..palette import Palette
from .checkpoint import Checkpoint
from .hints import random_hints
from .losses import Objective, discriminator_loss, shrink
from .presets import Optimiser, Preset
from .processes import Processes
from .sheet import decode
from .watches import GrayWatch


class Learner:
    """Takes the steps of a recipe.

    Args:
        model: the generator, on `device`. palette: of a classifier. prior: of the class weights, or None.
        seed: of the discriminator and of all noise. amp: dtype of the networks under autocast; None is float32.
        accumulate: pieces that a batch goes through the networks in. compile: the generator through torch.compile.

    Attributes:
        step: steps taken. average: the generator that is exported. learning_rate: of the step under way.
        problem: why a network did not follow the last step, or None; a loss scale that was too large is no problem.
    """

    def __init__(
        self,
        recipe: Preset,
        model: nn.Module,
        palette: Palette,
        prior: Tensor | None,
        *,
        seed: int,
        processes: Processes,
        device: torch.device,
        amp: torch.dtype | None,
        accumulate: int,
        compile: bool,
    ) -> None:
        self.step, self.learning_rate = 0, math.nan
        self.problem: str | None = None
        self.recipe, self.model, self.palette = recipe, model, palette
        self.average = copy.deepcopy(model).eval().requires_grad_(False) if recipe.ema else model
        self._objectives = {s: Objective(s.losses, palette, prior, device, recipe.target) for s in recipe.stages}
        self._forward = torch.compile(model) if compile else model
        self._scaler = torch.amp.GradScaler(device.type, enabled=amp == torch.float16)
        self._seed, self._processes, self._device, self._amp = seed, processes, device, amp
        self._accumulate = accumulate
        self._first = self._end = 0  # steps of the phase under way; the next begins at its end
        self._parts: dict[str, nn.Module | torch.optim.Optimizer] = {}  # what a phase has of its own
        self._left: Checkpoint | None = None  # where the first phase's optimisers come from

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of `state`."""
        checkpoint.restore({"model": self.model, **({"average": self.average} if self.recipe.ema else {})})
        self._scaler.load_state_dict(checkpoint.facts["scaler"])
        self.step = self._end = checkpoint.step
        self._left = checkpoint

    def state(self) -> tuple[dict[str, nn.Module | torch.optim.Optimizer], dict[str, Any]]:
        """All that the next step depends on: networks and optimisers by name, and other facts."""
        average = {"average": self.average} if self.recipe.ema else {}
        facts = {"phase": self._first, "scaler": self._scaler.state_dict()}
        return {"model": self.model, **average, **self._parts}, facts

    def backward(self, lab: Tensor, watch: GrayWatch | None = None) -> dict[str, Tensor]:
        """The first half of a step: the discriminator learns, as published before the generator, whose gradients are
        made but not followed.

        Args:
            lab: (N, 3, H, W) the batch. watch: is shown the colours of its first piece.

        Returns:
            The loss and each of its terms by name, of this process's pictures.
        """
        if self.step == self._end:
            self._begin_phase()
        stage = self.recipe.stage(self.step)
        objective = self._objectives[stage]
        rate = stage.optimiser.factor_at(self.step - self._first, self._end - self._first)
        self.learning_rate = rate * stage.optimiser.learning_rate
        for part in self._parts.values():
            for group in part.param_groups if isinstance(part, torch.optim.Optimizer) else ():
                group["lr"] = group["base"] * rate
        self.model.train()
        if self.recipe.freeze:
            self.model.features[: self.recipe.freeze].eval()  # frozen blocks keep their statistics too

        self._before, self._discriminator_norm = _buffers(self.model), 0.0
        pieces = lab.chunk(self._accumulate)
        losses: dict[str, Tensor] = {}
        kept = self._teach_discriminator(pieces, objective, losses) if objective.adversarial else None
        self._optimiser.zero_grad(set_to_none=True)
        for number, piece in enumerate(pieces):
            logits, made = kept or self._paint(piece, number, objective)
            if watch is not None and number == 0:  # before the loss, which may overwrite logits
                with torch.no_grad():
                    ab = decode(self.model, logits, self.palette, self.recipe.temperature)[1] if made is None else made
                    watch(ab, piece[:, 1:])
            scores, features = self._judge(piece, made, objective) if objective.adversarial else (None, None)
            loss, terms = objective(made, logits, piece[:, 1:], scores, features)
            share = len(piece) / len(lab)
            self._scaler.scale(loss * share if share < 1 else loss).backward()
            for name, value in {"loss": loss, **terms}.items():
                losses[name] = losses.get(name, 0) + share * value.detach()
        self._processes.average_gradients(self.model.parameters())
        return losses

    def update(self, losses: Mapping[str, float]) -> float:
        """The second half: the generator follows its gradients, unless they or the losses are not finite.

        Args:
            losses: what `backward` returned, as a mean over all processes, which so agree.

        Returns:
            The norm of the gradients as it was before clipping.
        """
        bad = next((name for name in ("loss", *losses) if not math.isfinite(losses[name])), None)
        clip = self.recipe.stage(self.step).optimiser.clip
        norm = self._follow(self._optimiser, self.model, clip, allowed=bad is None)
        # In half precision a gradient may be too large for its scale, which then shrinks, as it should: down to 1.
        scaled = self._scaler.is_enabled() and self._scaler.get_scale() > 1
        self._scaler.update()
        self.step += 1
        followed = bad is None and math.isfinite(norm)
        if not followed:
            _restore(self._before)
        elif self.recipe.ema:
            _update_average(self.average, self.model, min(self.recipe.ema, (1 + self.step) / (10 + self.step)))
        self.problem = None
        if bad is not None:
            self.problem = f"the {'loss' if bad == 'loss' else f'loss of the {bad}'} became {losses[bad]}"
        elif not followed and not scaled:
            self.problem = f"the gradient became {norm}"
        elif not math.isfinite(self._discriminator_norm) and not scaled:
            self.problem = f"the discriminator's gradient became {self._discriminator_norm}"
        return norm

    def _follow(
        self, optimiser: torch.optim.Optimizer, network: nn.Module, clip: float | None = None, *, allowed: bool = True
    ) -> float:
        """One network's step, if its gradients, of all processes together, are finite. Returns their norm."""
        self._scaler.unscale_(optimiser)
        trained = [p for p in network.parameters() if p.requires_grad]
        norm = float(nn.utils.clip_grad_norm_(trained, clip or math.inf))
        if allowed and math.isfinite(norm):
            self._scaler.step(optimiser)
        return norm

    def _begin_phase(self) -> None:
        """A new optimiser and, where a stage that shares it has one, a discriminator that knows nothing yet."""
        recipe = self.recipe
        self._first, self._end = recipe.phase(self.step)
        settings = recipe.stage(self.step).optimiser
        self._optimiser = _optimiser(self.model, recipe, settings)
        self._parts = {"optimiser": self._optimiser}
        if any(self._objectives[s].adversarial for s in recipe.stages if s.optimiser == settings):
            torch.manual_seed(self._seed + 1)
            discriminator = models.build_discriminator(recipe.discriminator, **recipe.discriminator_options)
            self._discriminator = self._processes.synchronise(discriminator.to(self._device), self._device)
            of_it = _optimiser(self._discriminator, recipe, replace(settings, encoder_learning_rate=None))
            self._parts |= {"discriminator": self._discriminator, "discriminator_optimiser": of_it}
        if self._left is not None and self._left.facts["phase"] == self._first:
            self._left.restore(self._parts)
        self._left = None

    def _paint(self, lab: Tensor, piece: int, objective: Objective) -> tuple[Tensor | None, Tensor | None]:
        """(logits, ab) that the generator makes of a piece of this step's batch, with noise that these determine."""
        rank, stage = self._processes.rank, self.recipe.stage(self.step)
        torch.manual_seed(_noise_seed(self._seed, self.step, rank, piece))
        extra: dict[str, Any] = {}
        if stage.trunk is not None:
            extra["trunk"] = stage.trunk
        if stage.hints:
            extra["hints"] = random_hints(lab[:, 1:], np.random.default_rng((self._seed, 3, self.step, rank, piece)))
        if self.model.kind == "regressor" and objective.needs_logits:
            extra["both"] = True
        with self._autocast():
            output = self._forward(lab[:, :1], **extra)
        if isinstance(output, tuple):
            return output
        if self.model.kind == "classifier" and not objective.needs_colour:
            return output, None
        return decode(self.model, output, self.palette, self.recipe.temperature)

    def _teach_discriminator(
        self, pieces: tuple[Tensor, ...], objective: Objective, losses: dict[str, Tensor]
    ) -> tuple[Tensor | None, Tensor | None] | None:
        """A step of the discriminator. Returns what was painted for it, for the generator's turn, if that is one piece;
        several are painted again there, with the same noise."""
        optimiser = self._parts["discriminator_optimiser"]
        self._discriminator.requires_grad_(True)
        optimiser.zero_grad(set_to_none=True)
        before, count = _buffers(self._discriminator), sum(map(len, pieces))
        for number, piece in enumerate(pieces):
            with torch.set_grad_enabled(len(pieces) == 1):
                logits, made = self._paint(piece, number, objective)
            true = shrink(piece, made, self.recipe.target)
            with self._autocast():
                fake_scores = self._discriminator(true[:, :1], made.detach())
                real_scores = self._discriminator(true[:, :1], true[:, 1:])
            loss = discriminator_loss(real_scores.float(), fake_scores.float(), objective.gan_kind)
            share = len(piece) / count
            self._scaler.scale(loss * share).backward()
            losses["discriminator"] = losses.get("discriminator", 0) + share * loss.detach()
        self._processes.average_gradients(self._discriminator.parameters())
        self._discriminator_norm = self._follow(optimiser, self._discriminator)
        if not math.isfinite(self._discriminator_norm):
            _restore(before)
        self._before += _buffers(self._discriminator)  # what the generator's turn finds
        self._discriminator.requires_grad_(False)
        return (logits, made) if len(pieces) == 1 else None

    def _judge(self, lab: Tensor, made: Tensor, objective: Objective) -> tuple[Tensor, tuple[list, list] | None]:
        """The discriminator's scores of painted colours and, where they are to be matched, its features of these and of
        the true ones."""
        true = shrink(lab, made, self.recipe.target)
        with self._autocast():
            scores, made_features = self._discriminator(true[:, :1], made, features=True)
            if not objective.matches_features:
                return scores, None
            with torch.no_grad():
                _, true_features = self._discriminator(true[:, :1], true[:, 1:], features=True)
        return scores, (made_features, true_features)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, self._amp, enabled=self._amp is not None)


def _optimiser(model: nn.Module, recipe: Preset, settings: Optimiser) -> torch.optim.Optimizer:
    """Adam over the encoder and the rest, each at its own rate; frozen blocks in neither."""
    if recipe.freeze and hasattr(model, "features"):
        model.features[: recipe.freeze].requires_grad_(False)
    own = settings.encoder_learning_rate
    encoder, rest = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (encoder if own is not None and name.startswith(recipe.encoder) else rest).append(parameter)
    groups = [{"params": encoder, "base": own}, {"params": rest, "base": settings.learning_rate}]
    kind = torch.optim.AdamW if settings.kind == "adamw" else torch.optim.Adam
    return kind(
        [g for g in groups if g["params"]],
        betas=settings.betas,
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
    )


def _buffers(network: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """A network's statistics, which forward passes move, and copies of them as they are."""
    return [(buffer, buffer.clone()) for buffer in network.buffers()]


def _restore(buffers: list[tuple[Tensor, Tensor]]) -> None:
    for buffer, before in buffers:
        buffer.copy_(before)


def _noise_seed(*numbers: int) -> int:
    """A seed for torch from what determines it."""
    return int(np.random.SeedSequence((2, *numbers)).generate_state(1, np.uint64)[0] >> 1)


@torch.no_grad()
def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    pairs = zip(average.state_dict().values(), model.state_dict().values(), strict=True)
    floats = [(a, b) for a, b in pairs if a.is_floating_point()]
    torch._foreach_lerp_([a for a, _ in floats], [b for _, b in floats], 1 - decay)
