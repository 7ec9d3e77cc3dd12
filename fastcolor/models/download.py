"""Published files by name: downloaded once, verified, kept in the cache folder.

A file appears under its final name only when its SHA-256 is right. A download that was cut goes on where it stopped.
Proxies are those that urllib finds (HTTPS_PROXY, NO_PROXY and their like).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import logging
import os
import re
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from ..atomic import publish, wait_for_lock, write_bytes
from .home import home

TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 3  # at one address in a row that bring nothing new
PAUSE = 1.0  # seconds before the second attempt, twice that before the third
_CHUNK = 1 << 18
log = logging.getLogger("fastcolor")
# How what is sent in place of a file begins.
WEB_PAGE = (b"<!doctype", b"<html", b"<?xml", b"<head")


class DownloadError(RuntimeError):
    """A published file that cannot be had; the message says why, address by address, and what to do."""


class _Refused(Exception):
    """An address that will not serve the file, however often it is asked."""


class _Broken(Exception):
    """A transfer that failed and may succeed the next time."""


@dataclass(frozen=True)
class Remote:
    """A published file.

    Attributes:
        file: its name in the cache. urls: where it lies, best first. sha256: of the whole file, hexadecimal; None:
        nobody states it, so the first one is trusted, if asked to. limit: in bytes, more than which is not read.
        licence: its name and whose it is, told at first use. size: in bytes, as others tell it; None: not known.
    """

    file: str
    urls: tuple[str, ...]
    sha256: str | None
    limit: int = 512 << 20
    licence: str = ""
    size: int | None = None


_ZHANG = "BSD-2-Clause (Zhang, Isola and Efros, github.com/richzhang/colorization)"
_DDCOLOR = "Apache-2.0 (Kang and others, github.com/piddnad/DDColor)"
_DEOLDIFY = "MIT (Jason Antic, github.com/jantic/DeOldify)"

PUBLISHED: dict[str, Remote] = {
    "eccv16": Remote(
        "colorization_release_v2-9b330a0b.pth",
        ("https://colorizers.s3.us-east-2.amazonaws.com/colorization_release_v2-9b330a0b.pth",),
        "9b330a0bae53f4ded77b1e23defbf78beaa09c10ebc4c4999e8e4f4a160b93f9",
        licence=_ZHANG,
    ),
    "siggraph17": Remote(
        "siggraph17-df00044c.pth",
        ("https://colorizers.s3.us-east-2.amazonaws.com/siggraph17-df00044c.pth",),
        "df00044c0a4d7c3edcecf6f75437ce346a66e7a42612d9b968e1a7e17dbc6f66",
        licence=_ZHANG,
    ),
    # DDColor (Apache-2.0) and DeOldify (MIT). Their authors state no hashes; these are what public projects that keep
    # the files state of them.
    "ddcolor-modelscope": Remote(
        "ddcolor_modelscope.pth",
        ("https://huggingface.co/piddnad/DDColor-models/resolve/main/ddcolor_modelscope.pth",),
        "17c460d7e55b32a598370621d77173be59e03c24b0823f06821db23a50c263ce",
        limit=1 << 30,
        licence=_DDCOLOR,
        size=911_950_059,
    ),
    "ddcolor-artistic": Remote(
        "ddcolor_artistic.pth",
        ("https://huggingface.co/piddnad/DDColor-models/resolve/main/ddcolor_artistic.pth",),
        "a591ee5beedad36de703d8977e92d0c30c1eedc6453fd1b300f3b460842a23a9",
        limit=1 << 30,
        licence=_DDCOLOR,
        size=911_950_059,
    ),
    "deoldify": Remote(
        "ColorizeArtistic_gen.pth",
        ("https://data.deepai.org/deoldify/ColorizeArtistic_gen.pth",),
        "3f750246fa220529323b85a8905f9b49c0e5d427099185334d048fb5b5e22477",
        licence=_DEOLDIFY,
        size=255_144_681,
    ),
    "deoldify-stable": Remote(
        "ColorizeStable_gen.pth",
        ("https://huggingface.co/spensercai/DeOldify/resolve/main/ColorizeStable_gen.pth",),
        "ca9cd7f43fb8b222c9a70f7b292e305a000694b0ff9d2ae4a6747b1a2e1ee5af",
        limit=1 << 30,
        licence=_DEOLDIFY,
        size=874_066_230,
    ),
    "deoldify-video": Remote(
        "ColorizeVideo_gen.pth",
        ("https://data.deepai.org/deoldify/ColorizeVideo_gen.pth",),
        "e3d98bb6a222354c79f95485c2f078a89dc724e9183662506d9e0f5aafac83ad",
        limit=1 << 30,
        licence=_DEOLDIFY,
        size=874_066_230,
    ),
    # torchvision's ImageNet weights (IMAGENET1K_V1), to start an encoder from.
    "resnet18": Remote(
        "resnet18-f37072fd.pth",
        ("https://download.pytorch.org/models/resnet18-f37072fd.pth",),
        "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
        licence="BSD-3-Clause (torchvision)",
    ),
    # The ImageNet prior over the 313 bins of the grid (Zhang et al. 2016), smoothed.
    "prior": Remote(
        "prior_probs.npy",
        (
            "https://raw.githubusercontent.com/richzhang/colorization/"
            "4aa459f03cedd5678524ac3429cd89270dcf5290/resources/prior_probs.npy",
        ),
        "19d00659c7d6f6ee47456fd2c19c86a073f7124875e3d5ab9d601864e062b56c",
        limit=1 << 20,
        licence=_ZHANG,
    ),
}

# Published files of which nobody has stated a hash: that of the first download is kept, and holds from then on.
UNSTATED: dict[str, Remote] = {
    "ddcolor": Remote(
        "ddcolor_paper.pth",
        ("https://huggingface.co/piddnad/DDColor-models/resolve/main/ddcolor_paper.pth",),
        None,
        limit=1 << 30,
        licence=_DDCOLOR,
    ),
    "ddcolor-tiny": Remote(
        "ddcolor_paper_tiny.pth",
        ("https://huggingface.co/piddnad/DDColor-models/resolve/main/ddcolor_paper_tiny.pth",),
        None,
        licence=_DDCOLOR,
        size=220_393_145,
    ),
}


def fetch(name: str, *, trust_first: bool = False) -> Path:
    """The file of a published name, downloaded if it is not in the cache yet. Its licence is told the first time.

    Addresses are tried in order. FASTCOLOR_MIRRORS names folders on the web (separated by spaces) that are asked first
    for the same file; its hash is checked whatever its origin.

    Args:
        name: one of `PUBLISHED` or `UNSTATED`. trust_first: download what nobody states a hash of, and keep the hash
            that it has, in `FILE.sha256` beside it, for every later download to be checked by.

    Returns:
        A whole and verified file under `home() / "weights"`.

    Raises:
        DownloadError: no address gave the right file, or it cannot be written. KeyError: unknown name.

    Example:
        >>> fetch("eccv16").name  # doctest: +SKIP
        'colorization_release_v2-9b330a0b.pth'
    """
    remote = UNSTATED.get(name) or PUBLISHED[name]
    final = home() / "weights" / remote.file
    if final.exists():
        _tell_licence(remote, final)
        return final
    pinned = remote.sha256 or pin(name)
    if pinned is None and not trust_first:
        raise DownloadError(
            f"weights: {name} cannot be downloaded: no SHA-256 of {final.name} is publicly stated to check it by; "
            "colour with --trust-first (trust_first=True) once to take the first that comes, or get it from "
            f"{urlsplit(remote.urls[0]).hostname} and put it at {final}, or give its path"
        )
    remote = replace(remote, sha256=pinned)
    advice = f"get {remote.file} by other means and put it at {final}, or set FASTCOLOR_HOME"
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with _locked(final.with_name(f".{final.name}.lock")):
            if not final.exists():  # another process may have fetched it in the meantime
                _download(name, remote, final)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = f"no space left in {final.parent}" if full else f"{final.parent} cannot be written ({error})"
        raise DownloadError(f"weights: {name} cannot be downloaded: {why}") from None
    except _Refused as reasons:
        raise DownloadError(f"weights: {name} cannot be downloaded: {reasons}; {advice}") from None
    _tell_licence(remote, final)
    return final


def pin(name: str) -> str | None:
    """The SHA-256 that a first download of a name had, or None.

    Raises:
        DownloadError: the file that keeps it is damaged.
    """
    path = _pin_path(home() / "weights" / (UNSTATED.get(name) or PUBLISHED[name]).file)
    try:
        held = path.read_text().split(maxsplit=1)[0]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, IndexError):
        held = ""
    if not re.fullmatch("[0-9a-f]{64}", held):
        raise DownloadError(f"weights: {path} must hold the SHA-256 of {name}; delete it and trust the first file anew")
    return held


def _pin_path(final: Path) -> Path:
    return final.with_name(f"{final.name}.sha256")


def _tell_licence(remote: Remote, final: Path) -> None:
    """Say whose the weights are and what they may be used for, the first time; it is kept beside them."""
    path = final.with_name(f"{final.name}.licence.txt")
    if not remote.licence or path.exists():
        return
    log.warning("%s: licence %s", final.name, remote.licence)
    with contextlib.suppress(OSError):
        write_bytes(path, f"{remote.licence}\n{remote.urls[0]}\n".encode())


def describe(names: Iterable[str]) -> list[str]:
    """Of each published name its licence, its file, whether that is here, and how it is checked."""
    lines = []
    for name in names:
        remote = UNSTATED.get(name) or PUBLISHED[name]
        path = home() / "weights" / remote.file
        if remote.sha256 is not None:
            checked = f"SHA-256 {remote.sha256}"
        else:
            held = pin(name)
            checked = f"SHA-256 {held} as of its first download" if held else "no SHA-256 is stated: --trust-first"
        size = path.stat().st_size if path.exists() else remote.size
        megabytes = "" if size is None else f", {size / 1e6:.0f} MB"
        state = f"at {path}" if path.exists() else "not here: downloaded at first use"
        lines.append(f"{name:18} {remote.licence}\n{'':18} {remote.file}{megabytes}, {state}\n{'':18} {checked}")
    return lines


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time. Where there are no locks two may spoil each other's file, which the hash then shows."""
    with open(path, "ab") as file:
        wait_for_lock(file, f"waiting for another process that downloads to {path.parent}")
        yield


def _download(name: str, remote: Remote, final: Path) -> None:
    part = final.with_name(final.name + ".part")
    mirrors = [f"{base.rstrip('/')}/{remote.file}" for base in os.environ.get("FASTCOLOR_MIRRORS", "").split()]
    reasons = []
    for url in (*mirrors, *remote.urls):
        if remote.sha256 is None:
            part.unlink(missing_ok=True)  # nothing would show that it is of another file
        try:
            _from(url, name, remote, part)
        except _Refused as reason:
            reasons.append(f"{urlsplit(url).hostname or url}: {reason}")
            continue
        if remote.sha256 is None:
            found = _sha256(part)
            write_bytes(_pin_path(final), f"{found}  {final.name}\n".encode())
            log.warning(
                "%s: nobody states its SHA-256; %s, which it has, is trusted from now on (kept in %s)",
                final.name,
                found,
                _pin_path(final),
            )
        publish(part, final)
        return
    raise _Refused("; ".join(reasons))


def _from(url: str, name: str, remote: Remote, part: Path) -> None:
    """Complete `part` from one address and verify it, or say why not."""
    most, failures, fresh = _size(part), 0, _size(part) == 0
    while True:
        try:
            _transfer(url, name, remote, part)
        except _Broken as reason:
            if _size(part) > most:
                most, failures = _size(part), 0
            failures += 1
            if failures >= ATTEMPTS:
                raise _Refused(str(reason)) from None
            time.sleep(PAUSE * failures)
            continue
        if remote.sha256 is None:
            return
        found = _sha256(part)
        if found == remote.sha256:
            return
        part.unlink()
        if fresh:
            raise _Refused(f"the file has another SHA-256 ({found[:8]}... in place of {remote.sha256[:8]}...)")
        most, fresh = 0, True  # what lay there before may be to blame: once more, from the start


def _transfer(url: str, name: str, remote: Remote, part: Path) -> None:
    """One request: the bytes that `part` lacks, or all of them if the server knows no ranges."""
    start = _size(part)
    with _request(url, start) as response:
        if response is None:
            if remote.sha256 is None:
                raise _Refused("it says that the file has no more bytes, and there is no SHA-256 to check them by")
            return
        if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            raise _Refused("a web page came in place of the file")
        if response.status == 206:
            begins = response.headers.get("Content-Range", "").removeprefix("bytes ").split("-")[0].strip()
            if begins != str(start):
                raise _Refused(f"asked for the bytes from {start} on, it sent those from {begins or 'nowhere'}")
        else:
            start = 0
        length = response.headers.get("Content-Length") or ""
        total = start + int(length) if length.isdigit() else None
        if remote.sha256 is None and (total is None or total != (remote.size or total)):
            told = "without telling how many bytes it has" if total is None else f"of {total:,} bytes"
            wanted = "" if remote.size is None else f" in place of {remote.size:,}"
            raise _Refused(f"it sends a file {told}{wanted}, and there is no SHA-256 to check it by")
        if total is not None and total > remote.limit:
            raise _Refused(f"the file has {total:,} bytes, more than the limit of {remote.limit:,}")
        if total is not None and total - start > shutil.disk_usage(part.parent).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        chunk = _read(response)
        if start == 0 and chunk.lstrip()[:9].lower().startswith(WEB_PAGE):
            raise _Refused("a web page came in place of the file")
        at = start
        bar = tqdm(total=total, initial=start, desc=name, unit="B", unit_scale=True, leave=False, disable=None)
        with open(part, "ab" if start else "wb") as file, bar:
            while chunk:
                at += len(chunk)
                if at > remote.limit:
                    file.truncate(0)
                    raise _Refused(f"the file has more bytes than the limit of {remote.limit:,}")
                file.write(chunk)
                bar.update(len(chunk))
                chunk = _read(response)
    if total is not None and at < total:
        raise _Broken(f"the connection broke off after {at:,} of {total:,} bytes")


@contextlib.contextmanager
def _request(url: str, start: int) -> Iterator[http.client.HTTPResponse | None]:
    """The answer to a request for the bytes from `start` on; None when the server says that there are none."""
    headers = {"User-Agent": "fastcolor", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        opener = urllib.request.build_opener()  # urlopen would keep the proxies that it found at its first use
        response = opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:
            yield None
            return
        words = f"{error.code} {str(error.reason).splitlines()[0]}"
        raise (_Broken if error.code in (408, 429) or error.code >= 500 else _Refused)(words) from None
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(_words(error)) from None
    except ValueError as error:
        raise _Refused(str(error)) from None
    with response:
        yield response


def _read(response: http.client.HTTPResponse) -> bytes:
    """What has arrived; nothing at the end."""
    try:
        return response.read1(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(_words(error)) from None


def _words(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return f"nothing came for {TIMEOUT:g} seconds"
    if isinstance(reason, socket.gaierror):
        return "its name cannot be looked up (is there a network?)"
    return str(reason) or type(reason).__name__


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
