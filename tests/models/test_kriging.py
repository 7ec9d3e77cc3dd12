"""What hints left, carried on to what looks alike."""

import numpy as np
import pytest
import torch

from fastcolor.models import build, hints
from fastcolor.models.default import DefaultGenerator
from fastcolor.models.hints import LIKENESS
from fastcolor.models.kriging import Likeness, Places, carried

ONE = Likeness(1.5, (2.0,), 0.4, 0.2)  # of places with one look


def places(count: int, seed: int, n: int = 1) -> Places:
    made = torch.Generator().manual_seed(seed)
    looks = torch.nn.functional.normalize(torch.randn(n, 4, count, generator=made), dim=1)
    row, column = 16 * torch.rand(2, n, count, generator=made)
    return Places(row, column, (looks,), 20 * torch.randn(n, 2, count, generator=made))


def by_hand(left: np.ndarray, noise: np.ndarray, told: Places, cells: Places, likeness: Likeness) -> np.ndarray:
    """One picture's, place by place."""

    def alike(one: Places, i: int, other: Places, j: int) -> float:
        away = np.hypot(*(float(x[0, i] - y[0, j]) for x, y in ((one.row, other.row), (one.column, other.column))))
        cosine = float(one.looks[0][0, :, i] @ other.looks[0][0, :, j])
        apart = np.hypot(*(one.colours[0, :, i] - other.colours[0, :, j]).tolist()) / 10
        return float(np.exp(-likeness.near * away / 16 - likeness.alike[0] * (1 - cosine) - likeness.colour * apart))

    m, k = told.row.shape[1], cells.row.shape[1]
    among = np.array([[alike(told, i, told, j) for j in range(m)] for i in range(m)]) + np.diag(noise)
    there = np.array([[alike(cells, i, told, j) for j in range(m)] for i in range(k)])
    return (there @ np.linalg.solve(among, left.T)).T


def test_it_is_gaussian_process_regression():
    told, cells = places(5, 0), places(9, 1)
    left = torch.randn(1, 2, 5, generator=torch.Generator().manual_seed(2))
    strength = torch.tensor([[1.0, 0.5, 1.0, 0.25, 1.0]])
    noise = 0.2 / strength[0].numpy() ** 2
    wanted = by_hand(left[0].numpy(), noise, told, cells, ONE)
    assert np.allclose(carried(left, strength, told, cells, 16, ONE)[0], wanted, atol=1e-5)


def test_what_is_not_told_says_nothing():
    """Pictures of a batch have different numbers of places; a place of strength 0 fills up."""
    told, cells = places(6, 0), places(9, 1)
    left = torch.randn(1, 2, 6, generator=torch.Generator().manual_seed(2))
    fewer = Places(told.row[:, :4], told.column[:, :4], (told.looks[0][..., :4],), told.colours[..., :4])
    alone = carried(left[..., :4], torch.ones(1, 4), fewer, cells, 16, ONE)
    strength = torch.tensor([[1.0, 1.0, 1.0, 1.0, 0.0, 0.0]])
    assert torch.allclose(carried(left, strength, told, cells, 16, ONE), alone, atol=1e-4)


@pytest.fixture(scope="module")
def model() -> DefaultGenerator:
    torch.manual_seed(0)
    made = build("default").eval()
    assert isinstance(made, DefaultGenerator)
    return made


@torch.no_grad()
def settled(model: DefaultGenerator, hints: tuple, colours: torch.Tensor, lightness: torch.Tensor) -> torch.Tensor:
    return model.hinted(model.features(lightness), hints)[1](colours)


def hint(size: int, *spots: tuple[int, int, float, float, float]) -> tuple[torch.Tensor, torch.Tensor]:
    ab, mask = torch.zeros(1, 2, size, size), torch.zeros(1, 1, size, size)
    for y, x, a, b, strength in spots:
        ab[:, 0, y : y + 8, x : x + 8], ab[:, 1, y : y + 8, x : x + 8] = a, b
        mask[:, :, y : y + 8, x : x + 8] = strength
    return ab, mask


def halves(size: int = 64) -> torch.Tensor:
    """A picture whose left half is dark and whose right half is light, with some texture."""
    lightness = torch.full((1, 1, size, size), 20.0)
    lightness[..., size // 2 :] = 80.0
    return lightness + torch.randn(lightness.shape, generator=torch.Generator().manual_seed(3))


def test_told_colours_are_met_and_others_less_the_further_they_are(model: DefaultGenerator):
    colours = torch.zeros(1, 2, 16, 16)
    found = settled(model, hint(64, (24, 8, 30.0, -20.0, 1.0)), colours, halves())
    there = found[0, :, 6:8, 2:4].mean((1, 2))
    assert torch.allclose(there, torch.tensor([30.0, -20.0]) / (1 + LIKENESS.noise), atol=2.0)
    assert found[0, 0, 15, 15] < found[0, 0, 15, 3] < found[0, 0, 9, 3] < there[0]


def test_a_suggestion_counts_for_less(model: DefaultGenerator):
    colours, way = torch.zeros(1, 2, 16, 16), []
    for strength in (1.0, 0.5, 0.1):
        way.append(float(settled(model, hint(64, (24, 8, 30.0, 0.0, strength)), colours, halves())[0, 0, 6, 2]))
    assert way[0] > way[1] + 2 and way[1] > way[2] + 10 and way[2] < 8


def test_colours_that_are_as_told_stay(model: DefaultGenerator):
    colours = torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(4)) * 20
    colours[0, :, 6:8, 2:4] = torch.tensor([30.0, -20.0])[:, None, None]
    found = settled(model, hint(64, (24, 8, 30.0, -20.0, 1.0)), colours, halves())
    assert torch.allclose(found, colours, atol=1e-3)


def test_nothing_told_changes_nothing(model: DefaultGenerator):
    colours = torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(4)) * 20
    assert torch.allclose(settled(model, hint(64), colours, halves()), colours, atol=1e-3)


def test_a_batch_is_its_pictures(model: DefaultGenerator):
    told = [hint(64, (24, 8, 30.0, -20.0, 1.0)), hint(64, (0, 0, 5.0, 9.0, 1.0), (40, 40, -30.0, 8.0, 0.5))]
    both = tuple(torch.cat(planes) for planes in zip(*told, strict=True))
    lightness, colours = torch.cat([halves(), halves().flip(3)]), torch.zeros(2, 2, 16, 16)
    found = settled(model, both, colours, lightness)
    for i, one in enumerate(told):
        alone = settled(model, one, colours[i : i + 1], lightness[i : i + 1])
        assert torch.allclose(found[i : i + 1], alone, atol=1e-3)


def test_in_a_batch_the_last_cell_may_be_told(model: DefaultGenerator):
    """Pictures with fewer hints are filled up with places, which may lie on cells that are told."""
    many = hint(64, *((8 * (i // 4) * 2, 16 * (i % 4), 20.0, -10.0, 1.0) for i in range(10)))
    for at in ((56, 56), (0, 0), (30, 50)):
        one = hint(64, (*at, 30.0, -20.0, 1.0))
        both = tuple(torch.cat(planes) for planes in zip(one, many, strict=True))
        lightness, colours = halves().repeat(2, 1, 1, 1), torch.zeros(2, 2, 16, 16)
        found = settled(model, both, colours, lightness)
        assert torch.allclose(found[:1], settled(model, one, colours[:1], lightness[:1]), atol=1e-3)


def test_more_places_than_are_asked(model: DefaultGenerator):
    """Everything is told: 256 cells of 16 x 16 pixels, of which 64 are asked."""
    ab, mask = torch.full((1, 2, 256, 256), 25.0), torch.ones(1, 1, 256, 256)
    found = settled(model, (ab, mask), torch.zeros(1, 2, 64, 64), halves(256))
    assert found.isfinite().all() and (found - 25).abs().mean() < 4


def test_where_hints_lie_all_over_colours_follow_lightness(model: DefaultGenerator, monkeypatch: pytest.MonkeyPatch):
    """And what is guessed where nobody told anything stays with a hint or two."""
    truth = torch.tensor([30.0, -20.0]).view(1, 2, 1, 1) * torch.ones(1, 2, 16, 16)
    truth[..., 8:] *= -1
    colours = truth + 10 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(5))
    places = [(y, x, *truth[0, :, y // 4, x // 4].tolist(), 1.0) for y in (4, 20, 36, 52) for x in (4, 20, 36, 52)]
    many, one = hint(64, *places), hint(64, places[0])
    found, with_one = settled(model, many, colours, halves()), settled(model, one, colours, halves())
    monkeypatch.setattr(hints, "reached", lambda mask: mask.new_zeros(len(mask)))
    alone = settled(model, many, colours, halves())
    assert torch.equal(with_one, settled(model, one, colours, halves()))
    assert 0.1 < float((found - truth).norm() / (alone - truth).norm()) < 0.5


def test_told_colours_are_not_smoothed(model: DefaultGenerator):
    """Stripes of one lightness, all told: there is nothing to be guessed."""
    truth = torch.zeros(1, 2, 64, 64)
    truth[:, 0] = torch.where(torch.arange(64) // 16 % 2 == 0, 40.0, -40.0)
    told, cells = (truth, torch.ones(1, 1, 64, 64)), torch.nn.functional.avg_pool2d(truth, 4)
    flat = torch.full((1, 1, 64, 64), 50.0)
    assert (settled(model, told, cells, flat) - cells).abs().max() < 0.5


def test_faint_suggestions_all_over_change_next_to_nothing(model: DefaultGenerator):
    colours = torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(4)) * 20
    for strength, most in ((1e-6, 1e-2), (0.01, 0.5)):
        faint = hint(64, *((y, x, 0.0, 0.0, strength) for y in (4, 20, 36, 52) for x in (4, 20, 36, 52)))
        assert (settled(model, faint, colours, halves()) - colours).abs().max() < most, strength
