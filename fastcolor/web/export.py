"""`fastcolor web-export`: the picture page without a server, as files for any web host."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..atomic import check_folder, write_bytes
from ..models import named
from ..models.home import home
from ..options.portable import PortableOptions

if TYPE_CHECKING:
    from ..models.generator import Generator

PAGE = Path(__file__).parent / "portable"
RUNTIME = "onnxruntime-web@1.30.0"
_INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="  # SHA-512
_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
_OF_WEBGPU = (
    "ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm"
)  # fmt: skip


def web_export(options: PortableOptions) -> dict[str, int]:
    """Do what `fastcolor web-export` does.

    Returns:
        The files' names and sizes in bytes.

    Raises:
        ValueError: an option is wrong, or the runtime cannot be had. FileExistsError: the folder holds files already.
    """
    options.check()
    named.check(options.weights)
    out = options.out
    if out.exists() and not out.is_dir():
        raise ValueError(f"out: must be a folder, got the file {out}")
    if out.exists() and any(out.iterdir()) and not options.overwrite:
        raise FileExistsError(f"{out}: holds files already; --overwrite replaces those of an earlier export")
    check_folder(out)
    needed = _FILES + _OF_WEBGPU * options.webgpu
    runtime = _runtime(options.runtime, needed)
    networks, facts = _network(options)
    files = {path.name: path.read_bytes() for path in sorted(PAGE.iterdir()) if path.is_file()}
    files |= {f"ort/{name}": (runtime / name).read_bytes() for name in needed}
    files |= {**networks, "net.json": json.dumps(facts).encode()}
    # What a browser keeps for later visits is told by the service worker; its name changes when any file does.
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(name.encode() + content)
    later = {*(f"ort/{name}" for name in _OF_WEBGPU), "webgpu.onnx"} & files.keys()
    listed = ["./", *(name for name in files if name not in ("sw.js", "LICENCES.txt", *later))]
    keeper = files.pop("sw.js").decode().replace("VERSION", digest.hexdigest()[:16])
    keeper = keeper.replace("[/* FILES */]", json.dumps(listed)).replace("[/* LATER */]", json.dumps(sorted(later)))
    files["sw.js"] = keeper.encode()  # written last: it tells browsers to fetch anew all that is there by then
    (out / "ort").mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_bytes(out / name, content)
    return {name: len(content) for name, content in files.items()}


def _network(options: PortableOptions) -> tuple[dict[str, bytes], dict[str, object]]:
    """The network as ONNX files by their names, and how it wants to be used."""
    from ..engines.exported import Exported
    from ..engines.files import exported, shipped_path
    from ..engines.load import load
    from ..palette import Palette

    generator = load(options.weights)
    small = shipped_path(generator)
    if isinstance(generator.network, Exported):
        if options.precision not in (None, generator.precision):
            raise ValueError(f"precision: must be the file's own, {generator.precision}, got {options.precision}")
        content = generator.network.content
    elif options.precision == "int8" and not small.exists():
        raise ValueError(f"precision: int8 is there for the default weights alone, got {str(options.weights)!r}")
    else:
        content = small.read_bytes() if small.exists() and options.precision != "fp32" else exported(generator, "fp32")
    networks, webgpu = {"net.onnx": content}, ""
    if options.webgpu:
        webgpu, in_float = _in_float(generator, content)
        networks |= in_float
    if options.hints:
        from ..engines.split import split_onnx

        networks["features.onnx"], networks["colours.onnx"] = split_onnx(generator)
    points = None
    if generator.kind == "classifier":
        points = (generator.palette or Palette.grid()).points.flatten().tolist()
    return networks, {
        "hints": options.hints,
        "webgpu": webgpu,
        "kind": generator.kind,
        "points": points,
        "temperature": generator.temperature,
        "saturation": generator.saturation,
        "size": generator.size,
        "stride": generator.stride,
    }


def _in_float(generator: Generator, content: bytes) -> tuple[str, dict[str, bytes]]:
    """The network that graphics processors take, which round to 8 bits more slowly than not: its file's name, and the
    file, unless it is the other engines' too. content: of that."""
    from ..engines.exported import Exported
    from ..engines.files import exported

    if isinstance(generator.network, Exported) and generator.precision != "fp32":
        raise ValueError(f"webgpu: must have a network in fp32, got {generator.name} in {generator.precision}")
    whole = content if isinstance(generator.network, Exported) else exported(generator, "fp32")
    return ("net.onnx", {}) if whole == content else ("webgpu.onnx", {"webgpu.onnx": whole})


def _runtime(given: Path | None, needed: tuple[str, ...]) -> Path:
    """A folder with the runtime's files. needed: their names."""
    if given is not None:
        if missing := [name for name in needed if not (given / name).is_file()]:
            raise ValueError(f"runtime: must be onnxruntime-web's dist folder, got {given} without {missing[0]}")
        return given
    kept = home() / RUNTIME.replace("@", "-")
    if all((kept / name).is_file() for name in needed):
        return kept
    npm = shutil.which("npm")
    if npm is None:
        raise ValueError(f"runtime: needs npm to fetch {RUNTIME}, or a folder that has it (--runtime)")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", RUNTIME, "--silent", "--pack-destination", folder]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
        packs = list(Path(folder).glob("*.tgz"))
        if done.returncode or not packs:
            said = next((line for line in done.stderr.splitlines() if line.strip()), f"code {done.returncode}")
            raise ValueError(f"runtime: npm could not fetch {RUNTIME} ({said})")
        if base64.b64encode(hashlib.sha512(packs[0].read_bytes()).digest()).decode() != _INTEGRITY:
            raise ValueError(f"runtime: what npm fetched as {RUNTIME} is not what it should be by its SHA-512")
        kept.mkdir(parents=True, exist_ok=True)
        with tarfile.open(packs[0]) as pack:
            for name in needed:
                member = pack.extractfile(f"package/dist/{name}")
                assert member is not None
                write_bytes(kept / name, member.read())
    return kept
