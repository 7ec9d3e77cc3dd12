"""Downloads from a real web server on this machine that misbehaves in every way met in the wild."""

from __future__ import annotations

import fcntl
import hashlib
import http.server
import os
import random
import select
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fastcolor import models
from fastcolor.commands import cli
from fastcolor.models import download, named, weights
from fastcolor.models.download import DownloadError, Remote, fetch
from fastcolor.palette import Palette

BODY = random.Random(0).randbytes(3_000_000)
CUT = 1_000_000


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    body = BODY
    requests: list[tuple[str, str | None]]
    gate: threading.Event

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    """The first part of the path says how to behave."""

    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.gate.wait(60)
        way, wanted = self.path.split("/")[1], self.headers.get("Range")
        self.server.requests.append((way, wanted))
        body = self.server.body
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if way == "missing":
            return self.send_error(404)
        if way == "busy" and len(self.server.requests) == 1:
            return self.send_error(503)
        if way == "moved":
            self.send_response(302)
            self.send_header("Location", "/good/" + self.path.split("/")[-1])
            return self.end_headers()
        if way == "loop":
            self.send_response(302)
            self.send_header("Location", self.path)
            return self.end_headers()
        if way in ("page", "disguised"):
            page = b"\n<!DOCTYPE html><html><body>Sign in</body></html>"
            return self._send(page, "text/html" if way == "page" else "application/octet-stream")
        if way == "other":
            return self._send(body[::-1])
        if way == "endless":
            return self._endless()
        if way == "large":
            return self._send(body, length=1 << 40)
        if way in ("stalled", "cut-once", "cut-always") and (way != "cut-once" or not wanted):
            self._send(body, length=len(body), stop=CUT)
            if way == "stalled":
                time.sleep(1.5)
            return self.close()
        if way == "ranges-wrong" and wanted:
            return self._send(body, status=206, content_range=f"bytes 7-{len(body) - 1}/{len(body)}")
        if wanted and way != "no-ranges":
            if start >= len(body):
                return self.send_error(416)
            if way == "cut-often":
                self._send(body[start:], status=206, content_range=f"bytes {start}-", stop=400_000)
                return self.close()
            return self._send(body[start:], status=206, content_range=f"bytes {start}-{len(body) - 1}/{len(body)}")
        if way == "cut-often":
            self._send(body, stop=400_000)
            return self.close()
        self._send(body)

    def _send(
        self,
        body: bytes,
        kind: str = "application/octet-stream",
        *,
        status: int = 200,
        content_range: str = "",
        length: int | None = None,
        stop: int | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        self.wfile.write(body[:stop])

    def _endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(BODY)
        except OSError:
            pass

    def close(self) -> None:
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        running.requests, running.gate = [], threading.Event()
        running.gate.set()
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, no proxies, and a registry that tests may add to; short waits."""
    for name in (*os.environ,):
        if name.lower().endswith("_proxy") or name == "FASTCOLOR_MIRRORS":
            monkeypatch.delenv(name)
    monkeypatch.setenv("FASTCOLOR_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(download, "PUBLISHED", dict(download.PUBLISHED))
    monkeypatch.setattr(download, "PAUSE", 0.01)
    monkeypatch.setattr(download, "TIMEOUT", 0.5)
    return tmp_path / "home" / "weights"


def publish(server: Server, *ways: str, sha256: str | None = None, limit: int = 1 << 30) -> None:
    urls = tuple(f"{server.root}/{way}/net.pth" for way in ways)
    sha256 = sha256 or hashlib.sha256(server.body).hexdigest()
    download.PUBLISHED["net"] = Remote("net.pth", urls, sha256, limit)


def arrives(server: Server, cache: Path) -> None:
    path = fetch("net")
    assert path == cache / "net.pth" and path.read_bytes() == server.body
    assert sorted(p.name for p in cache.iterdir()) == [".net.pth.lock", "net.pth"]


def fails(words: str, cache: Path) -> None:
    with pytest.raises(DownloadError, match=words) as caught:
        fetch("net")
    assert "\n" not in str(caught.value) and str(cache) in str(caught.value)
    assert not (cache / "net.pth").exists()


def test_a_file_comes_once(server: Server, cache: Path) -> None:
    publish(server, "good")
    arrives(server, cache)
    arrives(server, cache)
    assert server.requests == [("good", None)]


@pytest.mark.parametrize("way", ["moved", "busy", "cut-once", "cut-often"])
def test_it_arrives_all_the_same(server: Server, cache: Path, way: str) -> None:
    publish(server, way)
    arrives(server, cache)
    resumed = [wanted for _, wanted in server.requests if wanted]
    assert len(resumed) == {"cut-once": 1, "cut-often": 7}.get(way, 0)


def test_a_stalled_transfer_goes_on_elsewhere(server: Server, cache: Path) -> None:
    publish(server, "stalled", "good")
    arrives(server, cache)
    assert server.requests[-1] == ("good", f"bytes={CUT}-")
    server.requests.clear()
    (cache / "net.pth").unlink()
    publish(server, "stalled")
    fails(r"127\.0\.0\.1: nothing came for 0\.5 seconds; get net\.pth by other means and put it at", cache)
    assert len(server.requests) == download.ATTEMPTS


def test_what_an_earlier_run_left_is_used(server: Server, cache: Path) -> None:
    publish(server, "cut-always")
    fails(r"the connection broke off after 1,000,000 of 3,000,000 bytes", cache)
    assert (cache / "net.pth.part").read_bytes() == BODY[:CUT]
    publish(server, "good")
    arrives(server, cache)
    assert server.requests[-1] == ("good", f"bytes={CUT}-")


@pytest.mark.parametrize("left", [BODY[:CUT][::-1], BODY, BODY + b"more"])
@pytest.mark.parametrize("way", ["good", "no-ranges"])
def test_whatever_an_earlier_run_left(server: Server, cache: Path, left: bytes, way: str) -> None:
    """Bytes of another file, all of them, too many: the result is right, or made anew."""
    publish(server, way)
    cache.mkdir(parents=True)
    (cache / "net.pth.part").write_bytes(left)
    arrives(server, cache)


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("missing", "127.0.0.1: 404 Not Found;"),
        ("page", "a web page came in place of the file"),
        ("disguised", "a web page came in place of the file"),
        ("other", "the file has another SHA-256 .[0-9a-f]{8}... in place of [0-9a-f]{8}"),
        ("loop", "302 The HTTP server returned a redirect error"),
        ("large", "the file has 1,099,511,627,776 bytes, more than the limit of 5,000,000"),
        ("endless", "the file has more bytes than the limit of 5,000,000"),
    ],
)
def test_what_does_not_serve_is_named_and_the_second_address_asked(
    server: Server, cache: Path, way: str, words: str
) -> None:
    publish(server, way, limit=5_000_000)
    fails(words, cache)
    publish(server, way, "good", limit=5_000_000)
    arrives(server, cache)


def test_a_range_that_was_not_asked_for(server: Server, cache: Path) -> None:
    publish(server, "ranges-wrong")
    cache.mkdir(parents=True)
    (cache / "net.pth.part").write_bytes(BODY[:CUT])
    fails(f"asked for the bytes from {CUT} on, it sent those from 7", cache)


def test_no_server_and_no_network(server: Server, cache: Path) -> None:
    publish(server)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/net.pth"
        names = (closed, "http://nowhere.invalid/net.pth", "no address")
        download.PUBLISHED["net"] = Remote("net.pth", names, "0" * 64)
        fails(r"127\.0\.0\.1: .*refused; nowhere\.invalid: its name cannot be looked up .is there a network", cache)


def test_own_mirrors_come_first_and_proxies_are_used(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(server, "good")
    monkeypatch.setenv("FASTCOLOR_MIRRORS", f"{server.root}/missing {server.root}/other/")
    arrives(server, cache)
    assert [way for way, _ in server.requests] == ["missing", "other", "good"]
    (cache / "net.pth").unlink()
    server.requests.clear()
    monkeypatch.delenv("FASTCOLOR_MIRRORS")
    monkeypatch.setenv("http_proxy", server.root)  # a proxy is asked for the whole address
    download.PUBLISHED["net"] = Remote("net.pth", ("http://far.invalid/net.pth",), hashlib.sha256(BODY).hexdigest())
    arrives(server, cache)
    assert server.requests == [("", None)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a Linux device")
def test_a_full_disk(server: Server, cache: Path) -> None:
    publish(server, "good")
    cache.mkdir(parents=True)
    (cache / "net.pth.part").symlink_to("/dev/full")
    fails(f"no space left in {cache}", cache)


def test_a_folder_that_cannot_be_written(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FASTCOLOR_HOME", str(tmp_path / "file"))
    publish(server, "good")
    fails("cannot be written", tmp_path / "file" / "weights")


def test_two_processes_make_one_whole_file(server: Server, cache: Path) -> None:
    publish(server, "cut-often")
    code = (
        "from fastcolor.models import download; download.PAUSE = 0.01; "
        f"download.PUBLISHED['net'] = {download.PUBLISHED['net']!r}; print(download.fetch('net'))"
    ).replace("Remote(", "download.Remote(")
    server.gate.clear()  # nothing is sent before both are there
    command = [sys.executable, "-c", code]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(2)]
    waits = select.select([process.stderr for process in processes], [], [], 60)[0][0].readline()
    server.gate.set()
    for process in processes:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0 and out.strip() == str(cache / "net.pth")
    assert waits.startswith("waiting for another process that downloads to")
    arrives(server, cache)
    assert len(server.requests) == 8  # one of them asked, the other waited for it


def test_progress_is_shown_on_a_terminal_alone(server: Server, cache: Path) -> None:
    publish(server, "good")
    code = (
        "from fastcolor.models import download; "
        f"download.PUBLISHED['net'] = {download.PUBLISHED['net']!r}; download.fetch('net')"
    ).replace("Remote(", "download.Remote(")
    quiet = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, timeout=60)
    assert quiet.returncode == 0 and not quiet.stderr
    (cache / "net.pth").unlink()
    reader, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    shown = subprocess.run([sys.executable, "-c", code], stderr=terminal, timeout=60)
    ready, *_ = select.select([reader], [], [], 5)
    assert shown.returncode == 0 and ready and b"net:   0%" in os.read(reader, 4096)
    os.close(terminal)
    os.close(reader)


def test_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert download.home() == tmp_path / "home"
    monkeypatch.delenv("FASTCOLOR_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert download.home() == Path("/x/fastcolor")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert download.home() == Path.home() / ".cache" / "fastcolor"


def test_every_name_has_a_licence() -> None:
    for name in named.PUBLISHED:
        remote = download.UNSTATED.get(name) or download.PUBLISHED[name]
        assert remote.licence.split()[0] in ("MIT", "Apache-2.0", "BSD-2-Clause") and remote.urls[0].endswith(
            remote.file
        )
        assert (remote.size or 0) < remote.limit


def test_the_registry() -> None:
    """Every entry is complete; files whose name holds the start of their hash hold the right one."""
    for remote in download.PUBLISHED.values():
        assert len(remote.sha256) == 64 and int(remote.sha256, 16) and remote.urls
        assert all(url.startswith("https://") and url.endswith("/" + remote.file) for url in remote.urls)
        if "-" in remote.file:
            assert remote.sha256.startswith(Path(remote.file).stem.split("-")[-1])


def unstated(server: Server, way: str, size: int | None = None) -> Remote:
    return Remote("net.pth", (f"{server.root}/{way}/net.pth",), None, licence="MIT (somebody)", size=size)


def test_a_hash_that_nobody_states_is_learnt_once_and_holds(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(download, "UNSTATED", {"net": unstated(server, "good")})
    fails(
        "no SHA-256 of net.pth is publicly stated to check it by; colour with --trust-first .* or get it from 127",
        cache,
    )
    assert not server.requests
    cache.mkdir(parents=True)
    (cache / "net.pth.part").write_bytes(b"of another file")
    assert fetch("net", trust_first=True).read_bytes() == BODY and server.requests == [("good", None)]
    learnt = hashlib.sha256(BODY).hexdigest()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2 and "nobody states its SHA-256" in said[0] and learnt in said[0]
    assert said[1] == "net.pth: licence MIT (somebody)"
    assert (cache / "net.pth.sha256").read_text() == f"{learnt}  net.pth\n" and download.pin("net") == learnt
    fetch("net", trust_first=True)  # is told and fetched no more
    assert len(caplog.records) == 2 and len(server.requests) == 1
    (cache / "net.pth").unlink()  # from now on any other file is refused, and this one needs no trust
    server.body = b"x" + BODY
    for trust in (False, True):
        with pytest.raises(DownloadError, match="the file has another SHA-256 .* in place of " + learnt[:8]):
            fetch("net", trust_first=trust)
    server.body = BODY
    assert fetch("net").read_bytes() == BODY and len(caplog.records) == 2
    (cache / "net.pth").unlink()
    (cache / "net.pth.sha256").write_text("")
    fails("net.pth.sha256 must hold the SHA-256 of net; delete it", cache)


def test_without_a_hash_two_addresses_make_no_file_together(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "UNSTATED", {"net": unstated(server, "good")})
    monkeypatch.setenv("FASTCOLOR_MIRRORS", f"{server.root}/cut-always")
    assert fetch("net", trust_first=True).read_bytes() == BODY
    assert server.requests[-1] == ("good", None)  # whole: what the mirror gave may be of another file


def test_without_a_hash_its_length_has_to_be_told(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for remote, words in [
        (unstated(server, "endless"), "sends a file without telling how many bytes it has, and there is no SHA-256"),
        (unstated(server, "good", size=7), "sends a file of 3,000,000 bytes in place of 7, and there is no SHA-256"),
        (unstated(server, "page"), "a web page came in place of the file"),
    ]:
        monkeypatch.setattr(download, "UNSTATED", {"net": remote})
        with pytest.raises(DownloadError, match=words):
            fetch("net", trust_first=True)
        assert not (cache / "net.pth").exists() and download.pin("net") is None


def test_licences_are_listed(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache.mkdir(parents=True)
    (cache / "ddcolor_paper_tiny.pth").write_bytes(b"12")
    (cache / "ddcolor_paper.pth.sha256").write_text("0" * 64 + "  ddcolor_paper.pth\n")
    with pytest.raises(SystemExit) as stop:
        cli.main(["info", "--weights"])
    output = capsys.readouterr().out
    assert not stop.value.code and all(name in output for name in named.names())
    told = " ".join(output.split())
    assert (
        "deoldify-video MIT (Jason Antic, github.com/jantic/DeOldify) ColorizeVideo_gen.pth, 874 MB, not here" in told
    )
    assert (
        f"ddcolor_paper_tiny.pth, 0 MB, at {cache}/ddcolor_paper_tiny.pth no SHA-256 is stated: --trust-first" in told
    )
    assert f"SHA-256 {'0' * 64} as of its first download" in told


def test_weights_by_name(server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A published name is downloaded and loaded; the file on the server is one of our own here."""
    model, file = models.build("default", bins=12), tmp_path / "own.safetensors"
    options = {"name": "default", "options": {"bins": 12}, "palette": Palette(torch.randn(12, 2) * 30)}
    weights.save(file, model, **options, temperature=0.5, size=64)
    server.body = file.read_bytes()
    publish(server, "cut-once")
    download.PUBLISHED["eccv16"] = download.PUBLISHED["net"]
    assert weights.load("eccv16").options == {"bins": 12}
    assert (cache / "net.pth").exists() and len(server.requests) == 2
    publish(server, "missing")
    download.PUBLISHED["siggraph17"] = Remote("s.pth", download.PUBLISHED["net"].urls, "0" * 64)
    with pytest.raises(DownloadError, match=r"weights: siggraph17 cannot be downloaded: 127\.0\.0\.1: 404 Not Found"):
        weights.load("siggraph17")
