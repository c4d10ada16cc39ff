"""Fixtures that several test files use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from coco_people import coco  # noqa: F401 - a fixture

# The shared folder lies beside the repository unless SKELACT_SHARED names another place.
_REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("SKELACT_SHARED", _REPOSITORY.parent / "shared"))


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
