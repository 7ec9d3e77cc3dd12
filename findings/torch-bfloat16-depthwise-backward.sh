#!/bin/sh
# In bfloat16, torch's backward pass of many depthwise convolutions on a CPU takes many times as long as in float32.
#
# Versions: torch 2.13.0, its wheel for CPUs, on a processor with bfloat16 instructions (AVX512_BF16; seen on an AMD EPYC).
# Expected: bfloat16 moves half the bytes, so a step of training under torch.autocast takes no longer than in float32; for 3x3
#   filters of stride 1 and for every forward pass that holds.
# What happens: the gradient of the input of a strided filter, and that of the weights of any 5x5 filter, take several times to
#   fifty times as long in bfloat16. torch.autocast says nothing; the profiler shows it under aten::convolution_backward alone.
# Who meets it: who trains EfficientNet, MobileNetV3 or their like on a CPU with autocast, which pads in front of the strided
#   convolution as TensorFlow does: half of all time goes there. Strided ones in float32, and 5x5 filters frozen, are ways out.
# Seen here, one thread, least of five (slower by a factor of at least):
#   3x3, stride 1: forward as fast, input as fast, weight as fast
#   3x3, stride 2: forward as fast, input over 4 times, weight as fast
#   5x5, stride 1: forward as fast, input as fast, weight over 2 times
#   5x5, stride 2: forward as fast, input over 4 times, weight over 2 times
set -eu
grep -q avx512_bf16 /proc/cpuinfo || { echo "needs a processor with bfloat16 instructions"; exit 0; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5
cat > "$folder/backward.py" <<'PYTHON'
import time

import torch
from torch.nn.functional import conv2d

torch.set_num_threads(1)


def least(work):
    work()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def times(kernel, stride, dtype):
    """Of the forward pass and of the gradients of input and weight: 32 maps of 240 channels, 16 x 16, and their border."""
    padding = kernel // 2 if stride == 1 else 0
    side = 16 if stride == 1 else 16 + kernel - 2
    x = torch.randn(32, 240, side, side, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(240, 1, kernel, kernel, dtype=dtype)
    y = conv2d(x, weight, None, stride, padding, 1, 240)
    g = torch.randn_like(y)

    def back(mask):
        sizes = [stride] * 2, [padding] * 2, [1, 1]
        return torch.ops.aten.convolution_backward(g, x, weight, None, *sizes, False, [0, 0], 240, mask)

    works = (lambda: conv2d(x, weight, None, stride, padding, 1, 240),
             lambda: back([True, False, False]), lambda: back([False, True, False]))
    return [least(work) for work in works]


for kernel in (3, 5):
    for stride in (1, 2):
        half, full = (times(kernel, stride, dtype) for dtype in (torch.bfloat16, torch.float32))
        words = []
        for part, a, b, much in zip(("forward", "input", "weight"), half, full, (4, 4, 2)):
            words.append(f"{part} over {much} times" if a > much * b else f"{part} as fast")
        print(f"{kernel}x{kernel}, stride {stride}: " + ", ".join(words), flush=True)
PYTHON
"$folder/venv/bin/python" "$folder/backward.py" | tee "$folder/seen"
sed -n 's/^#   \([0-9]x[0-9], stride\)/\1/p' "$0" > "$folder/wanted"
cmp "$folder/seen" "$folder/wanted"
