"""``skelact doctor``: what is installed, what is missing, and the command that mends it."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from ... import SkelactError, __version__

if TYPE_CHECKING:
    from packaging.requirements import Requirement

Status = Literal["ok", "note", "missing"]

# Where the name that is imported is not the distribution's.
_MODULES = {"decord2": "decord", "mmcv-lite": "mmcv", "pillow": "PIL", "pyyaml": "yaml"}

# Other distributions of the same modules.
_OTHERS = {"decord2": ("decord",), "onnxruntime": ("onnxruntime-gpu",), "mmcv-lite": ("mmcv",)}
_OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)


# OpenMMLab's RTMDet-nano as ONNX, and a pose model of MMPose by its name.
_RTMDET = (
    "https://download.openmmlab.com/mmpose/v1/projects/rtmposev1/onnx_sdk/"
    "rtmdet_nano_8xb32-100e_coco-obj365-person-05d8511e.zip"
)
_LARGER_POSE = "td-hm_hrnet-w32_8xb64-210e_coco-256x192"


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

    Imports the packages and decodes a small clip, so it takes some seconds. The exit code is 1 if
    something is missing that the commands need.
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
        ("networks", _networks),
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
    from rich.text import Text

    from ...pose_extract.common.text import printable

    colors = {"ok": "green", "note": "yellow", "missing": "bold red"}
    table = Table(title=f"skelact {__version__}", title_justify="left")
    # A name that is broken over two lines cannot be copied.
    table.add_column("what", no_wrap=True)
    table.add_column("")
    table.add_column("found", overflow="fold")
    for finding in findings:
        mark = Text(finding.status, style=colors[finding.status])
        table.add_row(Text(printable(finding.what)), mark, Text(printable(finding.found)))
    console = Console()
    console.print(table)
    # Commands are copied, so they stand below the table in one line each.
    if to_mend := [finding for finding in findings if finding.mend]:
        console.print("to mend:")
    for finding in to_mend:
        line = f"  {printable(finding.what)}: {printable(finding.mend)}"
        console.print(Text(line), soft_wrap=True)


def _python() -> Iterator[Finding]:
    found = f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    if (3, 10) <= sys.version_info[:2] <= (3, 13):
        yield Finding("Python", "ok", found)
    else:
        yield Finding("Python", "note", found, "tested with Python 3.10 to 3.13")


def _packages() -> Iterator[Finding]:
    """Compare what is installed with the ranges in the package's own metadata."""
    from packaging.requirements import Requirement

    try:
        lines = importlib.metadata.requires("skelact") or []
    except importlib.metadata.PackageNotFoundError:
        mend = "pip install -e . in the source tree"
        yield Finding("skelact", "missing", "not installed: its metadata is not here", mend)
        return
    requirements = [Requirement(line) for line in lines]
    for requirement in requirements:
        name = requirement.name
        if name == _OPENCV[0]:  # an extra, but needed all the same
            yield from _opencv(requirement)
        elif requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            module = _MODULES.get(name, name.replace("-", "_"))
            yield _package(module, (name, *_OTHERS.get(name, ())), requirement)


def _package(module: str, names: tuple[str, ...], requirement: Requirement) -> Finding:
    mend = f'pip install "{requirement.name}{requirement.specifier}"'
    try:
        importlib.import_module(module)
    except Exception as error:
        # A package that is broken fails with whatever its library raises.
        reason = (str(error).splitlines() or [""])[0]
        return Finding(names[0], "missing", reason, mend)
    found = _installed(names)
    if not found:
        return Finding(names[0], "ok", "unknown version")
    name, version = next(iter(found.items()))
    if requirement.specifier.contains(version, prereleases=True):
        return Finding(name, "ok", version)
    return Finding(name, "note", f"{version}, tested with {requirement.specifier}", mend)


def _installed(names: tuple[str, ...]) -> dict[str, str]:
    """Return the version of each of these distributions that is installed."""
    versions = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _opencv(requirement: Requirement) -> Iterator[Finding]:
    yield _package("cv2", _OPENCV, requirement)
    found = list(_installed(_OPENCV))
    if len(found) > 1:
        mend = f"pip uninstall {' '.join(found)}, then install one of them"
        yield Finding("OpenCV", "note", f"{', '.join(found)}: one overwrote the others", mend)


def _mmpose() -> Iterator[Finding]:
    from ...pose_extract.nets.mmpose_adapter import (
        MMPOSE_INSTALL,
        NO_DEPS,
        import_mmpose,
        missing_packages,
    )

    for pin in NO_DEPS.values():
        name = pin.partition("==")[0]
        for found, version in _installed((name, *_OTHERS.get(name, ()))).items():
            yield Finding(found, "ok", version)
    try:
        import_mmpose("mmpose.models")
    except SkelactError as error:
        absent = any(importlib.util.find_spec(name) is None for name in NO_DEPS)
        mend = MMPOSE_INSTALL if absent else "mend the packages above"
        yield Finding("MMPose", "missing", str(error), mend)
        return
    if optional := missing_packages():
        found = f"{', '.join(optional)}: absent; top-down heatmap models do without"
        yield Finding("optional for mmpose", "note", found)


def _decoders() -> Iterator[Finding]:
    from ...pose_extract.decode.video import open_video

    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        _write_clip(clip)
        yield _decode_process(clip)
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


def _decode_process(clip: Path) -> Finding:
    """Start the process in which videos are decoded, and ask it for the facts about a clip."""
    from ...pose_extract.decode.process import ANSWER_SECONDS, MEMORY_LIMIT, DecodeProcess

    start = time.monotonic()
    worker = DecodeProcess()
    try:
        worker.open(clip, "pyav")
    except SkelactError as error:
        mend = f"see that {sys.executable} can be started from here"
        return Finding("decoding process", "missing", str(error), mend)
    finally:
        worker.close()
    found = (
        f"answers after {time.monotonic() - start:.1f} s; limited to {MEMORY_LIMIT >> 30} GiB and "
        f"{ANSWER_SECONDS:.0f} s without progress"
    )
    return Finding("decoding process", "ok", found)


def _write_clip(path: Path) -> None:
    import av
    import numpy as np

    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for value in range(8):
            image = np.full((48, 64, 3), 20 * value, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        file.mux(stream.encode())


def _devices() -> Iterator[Finding]:
    import torch

    from ...pose_extract.common.device import free_cores, has_bf16
    from ...pose_extract.nets.onnx_files import import_onnxruntime

    bf16 = "bf16" if has_bf16() else "no bf16"
    yield Finding("processor", "ok", f"{free_cores()} free cores, {bf16}")
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        memory = f"{facts.total_memory / 2**30:.0f} GiB"
        yield Finding(f"cuda:{index}", "ok", f"{facts.name}, {memory}")
    if not torch.cuda.is_available():
        yield Finding("CUDA", "note", "no CUDA device, or a CPU build of torch: the CPU is used")
    providers = ", ".join(import_onnxruntime().get_available_providers())
    yield Finding("ONNX Runtime", "ok", providers)
    if importlib.util.find_spec("onnx") is None:
        found = "pytorch alone: without onnx the others have no network to run"
        yield Finding("engines", "note", found, "pip install onnx makes the networks faster")
    elif importlib.util.find_spec("openvino") is None:
        said = "pytorch and onnxruntime; openvino is faster on some processors"
        yield Finding("engines", "ok", said, "pip install openvino")
    else:
        yield Finding("engines", "ok", "pytorch, onnxruntime, openvino: the fastest is taken")


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


def _networks() -> Iterator[Finding]:
    """Say which detector and pose model are taken where none is chosen, and where others are."""
    from ...pose_extract.weights.download import choose_detector
    from ...pose_extract.weights.table import DEFAULT_POSE, WEIGHTS

    best = next(name for name, file in WEIGHTS.items() if file.kind == "detector")
    chosen = choose_detector()
    if chosen == best:
        yield Finding("detector", "ok", f"{chosen} is taken")
    else:
        found = f"{chosen}, which ships, is taken: {best} is not here, and is more accurate"
        mend = f"`--detector {_RTMDET}` fetches OpenMMLab's export of it; or see weights {best}"
        yield Finding("detector", "note", found, mend)
    found = f"{DEFAULT_POSE}, which ships, is taken; `--pose {_LARGER_POSE}` fetches a larger one"
    yield Finding("pose model", "ok", f"{found} (OpenMMLab's HRNet-W32)")


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
