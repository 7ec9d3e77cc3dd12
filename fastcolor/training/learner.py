"""The learner of a run: a generator, its average over steps and, where a stage has one, a discriminator.

A step has two halves, so that what its losses are can be looked at before it changes the generator: `backward` makes
gradients, and `update` follows them. What is not finite is not followed, and leaves no trace in a network.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from .. import models
from ..models.generator import decode
from ..palette import Palette
from .checkpoints import Checkpoint
from .hints import random_hints, random_objects, random_strokes
from .losses import Objective, Zones, discriminator_loss, shrink
from .parameters import frozen, optimiser_of, restore, statistics, update_average
from .presets import Preset, Stage
from .processes import Processes
from .teacher import Teacher
from .told import Told, random_told


class Painted(NamedTuple):
    """What the generator makes of a piece of a batch, as far as there is any of it.

    Attributes:
        logits: (n, Q, h, w). ab: (n, 2, h, w). scene: (n, C, 1, 1), by which it knows what is shown.
    """

    logits: Tensor | None
    ab: Tensor | None
    scene: Tensor | None = None


class Piece(NamedTuple):
    """A part of a batch that goes through the networks at once.

    Attributes:
        lab: (n, 3, H, W). rgb: (n, H, W, 3) uint8, the pictures as they are. hints: (hints, mask) told of it. told:
            where more is known of these, all that.
    """

    lab: Tensor
    rgb: Tensor
    hints: tuple[Tensor, Tensor] | None
    told: Told | None = None


@dataclass(frozen=True)
class Adversary:
    """A discriminator and its optimiser."""

    network: nn.Module
    optimiser: torch.optim.Optimizer


@dataclass(frozen=True)
class Phase:
    """Steps that share an optimiser, from `first` up to `end`, and what is theirs alone: that optimiser and, where one
    of their stages has a discriminator, this with its own."""

    first: int
    end: int
    optimiser: torch.optim.Optimizer
    adversary: Adversary | None = None

    def parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        """By the names that they have in a checkpoint."""
        if self.adversary is None:
            return {"optimiser": self.optimiser}
        return {
            "optimiser": self.optimiser,
            "discriminator": self.adversary.network,
            "discriminator_optimiser": self.adversary.optimiser,
        }

    def set_rates(self, factor: float) -> None:
        """The learning rates of this step: their own times a factor."""
        for optimiser in (self.optimiser, *([self.adversary.optimiser] if self.adversary else ())):
            for group in optimiser.param_groups:
                group["lr"] = group["base"] * factor


@dataclass
class Step:
    """The first half of a step, which `Learner.update` follows or undoes.

    Attributes:
        stage: that it belongs to. learning_rate: of all but the encoder. losses: the loss and each of its terms by
            name, of this process's pictures. before: the networks' statistics, and copies of them as they were.
        discriminator_norm: of the discriminator's gradients.
    """

    stage: Stage
    learning_rate: float
    losses: dict[str, Tensor]
    before: list[tuple[Tensor, Tensor]]
    discriminator_norm: float = 0.0

    def add(self, name: str, value: Tensor) -> None:
        """Add a piece's share to a loss."""
        self.losses[name] = self.losses[name] + value.detach() if name in self.losses else value.detach()


class Followed(NamedTuple):
    """The second half of a step.

    Attributes:
        gradient_norm: before clipping. problem: why a network did not follow, or None; a loss scale that was too large
            is no problem.
    """

    gradient_norm: float
    problem: str | None


class Learner:
    """Takes the steps of a preset.

    Args:
        model: the generator, on `device`. palette: of a classifier. prior: of the class weights, or None.
        seed: of the discriminator and of all noise. amp: dtype of the networks under autocast; None is float32.
        accumulate: pieces that a batch goes through the networks in. compile: the generator through torch.compile.
        teacher: for `Recognise`.

    Attributes:
        step: steps taken. average: the generator that is exported.
    """

    def __init__(
        self,
        preset: Preset,
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
        teacher: Teacher | None = None,
    ) -> None:
        self.step = 0
        self.preset, self.model, self.palette, self.device = preset, model, palette, device
        self.average = copy.deepcopy(model).eval().requires_grad_(False) if preset.ema else model
        self._objectives = {
            s: Objective(s.losses, palette, prior, device, preset.target, preset.temperature) for s in preset.stages
        }
        self._forward = torch.compile(model) if compile else model
        self._scaler = torch.amp.GradScaler(device.type, enabled=amp == torch.float16)
        self._seed, self._processes, self._amp, self._accumulate = seed, processes, amp, accumulate
        self._teacher, self._answer = teacher, None
        if teacher is not None:  # what the generator knows of a picture, in the teacher's classes; not of the weights
            torch.manual_seed(seed)
            known: Any = model.scene
            self._answer = nn.Linear(known[-1].out_channels, teacher.classes).to(device)
        self._phase = self._begin_phase()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of `state`. ValueError: another teacher than its run had."""
        if self._teacher is not None and checkpoint.facts.get("teacher", self._teacher.key) != self._teacher.key:
            raise ValueError("encoder: must hold the classifier that the run began with, got another one")
        checkpoint.restore(self._networks())
        self._scaler.load_state_dict(checkpoint.facts["scaler"])
        self.step = checkpoint.step
        self._phase = self._begin_phase()
        if checkpoint.facts["phase"] == self._phase.first:
            checkpoint.restore(self._phase.parts())

    def state(self) -> tuple[dict[str, nn.Module | torch.optim.Optimizer], dict[str, Any]]:
        """All that the next step depends on: networks and optimisers by name, and other facts."""
        facts: dict[str, Any] = {"phase": self._phase.first, "scaler": self._scaler.state_dict()}
        if self._teacher is not None:
            facts["teacher"] = self._teacher.key
        return {**self._networks(), **self._phase.parts()}, facts

    def _networks(self) -> dict[str, nn.Module]:
        """Those of all phases."""
        networks = {"model": self.model, "average": self.average if self.preset.ema else None, "answer": self._answer}
        return {name: network for name, network in networks.items() if network is not None}

    def backward(self, lab: Tensor, rgb: Tensor, watch: Callable[[Tensor, Tensor], None] | None = None) -> Step:
        """The first half of a step: the discriminator learns, as published before the generator, whose gradients are
        made but not followed.

        Args:
            lab: (N, 3, H, W) the batch. rgb: (N, H, W, 3) uint8, its pictures, whatever became of `lab`'s L. watch: is
                shown the colours made and the true ones of its first piece.
        """
        if self.step == self._phase.end:
            self._phase = self._begin_phase()
        phase, stage = self._phase, self.preset.stage(self.step)
        objective = self._objectives[stage]
        rate = stage.optimiser.factor_at(self.step - phase.first, phase.end - phase.first)
        phase.set_rates(rate)
        self.model.train()
        for block in frozen(self.model, self.preset)[0]:
            block.eval()  # they keep their statistics too
        for name, module in self.model.named_modules():
            module.training &= f"{name}.".startswith(self.preset.only or "")

        step = Step(stage, rate * stage.optimiser.learning_rate, {}, statistics(self.model))
        parts = zip(lab.chunk(self._accumulate), rgb.chunk(self._accumulate), strict=True)
        pieces = [self._piece(*part, number, stage) for number, part in enumerate(parts)]
        painted = self._teach_discriminator(pieces, objective, step) if objective.adversarial else None
        phase.optimiser.zero_grad(set_to_none=True)
        for number, piece in enumerate(pieces):
            logits, made, scene = painted or self._paint(piece, number, objective)
            if watch is not None and number == 0:  # before the loss, which may overwrite logits
                with torch.no_grad():
                    watch(self._colours(logits, made), piece.lab[:, 1:])
            scores, features = self._judge(piece.lab, made, objective) if objective.adversarial else (None, None)
            zones = None if piece.told is None else self._zones(piece.told)
            classes = None if scene is None else self._classes(scene, piece.rgb, objective)
            loss, terms = objective(made, logits, piece.lab[:, 1:], scores, features, piece.lab[:, :1], zones, classes)
            share = len(piece.lab) / len(lab)
            self._scaler.scale(loss * share if share < 1 else loss).backward()
            for name, value in {"loss": loss, **terms}.items():
                step.add(name, share * value)
        self._processes.average_gradients(p for group in phase.optimiser.param_groups for p in group["params"])
        return step

    def update(self, step: Step, losses: Mapping[str, float]) -> Followed:
        """The second half: the generator follows its gradients, unless they or the losses are not finite.

        Args:
            step: what `backward` returned. losses: its losses as means over all processes, which so agree.
        """
        bad = next((name for name in ("loss", *losses) if not math.isfinite(losses[name])), None)
        norm = self._follow(self._phase.optimiser, step.stage.optimiser.clip, allowed=bad is None)
        # In half precision a gradient may be too large for its scale, which then shrinks, as it should: down to 1.
        scaled = self._scaler.is_enabled() and self._scaler.get_scale() > 1
        self._scaler.update()
        self.step += 1
        followed = bad is None and math.isfinite(norm)
        if not followed:
            restore(step.before)
        elif self.preset.ema:
            update_average(self.average, self.model, min(self.preset.ema, (1 + self.step) / (10 + self.step)))
        problem = None
        if bad is not None:
            problem = f"the {'loss' if bad == 'loss' else f'loss of the {bad}'} became {losses[bad]}"
        elif not followed and not scaled:
            problem = f"the gradient became {norm}"
        elif not math.isfinite(step.discriminator_norm) and not scaled:
            problem = f"the discriminator's gradient became {step.discriminator_norm}"
        return Followed(norm, problem)

    def _follow(self, optimiser: torch.optim.Optimizer, clip: float | None = None, *, allowed: bool = True) -> float:
        """An optimiser's step, if its gradients, of all processes together, are finite. Returns their norm."""
        self._scaler.unscale_(optimiser)
        trained = [p for group in optimiser.param_groups for p in group["params"]]
        norm = float(nn.utils.clip_grad_norm_(trained, clip or math.inf))
        if allowed and math.isfinite(norm):
            self._scaler.step(optimiser)
        return norm

    def _begin_phase(self) -> Phase:
        """The phase of the next step: a new optimiser and, where a stage that shares it has one, a discriminator that
        knows nothing yet."""
        preset = self.preset
        first, end = preset.phase(self.step)
        settings = preset.stage(self.step).optimiser
        optimiser = optimiser_of(self.model, preset, settings, self._answer)
        if not any(self._objectives[s].adversarial for s in preset.stages if s.optimiser == settings):
            return Phase(first, end, optimiser)
        torch.manual_seed(self._seed + 1)
        discriminator = models.build_discriminator(preset.discriminator, **preset.discriminator_options)
        discriminator = self._processes.synchronise(discriminator.to(self.device), self.device)
        of_it = optimiser_of(discriminator, replace(preset, only=None), replace(settings, encoder_learning_rate=None))
        return Phase(first, end, optimiser, Adversary(discriminator, of_it))

    def _piece(self, lab: Tensor, rgb: Tensor, number: int, stage: Stage) -> Piece:
        """A part of this step's batch, its colours as they are to be learnt, with hints that its number determines."""
        random = np.random.default_rng((self._seed, 3, self.step, self._processes.rank, number))
        if stage.hints == "objects":
            lab, hints = random_objects(lab, random)
            return Piece(lab, rgb, hints)
        if stage.hints == "told":
            model: Any = self.model
            with self._autocast():
                told = random_told(lab, random, model.maps)
            return Piece(told.lab, rgb, told.hints, told)
        if stage.hints is None:
            return Piece(lab, rgb, None)
        hints = (random_hints if stage.hints == "patches" else random_strokes)(lab[:, 1:], random)
        return Piece(lab, rgb, hints)

    def _paint(self, piece: Piece, number: int, objective: Objective) -> Painted:
        """What the generator makes of a piece of the batch, with noise that its number determines."""
        rank, stage = self._processes.rank, self.preset.stage(self.step)
        torch.manual_seed(_noise_seed(self._seed, self.step, rank, number))
        extra: dict[str, Any] = {}
        if stage.trunk is not None:
            extra["trunk"] = stage.trunk
        if piece.hints is not None:
            extra["hints"] = piece.hints
        if self.model.kind == "regressor" and objective.needs_logits:
            extra["both"] = True
        if objective.recognises:
            extra["scene"] = True
        model: Any = self.model
        with self._autocast():
            if piece.told is not None:
                output = model.colours(piece.told.seen, piece.told.hints)
            else:
                output = self._forward(piece.lab[:, :1], **extra)
        if "both" in extra:
            return Painted(*output)
        if self.model.kind != "classifier":
            return Painted(None, output)
        logits, scene = output if objective.recognises else (output, None)
        return Painted(logits, self._colours(logits, None) if objective.needs_colour else None, scene)

    def _classes(self, scene: Tensor, rgb: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
        """What is shown: for the generator by the gray, for the teacher by the colours."""
        assert self._teacher is not None and self._answer is not None and objective.recognises is not None
        with self._autocast():
            return self._answer(scene.flatten(1)), self._teacher(rgb, objective.recognises.size)

    @torch.no_grad()
    def _zones(self, told: Told) -> Zones:
        rows, model = told.stay.flatten(1).any(1).nonzero()[:, 0], cast("Any", self.model)
        with self._autocast():
            plain = model.colours(type(told.seen)(*(plane[rows] for plane in told.seen)))
        return Zones(told.follow, told.stay, rows, plain)

    def _colours(self, logits: Tensor | None, made: Tensor | None) -> Tensor:
        """The ab that was painted; of logits alone it is decoded."""
        if made is None:
            assert logits is not None
            made = decode(logits, "classifier", self.palette, self.preset.temperature)
        return made

    def _teach_discriminator(self, pieces: list[Piece], objective: Objective, step: Step) -> Painted | None:
        """A step of the discriminator. Returns what was painted for it, for the generator's turn, if that is one piece;
        several are painted again there, with the same noise."""
        adversary = self._phase.adversary
        assert adversary is not None
        discriminator, optimiser = adversary.network, adversary.optimiser
        discriminator.requires_grad_(True)
        optimiser.zero_grad(set_to_none=True)
        before, count = statistics(discriminator), sum(len(piece.lab) for piece in pieces)
        for number, piece in enumerate(pieces):
            with torch.set_grad_enabled(len(pieces) == 1):
                painted = self._paint(piece, number, objective)
            made = painted.ab
            assert made is not None
            true = shrink(piece.lab, made, self.preset.target)
            with self._autocast():
                fake_scores = discriminator(true[:, :1], made.detach())
                real_scores = discriminator(true[:, :1], true[:, 1:])
            loss = discriminator_loss(real_scores.float(), fake_scores.float(), objective.gan_kind)
            share = len(piece.lab) / count
            self._scaler.scale(loss * share).backward()
            step.add("discriminator", share * loss)
        self._processes.average_gradients(discriminator.parameters())
        step.discriminator_norm = self._follow(optimiser)
        if not math.isfinite(step.discriminator_norm):
            restore(before)
        step.before += statistics(discriminator)  # what the generator's turn finds
        discriminator.requires_grad_(False)
        return painted if len(pieces) == 1 else None

    def _judge(self, lab: Tensor, made: Tensor | None, objective: Objective) -> tuple[Tensor, tuple[list, list] | None]:
        """The discriminator's scores of painted colours and, where they are to be matched, its features of these and of
        the true ones."""
        assert made is not None and self._phase.adversary is not None
        discriminator, true = self._phase.adversary.network, shrink(lab, made, self.preset.target)
        with self._autocast():
            scores, made_features = discriminator(true[:, :1], made, features=True)
            if not objective.matches_features:
                return scores, None
            with torch.no_grad():
                _, true_features = discriminator(true[:, :1], true[:, 1:], features=True)
        return scores, (made_features, true_features)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self._amp, enabled=self._amp is not None)


def _noise_seed(*numbers: int) -> int:
    """A seed for torch from what determines it."""
    return int(np.random.SeedSequence((2, *numbers)).generate_state(1, np.uint64)[0] >> 1)
