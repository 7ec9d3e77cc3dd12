"""Simulated hints: how many, how large, where, and what they say."""

from __future__ import annotations

import numpy as np
import torch

from fastcolor.training.hints import random_hints, random_objects, random_strokes


def test_they_are_as_published() -> None:
    """Counted over many pictures of random colours, whose patches' means differ: so each patch is a flat region."""
    n, side = 3000, 48
    ab = torch.randn(n, 2, side, side) * 30
    hints, mask = random_hints(ab, np.random.default_rng(0))
    assert hints.shape == ab.shape and mask.shape == (n, 1, side, side) and set(mask.unique().tolist()) == {0, 1}
    assert not bool(hints[(mask == 0).expand_as(hints)].any())

    whole = mask.flatten(1).all(1)
    assert 15 <= int(whole.sum()) <= 50 and torch.equal(hints[whole], ab[whole])  # one of a hundred
    hints, mask, ab = hints[~whole], mask[~whole], ab[~whole]
    none = ~mask.flatten(1).any(1)
    assert abs(float(none.float().mean()) - 1 / 8) < 0.02
    counts = torch.tensor([len(hints[i, 0][mask[i, 0] == 1].unique()) for i in range(len(mask))]).float()
    assert abs(float(counts.mean()) - 7) < 0.5  # those wholly under a later one are not seen

    where = mask.sum((0, 1))
    rows = torch.arange(side).float()
    middle = (where.sum(1) * rows).sum() / where.sum()
    spread = ((where.sum(1) * (rows - middle) ** 2).sum() / where.sum()).sqrt()
    assert abs(float(middle) - (side - 1) / 2) < 0.5 and 0.8 * side / 4 < float(spread) < 1.1 * side / 4


def test_a_patch_is_a_square_of_1_to_9_pixels_and_says_its_mean() -> None:
    ab = torch.randn(2000, 2, 64, 64) * 30
    hints, mask = random_hints(ab, np.random.default_rng(1))
    seen = set()
    for picture, hint, known in zip(ab, hints, mask[:, 0], strict=True):
        if known.all() or len(hint[0][known == 1].unique()) != 1:
            continue  # more than one
        rows, columns = known.nonzero().unbind(1)
        top, left, side = int(rows.min()), int(columns.min()), int(rows.max() - rows.min()) + 1
        patch = (slice(None), slice(top, top + side), slice(left, left + side))
        assert known.sum() == side * side and torch.allclose(
            hint[patch], picture[patch].mean((1, 2), True).expand(2, side, side)
        )
        seen.add(side)
    assert seen == set(range(1, 10))


def test_they_are_determined_by_what_decides() -> None:
    ab = torch.randn(4, 2, 32, 32)
    first, again, other = (random_hints(ab, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True)) and not torch.equal(first[1], other[1])


def test_strokes_say_true_colours_in_some_pictures() -> None:
    n, side = 600, 48
    noise = torch.randn(n, 2, 6, 6) * 30
    ab = torch.nn.functional.interpolate(noise, (side, side))
    hints, mask = random_strokes(ab, np.random.default_rng(0))
    assert set(mask.unique().tolist()) == {0, 1} and not bool(hints[(mask == 0).expand_as(hints)].any())
    told = mask.flatten(1).any(1)
    assert abs(float(told.float().mean()) - 0.4) < 0.07
    whole = mask.flatten(1).all(1)
    assert 0 < int(whole.sum()) < 20
    share = mask[told & ~whole].mean((1, 2, 3))
    assert float(share.median()) < 0.1 and float(share.min()) < 4 / side**2
    # Told where the truth is: near it in the middle of most places, and off by a little in some.
    error = ((hints - ab) * mask).norm(dim=1)[(mask[:, 0] == 1) & (told & ~whole)[:, None, None]]
    assert 0.5 < float((error == 0).float().mean()) < 0.9


def test_points_to_measure_by_are_true_and_as_many_as_asked_for() -> None:
    ab = torch.randn(50, 2, 64, 64) * 30
    hints, mask = random_strokes(ab, np.random.default_rng(1), share=1.0, points=10)
    colours = [hint[:, known == 1].T.unique(dim=0) for hint, known in zip(hints, mask[:, 0], strict=True)]
    assert all(6 <= len(of_one) <= 10 for of_one in colours)  # later points hide some
    for picture, of_one in zip(ab, colours, strict=True):
        flat = picture.flatten(1).T
        assert all(bool((flat == colour).all(1).any()) for colour in of_one)
    first, again = (random_strokes(ab, np.random.default_rng(5)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_objects_of_another_colour_are_whole_and_told() -> None:
    n, side = 60, 64
    lab = torch.zeros(n, 3, side, side)
    lab[:, 0, :, :32], lab[:, 0, :, 32:] = 30, 70  # two objects, each in a colour of its own
    lab[:, 1:] = (torch.randn(n, 2, 1, 2) * 30).repeat_interleave(32, 3).expand(-1, -1, side, -1)
    made, (hints, mask) = random_objects(lab, np.random.default_rng(0), share=1.0)
    assert torch.equal(made[:, 0], lab[:, 0])
    changed = (made[:, 1:] - lab[:, 1:]).norm(dim=1) > 0.1
    left, right = changed[:, :, :32].flatten(1), changed[:, :, 32:].flatten(1)
    assert bool((left.all(1) | ~left.any(1)).all()) and bool((right.all(1) | ~right.any(1)).all())
    moved = left.any(1) | right.any(1)
    assert 40 <= int(moved.sum()) < n and not bool((left.any(1) & right.any(1)).any())
    told = (changed & (mask[:, 0] == 1)).flatten(1).any(1)
    assert bool(told[moved].all())  # what was changed is told
    middle = (hints - made[:, 1:]).norm(dim=1) < 1e-4
    assert bool((middle & changed & (mask[:, 0] == 1)).flatten(1).any(1)[moved].all())  # as it is now
    again, _ = random_objects(lab, np.random.default_rng(0), share=1.0)
    assert torch.equal(made, again)


def test_an_object_ends_where_its_lightness_or_colour_does() -> None:
    lab = torch.zeros(1, 3, 64, 64)
    lab[:, 0], lab[:, 0, 16:48, 16:48] = 20, 60
    lab[:, 1, 16:48, 32:48] = 40
    lab[:, 0, 0:8, 0:8] = 60  # like the square, and apart from it
    seen = set()
    for seed in range(40):
        made, _ = random_objects(lab.expand(4, -1, -1, -1), np.random.default_rng(seed), share=0.3)
        for one in (made[:, 1:] - lab[:, 1:]).norm(dim=1) > 0.1:
            seen.add(
                tuple(int(v) for v in (one.sum(), one[:8, :8].sum(), one[16:48, 16:32].sum(), one[16:48, 32:48].sum()))
            )
    whole = 64 * 64 - 32 * 32 - 64
    assert (
        seen <= {(0, 0, 0, 0), (64, 64, 0, 0), (512, 0, 512, 0), (512, 0, 0, 512), (whole, 0, 0, 0)} and len(seen) >= 3
    )
