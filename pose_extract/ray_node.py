"""The processes on a node of a Ray cluster: what extracts clips, and what runs its networks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from .common.device import choose_device
from .extract import ExtractConfig, Extractor, Progress
from .folder_run import ReadClip
from .inference_process import InferenceProcess
from .nets.inference_client import RemoteEngines, ServerAddress
from .sources import ClipSource
from .store.source_file import SourceError, check_can_be_read
from .tasks import sendable

# It says so often how far it is: as a person reads it, and little beside the work on a clip.
_PROGRESS_SECONDS = 1.0


class NodeExtractor:
    """What runs in an actor.

    Args:
        make: Class of the chain from video to skeletons.
        config: How clips are extracted.
        folder: Where paths that are not absolute begin, if the node has it.
        networks: Where the networks run; None: in this process.
    """

    def __init__(
        self,
        make: Callable[..., Extractor],
        config: ExtractConfig,
        folder: str,
        networks: ServerAddress | None = None,
    ) -> None:
        self._make = make
        self._config = config
        self._folder = folder
        self._networks = networks
        self._progress: Progress | None = None

    def begin(self) -> dict[str, Any]:
        """Return what shapes the skeletons here."""
        with suppress(OSError):
            os.chdir(self._folder)
        if self._networks is None:
            choose_device(self._config.device)
            self._extractor = self._make(self._config)
        else:
            self._extractor = self._make(self._config, engines=RemoteEngines(self._networks))
        return self._extractor.identity()

    def extract(self, clip: ClipSource) -> tuple[ReadClip, Progress | None]:
        """Return what came of a clip, and how far it was read last."""
        self._progress = None
        try:
            before = check_can_be_read(clip)
        except SourceError as error:
            return ReadClip.failed(clip, error), None
        (result,) = self._extractor.run([clip], self._note)
        if result.error is not None:
            result = replace(result, error=sendable(result.error))
        return ReadClip.of(result, before), self._progress

    def progress(self) -> Progress | None:
        """Return, after a while, how far a clip is read."""
        time.sleep(_PROGRESS_SECONDS)
        return self._progress

    def _note(self, progress: Progress) -> None:
        self._progress = progress


class NodeNetworks:
    """Holds the networks that all processes of a node share which have one GPU.

    Args:
        config: Names the networks.
        folder: As for :class:`NodeExtractor`.
    """

    def __init__(self, config: ExtractConfig, folder: str) -> None:
        self._process = InferenceProcess(config)
        self._folder = folder

    def load(self) -> ServerAddress:
        """Load the networks; return where they listen, as long as this process lives."""
        with suppress(OSError):
            os.chdir(self._folder)
        return self._process.__enter__().address
