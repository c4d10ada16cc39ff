"""Fixtures that several test files use."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from coco_people import coco  # noqa: F401 - a fixture

# The shared folder lies beside the repository unless SKELACT_SHARED names another place.
_REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("SKELACT_SHARED", _REPOSITORY.parent / "shared"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """With ``-n auto``: as many processes as cores that are free, also inside a container."""
    from skelact.pose_extract.common.device import free_cores

    return free_cores()


def pytest_configure(config: pytest.Config) -> None:
    """Give the run a cache of its own, and let yapf, which MMEngine imports, write its own.

    Both before workers start, which share them.
    """
    if not hasattr(config, "workerinput"):
        import yapf  # noqa: F401 - importing it writes the cache

        cache = tempfile.TemporaryDirectory(prefix="skelact-tests-")
        os.environ["SKELACT_CACHE"] = cache.name
        config.add_cleanup(cache.cleanup)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked ``cuda`` where there is no such device (tests/README.md)."""
    if item.get_closest_marker("cuda") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device, and torch.cuda.is_available() is False here")


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the source tree."""
    return _REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real weights, skeletons and clips; the test is skipped where it is missing."""
    if not SHARED.is_dir():
        pytest.skip(
            f"needs the shared data folder, not found at {SHARED}; set SKELACT_SHARED to it"
        )
    return SHARED


@pytest.fixture(scope="session")
def source_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the files that git knows, so that a build leaves nothing in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=_REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("needs a git checkout to know the project's files")
    # A name with a space, which is not the package's: a clone may be called anything.
    copy = tmp_path_factory.mktemp("source") / "any name"
    for name in filter(None, listed.stdout.split("\0")):
        if (_REPOSITORY / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(_REPOSITORY / name, copy / name)
    return copy
