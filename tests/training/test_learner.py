"""What a step does to the networks, read from the checkpoints around it."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from train_runs import entries, losses, meadows, two_stages

import fastcolor
from fastcolor import models, ops
from fastcolor.data import find
from fastcolor.models import weights
from fastcolor.palette import Palette
from fastcolor.training import checkpoints
from fastcolor.training.crops import Crops
from fastcolor.training.learner import Followed, Learner
from fastcolor.training.losses import discriminator_loss, generator_loss
from fastcolor.training.presets import L1, PRESETS, CrossEntropy, Gan, Optimiser, Preset, Stage, Stay, View
from fastcolor.training.processes import join

VIEW = View(32, 0.6, 1.0)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return meadows(tmp_path_factory.mktemp("data"))


def one_stage(*terms: object, steps: int = 3, **changes: object) -> Preset:
    """Small, one stage."""
    optimiser = changes.pop("optimiser", Optimiser(1e-3))
    stage = Stage(1.0, 4, VIEW, terms or (L1(),), optimiser)
    return replace(Preset("pix2pix", steps, (stage,), options={"channels": 4, "dropout": 0.0}), **changes)


def run(photographs: Path, out: Path, preset: Preset, **options: object) -> list[dict[str, Tensor]]:
    """Train, and return what each step's checkpoint holds."""
    given = {"precision": "fp32", "workers": 0, "checkpoint_every": 1, "keep": 99, **options}
    fastcolor.train(photographs, preset, out, **given)
    return [checkpoints.load(path).tensors for path in checkpoints.files(out)]


def fresh(preset: Preset) -> nn.Module:
    torch.manual_seed(0)  # as a run begins
    return models.build(preset.model, **preset.options)


def first_batch(photographs: Path) -> Tensor:
    """Lab of a run's first pictures."""
    crops = Crops(find(photographs), seed=0)
    return ops.rgb_to_lab(torch.stack([crops[i, VIEW][0] for i in range(4)]), layout="hwc")


def test_the_weights_are_the_exponential_average_over_steps(photographs: Path, tmp_path: Path) -> None:
    """Its decay is the preset's, but smaller in the first steps, so that the start is soon forgotten."""
    preset = one_stage(steps=6, ema=0.3)
    average = dict(fresh(preset).named_parameters())
    held = run(photographs, tmp_path / "run", preset)
    with torch.no_grad():
        for step, tensors in enumerate(held, 1):
            decay = min(0.3, (1 + step) / (10 + step))
            average = {key: decay * old + (1 - decay) * tensors[f"model/{key}"] for key, old in average.items()}
    exported = weights.load(tmp_path / "run" / "weights.safetensors").model.state_dict()
    for key, expected in average.items():
        assert torch.allclose(held[-1][f"average/{key}"], expected, atol=1e-7), key
        assert torch.equal(exported[key], held[-1][f"average/{key}"].half().float())
        assert not torch.equal(expected, held[-1][f"model/{key}"])


def test_clipping_bounds_the_gradient_that_is_followed(photographs: Path, tmp_path: Path) -> None:
    """Adam's first average of gradients is a tenth of the first of them."""
    free = entries_of(photographs, tmp_path / "free", one_stage(steps=1))
    clip = free["gradient_norm"] / 4
    preset = one_stage(steps=1, optimiser=Optimiser(1e-3, clip=clip))
    (tensors,) = run(photographs, tmp_path / "clipped", preset)
    followed = torch.cat([v.flatten() for k, v in tensors.items() if k.endswith("/exp_avg")]).norm() / 0.1
    assert float(followed) == pytest.approx(clip, rel=1e-3)
    assert entries(tmp_path / "clipped")[0]["gradient_norm"] == pytest.approx(free["gradient_norm"], rel=1e-5)


def entries_of(photographs: Path, out: Path, preset: Preset) -> dict[str, float]:
    run(photographs, out, preset)
    return entries(out)[0]


@pytest.mark.parametrize("kind", ["vanilla", "least_squares", "hinge"])
def test_both_sides_play_the_stages_kind_of_game(photographs: Path, tmp_path: Path, kind: str) -> None:
    """The logged losses, from the scores of networks that stay as they are at the first step."""
    parts = {"discriminator_options": {"channels": 8}, "optimiser": Optimiser(0.0)}
    preset = one_stage(Gan(kind=kind), L1(10.0), steps=1, **parts)
    entry = entries_of(photographs, tmp_path / "run", preset)
    lab = first_batch(photographs)
    with torch.no_grad():
        made = fresh(preset)(lab[:, :1])
        torch.manual_seed(1)
        judge = models.build_discriminator("patch70", channels=8)
        fake, real = judge(lab[:, :1], made), judge(lab[:, :1], lab[:, 1:])
    assert entry["discriminator"] == pytest.approx(discriminator_loss(real, fake, kind).item(), rel=1e-4)
    assert entry["gan"] == pytest.approx(generator_loss(fake, kind).item(), rel=1e-4)


def test_spectral_norm_and_frozen_blocks_hold_while_training(photographs: Path, tmp_path: Path) -> None:
    judged = one_stage(Gan(), L1(10.0), discriminator_options={"channels": 8, "spectral_norm": True})
    last = run(photographs, tmp_path / "judged", judged)[-1]
    judge = models.build_discriminator("patch70", channels=8, spectral_norm=True).eval()
    judge.load_state_dict(
        {k.removeprefix("discriminator/"): v for k, v in last.items() if k.startswith("discriminator/")}
    )
    for stage in judge.stages:
        assert float(torch.linalg.matrix_norm(stage[0].weight.detach().flatten(1), 2)) < 1.5

    stage = Stage(1.0, 2, VIEW, (CrossEntropy(weighting="none"),), Optimiser(1e-2))
    frozen = Preset("default-mobilenet", 2, (stage,), encoder="features.", freeze=4)
    before, after = fresh(frozen).state_dict(), run(photographs, tmp_path / "frozen", frozen)[-1]
    still = {key for key, value in before.items() if torch.equal(after[f"model/{key}"], value)}
    first = {key for key in before if key.startswith(tuple(f"features.{i}." for i in range(4)))}
    assert first and first <= still and not any(key.startswith(("features.4.", "features.9.")) for key in still)


def test_an_encoder_keeps_statistics_and_filters_where_told(photographs: Path, tmp_path: Path) -> None:
    stage = Stage(1.0, 2, VIEW, (CrossEntropy(weighting="none"),), Optimiser(1e-2))
    kept = Preset("default", 2, (stage,), encoder="encoder.", freeze=2, keep_statistics=True, keep_filters=True)
    before, after = fresh(kept).state_dict(), run(photographs, tmp_path / "kept", kept)[-1]
    still = {key for key, value in before.items() if torch.equal(after[f"model/{key}"], value)}
    encoder = {key for key in before if key.startswith("encoder.")}
    statistics = {key for key in encoder if key.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    first = {key for key in encoder if key.startswith(("encoder.stem.", "encoder.blocks.0.0."))}
    filters = {key for key in encoder if ".conv_dw." in key}
    norms = {key for key in encoder if ".bn2." in key and not key.startswith("encoder.blocks.0.")}  # behind the filters
    last = {"encoder.blocks.6.0.bn3.bias"}  # the decoder's BatchNorm takes it away again
    assert statistics and filters and (encoder & still) - last == statistics | first | filters | norms
    assert any(key.endswith("running_mean") for key in before.keys() - encoder - still)  # the decoder's move


def test_only_what_a_preset_names_learns_and_its_frozen_part_does_not(photographs: Path, tmp_path: Path) -> None:
    stage = Stage(1.0, 2, VIEW, (CrossEntropy(weighting="none"),), Optimiser(1e-2))
    preset = Preset("default", 1, (stage,), encoder="encoder.", freeze=2, only="encoder.")
    before, after = fresh(preset).state_dict(), run(photographs, tmp_path / "frozen", preset)[-1]
    changed = {key for key, value in before.items() if not torch.equal(after[f"model/{key}"], value)}
    assert {"encoder.blocks.1.0.conv_pw.weight", "encoder.blocks.1.0.bn1.running_mean"} <= changed
    assert all(key.startswith("encoder.") for key in changed)
    assert not any(key.startswith(("encoder.stem.", "encoder.blocks.0.0.")) for key in changed)
    judged = one_stage(Gan(), L1(10.0), steps=2, discriminator_options={"channels": 8}, only="downs.")
    first, last = run(photographs, tmp_path / "judged", judged)
    learnt = {key.split(".")[0] for key in first if not torch.equal(first[key], last[key]) and "num_" not in key}
    assert "model/downs" in learnt and "model/ups" not in learnt
    assert any(key.startswith("discriminator/") for key in learnt)


def test_what_cannot_be_of_hints_is_refused_before_the_first_step(photographs: Path, tmp_path: Path) -> None:
    for preset, options, words in (
        (one_stage(trust=3.0), {}, "preset: must leave trust at 1, as its network has no such hints, got 3.0"),
        (one_stage(L1(), Stay()), {}, "losses: must have Stay only in stages whose hints are told, got pix2pix"),
        (PRESETS["hints"], {"start": "default", "compile": True}, "compile: must be off where hints are told"),
    ):
        with pytest.raises(ValueError, match=words):
            run(photographs, tmp_path, preset, **options)


def test_a_start_from_the_data_gives_every_channel_variance_one(photographs: Path, tmp_path: Path) -> None:
    preset = one_stage(steps=1, initialise="kmeans", optimiser=Optimiser(0.0))
    (tensors,) = run(photographs, tmp_path / "run", preset)
    model = fresh(preset)
    lightness = first_batch(photographs)[:, :1]
    found: list[Tensor] = []
    second = model.downs[1][1]  # the first is scaled against it
    second.register_forward_hook(
        lambda layer, arguments, output: found.append(output.detach().std((0, 2, 3), correction=0))
    )
    model.train()(lightness)
    model.load_state_dict({k.removeprefix("model/"): v for k, v in tensors.items() if k.startswith("model/")})
    model(lightness)
    spread = [float(deviation.max() / deviation.min()) for deviation in found]
    assert spread[0] > 1.5 and spread[1] < 1.02


class Seen(nn.Module):
    """A network that notes how it is called."""

    kind, stride = "regressor", 1

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 3, padding=1))
        self.notes: list[tuple[bool, torch.dtype]] = []

    def forward(self, lightness: Tensor) -> Tensor:
        x = self.layers(lightness / 100)
        if self.training and not torch.compiler.is_compiling():
            last = self.layers[2].weight.is_contiguous(memory_format=torch.channels_last)
            self.notes.append((last, x.dtype))
        return x.float()


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_networks_run_channels_last_in_the_precision_asked_for(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str, dtype: torch.dtype
) -> None:
    built: list[Seen] = []
    monkeypatch.setattr(models, "build", lambda name: built.append(Seen()) or built[-1])
    run(photographs, tmp_path / "run", one_stage(steps=2, model="seen", options={}), precision=precision)
    assert built[0].notes == [(True, dtype)] * 2


def test_compiled_it_learns_the_same(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through torch.compile but for its last part, which would want a compiler and minutes."""
    graphs: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, inputs: object) -> object:
        graphs.append(graph)
        return graph

    run(photographs, tmp_path / "plain", one_stage())
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=keep))
    run(photographs, tmp_path / "compiled", one_stage(), compile=True)
    assert len(graphs) == 1
    assert losses(tmp_path / "compiled") == pytest.approx(losses(tmp_path / "plain"), rel=1e-5)


def test_a_seed_determines_weights_crops_and_noise(photographs: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(photographs, tmp_path / name, two_stages(steps=2), seed=seed)
    assert losses(tmp_path / "a") == losses(tmp_path / "b") != losses(tmp_path / "c")


def learner_of(preset: Preset, amp: torch.dtype | None = None) -> Learner:
    prior = torch.ones(313, dtype=torch.float64) / 313
    with join(torch.device("cpu")) as (processes, device):
        return Learner(
            preset, fresh(preset), Palette.grid(), prior,
            seed=0, processes=processes, device=device, amp=amp, accumulate=1, compile=False,
        )  # fmt: skip


def as_rgb(lab: Tensor) -> Tensor:
    return ops.lab_to_rgb(lab.nan_to_num(0, 0, 0), layout="hwc")


def take(learner: Learner, lab: Tensor) -> Followed:
    step = learner.backward(lab, as_rgb(lab))
    return learner.update(step, {name: float(value) for name, value in step.losses.items()})


def classifier() -> Preset:
    """With BatchNorm."""
    stage = Stage(1.0, 4, View(64, 0.6, 1.0), (CrossEntropy(),), Optimiser(1e-3, clip=1.0))
    return Preset("default", 20, (stage,), ema=0.9)


def gan() -> Preset:
    """With BatchNorm and spectral norm, both of which forward passes move."""
    stage = Stage(1.0, 4, View(64, 0.6, 1.0), (L1(), Gan()), Optimiser(1e-3))
    options = {"channels": 4, "spectral_norm": True}
    return Preset("pix2pix", 9, (stage,), options={"channels": 4}, discriminator_options=options, ema=0.9)


def batch(photographs: Path) -> Tensor:
    crops = Crops(find(photographs), seed=0)
    return ops.rgb_to_lab(torch.stack([crops[i, View(64, 0.6, 1.0)][0] for i in range(4)]), layout="hwc")


@pytest.mark.parametrize("preset", [classifier(), gan()], ids=["classifier", "gan"])
@pytest.mark.parametrize("spoil", [torch.nan, torch.inf])
def test_a_picture_that_is_not_finite_leaves_no_trace(photographs: Path, preset: Preset, spoil: float) -> None:
    learner, good = learner_of(preset), batch(photographs)
    norm, problem = take(learner, good)
    assert math.isfinite(norm) and problem is None
    before, bad = held(learner), good.clone()
    bad[1, 0] = spoil
    assert "became nan" in take(learner, bad).problem and learner.step == 2
    assert same(before, held(learner))
    norm, problem = take(learner, good)
    assert math.isfinite(norm) and problem is None
    assert all(torch.isfinite(value).all() for value in held(learner).values()) and not same(before, held(learner))


def test_an_infinite_loss_is_not_followed_though_its_gradient_is_finite(photographs: Path) -> None:
    preset = one_stage(L1())
    learner, bad = learner_of(preset), first_batch(photographs)
    learner.backward(bad, as_rgb(bad))
    before = held(learner)
    bad[0, 1, 0, 0] = torch.inf
    norm, problem = take(learner, bad)
    assert math.isfinite(norm) and problem == "the loss became inf"
    assert same(before, held(learner))


@pytest.mark.parametrize("of", ["model", "discriminator"])
def test_each_network_of_a_gan_follows_its_own_gradient(photographs: Path, of: str) -> None:
    learner, good = learner_of(gan()), batch(photographs)
    take(learner, good)
    parts = learner.state()[0]
    before = {part: [p.detach().clone() for p in parts[part].parameters()] for part in ("model", "discriminator")}
    parameter = next(parts[of].requires_grad_(True).parameters())
    hook = parameter.register_hook(lambda gradient: gradient * torch.nan)
    problem = take(learner, good).problem
    hook.remove()
    moved = {part for part, rows in before.items() if not all(map(torch.equal, rows, parts[part].parameters()))}
    assert moved == {"model", "discriminator"} - {of}
    assert all(torch.isfinite(value).all() for value in held(learner).values())
    whose = "gradient" if of == "model" else "discriminator's gradient"
    assert problem == f"the {whose} became nan"


def test_in_half_precision_a_gradient_is_a_problem_when_no_scale_helps(photographs: Path) -> None:
    learner, good = learner_of(classifier(), torch.float16), batch(photographs)
    hook = next(learner.model.head.parameters()).register_hook(lambda gradient: gradient * torch.nan)
    problems = []
    for _ in range(17):
        problems.append(take(learner, good).problem)
    hook.remove()
    assert problems == [None] * 16 + ["the gradient became nan"]  # from 65,536 by halves


def same(before: dict[str, Tensor], after: dict[str, Tensor]) -> bool:
    return before.keys() == after.keys() and all(torch.equal(value, before[name]) for name, value in after.items())


def held(learner: Learner) -> dict[str, Tensor]:
    """A copy of all tensors that the learner's next step depends on."""
    found: dict[str, Tensor] = {}
    for part, value in learner.state()[0].items():
        if isinstance(value, nn.Module):
            found |= {f"{part}.{name}": tensor.clone() for name, tensor in value.state_dict().items()}
            continue
        for number, state in value.state_dict()["state"].items():
            found |= {f"{part}.{number}.{name}": torch.as_tensor(x).clone() for name, x in state.items()}
    return found
