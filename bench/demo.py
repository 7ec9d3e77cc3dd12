"""`make demo`: colours four gray photographs, and a film with sound made from them, and says how fast it went."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

HERE = Path(__file__).parent / "demo"
OUT = Path("demo")
WIDTH, HEIGHT, FPS, SECONDS_EACH, RATE = 640, 360, 25, 2, 48_000


def make_film(photographs: list[Path], path: Path) -> None:
    """A slow zoom over each photograph, and a rising chord: H.264 and AAC, gray."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as film:
        video = film.add_stream("libx264", rate=FPS, options={"crf": "18", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = film.add_stream("aac", rate=RATE, layout="stereo")
        frames = FPS * SECONDS_EACH
        for photograph in photographs:
            gray = Image.open(photograph).convert("L")
            for i in range(frames):
                film.mux(video.encode(zoom(gray, i / frames)))
        film.mux(video.encode(None))
        seconds = SECONDS_EACH * len(photographs)
        time_axis = np.arange(RATE * seconds) / RATE
        notes = 220 * 1.25 ** (time_axis // SECONDS_EACH)
        wave = (0.2 * np.sin(2 * np.pi * notes * time_axis)).astype(np.float32)
        for start in range(0, len(wave), 1024):
            block = av.AudioFrame.from_ndarray(np.stack([wave[start : start + 1024]] * 2), "fltp", "stereo")
            block.sample_rate, block.pts, block.time_base = RATE, start, Fraction(1, RATE)
            film.mux(sound.encode(block))
        film.mux(sound.encode(None))


def zoom(gray: Image.Image, progress: float) -> av.VideoFrame:
    """A frame of the zoom, its chroma neutral."""
    width = gray.width * (1 - 0.25 * progress)
    height = min(width * HEIGHT / WIDTH, gray.height)
    width = height * WIDTH / HEIGHT
    left, top = (gray.width - width) / 2, (gray.height - height) * 0.3
    luma = np.asarray(
        gray.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
    )
    limited = (luma * (219 / 255) + 16.5).astype(np.uint8)
    planes = np.concatenate([limited, np.full((HEIGHT // 2, WIDTH), 128, np.uint8)])
    frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
    frame.time_base = Fraction(1, FPS)
    return frame


def run(*command: str) -> float:
    """Seconds that a command took; its output is shown as a person would see it."""
    print("$", " ".join(command), flush=True)
    program = shutil.which(command[0], path=str(Path(sys.executable).parent)) or command[0]
    start = time.perf_counter()
    subprocess.run([program, *command[1:]], check=True)
    return time.perf_counter() - start


def main() -> None:
    photographs = sorted(HERE.glob("*.jpg"))
    make_film(photographs, OUT / "gray.mp4")
    seconds = run(
        "fastcolor", "colorize", *map(str, photographs), "-o", str(OUT / "pictures"), "--compare", "--overwrite"
    )
    print(f"{len(photographs)} pictures in {seconds:.1f} s, start of the program included\n")
    run("fastcolor-video", str(OUT / "gray.mp4"), str(OUT / "colour.mp4"), "--overwrite")
    print(f"\nLook at {OUT.resolve() / 'pictures'} (gray and colour side by side) and {OUT.resolve() / 'colour.mp4'}.")


if __name__ == "__main__":
    main()
