"""Several processes take the step that one takes with all their pictures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fastcolor.training import checkpoints, processes
from fastcolor.training.processes import join

# Two stages of a network and a discriminator without BatchNorm: distances alone, then with the discriminator. A batch
# in two halves is rounded otherwise than a whole one, and steps enlarge that: so they are few, and Adam's epsilon is
# large, lest gradients near zero become steps of full length.
RUN = """
from fastcolor.training.presets import Optimiser, Stage, Preset, L2, Gan, View
from fastcolor.training.train import train

view = View(64, 0.6, 1.0)
preset = Preset(
    "resnet-unet", 2,
    (
        Stage(0.5, 2, view, (L2(),), Optimiser(3e-4, epsilon=1e-2)),
        Stage(1.0, 2, view, (Gan(), L2(10.0)), Optimiser(3e-4, betas=(0.5, 0.999), epsilon=1e-2)),
    ),
    discriminator_options={"spectral_norm": True, "channels": 8},
)
train(DATA, preset, OUT, batch_size=BATCH, precision="fp32", workers=0, device="cpu")
"""


def run_in_two(data: Path, out: Path, batch_size: int) -> None:
    """Two processes, started as a user does."""
    script = out.with_suffix(".py")
    script.write_text(f"DATA, OUT, BATCH = {str(data)!r}, {str(out)!r}, {batch_size}\n{RUN}")
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stderr[-3000:]


def run(data: Path, out: Path, batch_size: int) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        exec(RUN, {"DATA": data, "OUT": out, "BATCH": batch_size})
    finally:
        torch.set_num_threads(threads)


def losses(out: Path) -> list[list[float]]:
    lines = (out / "log.jsonl").read_text().splitlines()
    return [[e[k] for k in ("loss", "l2", "gan", "discriminator") if k in e] for e in map(json.loads, lines)]


def test_two_processes_give_the_weights_of_one_with_the_double_batch(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for i in range(8):
        noise = np.random.default_rng(i).integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((90, 80), Image.Resampling.BICUBIC).save(data / f"{i}.png")
    run_in_two(data, tmp_path / "two", 2)
    run(data, tmp_path / "one", 4)
    run(data, tmp_path / "half", 2)
    two, one, half = losses(tmp_path / "two"), losses(tmp_path / "one"), losses(tmp_path / "half")
    assert [len(entry) for entry in two] == [2, 4]
    for entry, same, other in zip(two, one, half, strict=True):
        assert np.allclose(entry, same, rtol=1e-5) and not np.allclose(entry, other, rtol=5e-3)

    def weights(name: str) -> dict[str, torch.Tensor]:
        return checkpoints.load(checkpoints.files(tmp_path / name)[-1]).tensors

    a, b, c = weights("two"), weights("one"), weights("half")
    for part in ("model/", "discriminator/"):
        keys = [k for k in a if k.startswith(part) and a[k].is_floating_point()]
        same = sum(float((a[k] - b[k]).abs().sum()) for k in keys)
        other = sum(float((a[k] - c[k]).abs().sum()) for k in keys)
        assert same < 3e-3 * other, part


def test_alone_nothing_is_exchanged() -> None:
    layer = nn.Linear(2, 2)
    layer(torch.ones(1, 2)).sum().backward()
    before = layer.weight.grad.clone()
    with join(torch.device("cpu")) as (processes, device):
        assert (processes.rank, processes.size, device.type) == (0, 1, "cpu")
        processes.average_gradients(layer.parameters())
        processes.broadcast(layer)
        assert processes.synchronise(layer, device) is layer
    assert torch.equal(layer.weight.grad, before)


def test_processes_wait_for_each_other_longer_than_nccl_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one measures a folder's colours while the others wait: ten minutes, NCCL's own, may not be enough."""
    asked = {}

    def refuse(backend: str, **options: timedelta) -> None:
        asked.update(options)
        raise RuntimeError("only asked")

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(processes.dist, "init_process_group", refuse)
    with pytest.raises(RuntimeError, match="only asked"), join(torch.device("cpu")):
        pass
    assert asked["timeout"] >= timedelta(hours=1)
