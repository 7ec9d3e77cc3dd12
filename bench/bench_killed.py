"""Films and folders with a published network: killed and resumed, and whether memory grows with a film's length.

`python -m bench.bench_killed WEIGHTS... --save` colours, each run a process of its own: a folder of pictures and a
film, then the same killed by SIGKILL and begun again; a clip and the same four times over, whose peaks of memory are
compared; the long one again, killed after its first part and resumed. What a kill leaves is looked at: nothing
unfinished may have a final name. The folder comes first, for the first use of a network measures it, which takes memory
of its own. With `--save` the results go to bench/results/<machine>-killed.json in place of those of the same weights.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image
from skimage import data

from . import timing
from .bench_film_memory import make_film
from .run import RESULTS, machine_name, write

CLIP, LOOPS = 80, 4  # frames: two shots; the long film is two parts
WORKER = """
import json, sys
from bench.memory import held
from fastcolor.commands import cli
try:
    cli.main(json.loads(sys.argv[1]))
finally:
    print(held("VmHWM") / 2**20)
"""


def start(*words: object) -> subprocess.Popen[str]:
    arguments = json.dumps([str(word) for word in words])
    return subprocess.Popen([sys.executable, "-c", WORKER, arguments], stdout=subprocess.PIPE, text=True)


def peak(*words: object) -> float:
    """Run `fastcolor ...` to its end; MB that it held at most."""
    process = start(*words)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return float(said.split()[-1])


def killed(ripe: Callable[[], bool], *words: object) -> None:
    process = start(*words)
    while not ripe():
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.005)
    process.kill()
    process.communicate()


def frames(path: Path) -> list[tuple[int | None, np.ndarray]]:
    with av.open(str(path)) as film:
        return [(frame.pts, frame.to_ndarray()) for frame in film.decode(video=0)]


def same_film(one: Path, other: Path) -> bool:
    pairs = zip_longest(frames(one), frames(other))
    return all(a is not None and b is not None and a[0] == b[0] and np.array_equal(a[1], b[1]) for a, b in pairs)


def farthest(one: Path, other: Path) -> int:
    """Codes of 255 by which two pictures differ at most. Raises what Pillow does where one is not whole."""
    a, b = (np.asarray(Image.open(path), np.int16) for path in (one, other))
    assert a.shape == b.shape
    return int(np.abs(a - b).max())


def film(folder: Path, usual: list[str]) -> dict[str, Any]:
    clip, long, whole, again = (folder / f"{name}.mp4" for name in ("clip", "long", "whole", "again"))
    make_film(clip, CLIP)
    inputs = folder / "list.txt"
    inputs.write_text(f"file '{clip}'\n" * LOOPS)
    with av.open(str(inputs), format="concat", options={"safe": "0"}) as source, av.open(str(long), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    assert len(frames(long)) == CLIP * LOOPS
    peaks = [peak("video", clip, folder / "out.mp4", *usual), peak("video", long, whole, *usual)]
    print(f"  a clip {peaks[0]:.0f} MB, {LOOPS} times {peaks[1]:.0f} MB", flush=True)
    parts = folder / "again.mp4.part"
    killed(lambda: any(parts.glob("0*.safetensors")), "video", long, again, *usual)
    assert not again.exists() and parts.is_dir()
    peak("video", long, again, *usual, "--resume")
    assert not parts.exists()
    equal = same_film(whole, again)
    print(f"  killed and resumed: {'equal' if equal else 'another film'}", flush=True)
    return {"mb": peaks, "film_equal": equal}


def tree(folder: Path, usual: list[str]) -> int:
    """Codes of 255 by which pictures of the folder that was killed differ at most from those of the undisturbed one."""
    gray, whole, again = (folder / name for name in ("gray", "whole", "again"))
    gray.mkdir()
    for number, name in enumerate(("astronaut", "coffee", "chelsea") * 4):
        picture = Image.fromarray(getattr(data, name)()).convert("L").crop((10 * number, 0, 300 + 10 * number, 200))
        picture.save(gray / f"{number}.png")
    make_film(gray / "film.mp4", 20)
    peak("batch", gray, whole, *usual)
    names = sorted(path.name for path in gray.iterdir())
    killed(lambda: len(done(again, names)) >= 3, "batch", gray, again, *usual)
    left = done(again, names)
    assert len(left) < len(names)
    check(left, whole)  # what has its name is whole
    print(f"  a folder, killed with {len(left)} of {len(names)} done", flush=True)
    peak("batch", gray, again, *usual)
    assert sorted(path.name for path in again.iterdir() if not path.name.startswith(".")) == names
    return check(done(again, names), whole)


def done(folder: Path, names: list[str]) -> list[Path]:
    return [folder / name for name in names if (folder / name).exists()]


def check(paths: list[Path], whole: Path) -> int:
    apart = 0
    for path in paths:
        if path.suffix == ".mp4":
            assert same_film(path, whole / path.name), path
        else:
            apart = max(apart, farthest(path, whole / path.name))
    return apart


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", nargs="+", help="names or files")
    parser.add_argument("--detail", type=int, default=64)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    facts = timing.machine() | {"threads": torch.get_num_threads(), "load": round(os.getloadavg()[0], 1)}
    facts["command"] = f"python -m bench.bench_killed WEIGHTS --detail {options.detail}"
    path = RESULTS / f"{machine_name()}-killed.json"
    for weights in options.weights:
        print(f"{Path(weights).name}, {options.detail} px", flush=True)
        usual = ["--weights", weights, "--detail", str(options.detail), "--device", "cpu", "--engine", "torch"]
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            found: dict[str, Any] = {"weights": Path(weights).stem, "detail": options.detail}
            found["folder_codes"] = tree(Path(one), usual)
            print(f"  begun again: whole, within {found['folder_codes']} of 255", flush=True)
            found |= film(Path(other), usual)
        if options.save:
            kept = json.loads(path.read_text())["networks"] if path.exists() else {}
            kept[found["weights"]] = found | {"machine": facts}
            write({"networks": kept}, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
