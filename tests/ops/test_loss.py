"""rebalanced_cross_entropy, forward and backward, against the float64 reference."""

from __future__ import annotations

import math
import threading

import pytest
import torch
from op_results import GRADIENT_STEP
from torch import Tensor
from torch.autograd import gradcheck

from fastcolor import Palette, ops, reference


def case(
    shape: tuple[int, int, int], dtype: torch.dtype, device: torch.device, bins: int = 313
) -> tuple[Tensor, Tensor]:
    n, h, w = shape
    return (torch.randn(n, bins, h, w, device=device) * 3).to(dtype), torch.randn(n, 2, h, w, device=device) * 40


def run(function: object, logits: Tensor, ab: Tensor, **options: object) -> tuple[Tensor, Tensor]:
    """(loss, gradient) with a reproducible upstream gradient."""
    leaf = logits.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    loss = function(leaf * 1, ab, **options)
    upstream = torch.linspace(0.5, 1.5, max(loss.numel(), 1), device=loss.device).to(loss.dtype)[: loss.numel()]
    loss.backward(upstream.view(loss.shape))
    return loss.detach(), leaf.grad


def assert_close(logits: Tensor, ab: Tensor, **options: object) -> None:
    loss, grad = run(ops.rebalanced_cross_entropy, logits, ab, **options)
    exact, exact_grad = run(reference.rebalanced_cross_entropy, logits.double(), ab, **options)
    assert grad.dtype == logits.dtype and loss.dtype == (
        torch.float64 if logits.dtype == torch.float64 else torch.float32
    )
    assert torch.allclose(loss.double(), exact, rtol=3e-6, atol=3e-6)
    largest = float(exact_grad.abs().max()) if exact_grad.numel() else 0.0
    assert torch.allclose(grad.double(), exact_grad, rtol=0, atol=GRADIENT_STEP[logits.dtype] * largest)


@pytest.mark.parametrize("dtype", list(GRADIENT_STEP))
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("shape", [(2, 33, 17), (1, 1, 1), (3, 16, 40)])
def test_shapes_dtypes_layouts(device: torch.device, dtype: torch.dtype, channels_last: bool, shape: tuple) -> None:
    logits, ab = case(shape, dtype, device)
    if channels_last:
        logits = logits.to(memory_format=torch.channels_last)
    mask = torch.rand(shape, device=device) > 0.3
    weight = torch.rand(313, device=device) + 0.5
    for reduction in ("mean", "sum", "none"):
        assert_close(logits, ab, reduction=reduction, class_weight=weight, mask=mask)
        assert_close(logits, ab, reduction=reduction, gamma=2.0)
    assert_close(logits, ab)
    assert_close(logits, ab, inplace=True)
    if bool(mask.any()):
        assert_close(logits, ab, reduction="weighted_mean", class_weight=weight, mask=mask, gamma=1.5)


@pytest.mark.parametrize(("bins", "neighbours"), [(8, 3), (16, 5), (100, 10), (317, 5), (600, 16)])
def test_other_palettes(device: torch.device, bins: int, neighbours: int) -> None:
    palette = Palette(torch.randn(bins, 2) * 40)
    logits, ab = case((2, 9, 31), torch.float32, device, bins)
    for memory in (torch.contiguous_format, torch.channels_last):
        options = {"palette": palette, "neighbours": neighbours, "sigma": 7.0}
        assert_close(logits.to(memory_format=memory), ab, **options)
        assert_close(logits.to(memory_format=memory), ab, reduction="weighted_mean", **options)


def test_large_logits_keep_their_precision(device: torch.device) -> None:
    logits, ab = case((1, 8, 8), torch.float32, device)
    assert_close(logits * 30 + 500, ab)
    assert_close(logits.double() * 1e4, ab)


def test_gradcheck(device: torch.device) -> None:
    palette = Palette(torch.randn(12, 2) * 40)
    logits, ab = case((2, 2, 3), torch.float64, device, 12)
    mask = torch.tensor([1, 0, 1], device=device).expand(2, 2, 3)
    for options in ({}, {"gamma": 2.0}, {"reduction": "none", "mask": mask}, {"reduction": "weighted_mean"}):
        for memory in (torch.contiguous_format, torch.channels_last):
            z = logits.to(memory_format=memory).requires_grad_()
            assert gradcheck(lambda z, o=options: ops.rebalanced_cross_entropy(z, ab, palette=palette, **o), (z,))


def test_gamma_zero_is_cross_entropy_with_torch(device: torch.device) -> None:
    """On bin centres with a narrow Gaussian the soft target is one bin: F.cross_entropy."""
    target = torch.randint(0, 313, (2, 5, 6), device=device)
    ab = Palette.grid().points.to(device)[target].permute(0, 3, 1, 2)
    logits, _ = case((2, 5, 6), torch.float32, device)
    weight = torch.rand(313, device=device) + 0.5
    ours = ops.rebalanced_cross_entropy(logits, ab, sigma=0.5, class_weight=weight, reduction="weighted_mean")
    assert torch.allclose(ours, torch.nn.functional.cross_entropy(logits, target, weight=weight), rtol=1e-5)


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_masked_pixel_counts_for_nothing_whatever_it_holds(device: torch.device, channels_last: bool) -> None:
    logits, ab = case((1, 4, 5), torch.float32, device)
    if channels_last:
        logits = logits.to(memory_format=torch.channels_last)
    mask = torch.ones(1, 4, 5, device=device)
    mask[0, 1, 2] = mask[0, 3, 4] = 0
    clean, clean_grad = run(ops.rebalanced_cross_entropy, logits, ab, mask=mask)
    logits[0, :, 1, 2], ab[0, :, 3, 4] = float("nan"), float("nan")
    logits[0, 7, 3, 4] = float("inf")
    loss, grad = run(ops.rebalanced_cross_entropy, logits, ab, mask=mask)
    assert torch.equal(loss, clean) and torch.equal(grad, clean_grad)
    assert not grad[0, :, 1, 2].any() and not grad[0, :, 3, 4].any()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("channels_last", [False, True])
def test_non_finite_values_give_a_non_finite_loss(device: torch.device, value: float, channels_last: bool) -> None:
    logits, ab = case((1, 3, 3), torch.float32, device)
    if channels_last:
        logits = logits.to(memory_format=torch.channels_last)
    ab[0, :, 0, 0] = 0
    spoilt = logits.clone()
    spoilt[0, 120, 0, 0] = value  # the bin of (0, 0): its log-probability enters the loss
    assert not ops.rebalanced_cross_entropy(spoilt, ab).isfinite()
    if value != float("-inf"):
        spoilt = logits.clone()
        spoilt[0, 5, 0, 0] = value
        assert not ops.rebalanced_cross_entropy(spoilt, ab).isfinite()
    ab[0, 1, 2, 2] = value
    assert not ops.rebalanced_cross_entropy(logits, ab).isfinite()


def test_inplace_writes_the_gradient_over_the_logits(device: torch.device) -> None:
    logits, ab = case((2, 8, 9), torch.float32, device)
    expected = run(ops.rebalanced_cross_entropy, logits, ab)[1]
    leaf = logits.clone().requires_grad_()
    z = leaf * 1
    loss = ops.rebalanced_cross_entropy(z, ab, inplace=True)
    storage = z.data_ptr()
    loss.backward(torch.full_like(loss, 0.5))
    assert z.data_ptr() == storage and torch.allclose(leaf.grad, expected, atol=1e-9)
    spoilt = leaf * 1
    product = (spoilt * spoilt).sum()  # keeps the logits for its own backward pass
    ops.rebalanced_cross_entropy(spoilt, ab, inplace=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.backward()


def test_a_kept_graph_can_run_twice(device: torch.device) -> None:
    logits, ab = case((1, 5, 5), torch.float32, device)
    logits.requires_grad_()
    loss = ops.rebalanced_cross_entropy(logits * 1, ab) * 3
    first = torch.autograd.grad(loss, logits, retain_graph=True)[0]
    second = torch.autograd.grad(loss, logits)[0]
    assert torch.equal(first, second) and torch.allclose(first, run(ops.rebalanced_cross_entropy, logits, ab)[1] * 6)


def test_strides_and_empty_batches(device: torch.device) -> None:
    logits, ab = case((2, 12, 14), torch.float32, device)
    sliced = logits[:, :, ::2, 1::3]
    expected = ops.rebalanced_cross_entropy(sliced.contiguous(), ab[:, :, ::2, 1::3])
    assert torch.equal(ops.rebalanced_cross_entropy(sliced, ab[:, :, ::2, 1::3]), expected)
    empty = logits[:0].requires_grad_()
    total = ops.rebalanced_cross_entropy(empty * 1, ab[:0], reduction="sum")
    total.backward()
    assert total.item() == 0 and empty.grad.shape == empty.shape
    assert ops.rebalanced_cross_entropy(empty, ab[:0]).isnan()  # as torch's own losses have it


def test_same_result_on_any_number_of_threads() -> None:
    logits, ab = case((4, 40, 40), torch.float32, torch.device("cpu"))
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(run(ops.rebalanced_cross_entropy, logits, ab))
    finally:
        torch.set_num_threads(threads)
    for loss, grad in results[1:]:
        assert torch.equal(loss, results[0][0]) and torch.equal(grad, results[0][1])


def test_two_python_threads_at_once() -> None:
    cases = [case((2, 20, 21), torch.float32, torch.device("cpu")) for _ in range(2)]
    expected = [run(ops.rebalanced_cross_entropy, *c)[1] for c in cases]
    failures = []

    def work(i: int) -> None:
        for _ in range(30):
            if not torch.equal(run(ops.rebalanced_cross_entropy, *cases[i])[1], expected[i]):
                failures.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not failures


def test_more_than_two_billion_logits_in_place(device: torch.device) -> None:
    """(1, 313, 2200, 3200) bfloat16 is 2.2e9 elements, 4.4 GB: an index of 32 bits would wrap."""
    if device.type == "cuda" and torch.cuda.get_device_properties(device).total_memory < 8e9:
        pytest.skip("needs a GPU of 8 GB")
    logits = torch.zeros(1, 313, 2200, 3200, dtype=torch.bfloat16, device=device)
    logits[0, 120, -1, -1] = 30
    logits.requires_grad_()
    ab = torch.zeros(1, 2, 2200, 3200, device=device)
    loss = ops.rebalanced_cross_entropy(logits, ab, reduction="none", inplace=True).detach()
    assert float(loss[0, -1, -1]) > 9  # four of five target bins have no probability left
    assert float(loss[0, -1, -2]) == pytest.approx(5.746, abs=1e-3)
    last = logits.detach()[0, :, -1, -1].float()
    _, weight = ops.encode_bins(ab[:, :, :1, :1])
    assert float(last[120]) == pytest.approx(1 - float(weight[0, 0]), abs=1e-2)
    assert float(logits.detach()[0, 312, 0, 0]) == pytest.approx(1 / 313, rel=1e-2)


def test_opcheck_and_compile(device: torch.device) -> None:
    logits, ab = case((1, 6, 7), torch.float32, device)
    arguments = (logits.requires_grad_(), ab, Palette.grid().key, None, None, 5, 5.0, 0.0, "mean", True)
    torch.library.opcheck(torch.ops.fastcolor.loss.default, arguments)
    expected = run(ops.rebalanced_cross_entropy, logits, ab, gamma=2.0)
    compiled = torch.compile(ops.rebalanced_cross_entropy, fullgraph=True, backend="aot_eager")
    loss, grad = run(compiled, logits, ab, gamma=2.0)
    assert torch.allclose(loss, expected[0]) and torch.allclose(grad, expected[1], atol=1e-9)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"logits": torch.zeros(1, 300, 4, 4)}, ValueError, r"logits: must have shape \(N, 313, H, W\)"),
        ({"logits": torch.zeros(1, 313, 4, 4, dtype=torch.int32)}, TypeError, "logits: must be one of float32"),
        ({"ab": torch.zeros(1, 2, 4, 5)}, ValueError, r"ab: must have shape \(1, 2, 4, 4\), got \(1, 2, 4, 5\)"),
        (
            {"reduction": "average"},
            ValueError,
            "reduction: must be one of mean, sum, weighted_mean, none, got 'average'",
        ),
        ({"gamma": -1.0}, ValueError, "gamma: must be finite and not negative, got -1.0"),
        ({"class_weight": torch.ones(300)}, ValueError, r"class_weight: must have shape \(313,\), got \(300,\)"),
        ({"mask": torch.ones(1, 4)}, ValueError, r"mask: must have shape \(1, 4, 4\)"),
        ({"neighbours": 0}, ValueError, "neighbours: must be an integer in 1..16, got 0"),
    ],
)
def test_bad_input(change: dict, error: type[Exception], words: str) -> None:
    arguments = {"logits": torch.zeros(1, 313, 4, 4), "ab": torch.zeros(1, 2, 4, 4), **change}
    with pytest.raises(error, match=words):
        ops.rebalanced_cross_entropy(arguments.pop("logits"), arguments.pop("ab"), **arguments)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_lowest_logits(device: torch.device, layout: torch.memory_format) -> None:
    ab = torch.zeros(1, 2, 3, 5, device=device)
    for dtype, lowest in ((torch.float32, torch.finfo(torch.float32).min), (torch.float64, -1e39)):
        logits = torch.full((1, 313, 3, 5), lowest, dtype=dtype, device=device).contiguous(memory_format=layout)
        loss = ops.rebalanced_cross_entropy(logits, ab)
        assert math.isclose(loss.item(), math.log(313), rel_tol=1e-5)
    assert not math.isfinite(ops.rebalanced_cross_entropy(torch.full_like(logits, -math.inf), ab).item())


def test_a_kept_gradient_is_the_callers_own(device: torch.device) -> None:
    logits = torch.randn(1, 313, 4, 4, device=device, requires_grad=True)
    loss = ops.rebalanced_cross_entropy(logits, torch.zeros(1, 2, 4, 4, device=device), reduction="sum")
    loss.backward(retain_graph=True)
    first = logits.grad.clone()
    logits.grad.zero_()  # must not reach what the graph keeps
    loss.backward()
    assert torch.equal(logits.grad, first)


def test_inplace_runs_backward_once(device: torch.device) -> None:
    logits = torch.randn(1, 313, 2, 2, device=device, requires_grad=True)
    loss = 2 * ops.rebalanced_cross_entropy(logits * 1, torch.zeros(1, 2, 2, 2, device=device), inplace=True)
    loss.backward()
    with pytest.raises(RuntimeError, match="second"):
        loss.backward()


def test_float16_gradients_survive_a_grad_scaler(device: torch.device) -> None:
    """Divided by 32,768 pixels before the scaler's factor, most of them would be 0 in float16."""
    logits = torch.randn(8, 313, 64, 64, device=device).half().requires_grad_()
    ab = 20 * torch.randn(8, 2, 64, 64, device=device)
    for reduction in ("mean", "weighted_mean"):
        loss = ops.rebalanced_cross_entropy(logits, ab, reduction=reduction)
        (gradient,) = torch.autograd.grad(loss * 65536, logits)
        exact = logits.detach().float().requires_grad_()
        (expected,) = torch.autograd.grad(ops.rebalanced_cross_entropy(exact, ab, reduction=reduction) * 65536, exact)
        assert (gradient.float() - expected).norm() < 1e-3 * expected.norm()
