"""Find named weights on this machine, and fetch those that have an address."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ... import SkelactError
from ..common.files import PACKAGE_FOLDER, atomic_write, cache_folder, sha256_of, shared_folder
from ..common.text import one_line, printable
from .file_format import check_format
from .table import WEIGHTS, WeightFile, WeightsError, refuse_renamed

_TIMEOUT_SECONDS = 30
# A server that sends a byte now and then never runs into the timeout; a modem sends 5 kB/s.
_MIN_BYTES_PER_SECOND = 1000
_RATE_SECONDS = 30
# 8 GiB in a day are 100 kB/s.
_MAX_SECONDS = 24 * 3600
_SCHEMES = ("http", "https")
# What an error prints of an address: those that are signed have thousands of letters.
_MAX_URL_CHARS = 160
# More than any published detector or pose model, ViTPose-huge with 2.5 GB among them.
_MAX_BYTES = 8 << 30
# Of a file name in the cache; folders take 255 bytes, and temporary files have longer names.
_MAX_NAME_CHARS = 100


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


def choose_detector() -> str:
    """Return the name of the best detector on this machine: the table has them in order.

    The one that ships in the package comes last and is always there; ``skelact doctor`` says when
    it is taken.
    """
    known = [file.name for file in WEIGHTS.values() if file.kind == "detector"]
    return next((name for name in known if locate_weights(name)), known[0])


def download(url: str, target: str | Path, sha256: str | None = None) -> Path:
    """Fetch a file, with a progress bar; it is there whole and checked, or not at all.

    Args:
        url: http or https address.
        target: Where it goes; an existing file is replaced.
        sha256: Expected hash, or the first digits of it; None checks nothing.

    Raises:
        WeightsError: if the address is none, the file cannot be fetched, or what comes is another
            file, a part of it, a web page or no file of the suffix that ``target`` has.
    """
    target = Path(target)
    _check_address(url)
    digest = hashlib.sha256()
    address = _shortened(url)
    try:
        with _without_empty_folders(target), atomic_write(target) as temporary:
            with temporary.open("wb") as stream:
                for block in _fetch(url, target.name):
                    digest.update(block)
                    stream.write(block)
            if sha256 and not digest.hexdigest().startswith(sha256):
                raise WeightsError(
                    f"{address}: expected sha256 {sha256}, got {digest.hexdigest()}; try again, "
                    "and if it stays so do not use the file"
                )
            check_format(temporary, target.name)
    except WeightsError:
        raise
    except urllib.error.HTTPError as error:
        reason = one_line(error.reason)
        raise WeightsError(f"cannot fetch {address}: HTTP {error.code} {reason}") from None
    # ValueError: names of hosts that cannot be; HTTPException: an answer that is no HTTP.
    except (OSError, SkelactError, ValueError, http.client.HTTPException) as error:
        reason = one_line(getattr(error, "reason", None) or error) or type(error).__name__
        raise WeightsError(f"cannot fetch {address}: {reason}") from None
    return target


@contextmanager
def _without_empty_folders(target: Path) -> Iterator[None]:
    """Remove the folders above ``target`` that were not there before and stay empty."""
    new = [folder for folder in target.parents if not folder.exists()]
    try:
        yield
    finally:
        for folder in new:
            with suppress(OSError):  # it holds something
                folder.rmdir()


def _shortened(url: str) -> str:
    """Return an address as an error names it: a part of it, and without a password."""
    url = re.sub(r"(?<=://)[^/?#]*@", "...@", url)
    if len(url) <= _MAX_URL_CHARS:
        return url
    half = _MAX_URL_CHARS // 2
    return f"{url[:half]}...{url[-half:]}"


def _check_address(url: str) -> str:
    """Return the file name at the end of an address, without characters that steer anything.

    Raises:
        WeightsError: if it is no address of a file.
    """
    shown = repr(_shortened(url))
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port  # a ValueError where it is no number
    except ValueError as error:
        raise WeightsError(f"{shown} is no address: {error}") from None
    if parts.scheme == "file":
        raise WeightsError(f"{shown}: a file on this machine is named by its path, without file://")
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise WeightsError(
            f"{shown} is no address of a file: expected http://HOST/FILE or https://HOST/FILE"
        )
    if not url.isprintable() or " " in url:
        raise WeightsError(
            f"{shown} is no address: it holds spaces or control characters; write them as %20"
        )
    name = urllib.parse.unquote(parts.path.rsplit("/", 1)[-1])
    name = re.sub(r"[^\w.+-]", "_", name)[-_MAX_NAME_CHARS:]
    if not name.strip("."):
        raise WeightsError(f"{shown} names no file: expected one at the end of the address")
    return name


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
    with _without_empty_folders(target):
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
                stream.flush()
                check_format(temporary, target.name)
    except WeightsError:
        raise
    # A damaged archive raises errors of zipfile, zlib, lzma and more.
    except Exception as error:
        what = "" if isinstance(error, SkelactError) else "expected a zip archive: "
        raise WeightsError(f"{archive}: {what}{one_line(error)}") from None
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
    opener = urllib.request.build_opener(_Redirects)
    with opener.open(url, timeout=_TIMEOUT_SECONDS) as response:
        total = _announced_bytes(response)
        if total is not None:
            # Read to the end of the connection: a file longer than announced is no file to keep.
            response.length = None
        with Progress(*columns, transient=True) as bars:
            task = bars.add_task(printable(label), total=total)
            received = 0
            for block in _blocks(response, total):
                received += len(block)
                bars.update(task, completed=received)
                yield block
    if total is not None and received != total:
        raise SkelactError(f"expected {total} bytes, got {received}: the connection broke off")


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if urllib.parse.urlsplit(newurl).scheme not in _SCHEMES:
            raise SkelactError(f"it leads on to {_shortened(newurl)}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _announced_bytes(response: Any) -> int | None:
    """Return the length that an answer announces, None where it does not.

    Raises:
        SkelactError: if the answer is no whole file as it is.
    """
    if response.status != 200:
        raise SkelactError(f"expected HTTP 200, got {response.status} {one_line(response.reason)}")
    encoding = response.headers.get("Content-Encoding") or "identity"
    if encoding.lower() != "identity":
        raise SkelactError(f"expected the file as it is, got it encoded: {one_line(encoding)[:40]}")
    if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise SkelactError("expected a file, got a web page; is it the address of the file itself?")
    length = response.headers.get("Content-Length")
    if length is None or response.chunked:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", length.strip()):
        raise SkelactError(f"expected a length in bytes, got {one_line(length)[:40]!r}")
    if int(length) > _MAX_BYTES:
        raise SkelactError(f"expected at most {_MAX_BYTES >> 30} GiB")
    return int(length)


def _blocks(response: Any, total: int | None) -> Iterator[bytes]:
    """Yield what comes, as it comes.

    Raises:
        SkelactError: if it is more than announced or allowed, or comes too slowly.
    """
    received = received_before = 0
    begin = since = time.monotonic()
    while True:
        try:
            block = response.read1(1 << 16)
        except TimeoutError:
            if received == total:
                return  # a server that keeps the connection open though asked not to
            raise
        if not block:
            return
        received += len(block)
        if received > (_MAX_BYTES if total is None else total):
            most = f"at most {_MAX_BYTES >> 30} GiB" if total is None else f"{total} bytes"
            raise SkelactError(f"expected {most}, got more")
        yield block
        now = time.monotonic()
        if now - since > _RATE_SECONDS:
            rate = (received - received_before) / (now - since)
            if rate < _MIN_BYTES_PER_SECOND or now - begin > _MAX_SECONDS:
                raise SkelactError(f"it comes too slowly: {rate:.0f} bytes per second")
            received_before, since = received, now


def _entry(name: str) -> WeightFile:
    refuse_renamed(name)
    if name not in WEIGHTS:
        raise WeightsError(f"no weights called {name!r}; known: {', '.join(WEIGHTS)}")
    return WEIGHTS[name]
