"""``skelact doctor``: what is installed, what is missing, and the command that mends it."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import click

from ... import SkelactError, __version__

Status = Literal["ok", "note", "missing"]

# import name: (distribution, lowest version); mmcv-lite stands for mmcv, decord2 for decord.
_PACKAGES: dict[str, tuple[tuple[str, ...], str]] = {
    "torch": (("torch",), "2.4"),
    "numpy": (("numpy",), "2.0"),
    "mmengine": (("mmengine",), "0.10.7"),
    "mmcv": (("mmcv-lite", "mmcv"), "2.2.0"),
    "cv2": (("opencv-python", "opencv-python-headless", "opencv-contrib-python"), "4.10"),
    "decord": (("decord2", "decord"), "3.0"),
    "av": (("av",), "13"),
    "onnxruntime": (("onnxruntime", "onnxruntime-gpu"), "1.19"),
    "safetensors": (("safetensors",), "0.4.5"),
    "scipy": (("scipy",), "1.13"),
    "click": (("click",), "8.1"),
    "rich": (("rich",), "13"),
}


@dataclass(frozen=True)
class Finding:
    """A line of the table.

    Attributes:
        what: What was looked at.
        status: "ok"; "note" for something optional; "missing" for what the commands need.
        found: What was found.
        mend: Command or step that mends it; empty where there is nothing to mend.
    """

    what: str
    status: Status
    found: str
    mend: str = ""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON in place of the table.")
def doctor(as_json: bool) -> None:
    """Show what is installed, what is missing and how to mend it.

    Imports the packages, builds a pose net and decodes a small clip, so it takes some seconds. The
    exit code is 1 if something is missing that the commands need.
    """
    findings = examine()
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        _print(findings)
    if any(finding.status == "missing" for finding in findings):
        raise click.exceptions.Exit(1)


def examine() -> list[Finding]:
    """Look at everything; a check that fails is a finding and stops no other."""
    checks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("Python", _python),
        ("packages", _packages),
        ("MMPose", _mmpose),
        ("decoders", _decoders),
        ("devices", _devices),
        ("weights", _weights),
        ("classifier", _classifier),
    )
    findings: list[Finding] = []
    for what, check in checks:
        try:
            findings += check()
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0]
            findings.append(Finding(what, "missing", f"{type(error).__name__}: {reason}"))
    return findings


def _print(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table

    colors = {"ok": "green", "note": "yellow", "missing": "bold red"}
    table = Table(title=f"skelact {__version__}", title_justify="left")
    for column in ("what", "", "found", "to mend"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        mark = f"[{colors[finding.status]}]{finding.status}[/]"
        table.add_row(finding.what, mark, finding.found, finding.mend)
    Console().print(table)


def _python() -> Iterator[Finding]:
    found = f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    if (3, 10) <= sys.version_info[:2] <= (3, 13):
        yield Finding("Python", "ok", found)
    else:
        yield Finding("Python", "note", found, "tested with Python 3.10 to 3.13")


def _packages() -> Iterator[Finding]:
    for module, (distributions, lowest) in _PACKAGES.items():
        mend = f'pip install "{distributions[0]}>={lowest}"'
        try:
            importlib.import_module(module)
        except ImportError as error:
            yield Finding(distributions[0], "missing", str(error), mend)
            continue
        name, version = _distribution(distributions)
        old = _version(version) < _version(lowest)
        yield Finding(name, "note" if old else "ok", version, mend if old else "")


def _distribution(names: tuple[str, ...]) -> tuple[str, str]:
    for name in names:
        try:
            return name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return names[0], "unknown version"


def _version(text: str) -> tuple[int, ...]:
    numbers = []
    for part in text.split("+")[0].split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def _mmpose() -> Iterator[Finding]:
    from ...pose_extract.nets.mmpose_adapter import MMPOSE_INSTALL, import_mmpose, missing_packages

    try:
        mmpose = import_mmpose("mmpose.models")
    except SkelactError as error:
        yield Finding("mmpose", "missing", str(error), MMPOSE_INSTALL)
        return
    yield Finding("mmpose", "ok", mmpose.__version__)
    absent = missing_packages()
    if absent:
        found = f"{', '.join(absent)}: absent; top-down heatmap models do without"
        yield Finding("optional for mmpose", "note", found)


def _decoders() -> Iterator[Finding]:
    from ...pose_extract.decode.video import open_video

    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        _write_clip(clip)
        choices: tuple[tuple[Literal["decord", "pyav"], str], ...] = (
            ("decord", "pip install decord2"),
            ("pyav", "pip install av"),
        )
        for name, mend in choices:
            try:
                with open_video(clip, decoder=name) as reader:
                    frames = sum(len(batch.frames) for batch in reader.batches(4))
            except (SkelactError, ImportError) as error:
                yield Finding(f"decoder {name}", "missing", str(error), mend)
            else:
                yield Finding(f"decoder {name}", "ok", f"decoded {frames} frames of H.264")


def _write_clip(path: Path) -> None:
    import av
    import numpy as np

    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for value in range(8):
            picture = np.full((48, 64, 3), 20 * value, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        file.mux(stream.encode())


def _devices() -> Iterator[Finding]:
    import onnxruntime
    import torch

    from ...pose_extract.common.device import free_cores, has_bf16

    bf16 = "bf16" if has_bf16() else "no bf16"
    yield Finding("processor", "ok", f"{free_cores()} free cores, {bf16}")
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        memory = f"{facts.total_memory / 2**30:.0f} GiB"
        yield Finding(f"cuda:{index}", "ok", f"{facts.name}, {memory}")
    if not torch.cuda.is_available():
        yield Finding("CUDA", "note", "no CUDA device, or a CPU build of torch: the CPU is used")
    providers = ", ".join(onnxruntime.get_available_providers())
    yield Finding("ONNX Runtime", "ok", providers)


def _weights() -> Iterator[Finding]:
    from ...pose_extract.common.files import cache_folder
    from ...pose_extract.weights.download import locate_weights
    from ...pose_extract.weights.table import WEIGHTS

    kinds_here = {file.kind for name, file in WEIGHTS.items() if locate_weights(name)}
    for name, file in WEIGHTS.items():
        what = f"weights {name}"
        if found := locate_weights(name):
            yield Finding(what, "ok", f"in {found.parent}")
            continue
        status: Status = "note" if file.kind in kinds_here else "missing"
        if file.url:
            yield Finding(what, "note", "not here yet", "fetched when first used")
        else:
            target = cache_folder() / "weights"
            mend = f"put {file.filename} into {target}, or its folder's name into SKELACT_WEIGHTS"
            yield Finding(what, status, "not on this machine", mend)


def _classifier() -> Iterator[Finding]:
    from ..checkpoints.checkpoint import find_checkpoint, load_classifier

    try:
        name = find_checkpoint(None).stem
        _, meta = load_classifier(None)
    except SkelactError as error:
        yield Finding("classifier", "missing", str(error), "install skelact again")
        return
    found = f"{name}: {len(meta.label_names)} actions ({meta.data['dataset']})"
    yield Finding("classifier", "ok", found)
