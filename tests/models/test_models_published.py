"""eccv16 and siggraph17: the published names and shapes, and the published computation, written out once more."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fastcolor import Palette, models

NAMES = ("eccv16", "siggraph17")


def published_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Every key and shape of the published state dict."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(key: str, *weight: int, bias: int | None = None) -> None:
        shapes[f"{key}.weight"] = weight
        shapes[f"{key}.bias"] = (weight[0] if bias is None else bias,)

    def norm(key: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{key}.{part}"] = (channels,)
        shapes[f"{key}.num_batches_tracked"] = ()

    def block(key: str, widths: list[int], first: int = 0) -> None:
        for i in range(len(widths) - 1):
            conv(f"{key}.{first + 2 * i}", widths[i + 1], widths[i], 3, 3)
        norm(f"{key}.{first + 2 * len(widths) - 2}", widths[-1])

    block("model1", [1 if name == "eccv16" else 4, 64, 64])
    block("model2", [64, 128, 128])
    block("model3", [128, 256, 256, 256])
    block("model4", [256, 512, 512, 512])
    for i in (5, 6, 7):
        block(f"model{i}", [512, 512, 512, 512])
    if name == "eccv16":
        conv("model8.0", 512, 256, 4, 4, bias=256)
        conv("model8.2", 256, 256, 3, 3)
        conv("model8.4", 256, 256, 3, 3)
        conv("model8.6", 313, 256, 1, 1)
        shapes["model_out.weight"] = (2, 313, 1, 1)
    else:
        conv("model8up.0", 512, 256, 4, 4, bias=256)
        block("model8", [256, 256, 256], first=1)
        conv("model9up.0", 256, 128, 4, 4, bias=128)
        block("model9", [128, 128], first=1)
        conv("model10up.0", 128, 128, 4, 4)
        conv("model10.1", 128, 128, 3, 3)
        conv("model3short8.0", 256, 256, 3, 3)
        conv("model2short9.0", 128, 128, 3, 3)
        conv("model1short10.0", 128, 64, 3, 3)
        conv("model_class.0", 529, 256, 1, 1)
        conv("model_out.0", 2, 128, 1, 1)
    return shapes


def random_state(name: str) -> dict[str, Tensor]:
    """Weights that carry a signal to the end, statistics and offsets away from 0 and 1."""
    state = {}
    for key, shape in published_shapes(name).items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(7)
        elif key.endswith("running_var") or (key.endswith("weight") and len(shape) == 1):
            state[key] = torch.rand(shape) + 0.5
        elif len(shape) == 4:
            state[key] = torch.randn(shape) * (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        else:
            state[key] = torch.randn(shape) * 0.3
    return state


def functional_block(state: dict[str, Tensor], key: str, x: Tensor, *, stride: int = 1, dilation: int = 1) -> Tensor:
    """conv, ReLU as often as there are weights, then BatchNorm where there are statistics."""
    positions = sorted(int(k.split(".")[1]) for k in state if k.startswith(f"{key}.") and k.endswith("weight"))
    convs = [p for p in positions if state[f"{key}.{p}.weight"].dim() == 4]
    if convs[0] == 1:
        x = F.relu(x)
    for p in convs:
        step = stride if p == convs[-1] else 1
        x = F.conv2d(x, state[f"{key}.{p}.weight"], state[f"{key}.{p}.bias"], step, dilation, dilation)
        x = F.relu(x) if key != "model10" else F.leaky_relu(x, 0.2)
    last = f"{key}.{positions[-1]}"
    if positions[-1] != convs[-1]:
        mean, variance = state[f"{last}.running_mean"][:, None, None], state[f"{last}.running_var"][:, None, None]
        x = (x - mean) / (variance + 1e-5).sqrt()
        x = x * state[f"{last}.weight"][:, None, None] + state[f"{last}.bias"][:, None, None]
    return x


def eccv16(state: dict[str, Tensor], lightness: Tensor) -> Tensor:
    x = (lightness - 50) / 100
    for i, (stride, dilation) in enumerate([(2, 1), (2, 1), (2, 1), (1, 1), (1, 2), (1, 2), (1, 1)]):
        x = functional_block(state, f"model{i + 1}", x, stride=stride, dilation=dilation)
    x = F.relu(F.conv_transpose2d(x, state["model8.0.weight"], state["model8.0.bias"], 2, 1))
    for p in (2, 4):
        x = F.relu(F.conv2d(x, state[f"model8.{p}.weight"], state[f"model8.{p}.bias"], 1, 1))
    return F.conv2d(x, state["model8.6.weight"], state["model8.6.bias"])


def siggraph17(state: dict[str, Tensor], lightness: Tensor, ab: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    def conv(key: str, x: Tensor) -> Tensor:
        weight = state[f"{key}.0.weight"]
        return F.conv2d(x, weight, state[f"{key}.0.bias"], padding=weight.shape[2] // 2)

    def up(key: str, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, state[f"{key}.0.weight"], state[f"{key}.0.bias"], 2, 1)

    one = functional_block(state, "model1", torch.cat([(lightness - 50) / 100, ab / 110, mask], 1))
    two = functional_block(state, "model2", one[..., ::2, ::2])
    three = functional_block(state, "model3", two[..., ::2, ::2])
    x = functional_block(state, "model4", three[..., ::2, ::2])
    for i, dilation in ((5, 2), (6, 2), (7, 1)):
        x = functional_block(state, f"model{i}", x, dilation=dilation)
    eight = functional_block(state, "model8", up("model8up", x) + conv("model3short8", three))
    nine = functional_block(state, "model9", up("model9up", eight) + conv("model2short9", two))
    ten = functional_block(state, "model10", up("model10up", nine) + conv("model1short10", one))
    return conv("model_class", eight), 110 * torch.tanh(conv("model_out", ten))


def loaded(name: str, state: dict[str, Tensor]) -> torch.nn.Module:
    model = models.build(name)
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize(("name", "parameters"), [("eccv16", 32_236_011), ("siggraph17", 34_187_027)])
def test_every_published_key_and_shape(name: str, parameters: int) -> None:
    model = models.build(name)
    assert {k: tuple(v.shape) for k, v in model.state_dict().items()} == published_shapes(name)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert model.stride == 8


def test_eccv16_computes_what_was_published() -> None:
    state = random_state("eccv16")
    model = loaded("eccv16", state)
    lightness = torch.rand(2, 1, 64, 88) * 100
    logits = model(lightness)
    expected = eccv16(state, lightness)
    assert logits.shape == (2, 313, 16, 22) and float(expected.std()) > 0.5
    assert torch.allclose(logits, expected, atol=1e-4 * float(expected.abs().max()))
    for temperature in (1.0, 0.38):
        colours = torch.einsum(
            "nqhw,cq->nchw", (expected / temperature).softmax(1), state["model_out.weight"][..., 0, 0]
        )
        published = 110 * F.interpolate(colours, (64, 88), mode="bilinear", align_corners=False)
        assert torch.allclose(model.ab(lightness, temperature), published, atol=1e-3 * float(published.abs().max()))
        if temperature == model.temperature:
            assert torch.equal(model.ab(lightness), model.ab(lightness, temperature))
    assert model.temperature == 1 and models.build("eccv16", temperature=0.38).temperature == 0.38
    assert model(lightness[..., :61, :82]).shape == (2, 313, 16, 22)


def test_eccv16s_last_layer_is_the_palette() -> None:
    model = models.build("eccv16")
    assert torch.allclose(model.model_out.weight[:, :, 0, 0].t() * 110, Palette.grid().points, atol=1e-4)
    palette = Palette(torch.randn(20, 2) * 30)
    model = models.build("eccv16", bins=20).eval()
    model.set_palette(palette)
    with torch.no_grad():
        model.model8[6].weight.zero_()
        model.model8[6].bias.zero_()
        model.model8[6].bias[4] = 50
        ab = model.ab(torch.rand(1, 1, 16, 16) * 100)
    assert torch.allclose(ab, palette.points[4][None, :, None, None].expand_as(ab), atol=1e-3)
    with pytest.raises(ValueError, match="palette: must have the network's 20 bins, got 313"):
        model.set_palette(Palette.grid())
    with pytest.raises(ValueError, match="temperature: must be above 0, got 0"):
        model.ab(torch.zeros(1, 1, 16, 16), 0)


def test_siggraph17_computes_what_was_published() -> None:
    state = random_state("siggraph17")
    model = loaded("siggraph17", state)
    lightness = torch.rand(2, 1, 48, 64) * 100
    none = torch.zeros(2, 2, 48, 64), torch.zeros(2, 1, 48, 64)
    mask = torch.zeros(2, 1, 48, 64)
    mask[:, :, 20:23, 30:33] = 1
    hints = torch.randn(2, 2, 48, 64) * 40 * mask, mask
    for given in (none, hints):
        logits, ab = siggraph17(state, lightness, *given)
        assert 5 < float(ab.std()) < 105
        assert torch.allclose(model(lightness, given), ab, atol=2e-3)
        got = model(lightness, hints=given, both=True)
        assert torch.allclose(got[0], logits, atol=1e-4 * float(logits.abs().max())) and got[0].shape[1:] == (
            529,
            12,
            16,
        )
        assert torch.equal(got[1], model(lightness, given))
    assert torch.equal(model(lightness), model(lightness, none))
    assert float((model(lightness, hints) - model(lightness)).abs().max()) > 1
    only_mask = none[0], mask
    assert not torch.equal(model(lightness, only_mask), model(lightness))


@pytest.mark.parametrize("trunk", [None, "classes", "colours"])
def test_siggraph17s_shared_layers_learn_from_the_answer_that_is_named(trunk: str | None) -> None:
    """As the released code has it: in each of its two stages the other answer's own layers alone learn."""
    model = loaded("siggraph17", random_state("siggraph17")).requires_grad_(True)
    own = {"classes": ("model_class",), "colours": ("model9", "model10", "model2short9", "model1short10", "model_out")}
    lightness = torch.rand(1, 1, 16, 16) * 100
    expected = model(lightness, both=True)
    for index, answer in enumerate(("classes", "colours")):
        model.zero_grad()
        answers = model(lightness, both=True, trunk=trunk)
        assert torch.equal(answers[index], expected[index])
        answers[index].square().mean().backward()
        for key, parameter in model.named_parameters():
            learns = parameter.grad is not None and bool(parameter.grad.any())
            is_own = {name: key.startswith(names) for name, names in own.items()}
            assert learns == (is_own[answer] or (not any(is_own.values()) and trunk in (None, answer))), key


def test_siggraph17_names_hints_that_do_not_fit() -> None:
    model = models.build("siggraph17")
    lightness = torch.zeros(1, 1, 16, 24)
    with pytest.raises(ValueError, match=r"hints: ab must have shape \(1, 2, 16, 24\), got \(1, 2, 8, 8\)"):
        model(lightness, (torch.zeros(1, 2, 8, 8), torch.zeros(1, 1, 16, 24)))
    with pytest.raises(ValueError, match=r"hints: mask must have shape \(1, 1, 16, 24\), got \(1, 2, 16, 24\)"):
        model(lightness, (torch.zeros(1, 2, 16, 24), torch.zeros(1, 2, 16, 24)))
    with pytest.raises(ValueError, match="height and width must be multiples of 8, got 20 x 24"):
        model(torch.zeros(1, 1, 20, 24))


@pytest.mark.parametrize("name", NAMES)
def test_state_dicts_that_nearly_fit(name: str) -> None:
    model = models.build(name)
    state = random_state(name)
    old = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    model.load_state_dict(old)  # from before torch counted batches
    assert torch.equal(model.state_dict()["model5.6.running_var"], state["model5.6.running_var"])
    assert int(model.state_dict()["model5.6.num_batches_tracked"]) == 0
    model.load_state_dict({**state, "model8.9.num_batches_tracked": torch.tensor(1)})
    assert int(model.state_dict()["model5.6.num_batches_tracked"]) == 7

    before = {k: v.clone() for k, v in model.state_dict().items()}
    broken = {k: v for k, v in old.items() if not k.startswith("model5.0")}
    broken |= {"module.x": torch.zeros(1), "model1.0.weight": torch.zeros(64, 3, 3, 3)}
    with pytest.raises(ValueError) as caught:
        model.load_state_dict(broken)
    assert "2 missing (model5.0.weight, model5.0.bias)" in str(caught.value)
    assert "1 unknown (module.x)" in str(caught.value)
    inputs = 1 if name == "eccv16" else 4
    assert f"1 of another shape (model1.0.weight (64, 3, 3, 3) in place of (64, {inputs}, 3, 3))" in str(caught.value)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())  # nothing half loaded


def test_the_other_networks_weights_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"weights: must be a state dict of SIGGRAPH17, got one with tensors \d+ missing"
    ):
        models.build("siggraph17").load_state_dict(random_state("eccv16"))
