"""How runs end and go on: killed, told to stop, out of disk, finished and extended."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from train_runs import OPTIONS, checkpoint_steps, losses, meadows, parts, two_stages

import fastcolor
from fastcolor.models import weights
from fastcolor.training import checkpoints
from fastcolor.training.checkpoints import TrainingError
from fastcolor.training.presets import L1, PRESETS, Optimiser, Preset, Stage, View

# A classifier with an average, a discriminator and its optimiser; the code of it makes it in another process too.
EVERYTHING = """
from dataclasses import replace
from fastcolor.training.presets import PRESETS, CrossEntropy, Gan, Optimiser, Stage, View
preset = replace(
    PRESETS["default"],
    stages=(Stage(1.0, 2, View(96, 0.6, 1.0), (CrossEntropy(), Gan(0.1)), Optimiser(1e-3)),),
    discriminator_options={"channels": 8},
)"""


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return meadows(tmp_path_factory.mktemp("data"))


def constant(**changes: object) -> Preset:
    """Small, one stage and one rate."""
    stage = Stage(1.0, 2, View(64, 0.6, 1.0), (L1(),), Optimiser(1e-3))
    return Preset("pix2pix", 4, (stage,), options={"channels": 8}, ema=0.9)


def test_killed_and_resumed_it_repeats_the_undisturbed_run_step_for_step(photographs: Path, tmp_path: Path) -> None:
    """SIGKILL while it runs, wherever that is: between steps, in the middle of one, or of writing a checkpoint."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    options = {**OPTIONS, "crop": 96, "steps": 9, "checkpoint_every": 2, "workers": 1}
    names: dict[str, Any] = {}
    exec(EVERYTHING, names)
    preset: Preset = names["preset"]
    fastcolor.train(photographs, preset, whole, **options)
    code = f"""
import time
import fastcolor
from fastcolor.training.log import Log
{EVERYTHING}
add = Log.add

def adding(self, entry):
    add(self, entry)
    while entry["step"] == 8:  # who kills it may be late
        time.sleep(1)

Log.add = adding
fastcolor.train({str(photographs)!r}, preset, {str(broken)!r}, **{options!r})
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    while process.poll() is None and not ((broken / "log.jsonl").exists() and len(losses(broken)) >= 5):
        time.sleep(0.01)
    process.kill()
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert 5 <= len(losses(broken)) < 9 and not (broken / "weights.safetensors").exists()
    assert len(list(broken.glob("checkpoint-*"))) in (1, 2)
    fastcolor.train(photographs, preset, broken, resume=True, **options)
    assert parts(broken) == parts(whole)
    a, b = (weights.load(out / "weights.safetensors").model.state_dict() for out in (whole, broken))
    assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_to_the_whole_group_ends_in_a_checkpoint_and_a_sentence(
    photographs: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """As a terminal and a batch system send it: to the command and the processes that read its pictures."""
    out = tmp_path / "run"
    settings = ["--steps", "5000", "--batch-size", "2", "--crop", "32", "--precision", "fp32", "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "fastcolor", "train", "--data", photographs, "--out", out, *settings],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while process.poll() is None and not ((out / "log.jsonl").exists() and len(losses(out)) > 2):
        time.sleep(0.01)
    os.killpg(process.pid, number)
    said = process.communicate(timeout=60)[1]
    step = len(losses(out))
    assert process.returncode == 128 + number
    assert said == (
        f"fastcolor: stopped by {number.name} after step {step} of 5000; resume goes on from "
        f"{out}/checkpoint-{step:08d}.safetensors\n"
    )
    assert checkpoint_steps(out) == [step] and not list(out.glob(".*"))
    with pytest.raises(ProcessLookupError):  # nobody is left
        os.killpg(process.pid, 0)


def test_a_run_goes_on_exactly_from_every_checkpoint_of_two_stages(photographs: Path, tmp_path: Path) -> None:
    """Also where the second stage, with its fresh discriminator and optimiser, has just begun."""
    whole, preset = tmp_path / "whole", two_stages()
    options = {**OPTIONS, "steps": 6, "checkpoint_every": 1, "keep": 9}
    done = fastcolor.train(photographs, preset, whole, **options)
    names = [set(entry) for entry in parts(whole)]
    assert "discriminator" not in names[2] and {"l1", "gan", "discriminator", "feature_matching"} <= names[3]
    assert checkpoint_steps(whole) == [1, 2, 3, 4, 5, 6]
    for step in (2, 3, 4, 6):
        again = tmp_path / f"from-{step}"
        shutil.copytree(whole, again)
        for path in checkpoints.files(again)[step:]:
            path.unlink()
        resumed = fastcolor.train(photographs, preset, again, resume=True, **options)
        assert parts(again) == parts(whole)
        assert resumed.metrics["loss"] == done.metrics["loss"]  # of the last hundred steps, whoever took them
        a, b = (checkpoints.load(checkpoints.files(out)[-1]).tensors for out in (whole, again))
        assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_finished_run_gets_more_steps_as_if_it_had_had_them_from_the_start(photographs: Path, tmp_path: Path) -> None:
    whole, longer, options = tmp_path / "whole", tmp_path / "longer", {**OPTIONS, "crop": 32}
    fastcolor.train(photographs, constant(), whole, **{**options, "steps": 7})
    assert fastcolor.train(photographs, constant(), longer, **{**options, "steps": 4}).steps == 4
    assert fastcolor.train(photographs, constant(), longer, resume=True, **{**options, "steps": 7}).steps == 7
    assert parts(longer) == parts(whole)
    a, b = (weights.load(out / "weights.safetensors").model.state_dict() for out in (whole, longer))
    assert all(torch.equal(a[key], b[key]) for key in a)
    with pytest.raises(ValueError, match="steps: must be at least the 7 that the run has taken, got 6"):
        fastcolor.train(photographs, constant(), longer, resume=True, **{**options, "steps": 6})
    assert fastcolor.train(photographs, constant(), longer, resume=True, **{**options, "steps": 7}).steps == 7


def test_a_run_goes_on_whose_version_knew_fewer_settings(photographs: Path, tmp_path: Path) -> None:
    out, options = tmp_path / "run", {**OPTIONS, "crop": 32}
    fastcolor.train(photographs, constant(), out, **{**options, "steps": 2})
    before = json.loads((out / "run.json").read_text())
    assert before["stages"][0].pop("trunk", 0) is None and before["stages"][0]["losses"][0].pop("gray_below", 0) is None
    (out / "run.json").write_text(json.dumps(before))
    assert fastcolor.train(photographs, constant(), out, resume=True, **{**options, "steps": 3}).steps == 3
    gray_out = replace(constant().stages[0], losses=(L1(gray_below=5.0),))
    with pytest.raises(ValueError, match="resume: stages differ from the run"):
        fastcolor.train(
            photographs, replace(constant(), stages=(gray_out,)), out, resume=True, **{**options, "steps": 3}
        )


@pytest.mark.parametrize(("preset", "differs"), [(two_stages(), 3), (PRESETS["default"], 2)])
def test_a_finished_run_gets_no_more_steps_where_its_past_would_be_another(
    photographs: Path, tmp_path: Path, preset: Preset, differs: int
) -> None:
    out, options = tmp_path / "run", {**OPTIONS, "steps": 4}
    fastcolor.train(photographs, preset, out, **options)
    with pytest.raises(
        ValueError,
        match=f"resume: steps must stay 4, got 8: .* step {differs} would have been another; start a new run of 8",
    ):
        fastcolor.train(photographs, preset, out, resume=True, **{**options, "steps": 8})
    assert fastcolor.train(photographs, preset, out, resume=True, **options).steps == 4  # as it was


def test_the_last_line_of_the_command(photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a run, of its resumption when nothing is left to do, and of one without its log."""
    from fastcolor.commands.cli import main

    folder, out = tmp_path / "pictures", tmp_path / "run"
    shutil.unpack_archive(photographs, folder)
    (folder / "bad.png").write_bytes(b"no picture")
    settings = "--steps 5 --batch-size 4 --crop 32 --precision fp32 --workers 0".split()
    command = ["train", "--data", str(folder), "--out", str(out), *settings]

    def last_line(*more: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main([*command, *more])
        assert not ended.value.code
        return capsys.readouterr().out

    said = last_line()
    assert re.fullmatch(r"\S+weights\.safetensors after 5 steps, loss \S+, .*, 1 picture could not be read\n", said)
    assert last_line("--resume") == said
    (out / "log.jsonl").unlink()
    assert last_line("--resume") == f"{out}/weights.safetensors after 5 steps, 1 picture could not be read\n"


@pytest.mark.parametrize(
    ("sheet_every", "words"),
    [(1000, "the log cannot be written (File too large)"), (1, "samples-000001.png cannot be")],
)
def test_what_a_full_disk_stops_is_named(photographs: Path, tmp_path: Path, sheet_every: int, words: str) -> None:
    """Files of 3 kB at most: the settings fit, a few lines of the log, and no sheet."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    options = {**OPTIONS, "crop": 32, "steps": 400, "sheet_every": sheet_every, "checkpoint_every": 1000}
    try:
        with pytest.raises(TrainingError) as error:
            fastcolor.train(photographs, constant(), tmp_path / "run", **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert words in str(error.value) and str(error.value).endswith("there is no checkpoint yet")
    assert 1 <= len(losses(tmp_path / "run")) < 40


def test_a_full_disk_is_said_and_nothing_is_lost(photographs: Path, tmp_path: Path) -> None:
    """From the first checkpoint on, the run may write files of 1 MB at most."""
    out, options = tmp_path / "run", {**OPTIONS, "crop": 32, "checkpoint_every": 3}
    fastcolor.train(photographs, constant(), out, **{**options, "steps": 3})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(TrainingError) as error:
            fastcolor.train(photographs, constant(), out, resume=True, **{**options, "steps": 400})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "the checkpoint of step 6 cannot be written (" in str(error.value) and "File too large" in str(error.value)
    assert str(error.value).endswith(f"the last whole checkpoint is {out}/checkpoint-00000003.safetensors")
    assert checkpoint_steps(out) == [3] and len(losses(out)) == 6 and not list(out.glob(".*"))
    assert fastcolor.train(photographs, constant(), out, resume=True, **{**options, "steps": 8}).steps == 8
