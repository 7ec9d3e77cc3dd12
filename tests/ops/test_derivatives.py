"""Derivatives beyond the first backward pass: right, or refused in words; never zero without a word."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch._dynamo.testing
from torch import Tensor
from torch.autograd import forward_ad, gradgradcheck
from torch.utils.checkpoint import checkpoint

from fastcolor import Palette, ops, reference

pytestmark = pytest.mark.usefixtures("one_thread")

PALETTE = Palette(torch.randn(9, 2, generator=torch.Generator().manual_seed(0)) * 40)
AB = torch.randn(2, 2, 2, 3, generator=torch.Generator().manual_seed(1)) * 30
MASK = torch.tensor([1, 0, 1]).expand(2, 2, 3)


def loss(z: Tensor, module: object = ops, **options: object) -> Tensor:
    return module.rebalanced_cross_entropy(z, AB.to(z.device), palette=PALETTE, **options)


def decode(z: Tensor, module: object = ops, temperature: float = 0.5) -> Tensor:
    return module.annealed_mean(z, palette=PALETTE, temperature=temperature)


def to_lab(x: Tensor, module: object = ops, layout: str = "chw") -> Tensor:
    return module.rgb_to_lab(x, layout=layout)


def to_rgb(x: Tensor, module: object = ops, layout: str = "chw") -> Tensor:
    return module.lab_to_rgb(x, dtype=torch.float64, layout=layout)


def logits() -> Tensor:
    return torch.randn(2, 9, 2, 3, dtype=torch.float64)


def image() -> Tensor:
    return torch.rand(2, 3, 2, 3, dtype=torch.float64) * 0.9 + 0.05


def lab() -> Tensor:
    return reference.rgb_to_lab(image())


CASES: dict[str, tuple[Callable[..., Tensor], Callable[[], Tensor]]] = {
    "annealed_mean": (decode, logits),
    "annealed_mean at 0": (partial(decode, temperature=0.0), logits),
    "rgb_to_lab": (to_lab, image),
    "rgb_to_lab hwc": (partial(to_lab, layout="hwc"), lambda: image().movedim(1, -1).contiguous()),
    "lab_to_rgb": (to_rgb, lab),
    "lab_to_rgb hwc": (partial(to_rgb, layout="hwc"), lab),
    "loss": (loss, logits),
    "loss, focal, masked": (partial(loss, gamma=2.0, reduction="none", mask=MASK), logits),
    "loss, weighted": (partial(loss, class_weight=torch.linspace(0.5, 1.5, 9), reduction="weighted_mean"), logits),
}
each = pytest.mark.parametrize("name", CASES)


@each
def test_second_derivatives(device: torch.device, name: str) -> None:
    function, make = CASES[name]
    assert gradgradcheck(function, (make().to(device).requires_grad_(),))


@each
def test_a_gradient_penalty_beside_another_term(device: torch.device, name: str) -> None:
    """What is missing is missing without a word where another term has a second derivative."""
    function, make = CASES[name]
    results = []
    for module in (ops, reference):
        torch.manual_seed(0)
        x = make().to(device).requires_grad_()
        result = function(x, module=module)
        (grad,) = torch.autograd.grad((result * result).sum() + (x**3).sum(), x, create_graph=True)
        results.append(torch.autograd.grad(grad.square().sum(), x)[0])
    # The target's weights are float32.
    assert (results[0] - results[1]).abs().max() <= 1e-5 * results[1].abs().max() and results[0].abs().max() > 0


@each
def test_forward_derivatives(device: torch.device, name: str) -> None:
    function, make = CASES[name]
    x = make().to(device)
    tangent = torch.linspace(-1, 1, x.numel(), dtype=x.dtype, device=device).view_as(x)
    exact = torch.func.jvp(partial(function, module=reference), (x,), (tangent,))
    ours = torch.func.jvp(function, (x,), (tangent,))
    with forward_ad.dual_level():
        dual = forward_ad.unpack_dual(function(forward_ad.make_dual(x, tangent)))
    for got in (ours, dual):
        assert torch.allclose(got[0], exact[0]) and torch.allclose(got[1], exact[1])
    assert name == "annealed_mean at 0" or exact[1].abs().max() > 0


@each
def test_vmap_and_hessian(device: torch.device, name: str) -> None:
    function, make = CASES[name]
    x = torch.stack([make(), make()]).to(device).requires_grad_()
    mapped = torch.func.vmap(function)(x)
    one_by_one = torch.stack([function(row) for row in x])
    assert torch.allclose(mapped, one_by_one)
    upstream = torch.linspace(0.5, 1.5, mapped.numel(), dtype=mapped.dtype, device=device).view_as(mapped)
    grads = [torch.autograd.grad(result, x, upstream)[0] for result in (mapped, one_by_one)]
    assert torch.allclose(*grads)
    inside = torch.func.vmap(torch.func.grad(lambda z: function(z).sum()))(x.detach())
    assert torch.allclose(inside, torch.autograd.grad(function(x[0]).sum() + function(x[1]).sum(), x)[0])


@each
def test_hessian(name: str) -> None:
    function, make = CASES[name]
    x = make()[:1].detach() if name.startswith(("rgb", "lab")) else make()
    ours, exact = (torch.func.hessian(lambda z, m=m: function(z, module=m).sin().sum())(x) for m in (ops, reference))
    assert torch.allclose(ours, exact, rtol=1e-6, atol=1e-9)


@each
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints(device: torch.device, name: str, reentrant: bool) -> None:
    function, make = CASES[name]
    x = make().to(device).requires_grad_()
    checkpoint(lambda z: function(z * 1).sum(), x, use_reentrant=reentrant).backward()
    assert torch.equal(x.grad, torch.autograd.grad(function(x * 1).sum(), x)[0])


def test_the_average_over_time_has_the_derivative_of_its_formula(device: torch.device) -> None:
    luma, before = (torch.randint(0, 256, (1, 9, 11), dtype=torch.uint8, device=device) for _ in range(2))
    ab, previous = (torch.randn(1, 2, 9, 11, device=device, requires_grad=True) for _ in range(2))
    keep = torch.tensor([0.7], device=device, requires_grad=True)
    results = [m.temporal_average(ab, luma, previous, before, keep=keep) for m in (ops, reference)]
    grads = [torch.autograd.grad(result.square().sum(), (ab, previous, keep)) for result in results]
    for ours, exact in zip(*grads, strict=True):
        assert torch.equal(ours, exact) and ours.abs().max() > 0
    assert torch.allclose(
        results[0], ops.temporal_average(ab.detach(), luma, previous.detach(), before, keep=0.7), atol=1e-5
    )


@pytest.mark.parametrize("forward", [False, True])
def test_what_has_no_derivative_says_so(forward: bool) -> None:
    ab = torch.zeros(1, 2, 4, 4)
    with forward_ad.dual_level():
        ab = forward_ad.make_dual(ab, torch.ones_like(ab)) if forward else ab.requires_grad_()
        with pytest.raises(
            ValueError, match=r"ab: must not want a derivative, the loss has none for it; pass ab.detach"
        ):
            ops.rebalanced_cross_entropy(torch.zeros(1, 313, 4, 4), ab)
        with pytest.raises(ValueError, match="ab: must not want a derivative, encode_bins has none"):
            ops.encode_bins(ab)
        with pytest.raises(ValueError, match="gamut: must be 'clip' when lab requires a gradient"):
            ops.lab_to_rgb(torch.cat([ab, ab[:, :1]], 1), dtype=torch.float32, gamut="chroma")
    with torch.no_grad():
        ops.encode_bins(torch.zeros(1, 2, 4, 4, requires_grad=True))


def test_the_loss_in_place_refuses_a_second_derivative(device: torch.device) -> None:
    z = torch.randn(1, 313, 2, 2, device=device, requires_grad=True)
    total = ops.rebalanced_cross_entropy(z * 1, torch.zeros(1, 2, 2, 2, device=device), inplace=True)
    with pytest.raises(RuntimeError, match="a second derivative needs the logits, which inplace=True has overwritten"):
        torch.autograd.grad(total, z, create_graph=True)


# ---- compilers: free sizes and batches ----


def sizes() -> list[tuple[int, int, int]]:
    return [(2, 18, 19), (3, 20, 27), (5, 32, 24), (4, 26, 33), (7, 17, 25)]


def compiled_calls() -> dict[str, Callable[[int, int, int], Tensor]]:
    film = {"subsampling": "420", "matrix": "bt709", "full_range": False}

    def codes(*shape: int) -> Tensor:
        return torch.randint(0, 256, shape, dtype=torch.uint8)

    return {
        "loss": lambda n, h, w: (ops.rebalanced_cross_entropy, (torch.randn(n, 313, h, w).requires_grad_(),
                                                                torch.randn(n, 2, h, w) * 40), {}),
        "loss, masked": lambda n, h, w: (ops.rebalanced_cross_entropy,
                                         (torch.randn(n, 313, h, w).half().requires_grad_(), torch.randn(n, 2, h, w)),
                                         {"mask": torch.ones(n, h, w), "reduction": "weighted_mean"}),
        "annealed_mean": lambda n, h, w: (ops.annealed_mean, (torch.randn(n, 313, h, w).requires_grad_(),), {}),
        "paint_rgb": lambda n, h, w: (ops.paint_rgb, (torch.randn(n, 2, 4, 5), codes(n, h, w)), {}),
        "paint_chroma": lambda n, h, w: (ops.paint_chroma, (torch.randn(n, 2, 4, 5), codes(n, h, w)), film),
        "rgb_to_lab": lambda n, h, w: (ops.rgb_to_lab, (torch.rand(n, 3, h, w).requires_grad_(),), {}),
        "lab_to_rgb": lambda n, h, w: (ops.lab_to_rgb, (torch.rand(n, 3, h, w) * 50,), {"dtype": torch.float32}),
        "encode_bins": lambda n, h, w: (ops.encode_bins, (torch.randn(n, 2, h, w) * 40,), {}),
        "luma_to_input": lambda n, h, w: (ops.luma_to_input, (codes(n, h, w), (4, 4)), {}),
        "temporal_average": lambda n, h, w: (ops.temporal_average, (torch.randn(n, 2, h, w), codes(n, h, w),
                                                                    torch.randn(n, 2, h, w), codes(n, h, w)), {}),
    }  # fmt: skip


@pytest.mark.parametrize("name", compiled_calls())
def test_two_compilations_serve_all_sizes_and_batches(name: str) -> None:
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    torch._dynamo.reset()
    make = compiled_calls()[name]
    compiled = torch.compile(make(2, 8, 8)[0], backend=counter, fullgraph=True)
    for size in sizes():
        function, inputs, options = make(*size)
        ours, expected = (f(*inputs, **options) for f in (compiled, function))
        for a, b in zip(*((r,) if isinstance(r, Tensor) else r for r in (ours, expected)), strict=True):
            assert torch.allclose(a.float(), b.float(), equal_nan=True)
        if isinstance(ours, Tensor) and ours.requires_grad:
            ours.sum().backward()
    assert counter.frame_count <= 2


@pytest.mark.parametrize("name", compiled_calls())
def test_export_with_free_sizes_and_batches(name: str) -> None:
    function, inputs, options = compiled_calls()[name](4, 16, 24)

    class Module(torch.nn.Module):
        def forward(self, *tensors: Tensor) -> Tensor:
            return function(*tensors, *inputs[len(tensors) :], **kept)

    kept = {k: v for k, v in options.items() if not isinstance(v, Tensor)}
    tensors = tuple(t.detach() for t in inputs if isinstance(t, Tensor))
    free = torch.export.Dim.AUTO
    shapes = tuple({0: free, t.dim() - 2: free, t.dim() - 1: free} for t in tensors)
    program = torch.export.export(Module(), tensors, dynamic_shapes=(shapes,))
    _, other, _ = compiled_calls()[name](3, 10, 12)
    other = tuple(t.detach() for t in other if isinstance(t, Tensor))
    ours, expected = program.module()(*other), Module()(*other)
    for a, b in zip(*((r,) if isinstance(r, Tensor) else r for r in (ours, expected)), strict=True):
        assert torch.allclose(a.float(), b.float(), equal_nan=True)
