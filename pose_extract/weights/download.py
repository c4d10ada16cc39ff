"""Find named weights on this machine, and fetch those that have an address."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ..common.files import PACKAGE_FOLDER, atomic_write, cache_folder, sha256_of, shared_folder
from ..common.plain import shown
from ..common.text import one_line, printable
from .table import WEIGHTS, WeightFile, WeightsError, refuse_renamed

_TIMEOUT_SECONDS = 30
_SCHEMES = ("http", "https", "file")
# More than any published detector or pose model, ViTPose-huge with 2.5 GB among them.
_MAX_BYTES = 8 << 30
# Of a file name in the cache; folders take 255 bytes, and temporary files have longer names.
_MAX_NAME_CHARS = 100
_LOG = logging.getLogger(__name__)


def weight_folders() -> list[Path]:
    """Return the folders in which weights are looked for, in order."""
    folders = [PACKAGE_FOLDER / "models" / "pretrained"]
    if chosen := os.environ.get("SKELACT_WEIGHTS"):
        folders.append(Path(chosen))
    return [*folders, shared_folder() / "weights", cache_folder() / "weights"]


def locate_weights(name: str) -> Path | None:
    """Return where named weights lie on this machine, or None; nothing is fetched.

    Raises:
        WeightsError: for a name that the table does not hold.
    """
    file = _entry(name)
    paths = (folder / file.filename for folder in weight_folders())
    return next((path for path in paths if path.is_file()), None)


def find_weights(name: str) -> Path:
    """Return where named weights lie, fetched and checked if they have to be.

    Looked for in the package, in $SKELACT_WEIGHTS, in the shared folder and in the user's cache;
    then fetched into the cache.

    Raises:
        WeightsError: if they are nowhere and cannot be fetched; it names the file, its hash and
            where to put it.
    """
    file = _entry(name)
    if found := locate_weights(name):
        return found
    target = cache_folder() / "weights" / file.filename
    reason = "they have no public address"
    if file.url:
        try:
            return download(file.url, target, file.sha256)
        except WeightsError as error:
            reason = str(error)
    raise WeightsError(
        f"weights {name!r} are not on this machine, and {reason}. Put the file {file.filename} "
        f"({file.num_bytes / 1e6:.1f} MB, sha256 {file.sha256[:16]}...) into {target.parent}, or "
        "into a folder named by the environment variable SKELACT_WEIGHTS"
    )


def fetch_weights(name: str) -> Path:
    """Return the local file behind a name of the table, a path or an address.

    Raises:
        WeightsError: see :func:`find_weights` and :func:`fetch_file`.
    """
    return find_weights(name) if name in WEIGHTS else fetch_file(name)


def identify_weights(name: str) -> str:
    """Return the hash of what :func:`fetch_weights` gives; nothing is fetched for it.

    What an address gives is known when it is fetched; until then it goes by its name.
    """
    if name in WEIGHTS:
        path = locate_weights(name)
        return sha256_of(path) if path else WEIGHTS[name].sha256
    return name if is_url(name) else sha256_of(fetch_file(name))


def choose_weights(kind: Literal["detector", "pose"]) -> str:
    """Return the name of the best weights of a kind on this machine: the table has them in order.

    Those that ship in the package come last and are always there; a warning says when they are
    taken.
    """
    known = [file.name for file in WEIGHTS.values() if file.kind == kind]
    chosen = next((name for name in known if locate_weights(name)), known[0])
    if chosen == known[-1]:
        _LOG.warning(
            "%s %s is not on this machine: %s takes its place and is less accurate; "
            "`skelact doctor` says what to do",
            kind,
            known[0],
            chosen,
        )
    return chosen


def download(url: str, target: str | Path, sha256: str | None = None) -> Path:
    """Fetch a file, with a progress bar; it is there whole and checked, or not at all.

    Args:
        url: http, https or file address.
        target: Where it goes; an existing file is replaced.
        sha256: Expected hash, or the first digits of it; None checks nothing.

    Raises:
        WeightsError: if the address is none, the file cannot be fetched, or what comes is another
            file, a part of it or a web page.
    """
    target = Path(target)
    _check_address(url)
    digest = hashlib.sha256()
    try:
        with atomic_write(target) as temporary:
            with temporary.open("wb") as stream:
                for block in _fetch(url, target.name):
                    digest.update(block)
                    stream.write(block)
            if sha256 and not digest.hexdigest().startswith(sha256):
                raise WeightsError(
                    f"{url}: expected sha256 {sha256}, got {digest.hexdigest()}; try again, and if "
                    "it stays so do not use the file"
                )
            _check_is_whole(temporary)
    except urllib.error.HTTPError as error:
        raise WeightsError(f"cannot fetch {url}: HTTP {error.code} {error.reason}") from None
    # ValueError: names of hosts that cannot be; HTTPException: an answer that is no HTTP.
    except (OSError, EOFError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        raise WeightsError(f"cannot fetch {url}: {one_line(reason)}") from None
    return target


def _check_address(url: str) -> str:
    """Return the file name at the end of an address, without characters that steer anything.

    Raises:
        WeightsError: if it is no address of a file.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port  # a ValueError where it is no number
    except ValueError as error:
        raise WeightsError(f"{shown(url)} is no address: {error}") from None
    if parts.scheme not in _SCHEMES or (parts.scheme != "file" and not parts.hostname):
        raise WeightsError(
            f"{shown(url)} is no address of a file: expected http://HOST/FILE, https://HOST/FILE "
            "or file:///FILE"
        )
    if not url.isprintable() or " " in url:
        raise WeightsError(
            f"{shown(url)} is no address: it holds spaces or control characters; write them as %20"
        )
    name = urllib.parse.unquote(parts.path.rsplit("/", 1)[-1])
    name = re.sub(r"[^\w.+-]", "_", name)[-_MAX_NAME_CHARS:]
    if not name.strip("."):
        raise WeightsError(f"{shown(url)} names no file: expected one at the end of the address")
    return name


def _check_is_whole(path: Path) -> None:
    """Check what no hash and no announced length tells: an empty file, a page, half an archive."""
    with path.open("rb") as stream:
        start = stream.read(512).lstrip().lower()
    if not start:
        raise EOFError("expected a file, got nothing")
    if start.startswith((b"<!doctype html", b"<html")):
        raise EOFError("expected a file, got a web page; is it the address of the file itself?")
    # Archives, and checkpoints of torch, end with their directory.
    if start.startswith(b"pk\x03\x04") and not zipfile.is_zipfile(path):
        raise EOFError("expected a whole archive, its end is missing: the connection broke off")


def is_url(name: str) -> bool:
    """Return whether a name on the command line is an address rather than a path."""
    return "://" in name


def fetch_file(name: str) -> Path:
    """Return the local file behind a path or an address; an address is fetched once into the cache.

    OpenMMLab ships its ONNX files in archives: from a .zip the one .onnx file is taken.

    Raises:
        WeightsError: if the file is missing, cannot be fetched, or is not what its name says.
    """
    if not is_url(name):
        refuse_renamed(name)
        path = Path(name)
        if not path.is_file():
            raise WeightsError(f"no weights at {path}")
        return path
    filename = _check_address(name)
    # Files of one name from two addresses are two files: each address has a folder of its own.
    address = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    target = cache_folder() / "weights" / address / filename
    wanted = target.with_suffix(".onnx") if target.suffix == ".zip" else target
    if wanted.is_file():
        return wanted
    # OpenMMLab's checkpoints are called after the first digits of their hash and a date.
    found = re.search(r"-([0-9a-f]{8})(?:_\d{8})?\.pth$", filename)
    digits = found.group(1) if found else None
    # Where earlier versions put them.
    earlier = cache_folder() / "weights" / filename
    if digits and earlier.is_file() and sha256_of(earlier).startswith(digits):
        return earlier
    download(name, target, digits)
    if wanted != target:
        _take_onnx(target, wanted)
    return wanted


def _take_onnx(archive: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as members:
            files = [info for info in members.infolist() if info.filename.endswith(".onnx")]
            if len(files) != 1:
                raise WeightsError(f"{archive}: expected one .onnx file inside, got {len(files)}")
            if files[0].file_size > _MAX_BYTES:
                raise WeightsError(f"{archive}: expected at most {_MAX_BYTES >> 30} GiB inside")
            with (
                members.open(files[0]) as source,
                atomic_write(target) as temporary,
                temporary.open("wb") as stream,
            ):
                shutil.copyfileobj(source, stream)
    except WeightsError:
        raise
    # A damaged archive raises errors of zipfile, zlib, lzma and more.
    except Exception as error:
        raise WeightsError(f"{archive}: expected a zip archive: {one_line(error)}") from None
    finally:
        archive.unlink(missing_ok=True)


def _fetch(url: str, label: str) -> Iterator[bytes]:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:
        if not response.url.startswith(tuple(f"{scheme}:" for scheme in _SCHEMES)):
            raise EOFError(f"it leads on to {shown(response.url)}")
        total = int(response.headers.get("Content-Length") or 0)
        if response.headers.get_content_type() == "text/html":
            raise EOFError("expected a file, got a web page; is it the address of the file itself?")
        with Progress(*columns, transient=True) as bars:
            task = bars.add_task(printable(label), total=total or None)
            received = 0
            while block := response.read(1 << 16):
                received += len(block)
                if max(received, total) > _MAX_BYTES:
                    raise EOFError(f"expected at most {_MAX_BYTES >> 30} GiB")
                bars.update(task, completed=received)
                yield block
    if total and received != total:
        raise EOFError(f"expected {total} bytes, got {received}: the connection broke off")


def _entry(name: str) -> WeightFile:
    refuse_renamed(name)
    if name not in WEIGHTS:
        raise WeightsError(f"no weights called {name!r}; known: {', '.join(WEIGHTS)}")
    return WEIGHTS[name]
