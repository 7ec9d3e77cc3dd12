"""Presets as their authors trained: crops that the network takes, learning rates over the steps."""

from __future__ import annotations

import pytest

from fastcolor import models
from fastcolor.training.presets import PRESETS, START, Optimiser


def test_presets_only_use_crops_that_the_network_takes() -> None:
    for preset in PRESETS.values():
        assert preset.stages[-1].until == 1.0
        for stage in preset.stages:
            name = "default" if preset.model == START else preset.model
            assert stage.view.crop % models.build(name, **preset.options).stride == 0


def test_schedules() -> None:
    flat_then_line = Optimiser(1.0, schedule="linear", marks=(0.5,))
    assert [flat_then_line.factor_at(at, 8) for at in range(8)] == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    steps = Optimiser(1.0, schedule="step", factor=0.1, marks=(0.5, 0.75))
    assert [steps.factor_at(at, 4) for at in range(4)] == pytest.approx([1, 1, 0.1, 0.01])
    cosine = Optimiser(1.0, schedule="cosine", warmup=10)
    rates = [cosine.factor_at(at, 1000) for at in range(1000)]
    assert rates[0] == pytest.approx(0.1, rel=1e-3) and rates[9] > 0.99 and rates[500] == pytest.approx(0.5025)
    assert rates[-1] == pytest.approx(0.005, rel=1e-2) and rates[9:] == sorted(rates[9:], reverse=True)


@pytest.mark.parametrize(
    ("name", "step", "rate"),
    [
        ("eccv16", 214_999, 3.16e-5),
        ("eccv16", 215_000, 3.16e-5 * 0.316),
        ("eccv16", 430_000, 3.16e-5 * 0.316**2),
        ("siggraph17", 768_499, 1e-4),  # 15 epochs of ImageNet's 1.28 M pictures by 25
        ("siggraph17", 768_500, 1e-5),
        ("siggraph17", 768_500 + 512_000, 1e-5),  # ten more
        ("siggraph17", 768_500 + 513_000, 1e-6),
        ("pix2pix", 100_000, 2e-4),
        ("pix2pix", 150_000, 1e-4),
        ("resnet-unet", 9_999, 1e-4),
        ("resnet-unet", 10_000, 2e-4),
    ],
)
def test_published_learning_rates(name: str, step: int, rate: float) -> None:
    preset = PRESETS[name]
    (first, end), optimiser = preset.phase(step), preset.stage(step).optimiser
    assert optimiser.learning_rate * optimiser.factor_at(step - first, end - first) == pytest.approx(rate)
