"""Find named weights on this machine, and fetch those that have an address."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ..common.files import PACKAGE_FOLDER, atomic_write, cache_folder, sha256_of, shared_folder
from .table import WEIGHTS, WeightFile, WeightsError, refuse_renamed

_TIMEOUT_SECONDS = 30
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


def download(url: str, target: Path, sha256: str | None = None) -> Path:
    """Fetch a file, with a progress bar; it is there whole and checked, or not at all.

    Args:
        url: http, https or file address.
        target: Where it goes; an existing file is replaced.
        sha256: Expected hash, or the first digits of it; None checks nothing.

    Raises:
        WeightsError: if it cannot be fetched, or is another file.
    """
    digest = hashlib.sha256()
    try:
        with atomic_write(target) as temporary, temporary.open("wb") as stream:
            for block in _fetch(url, target.name):
                digest.update(block)
                stream.write(block)
            if sha256 and not digest.hexdigest().startswith(sha256):
                raise WeightsError(
                    f"{url}: expected sha256 {sha256}, got {digest.hexdigest()}; try again, and if "
                    "it stays so do not use the file"
                )
    except (urllib.error.URLError, OSError, EOFError) as error:
        raise WeightsError(f"cannot fetch {url}: {getattr(error, 'reason', error)}") from None
    return target


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
    target = cache_folder() / "weights" / name.rsplit("/", 1)[-1]
    wanted = target.with_suffix(".onnx") if target.suffix == ".zip" else target
    if wanted.is_file():
        return wanted
    # OpenMMLab's checkpoints are called after the first digits of their hash and a date.
    digits = re.search(r"-([0-9a-f]{8})(?:_\d{8})?\.pth$", target.name)
    download(name, target, digits.group(1) if digits else None)
    if wanted != target:
        _take_onnx(target, wanted)
    return wanted


def _take_onnx(archive: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as members:
            names = [name for name in members.namelist() if name.endswith(".onnx")]
            if len(names) != 1:
                raise WeightsError(f"{archive}: expected one .onnx file inside, got {len(names)}")
            with (
                members.open(names[0]) as source,
                atomic_write(target) as temporary,
                temporary.open("wb") as stream,
            ):
                shutil.copyfileobj(source, stream)
    except zipfile.BadZipFile as error:
        raise WeightsError(f"{archive}: expected a zip archive: {error}") from None
    finally:
        archive.unlink(missing_ok=True)


def _fetch(url: str, label: str) -> Iterator[bytes]:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:
        total = int(response.headers.get("Content-Length") or 0)
        with Progress(*columns, transient=True) as bars:
            task = bars.add_task(label, total=total or None)
            received = 0
            while block := response.read(1 << 16):
                received += len(block)
                bars.update(task, completed=received)
                yield block
    if total and received != total:
        raise EOFError(f"expected {total} bytes, got {received}: the connection broke off")


def _entry(name: str) -> WeightFile:
    refuse_renamed(name)
    if name not in WEIGHTS:
        raise WeightsError(f"no weights called {name!r}; known: {', '.join(WEIGHTS)}")
    return WEIGHTS[name]
