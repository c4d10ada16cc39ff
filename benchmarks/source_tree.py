"""A source tree at work in a process of its own, to be measured against another one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parents[1]
_SHARED = Path(os.environ.get("SKELACT_SHARED", ROOT.parent / "shared"))


class SourceTree:
    """A process that stays, so that what it loads and warms up is there for each piece of work.

    Args:
        root: The tree.
        folder: A folder for it, made here, in which the tree is importable as ``skelact``.
        script: Python source that answers each line of its input with a line of JSON.
        job: What it gets as its first argument, as JSON.
    """

    def __init__(self, root: Path, folder: Path, script: str, job: object) -> None:
        folder.mkdir()
        (folder / "skelact").symlink_to(root.resolve(), target_is_directory=True)
        self._process = subprocess.Popen(
            [sys.executable, "-c", script, json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), "SKELACT_SHARED": str(_SHARED)},
        )

    def ask(self, line: object) -> Any:
        """Return the answer to a line.

        Raises:
            click.ClickException: if the process has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise click.ClickException("a source tree ended early; its error stands above")
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
