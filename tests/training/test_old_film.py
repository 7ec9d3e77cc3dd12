"""Old film: what it changes, how much, and that it is determined."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from fastcolor import ops
from fastcolor.training import old_film as film
from fastcolor.training.old_film import old_film


def pictures(count: int = 64) -> Tensor:
    """Smooth colours, (N, 32, 32, 3) uint8."""
    noise = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(noise, (32, 32), mode="bilinear")
    return (smooth * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def test_the_share_is_made_old_and_the_others_stay() -> None:
    rgb = pictures(400)
    true = ops.rgb_to_lab(rgb, layout="hwc")[:, :1]
    made = old_film(rgb, true, np.random.default_rng(0), 0.3)
    assert made.shape == true.shape and made.dtype == torch.float32
    assert -1e-4 <= float(made.min()) and float(made.max()) <= 100.01
    changed = (made != true).flatten(1).any(1)
    assert 80 <= int(changed.sum()) <= 160
    assert torch.equal(old_film(rgb, true, np.random.default_rng(0), 0.0), true)
    # Old, but still the picture: what is light stays lighter than what is dark.
    both = torch.stack([made[changed].flatten(1), true[changed].flatten(1)], 1)
    likeness = torch.stack([torch.corrcoef(pair)[0, 1] for pair in both])
    assert 0.5 < float(likeness.median()) < 0.99


def test_it_is_determined_by_what_decides() -> None:
    rgb = pictures()
    true = ops.rgb_to_lab(rgb, layout="hwc")[:, :1]
    first, again, other = (old_film(rgb, true, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_emulsions_are_blind_to_some_light() -> None:
    """A red, a green and a blue plate: none is darker on all than blue-sensitive plates see red."""
    plates = torch.zeros(3, 8, 8, 3, dtype=torch.uint8)
    for channel in range(3):
        plates[channel, ..., channel] = 255
    seen = [film._exposed(plates[:1].expand(500, -1, -1, -1), np.random.default_rng(0))[:, 0, 0, 0]]
    seen += [
        film._exposed(plates[i : i + 1].expand(500, -1, -1, -1), np.random.default_rng(0))[:, 0, 0, 0] for i in (1, 2)
    ]
    red, green, blue = seen
    blind = red < 0.1
    assert 0.2 < float(blind.float().mean()) < 0.6 and bool((blue[blind] > 0.35).all())
    light = [s**2.2 for s in seen]
    assert torch.allclose(sum(light), torch.ones(500), atol=0.02)  # white stays white
    assert bool((green[~blind] > 0.5).all())


def test_each_fault_does_what_it_is_called() -> None:
    random, noise = np.random.default_rng(0), torch.Generator().manual_seed(0)
    gray = torch.nn.functional.interpolate(torch.rand(200, 1, 8, 8), (32, 32), mode="bilinear")
    flat = torch.full_like(gray, 0.5)

    def detail(x: Tensor) -> Tensor:
        return (x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3))

    faded = film._developed(gray, random)
    spread = faded.flatten(1).amax(1) - faded.flatten(1).amin(1)
    assert float((spread < 0.9 * (gray.flatten(1).amax(1) - gray.flatten(1).amin(1))).float().mean()) > 0.3
    blurred = film._blurred(gray, random)
    assert bool((detail(blurred) <= detail(gray) + 1e-6).all()) and float(blurred.mean()) == pytest.approx(
        float(gray.mean()), abs=0.01
    )
    grain = (film._grained(flat, random, noise) - flat).flatten(1)
    assert 0.3 < float((grain.std(1) > 1e-6).float().mean()) < 0.9 and float(grain.std(1).max()) < 0.12
    scratched = (film._scratched(flat, random, noise) - flat).abs()
    assert 0 < float((scratched > 0).float().mean()) < 0.1
    coded = film._compressed(gray, random)
    some = (coded != gray).flatten(1).any(1)
    assert 0.1 < float(some.float().mean()) < 0.35 and float((coded - gray)[some].abs().mean()) < 0.05


def test_jpegs_arithmetic_is_that_of_a_jpeg_file() -> None:
    import io

    from PIL import Image

    class Always:
        def random(self, count: int) -> np.ndarray:
            return np.zeros(count)

        def uniform(self, low: float, high: float, count: int) -> np.ndarray:
            return np.full(count, 25.0)

    rgb = pictures(1)
    gray = rgb[..., 0].float()[:, None] / 255
    ours = film._compressed(gray, Always()) * 255
    file = io.BytesIO()
    Image.fromarray(rgb[0, ..., 0].numpy()).save(file, "JPEG", quality=25)
    theirs = torch.from_numpy(np.array(Image.open(file))).float()
    assert float((ours[0, 0] - theirs).abs().max()) < 3
