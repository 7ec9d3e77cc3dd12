"""What a step does to all parameters and statistics of a network at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..models.efficientnet import depthwise
from .presets import Optimiser, Preset


def optimiser_of(
    model: nn.Module, preset: Preset, settings: Optimiser, beside: nn.Module | None = None
) -> torch.optim.Optimizer:
    """Adam over the encoder and the rest, each at its own rate; what is frozen in neither. beside: the rest too."""
    for module in frozen(model, preset)[1]:
        module.requires_grad_(False)
    for name, parameter in model.named_parameters():
        if not name.startswith(preset.only or ""):
            parameter.requires_grad_(False)
    own = settings.encoder_learning_rate
    encoder: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (encoder if own is not None and name.startswith(preset.encoder) else rest).append(parameter)
    if beside is not None:
        rest += beside.parameters()
    groups: list[dict[str, Any]] = [{"params": encoder, "base": own}, {"params": rest, "base": settings.learning_rate}]
    kind = torch.optim.AdamW if settings.kind == "adamw" else torch.optim.Adam
    return kind(
        [g for g in groups if g["params"]],
        betas=settings.betas,
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
    )


def frozen(model: nn.Module, preset: Preset) -> tuple[list[nn.Module], list[nn.Module]]:
    """The parts of the encoder that keep their statistics, and those that keep their weights."""
    blocks = list(getattr(model, "encoder_blocks", ()))  # a discriminator has none
    first = blocks[: preset.freeze]
    filters = [m for block in blocks for m in depthwise(block)] if preset.keep_filters else []
    return (blocks if preset.keep_statistics else first), [*first, *filters]


def statistics(network: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """A network's statistics, which forward passes move, and copies of them as they are."""
    buffers = list(network.buffers())
    copies = [torch.empty_like(buffer) for buffer in buffers]
    _copy(copies, buffers)
    return list(zip(buffers, copies, strict=True))


def restore(buffers: list[tuple[Tensor, Tensor]]) -> None:
    _copy([buffer for buffer, _ in buffers], [before for _, before in buffers])


@torch.no_grad()
def _copy(to: list[Tensor], from_: list[Tensor]) -> None:
    """All of one dtype at once: on a GPU that is one launch in place of one a buffer, in every step."""
    for dtype in {buffer.dtype for buffer in to}:
        alike = [(a, b) for a, b in zip(to, from_, strict=True) if a.dtype == dtype]
        torch._foreach_copy_([a for a, _ in alike], [b for _, b in alike])


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    pairs = zip(average.state_dict().values(), model.state_dict().values(), strict=True)
    floats = [(a, b) for a, b in pairs if a.is_floating_point()]
    torch._foreach_lerp_([a for a, _ in floats], [b for _, b in floats], 1 - decay)
