"""Apps that run, and a clip for them."""

from __future__ import annotations

import sys

import pytest

from skelact import write_report

from ..report.conftest import (  # noqa: F401 - fixtures
    SUITED,
    chromium,
    clips,
    driver,
    predicted,
)
from .running import WORKER, App


@pytest.fixture(scope="session")
def video(clips):  # noqa: F811
    """A short H.264 clip."""
    return clips(SUITED)


@pytest.fixture(scope="session")
def worker(video, tmp_path_factory):
    """The command that labels."""
    report = tmp_path_factory.mktemp("made") / "r"
    write_report(predicted(video, "<b>clip</b>.mp4"), report)
    return [sys.executable, "-c", WORKER, str(report)]


@pytest.fixture
def app(tmp_path, worker):
    """An app without jobs."""
    with App(tmp_path / "app", worker) as running:
        yield running
