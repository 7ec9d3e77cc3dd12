"""Losses against closed forms, and the gradient that a discriminator sends through decoded colours."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from fastcolor import models, ops, reference
from fastcolor.palette import Palette, class_weights
from fastcolor.training.losses import Objective, discriminator_loss, feature_matching, generator_loss, shrink
from fastcolor.training.presets import L1, L2, CrossEntropy, FeatureMatching, Gan, Huber

CPU = torch.device("cpu")
GRID = Palette.grid()


def objective(*terms, prior: torch.Tensor | None = None, target: str = "area") -> Objective:
    return Objective(terms, GRID, prior, CPU, target)


def test_adversarial_losses_by_hand() -> None:
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0])

    def softplus(x: float) -> float:
        return math.log1p(math.exp(x))

    by_hand = {
        "vanilla": (
            0.5 * ((softplus(-2) + softplus(1)) / 2 + (softplus(0.5) + softplus(-3)) / 2),
            (softplus(-0.5) + softplus(3)) / 2,
        ),
        "least_squares": (0.5 * ((1 + 4) / 2 + (0.25 + 9) / 2), (0.25 + 16) / 2),
        "hinge": (0.5 * ((0 + 2) / 2 + (1.5 + 0) / 2), (-0.5 + 3) / 2),
    }
    for kind, (of_discriminator, of_generator) in by_hand.items():
        assert discriminator_loss(real, fake, kind).item() == pytest.approx(of_discriminator)
        assert generator_loss(fake, kind).item() == pytest.approx(of_generator)
    with pytest.raises(ValueError, match="kind: must be 'vanilla', 'least_squares' or 'hinge', got 'wasserstein'"):
        discriminator_loss(real, fake, "wasserstein")


def test_feature_matching_is_the_mean_over_layers_and_blames_the_made_alone() -> None:
    made = [torch.ones(1, 4, 4, 4, requires_grad=True), torch.zeros(1, 8, 2, 2)]
    true = [torch.full((1, 4, 4, 4), 4.0, requires_grad=True), torch.ones(1, 8, 2, 2)]
    loss = feature_matching(made, true)
    loss.backward()
    assert loss.item() == 2.0 and true[0].grad is None and bool((made[0].grad < 0).all())


def test_distances() -> None:
    made, true = torch.randn(2, 2, 8, 8) * 30, torch.randn(2, 2, 8, 8) * 30
    total, parts = objective(L1(100.0), L2(2.0), Huber(1.0))(made, None, true)
    assert parts["l1"].item() == pytest.approx(F.l1_loss(made / 110, true / 110).item(), rel=1e-5)
    assert parts["l2"].item() == pytest.approx(F.mse_loss(made / 110, true / 110).item(), rel=1e-5)
    assert parts["huber"].item() == pytest.approx(F.huber_loss(made, true, delta=1.0).item() / 110**2, rel=1e-4)
    assert total.item() == pytest.approx(100 * parts["l1"].item() + 2 * parts["l2"].item() + parts["huber"].item())


def test_distances_weigh_rare_colours() -> None:
    p = torch.full((313,), 0.4 / 312)
    p[120] = 0.6
    true = torch.zeros(1, 2, 1, 2)
    true[..., 1] = 50.0  # the first pixel is gray and common, the second is not
    _, parts = objective(L1(weighting="inverse_log"), prior=p)(true + 11, None, true)
    weight = class_weights(p, "inverse_log")
    rare = int(ops.encode_bins(true, neighbours=1)[0][0, 0, 0, 1])
    assert parts["l1"].item() == pytest.approx(0.1 * float(weight[120] + weight[rare]) / 2, rel=1e-5)
    assert weight[rare] > 3 * weight[120]


def test_gray_pictures_do_not_count_in_distances() -> None:
    true = torch.randn(2, 2, 8, 8) * 30
    true[1] = 5.0
    made = true + 11
    for term, whole in ((L1(gray_below=5.0), 0.1), (L2(gray_below=5.0), 0.01)):
        assert objective(term)(made, None, true)[0].item() == pytest.approx(whole / 2, rel=1e-5)
        true_colours = true.flip(0) + 0.01  # now no picture is gray
        assert objective(term)(true_colours + 11, None, true_colours)[0].item() == pytest.approx(whole, rel=1e-5)


def test_cross_entropy_with_every_setting() -> None:
    p = torch.rand(313) + 0.01
    p /= p.sum()
    logits, true = torch.randn(2, 313, 4, 4), torch.randn(2, 2, 16, 16) * 30
    small = true[..., ::4, ::4]
    for term, arguments in [
        (CrossEntropy(), {"class_weight": class_weights(p)}),
        (CrossEntropy(weighting="inverse_log"), {"class_weight": class_weights(p, "inverse_log")}),
        (CrossEntropy(mix=0.2, alpha=0.5), {"class_weight": class_weights(p, mix=0.2, alpha=0.5)}),
        (CrossEntropy(weighting="none", neighbours=10, sigma=7.0), {"neighbours": 10, "sigma": 7.0}),
        (CrossEntropy(weighting="none", gamma=2.0), {"gamma": 2.0}),
    ]:
        _, parts = objective(term, L1(), prior=p, target="point")(torch.zeros(2, 2, 16, 16), logits, true)
        expected = reference.rebalanced_cross_entropy(logits, small, **arguments)
        assert parts["cross_entropy"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_cross_entropy_as_eccv16_published_it() -> None:
    """The sum over pixels is divided by pictures, and a picture without colour does not count."""
    logits, true = torch.randn(2, 313, 4, 4), torch.randn(2, 2, 16, 16) * 30
    true[1] = 4.0
    term = CrossEntropy(weighting="none", neighbours=10, reduction="pictures", gray_below=5.0)
    total, _ = objective(term, target="point")(None, logits.clone(), true)
    first = reference.rebalanced_cross_entropy(logits[:1], true[:1, :, ::4, ::4], neighbours=10, reduction="sum")
    assert total.item() == pytest.approx(first.item() / 2, rel=1e-5)


def test_true_colours_are_taken_by_area_or_by_point() -> None:
    full = torch.arange(32.0).view(1, 2, 4, 4)
    like = torch.zeros(1, 313, 2, 2)
    assert shrink(full, like, "area")[0, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert shrink(full, like, "point")[0, 0].tolist() == [[0, 2], [8, 10]]
    assert shrink(full, full) is full


def test_the_discriminators_gradient_reaches_the_logits_through_decoded_colour() -> None:
    discriminator = models.build_discriminator("patch70", channels=8).eval()
    lightness, logits = torch.rand(2, 1, 32, 32) * 100, torch.randn(2, 313, 32, 32)
    gradients = []
    for annealed_mean in (ops.annealed_mean, reference.annealed_mean):
        leaf = logits.clone().requires_grad_(True)
        made = annealed_mean(leaf, temperature=0.38)
        scores, features = discriminator(lightness, made, features=True)
        true = torch.zeros_like(made)
        real = discriminator(lightness, true, features=True)[1]
        total, parts = objective(Gan(2.0), FeatureMatching(3.0))(made, leaf, true, scores, (features, real))
        total.backward()
        assert total.item() == pytest.approx(2 * parts["gan"].item() + 3 * parts["feature_matching"].item(), rel=1e-5)
        gradients.append(leaf.grad)
    assert float(gradients[0].abs().max()) > 0
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-3, atol=1e-3 * float(gradients[1].abs().max()))


def test_bad_sums() -> None:
    with pytest.raises(ValueError, match="every term must have a name of its own, got l1, l1"):
        objective(L1(), L1(weighting="inverse_log"))
    with pytest.raises(ValueError, match="cross_entropy weighs colours by a prior, got none"):
        objective(CrossEntropy())
