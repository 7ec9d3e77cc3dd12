"""Data-dependent initialisation: what every channel does on the data afterwards."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fastcolor import models
from fastcolor.training.initialise import balance_gradients, data_dependent

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


@pytest.fixture
def lightness() -> Tensor:
    """Smooth random pictures, which is what patches of photographs look like."""
    noise = torch.randn(6, 1, 16, 16)
    return (50 + 25 * nn.functional.interpolate(noise, scale_factor=4, mode="bicubic")).clamp(0, 100)


def channel_statistics(network: nn.Module, x: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """(mean, standard deviation) of each channel of every convolution's output in a training pass."""
    found = {}

    def keep(name: str):
        def hook(layer: nn.Module, _: object, output: Tensor) -> None:
            if name not in found:
                deviation, mean = torch.std_mean(output, [0, 2, 3], correction=0)
                found[name] = mean, deviation, layer

        return hook

    handles = [
        m.register_forward_hook(keep(name)) for name, m in network.named_modules() if isinstance(m, CONVOLUTIONS)
    ]
    with torch.no_grad():
        network.train()(x)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("method", ["kmeans", "random"])
@pytest.mark.parametrize(
    ("name", "options"), [("eccv16", {}), ("pix2pix", {"channels": 8, "dropout": 0.0}), ("default", {})]
)
def test_every_channel_has_the_given_mean_and_variance_one(
    lightness: Tensor, name: str, options: dict[str, object], method: str
) -> None:
    network = data_dependent(models.build(name, **options), lightness, method=method, mean=0.25)
    statistics = channel_statistics(network, lightness)
    assert len(statistics) >= 16
    for layer_name, (mean, deviation, layer) in statistics.items():
        assert torch.allclose(deviation, torch.ones_like(deviation), atol=2e-3), layer_name
        if layer.bias is not None:
            assert torch.allclose(mean, torch.full_like(mean, 0.25), atol=2e-3), layer_name


def test_without_it_the_statistics_are_others(lightness: Tensor) -> None:
    statistics = channel_statistics(models.build("eccv16"), lightness)
    assert all(not torch.allclose(d, torch.ones_like(d), atol=0.2) for _, d, _ in statistics.values())


@pytest.mark.parametrize("padding", ["same", "valid", 2])
def test_pictures_smaller_than_a_filter(padding: str | int) -> None:
    """Filters that look past a picture's edge see what the layer's own padding puts there."""
    torch.manual_seed(0)
    side = 3 if padding != "valid" else 5
    network = nn.Sequential(nn.Conv2d(1, 4, 5, padding=padding))
    data_dependent(network, torch.randn(64, 1, side, side))
    y = network(torch.randn(64, 1, side, side))
    assert torch.isfinite(y).all() and 0.5 < y.std() < 2


def test_kmeans_finds_the_structure_of_patches() -> None:
    """Pictures made of a few known patches: each filter answers most to one of them."""
    atoms = nn.functional.normalize(torch.randn(4, 1, 5, 5).flatten(1), dim=1)
    patches = (
        atoms[torch.randint(4, (400,))] * (torch.rand(400, 1) + 1) * torch.where(torch.rand(400, 1) < 0.5, 1.0, 0.9)
    )
    x = patches.view(400, 1, 5, 5)
    layer = data_dependent(nn.Conv2d(1, 4, 5), x)
    answers = layer(atoms.view(4, 1, 5, 5)).flatten(1)
    assert sorted(answers.argmax(1).tolist()) == [0, 1, 2, 3]


def rates(network: nn.Module, x: Tensor, names: tuple[str, ...]) -> Tensor:
    """|gradient| / |weights| of every convolution of the named parts, for a random direction of the output."""
    output = network.train()(x)
    layers = [m for name in names for m in network.get_submodule(name) if isinstance(m, CONVOLUTIONS)]
    direction = torch.randn(output.shape, generator=torch.Generator().manual_seed(0))
    gradients = torch.autograd.grad((output * direction).sum(), [layer.weight for layer in layers])
    return torch.stack([g.norm() / layer.weight.norm() for g, layer in zip(gradients, layers, strict=True)]).detach()


def test_layers_learn_at_one_pace_afterwards_and_compute_the_same(lightness: Tensor) -> None:
    network = data_dependent(models.build("eccv16"), lightness[:3], method="random")
    normalised, open_ended = tuple(f"model{i}" for i in range(1, 8)), ("model8",)
    before = network.train()(lightness[:3]).detach()
    uneven = [rates(network, lightness[:3], names) for names in (normalised, open_ended)]
    assert len(uneven[0]) == 19 and len(uneven[1]) == 4 and all(r.max() > 1.5 * r.min() for r in uneven)
    assert balance_gradients(network.eval(), lightness[:3]) is network and not network.training
    after = network.train()(lightness[:3]).detach()
    assert torch.allclose(before, after, atol=1e-3 * float(before.abs().max()))
    for names in (normalised, open_ended):
        even = rates(network, lightness[:3], names)
        assert even.max() < 1.03 * even.min()


def test_layers_that_cannot_be_scaled_stay_as_they_are() -> None:
    """Behind a sigmoid a scale would be another function; a frozen layer keeps its weights; the rest still balances."""
    bend = nn.Sequential(nn.Linear(4, 8), nn.Sigmoid(), nn.Linear(8, 3))
    frozen = nn.Sequential(nn.Linear(4, 8).requires_grad_(False), nn.ReLU(), nn.Linear(8, 3))
    for network in (bend, frozen):
        before = [p.clone() for p in network.parameters()]
        balance_gradients(network, torch.randn(16, 4))
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(before, network.parameters(), strict=True))
    free = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    x, before = torch.randn(16, 4), free[0].weight.clone()
    expected = free(x)
    assert torch.allclose(balance_gradients(free, x)(x), expected, atol=1e-5)
    assert not torch.allclose(free[0].weight, before, rtol=1e-2)


def test_it_is_determined_by_its_seed_and_leaves_the_mode(lightness: Tensor) -> None:
    networks = [models.build("pix2pix", channels=8).eval() for _ in range(3)]
    for network, seed in zip(networks, (0, 0, 1), strict=True):
        assert data_dependent(network, lightness, seed=seed) is network and not network.training
        assert not any(m._forward_pre_hooks for m in network.modules())
    a, b, c = (next(n.parameters()) for n in networks)
    assert torch.equal(a, b) and not torch.equal(a, c)
    with pytest.raises(ValueError, match="method: must be 'kmeans' or 'random', got 'pca'"):
        data_dependent(networks[0], lightness, method="pca")
