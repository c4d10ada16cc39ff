"""The named weights: what they are, where they come from, and where they are looked for."""

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
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .. import SkelactError
from .cache import atomic_write

_PACKAGE = Path(__file__).resolve().parent.parent
_TIMEOUT_SECONDS = 30
_LOG = logging.getLogger(__name__)


class WeightsError(SkelactError):
    """Weights that cannot be found, fetched or trusted."""


@dataclass(frozen=True)
class WeightFile:
    """One file of weights.

    Attributes:
        name: What it is called on the command line.
        kind: "detector", "pose" or "aligner".
        filename: Name of the file wherever it lies.
        what: What it is, in a line.
        licence: Under which terms it may be used.
        source: Who trained it.
        num_bytes: Size of the file.
        sha256: Hash of the file.
        url: Where to fetch it, or None where it must be put by hand.
    """

    name: str
    kind: Literal["detector", "pose", "aligner"]
    filename: str
    what: str
    licence: str
    source: str
    num_bytes: int
    sha256: str
    url: str | None = None


_LITE_HRNET = "Lite-HRNet-18 (wider, NAIVE), COCO-17 pose net, 1.3 M parameters"
_TINYPOSE = "PaddleDetection PP-TinyPose, as an MMPose state dict"

_FILES = (
    WeightFile(
        name="rtmdet-nano",
        kind="detector",
        filename="rtmdet_nano_person_320.onnx",
        what="RTMDet-nano person detector, 320x320, ONNX with NMS",
        licence="Apache-2.0",
        source="OpenMMLab",
        num_bytes=4012393,
        sha256="b8585adb6d1352796f6e86337e09c3459b830645a7e7192d9381670bea2facbd",
    ),
    WeightFile(
        name="litehrnet18-coco-256x192",
        kind="pose",
        filename="litehrnet18_wider_naive_coco_256x192_a.pth",
        what=f"{_LITE_HRNET}, 256x192, 2021 release",
        licence="Apache-2.0",
        source=_TINYPOSE,
        num_bytes=6014829,
        sha256="7d0e27340c0c8eaf4c1721377dd5fb22094431fbec81451be4b2edf44545fc84",
    ),
    WeightFile(
        name="litehrnet18-coco-256x192-b",
        kind="pose",
        filename="litehrnet18_wider_naive_coco_256x192_b.pth",
        what=f"{_LITE_HRNET}, 256x192, later release",
        licence="Apache-2.0",
        source=_TINYPOSE,
        num_bytes=6029421,
        sha256="c66b3dc955c5379df7d60339030bf24522e002dc21bbbf98987747cef9bebfe8",
    ),
    WeightFile(
        name="litehrnet18-coco-128x96",
        kind="pose",
        filename="litehrnet18_wider_naive_coco_128x96_a.pth",
        what=f"{_LITE_HRNET}, 128x96, faster and coarser",
        licence="Apache-2.0",
        source=_TINYPOSE,
        num_bytes=6013213,
        sha256="2442915cfe3349a52fe8016c9176907cf590ca146c065ad249a93783f26cf0c9",
    ),
    # Our own ship in the package; they come last of their kind.
    WeightFile(
        name="skelact-finder-320",
        kind="detector",
        filename="skelact_finder_320.safetensors",
        what="person finder, RTMDet-nano's shape, 320x320, 0.99 M parameters",
        licence="Apache-2.0",
        source="skelact, taught by rtmdet-nano",
        num_bytes=2157340,
        sha256="03cd3d8a48b1c480b4af356638a5b676a12da356b1e616f8db6f73736d5e0040",
    ),
    WeightFile(
        name="skelact-pose-256x192",
        kind="pose",
        filename="skelact_pose_256x192.safetensors",
        what="Lite-HRNet-18, COCO-17 pose net, 256x192, 1.3 M parameters",
        licence="Apache-2.0",
        source="skelact, taught by litehrnet18-coco-256x192",
        num_bytes=3041532,
        sha256="377b5a85a239392265af262ce974076c27480ae59f117c7f9eecd0eafc5be834",
    ),
    WeightFile(
        name="skelact-aligner-96",
        kind="aligner",
        filename="skelact_aligner_96.safetensors",
        what="turns people upright for a pose net, 96x96, 0.25 M parameters",
        licence="Apache-2.0",
        source="skelact, taught by litehrnet18-coco-256x192 and -b",
        num_bytes=561696,
        sha256="8546fe3042df480fa01491c527bc4d995b3830b20642d2d6bca4f88afb56d5ec",
    ),
)

WEIGHTS = {file.name: file for file in _FILES}


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def cache_folder() -> Path:
    """Return the user's folder for downloads: $SKELACT_CACHE, else ~/.cache/skelact."""
    if chosen := os.environ.get("SKELACT_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "skelact"


def shared_folder() -> Path:
    """Return the folder of shared data: $SKELACT_SHARED, else ``shared`` beside the source tree."""
    return Path(os.environ.get("SKELACT_SHARED", _PACKAGE.parent / "shared"))


def weight_folders() -> list[Path]:
    """Return the folders in which weights are looked for, in order."""
    folders = [_PACKAGE / "models" / "pretrained"]
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
    known = [file.name for file in _FILES if file.kind == kind]
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
    if name not in WEIGHTS:
        raise WeightsError(f"no weights called {name!r}; known: {', '.join(WEIGHTS)}")
    return WEIGHTS[name]
