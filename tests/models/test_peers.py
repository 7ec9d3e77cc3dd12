"""The published networks against numbers of the original code, which ran with weights that a recipe makes.

`published/` holds every network's keys and shapes, the recipe, and what the originals computed: outputs, and results in
their midst. The bounds are about three times how far the originals in float32 are from themselves in float64.
"""

from __future__ import annotations

import copy
import functools
import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from published import weights_recipe as recipe
from torch import Tensor, nn

from bench.deoldify_film import DeOldifyFilm
from fastcolor import models
from fastcolor.engines.onnx import OnnxEngine
from fastcolor.engines.parity import BOUNDS
from fastcolor.engines.tracing import to_onnx
from fastcolor.models import download, layers, weights
from fastcolor.models.deoldify import SelfAttention
from fastcolor.models.generator import Generator

HERE = Path(__file__).parent / "published"
# The network's name there, ours, the bound, and what the network itself takes of a picture in [0, 1].
NETWORKS = {
    "eccv16": ("eccv16", 1e-2, lambda x: 100 * x),
    "siggraph17": ("siggraph17", 4e-3, lambda x: 100 * x),
    "ddcolor-tiny": ("ddcolor-tiny", 3e-4, lambda x: x),
    "ddcolor-large": ("ddcolor", 3e-4, lambda x: x),
    "deoldify-artistic": ("deoldify", 3e-5, lambda x: imagenet(x)),
    "deoldify-wide": ("deoldify-wide", 3e-5, lambda x: imagenet(x)),
}
LARGE = ("ddcolor-large", "deoldify-wide")  # 0.9 GB each, a minute or two: `make test-large`
ELSEWHERE = {("siggraph17", "model_out")}  # whose end, a tanh, is not in that module of ours
every_network = pytest.mark.parametrize("name", NETWORKS)


def imagenet(x: Tensor) -> Tensor:
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (layers.IMAGENET_MEAN, layers.IMAGENET_STD))
    return (x - mean) / std


@pytest.fixture(scope="module")
def published() -> dict[str, nn.Module]:
    """Each network with the recipe's weights, made once."""
    return {}


def network(name: str, published: dict[str, nn.Module]) -> nn.Module:
    if name in LARGE and os.environ.get("FASTCOLOR_LARGE") != "1":
        pytest.skip("FASTCOLOR_LARGE=1 runs the large networks")
    if name not in published:
        if name in LARGE:
            published.clear()
        with torch.device("meta"):
            built = models.build(NETWORKS[name][0])
        net = getattr(built, "network", built)
        state = {key: torch.from_numpy(value) for key, value in recipe.state(HERE / f"{name}.json").items()}
        assert {key: value.shape for key, value in state.items()} == {k: v.shape for k, v in net.state_dict().items()}
        net.load_state_dict(state, assign=True)
        published[name] = net.eval()
    return published[name]


def cases(name: str) -> list[dict]:
    return json.loads((HERE / f"{name}.vectors.json").read_text())["cases"]


def farthest(output: Tensor, expected: dict) -> float:
    if list(output.shape) != expected["shape"]:
        output = output.transpose(0, 1)  # the original's queries come before the pictures
    assert list(output.shape) == expected["shape"]
    values = output.detach().reshape(-1).numpy()
    return float(np.abs(values[recipe.positions(len(expected["values"]), values.size)] - expected["values"]).max())


@every_network
def test_keys_and_shapes_are_the_published_ones_in_their_order(name: str) -> None:
    shapes = json.loads((HERE / f"{name}.json").read_text())
    with torch.device("meta"):
        built = models.build(NETWORKS[name][0])
    net = getattr(built, "network", built)
    own = {key: [list(value.shape), str(value.dtype).removeprefix("torch.")] for key, value in net.state_dict().items()}
    assert own == shapes["keys"]
    if built is not net:  # eccv16 and siggraph17 came first
        assert list(own) == list(shapes["keys"])


@every_network
def test_outputs_are_the_originals(name: str, published: dict[str, nn.Module]) -> None:
    net = network(name, published)
    for case in cases(name):
        wanted = case["input"]
        picture = recipe.picture(*(wanted[key] for key in ("channels", "height", "width", "shift")))
        seen: dict[str, Tensor] = {}
        hooks = [
            module.register_forward_hook(lambda _, __, out, key=key, seen=seen: seen.setdefault(key, out.clone()))
            for key, module in net.named_modules()
            if key in case["stages"] and (name, key) not in ELSEWHERE
        ]
        with torch.no_grad():
            run = net.ab if name == "eccv16" else net  # whose own output is logits
            output = run(NETWORKS[name][2](torch.from_numpy(picture)[None]))
        for hook in hooks:
            hook.remove()
        assert farthest(output, case["output"]) < NETWORKS[name][1], wanted
        for key in seen:
            scale = max(1.0, abs(case["stages"][key]["mean"]) + case["stages"][key]["std"])
            assert farthest(seen[key], case["stages"][key]) < 1e-3 * scale, key


def test_the_benchmark_paints_as_deoldifys_own_code(published: dict[str, nn.Module]) -> None:
    demo = json.loads((HERE / "deoldify-artistic.vectors.json").read_text())["demo"]["result"]
    rgb = np.rint(255 * recipe.picture(3, 120, 160, 2)).clip(0, 255).astype(np.uint8).transpose(1, 2, 0).copy()
    painted = np.asarray(DeOldifyFilm(network("deoldify-artistic", published), 128).paint(Image.fromarray(rgb)), int)
    values = painted.reshape(-1)[recipe.positions(len(demo["values"]), painted.size)]
    assert np.abs(values - demo["values"]).max() <= 1  # of other versions of OpenCV and Pillow


@every_network
def test_every_tensor_matters(name: str, published: dict[str, nn.Module]) -> None:
    """No key is loaded and then left unused but those of which the published networks make no use either."""
    if name in LARGE:
        pytest.skip("as its small sister")
    net = network(name, published)
    unused = {"ddcolor-tiny": ("encoder.arch.norm.",), "siggraph17": ("model_class.",), "eccv16": ("model_out.",)}
    net.requires_grad_(True)
    picture = torch.from_numpy(recipe.picture(1 if name in ("eccv16", "siggraph17") else 3, 64, 64))[None]
    net(NETWORKS[name][2](picture)).square().mean().backward()
    for key, parameter in net.named_parameters():
        if key.startswith(unused.get(name, ("-",))):
            continue
        assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0, key
    net.zero_grad(set_to_none=True)
    net.requires_grad_(False)


@pytest.mark.parametrize("name", ["ddcolor-tiny", "deoldify-artistic"])
def test_folded_for_inference_it_is_the_same(name: str, published: dict[str, nn.Module]) -> None:
    net = network(name, published)
    folded = layers.fold_batch_norm(copy.deepcopy(net))
    assert not any(key.endswith(("weight_orig", "weight_g")) for key in folded.state_dict())
    x = NETWORKS[name][2](torch.from_numpy(recipe.picture(3, 64, 96))[None])
    with torch.no_grad():
        assert float((folded(x) - net(x)).abs().max()) < NETWORKS[name][1]


@pytest.mark.skipif(os.environ.get("FASTCOLOR_LARGE") != "1", reason="FASTCOLOR_LARGE=1 exports whole networks")
@pytest.mark.parametrize("name", ["ddcolor-tiny", "deoldify-artistic", *LARGE])
def test_exported_whole_it_is_the_same_at_any_size(name: str, published: dict[str, nn.Module]) -> None:
    """In ONNX Runtime, at sizes that it was not traced at."""
    with torch.device("meta"):
        generator = models.build(NETWORKS[name][0])
    generator.network = network(name, published)
    given = Generator.of(generator.eval(), NETWORKS[name][0], {}, None, temperature=1.0, size=512)
    exported = OnnxEngine(to_onnx(given, "fp32"))
    for count, height, width in ((1, 96, 160), (2, 192, 128)):
        lightness = 100 * torch.stack([torch.from_numpy(recipe.picture(1, height, width, i)) for i in range(count)])
        with torch.no_grad():
            expected = generator(lightness)
        found = exported(lightness)
        relative = float((found - expected).norm() / expected.norm())
        print(f"{name}, {count} of {height} x {width}: relative error {relative:.1e}")
        assert found.shape == expected.shape and relative <= BOUNDS["fp32"][0]


@pytest.mark.parametrize("name", ["ddcolor-tiny", "deoldify-artistic"])
def test_lightness_in_lab_units_out(name: str, published: dict[str, nn.Module]) -> None:
    """The generator around it shows the network the gray picture and leaves its lightness alone."""
    net = network(name, published)
    generator = models.build(NETWORKS[name][0])
    generator.network = net
    lightness = 100 * torch.from_numpy(recipe.picture(1, 64, 96))[None]
    with torch.no_grad():
        ab = generator.eval()(lightness)
        gray = layers.gray_of(lightness).expand(-1, 3, -1, -1)
        direct = net(NETWORKS[name][2](gray))
    assert ab.shape == (1, 2, 64, 96) and float(ab.std()) > 1
    if name == "ddcolor-tiny":
        assert torch.equal(ab, direct)
    with pytest.raises(ValueError, match="multiples of 32"):
        generator(torch.zeros(1, 1, 64, 65))


@pytest.mark.parametrize("name", ["ddcolor-tiny", "deoldify-artistic"])
def test_a_published_file_colours_a_picture(name: str, published: dict[str, nn.Module], tmp_path: Path) -> None:
    """As the files lie on the web: DDColor's state under "params" with further keys, DeOldify's beside an optimiser in
    torch's old format."""
    net = network(name, published)
    path = tmp_path / "published.pth"
    if name == "ddcolor-tiny":
        torch.save({"params": {**net.state_dict(), "more": torch.zeros(1)}}, path)
    else:
        held = {
            "model": net.state_dict(),
            "opt": {"lr": slice(1e-5, 1e-3), "func": functools.partial(torch.optim.Adam)},
        }
        torch.save(held, path, _use_new_zipfile_serialization=False)
    generator = weights.load(path)
    assert (generator.name, generator.kind) == (NETWORKS[name][0], "regressor")
    assert generator.size == {"ddcolor-tiny": 512, "deoldify-artistic": 560}[name]
    x = torch.from_numpy(recipe.picture(1, 64, 96))[None] * 100
    with torch.no_grad():
        direct = net(NETWORKS[name][2](layers.gray_of(x).expand(-1, 3, -1, -1)))
        ab = generator.model(x)
    assert ab.shape == (1, 2, 64, 96)
    if name == "ddcolor-tiny":
        assert torch.equal(ab, direct)
    state = dict(net.state_dict())
    del state[next(key for key in state if key.endswith("weight_u"))]
    torch.save(state, path)
    with pytest.raises(ValueError, match=f"does not fit the network {NETWORKS[name][0]} .*1 missing"):
        weights.load(path)


def test_names_without_a_stated_hash_are_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCOLOR_HOME", str(tmp_path))
    with pytest.raises(
        download.DownloadError, match=r"ddcolor-tiny cannot be downloaded: no SHA-256 .* put it at .*tiny"
    ):
        weights.load("ddcolor-tiny")


def test_deoldifys_attention_is_exported(tmp_path: Path) -> None:
    """The one part of the published networks that is of no common kind, with free height and width."""
    torch.manual_seed(0)
    attention = SelfAttention(16).eval().requires_grad_(False)
    attention.gamma.fill_(0.7)
    side = torch.export.Dim("side")
    file = tmp_path / "attention.onnx"
    torch.onnx.export(
        attention,
        (torch.randn(2, 16, 8, 6),),
        file,
        dynamo=True,
        opset_version=20,
        dynamic_shapes=({2: side},),
        verbose=False,
    )
    x = torch.randn(2, 16, 5, 6)
    session = onnxruntime.InferenceSession(file)
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), attention(x), atol=1e-5, rtol=1e-4)
    pixels = x.flatten(2)
    query, key, value = (layer(pixels) for layer in (attention.query, attention.key, attention.value))
    weight = (query.transpose(1, 2) @ key).softmax(1)  # over the queries
    torch.testing.assert_close(attention(x), x + 0.7 * (value @ weight).reshape(x.shape))
