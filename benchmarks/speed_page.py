"""Run the benchmarks of speed one after another, and write docs/speed.md.

    python benchmarks/speed_page.py

Nothing else should run beside it. A benchmark that cannot run here, such as one whose peer is not
installed, is named on the page with what it says.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import click

from skelact.pose_extract.common.files import atomic_write
from skelact.pose_extract.nets.notes import processor_name

_ROOT = Path(__file__).resolve().parent.parent
_PAGE = _ROOT / "docs" / "speed.md"
_SKELETON = "../shared/videos/people/mmaction2_demo_skeleton.mp4"
_GYM = "../shared/videos/gym/example_fx_01_normal.mp4"
_VAULT = "../shared/videos/gym/example_vt_01_normal.mp4"
_CLIPS = f"{_SKELETON} {_GYM} {_VAULT} --frames 32"
_FEW_FRAMES = f"{_SKELETON} {_GYM} {_VAULT} --rounds 2 --frames"
# Heading, and the command's words.
_COMMANDS = (
    ("Whole clips against loops of rtmlib and MMPose, one core", f"peers.py {_FEW_FRAMES} 16"),
    ("The same with HRNet-W32", f"peers.py {_FEW_FRAMES} 4 --hrnet"),
    ("Poses against MMPose's inference_topdown", f"pose.py {_SKELETON} --frames 24"),
    ("Efforts", f"effort.py {_CLIPS} --threads 1"),
    ("Networks, and the rest of a clip, on one core", f"networks.py {_CLIPS}"),
    ("The same networks, the poses' HRNet-W32", f"networks.py {_FEW_FRAMES} 8 --hrnet"),
    ("Engines of the networks", "engines.py speed"),
    ("Decoding", f"decode.py {_SKELETON} --rounds 9"),
    ("Cuts of a long video", "cuts.py --minutes 10 --cuts 33"),
    ("Start-up", f"startup.py {_GYM}"),
    ("Longer clips", f"scaling.py length {_VAULT}"),
    ("A second run over a folder", "scaling.py again"),
    ("Two workers", "workers.py ../shared/videos/ucf101_train --clips 64"),
    ("Two Ray nodes", "ray_cluster.py nodes ../shared/videos/ucf101_train"),
    ("Ray's scheduler", "ray_cluster.py scheduler"),
)
_INTRODUCTION = """# Speed

What the benchmarks of speed print, each in one run; `python benchmarks/speed_page.py` makes this
page. Ways that are compared take turns, so that what counts is the ratio: another machine, or
another day, gives other times.
"""


@click.command()
@click.option(
    "--only", multiple=True, help="Commands that begin so [all]; others stay as they are."
)
def main(only: tuple[str, ...]) -> None:
    """Run all and write the page."""
    for title, words in _COMMANDS:
        if only and not words.startswith(only):
            continue
        start = time.perf_counter()
        sections = _sections()
        output = f"```\n{_output(words)}\n```"
        command = f"    python benchmarks/{words}"
        sections[title] = "\n\n".join([command, f"{date.today()}, {_machine()}:", output])
        lines = [_INTRODUCTION.strip()]
        for name, _ in _COMMANDS:
            if name in sections:
                lines.append(f"## {name}\n\n{sections[name]}")
        with atomic_write(_PAGE) as temporary:
            temporary.write_text("\n\n".join(lines) + "\n", encoding="utf-8")
        click.echo(f"{title}: {time.perf_counter() - start:.0f} s")


def _sections() -> dict[str, str]:
    """Return what the page says under each heading."""
    page = _PAGE.read_text(encoding="utf-8") if _PAGE.exists() else ""
    parts = [part.partition("\n") for part in page.split("\n## ")[1:]]
    return {title: text.strip("\n") for title, _, text in parts}


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    python = f"Python {platform.python_version()}"
    return f"{processor_name()}, {cores} cores, {platform.system()}, {python}"


def _output(words: str) -> str:
    """Return what a benchmark prints, or the last line of why it cannot."""
    script, *rest = words.split()
    environment = os.environ | {"COLUMNS": "100"}
    found = subprocess.run(
        [sys.executable, f"benchmarks/{script}", *rest],
        cwd=_ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if found.returncode:
        return "cannot run here: " + (found.stderr.strip().splitlines() or ["no message"])[-1]
    return "\n".join(line.rstrip() for line in found.stdout.strip().splitlines())


if __name__ == "__main__":
    main()
