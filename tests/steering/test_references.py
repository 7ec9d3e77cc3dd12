"""References: what is matched, when it is heard, and which of a cell's colours are taken."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from fastcolor.steering.references import Reference, _coloured, _level, _likest, looks_of, matched, toned


class Seen(NamedTuple):
    looks_8: Tensor
    looks_16: Tensor


def seen(looks: Tensor) -> Seen:
    """Features of a picture of 64 x 96 pixels, by those of its cells of 8."""
    return Seen(looks, torch.randn(1, 16, 4, 6))  # at 16 nothing is alike


def looks(seed: int) -> Tensor:
    return torch.randn(1, 32, 8, 12, generator=torch.Generator().manual_seed(seed))


def test_what_is_alike_gives_its_colours_cell_by_cell() -> None:
    theirs, turn = looks(0), torch.arange(11, -1, -1)
    ab = torch.randn(1, 2, 8, 12) * 20
    planes = ab.repeat_interleave(8, 2).repeat_interleave(8, 3)
    lightness = torch.full((1, 1, 64, 96), 50.0)
    given, mask = matched(seen(theirs[..., turn]), lightness, [Reference(seen(theirs), planes, lightness)])
    assert given.shape == planes.shape and mask.shape == lightness.shape and bool((mask == 1).all())
    assert torch.allclose(given, planes.view(1, 2, 64, 12, 8)[:, :, :, turn].reshape(planes.shape), atol=1e-4)


def test_of_large_pictures_a_part_is_compared_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = (torch.nn.functional.normalize(looks(seed)[0].flatten(1), dim=0) for seed in (4, 5))
    whole, likeness = _likest(own, other[:, :70]), own.T @ other[:, :70]
    assert torch.equal(whole[0], likeness.max(1).values) and torch.equal(whole[2], likeness.argmax(0))
    monkeypatch.setattr("fastcolor.steering.references._PAIRS", 70 * 20)
    for part, one in zip(_likest(own, other[:, :70]), whole, strict=True):
        assert torch.allclose(part, one)


def test_features_that_do_not_say_what_looks_alike_are_refused() -> None:
    assert looks_of(seen(looks(0))).looks_8.shape == (1, 32, 8, 12)
    for what in ("references", "carry"):
        with pytest.raises(ValueError, match=f"{what}: must come with the default network"):
            looks_of((looks(0),), what)


def test_little_that_is_alike_is_not_heard() -> None:
    lightness, ab = torch.full((1, 1, 64, 96), 50.0), torch.full((1, 2, 64, 96), 20.0)
    other, strongest = looks(1), {}
    for cells in (3, 8, 48, 96):
        own = looks(2).flatten(2)
        own[..., :cells] = other.flatten(2)[..., :cells]
        _, mask = matched(seen(own.view_as(other)), lightness, [Reference(seen(other), ab, lightness)])
        strongest[cells] = float(mask.max())
    assert strongest[3] == 0 and 0 < strongest[8] < 1 and strongest[48] == strongest[96] == 1


def test_what_is_known_of_a_reference_may_lie_on_another_device_than_its_features() -> None:
    """On torch's "meta" device, which has shapes alone but refuses to be mixed as any other does."""
    features = Seen(*(plane.to("meta") for plane in seen(looks(0))))
    planes, known = torch.zeros(1, 2, 64, 96), torch.ones(1, 1, 64, 96)
    reference = Reference(features, planes, known, known)
    there, strength = _level(features.looks_8[0], reference, "looks_8")
    assert there.is_meta and strength.is_meta and _coloured(known, reference, there).is_meta
    away = Reference(features, planes.to("meta"), known.to("meta"))
    assert toned(planes.to("meta"), known.to("meta"), [reference, away]).is_meta


def test_what_is_not_known_of_a_cell_tells_no_colour() -> None:
    """Known left halves of cells are red, the right ones would be green."""
    left = (torch.arange(96) % 8 < 4).float().expand(1, 1, 64, 96)
    ab, lightness = (60 * (2 * left - 1)).expand(1, 2, 64, 96), torch.full((1, 1, 64, 96), 50.0)
    given, mask = matched(seen(looks(0)), lightness, [Reference(seen(looks(0)), ab, lightness, left)])
    assert torch.allclose(given, torch.full_like(given, 60.0), atol=0.1) and bool(((mask > 0.4) & (mask < 0.6)).all())


def test_inside_a_cell_colours_go_where_the_lightness_is_theirs() -> None:
    """Dark red beside light blue in every cell of the reference; in the picture the light part comes first."""
    dark = (torch.arange(96) % 8 < 4).expand(1, 1, 64, 96)
    theirs = torch.where(dark, 30.0, 70.0)
    ab = torch.cat([torch.where(dark, 50.0, 0.0), torch.where(dark, 20.0, -40.0)], 1)
    features = looks(3)
    given, _ = matched(seen(features), 100 - theirs, [Reference(seen(features), ab, theirs)])
    wanted = torch.cat([torch.where(dark, 0.0, 50.0), torch.where(dark, -40.0, 20.0)], 1)
    assert float((given - wanted).abs().max()) < 0.1
    brighter, _ = matched(seen(features), 115 - theirs, [Reference(seen(features), ab, theirs)])
    assert float((brighter - wanted).abs().max()) < 0.1  # another exposure
    flat, _ = matched(seen(features), torch.full_like(theirs, 50.0), [Reference(seen(features), ab, theirs)])
    assert torch.allclose(flat[0, :, 0, 0], torch.tensor([25.0, -10.0]), atol=0.1)  # nothing to tell them by
