"""The door for Python users: a video, a folder or frames in; skeletons and labels out."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, overload

from ... import SkelactError
from ...pose_extract.extract import ExtractConfig, Extractor, Progress, config_or_default
from ...pose_extract.lists import LIST_SUFFIXES
from ...pose_extract.skeleton import SkeletonSequence
from ...pose_extract.sources import ClipSource, find_sources
from .clip_skeletons import ClipSkeletons
from .frame_spool import parse_fps, spool_frames
from .predict import Predictor, extract_skeletons
from .results import ActionPrediction

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Pipeline", "Source", "extract", "predict"]

# A file, a folder or a CSV list; frames in memory; anything that is taken.
PathSource: TypeAlias = "str | os.PathLike[str] | ClipSource"
Frames: TypeAlias = "np.ndarray | Iterable[np.ndarray]"
Source: TypeAlias = "PathSource | Iterable[PathSource] | Frames"
Fps: TypeAlias = "float | Fraction"
OnProgress: TypeAlias = "Callable[[Progress], None] | None"

R = TypeVar("R", ClipSkeletons, ActionPrediction)

# Type checkers cannot know whether a path is a file or a folder: they are told that it is a file,
# or anything.


@overload
def extract(source: PathSource, *, fps: None = None, **options: Any) -> ClipSkeletons | Any: ...


@overload
def extract(
    source: Iterable[PathSource], *, fps: None = None, **options: Any
) -> list[ClipSkeletons]: ...


@overload
def extract(source: Frames, *, fps: Fps, **options: Any) -> ClipSkeletons: ...


def extract(
    source: Source,
    *,
    fps: Fps | None = None,
    config: ExtractConfig | None = None,
    **options: Any,
) -> ClipSkeletons | Any:
    """Return the skeletons of a clip, or of several.

    The networks are loaded anew at each call; :class:`Pipeline` keeps them.

    Args:
        source: A video file, a folder, a CSV list of clips, a ``ClipSource``, several of these, or
            frames in memory: (T, H, W, 3) uint8 RGB, or an iterable of (H, W, 3) uint8 RGB.
        fps: Frame rate of frames in memory, and for these alone.
        config: How skeletons are extracted.
        options: Fields of ``ExtractConfig`` that replace those of ``config``, such as
            ``effort="fast"``.

    Returns:
        One ``ClipSkeletons`` for a file, a ``ClipSource`` or frames; for a folder or several
        sources a list of them in order. A clip that cannot be read has its ``error`` set.

    Raises:
        SkelactError: if there is no such file, or a network cannot be loaded.
        TypeError: if an option or the source is of no known kind.
        ValueError: if an option, the frames or ``fps`` cannot be.
    """
    extractor = Extractor(extract_config(config, options))
    return _run(source, fps, lambda clips: _skeletons(extractor, clips, None))


@overload
def predict(source: PathSource, *, fps: None = None, **options: Any) -> ActionPrediction | Any: ...


@overload
def predict(
    source: Iterable[PathSource], *, fps: None = None, **options: Any
) -> list[ActionPrediction]: ...


@overload
def predict(source: Frames, *, fps: Fps, **options: Any) -> ActionPrediction: ...


def predict(
    source: Source,
    *,
    fps: Fps | None = None,
    checkpoint: str | Path | None = None,
    config: ExtractConfig | None = None,
    top_k: int = 5,
    **options: Any,
) -> ActionPrediction | Any:
    """Return the action in a clip, or in several.

    The networks are loaded anew at each call; :class:`Pipeline` keeps them.

    Args:
        source: What :func:`extract` takes.
        fps: Frame rate of frames in memory, and for these alone.
        checkpoint: The classifier; None for the shipped one.
        config: How skeletons are extracted.
        top_k: Labels to give per clip.
        options: Fields of ``ExtractConfig`` that replace those of ``config``.

    Returns:
        One ``ActionPrediction``, or a list of them, as :func:`extract` does.

    Raises:
        SkelactError: if there is no such file or checkpoint, or a network cannot be loaded.
        TypeError: if an option or the source is of no known kind.
        ValueError: if an option, the frames or ``fps`` cannot be.
    """
    model = Pipeline(checkpoint, config=config, top_k=top_k, **options)
    return _run(source, fps, lambda clips: model._predictions(clips, None))


class Pipeline:
    """From videos to skeletons and labels; its networks are loaded once.

    The classifier is loaded here, the detector and the pose model at the first clip.
    ``model(...)`` labels, ``model.extract(...)`` gives skeletons alone, and ``model.stream(...)``
    labels one clip after the other.

    Args:
        checkpoint: The classifier; None for the shipped one.
        config: How skeletons are extracted.
        extractor: A chain of your own, in place of ``config`` and ``options``.
        top_k: Labels to give per clip.
        options: Fields of ``ExtractConfig`` that replace those of ``config``, such as
            ``effort="fast"``; ``device`` is the classifier's too.

    Raises:
        SkelactError: if the checkpoint or the device cannot be used.
        TypeError: if there is no such option.
        ValueError: if an option cannot be.
    """

    def __init__(
        self,
        checkpoint: str | Path | None = None,
        *,
        config: ExtractConfig | None = None,
        extractor: Extractor | None = None,
        top_k: int = 5,
        **options: Any,
    ) -> None:
        if extractor is None:
            extractor = Extractor(extract_config(config, options))
        elif config is not None or options:
            given = ", ".join([*(["config"] if config else []), *options])
            raise TypeError(f"extractor: it has a config of its own, got also {given}")
        device = extractor.config.device
        self._predictor = Predictor(checkpoint, extractor, device=device, top_k=top_k)

    @property
    def config(self) -> ExtractConfig:
        """How skeletons are extracted."""
        return self._predictor.extractor.config

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels that the classifier knows."""
        return tuple(self._predictor.meta.label_names)

    def __repr__(self) -> str:
        return (
            f"Pipeline({len(self.label_names)} labels, effort={self.config.effort!r}, "
            f"device={self.config.device!r})"
        )

    # A str is an iterable of str too: the first signature that fits is taken.
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        source: PathSource | SkeletonSequence | ClipSkeletons,
        *,
        fps: None = None,
        on_progress: OnProgress = None,
    ) -> ActionPrediction | Any: ...

    @overload
    def __call__(
        self, source: Iterable[PathSource], *, fps: None = None, on_progress: OnProgress = None
    ) -> list[ActionPrediction]: ...

    @overload
    def __call__(
        self, source: Frames, *, fps: Fps, on_progress: OnProgress = None
    ) -> ActionPrediction: ...

    def __call__(
        self,
        source: Source | SkeletonSequence | ClipSkeletons,
        *,
        fps: Fps | None = None,
        on_progress: OnProgress = None,
    ) -> ActionPrediction | Any:
        """Return the action in a clip, or in several.

        Args:
            source: What :func:`extract` takes; or skeletons, which are labelled as they are.
            fps: Frame rate of frames in memory, and for these alone.
            on_progress: Called while a clip is read.

        Returns:
            One ``ActionPrediction`` or, for a folder or several sources, a list of them in order. A
            clip that cannot be read has its ``error`` set and no label.

        Raises:
            SkelactError: if there is no such file, or a network cannot be loaded.
        """
        if isinstance(source, ClipSkeletons):
            return self._predictor.predict_skeletons(source)
        if isinstance(source, SkeletonSequence):
            return self._predictor.predict_sequence(source)
        return _run(source, fps, lambda clips: self._predictions(clips, on_progress))

    @overload
    def extract(  # type: ignore[overload-overlap]
        self, source: PathSource, *, fps: None = None, on_progress: OnProgress = None
    ) -> ClipSkeletons | Any: ...

    @overload
    def extract(
        self, source: Iterable[PathSource], *, fps: None = None, on_progress: OnProgress = None
    ) -> list[ClipSkeletons]: ...

    @overload
    def extract(
        self, source: Frames, *, fps: Fps, on_progress: OnProgress = None
    ) -> ClipSkeletons: ...

    def extract(
        self,
        source: Source,
        *,
        fps: Fps | None = None,
        on_progress: OnProgress = None,
    ) -> ClipSkeletons | Any:
        """Return the skeletons of a clip, or of several; see :func:`extract`."""
        extractor = self._predictor.extractor
        return _run(source, fps, lambda clips: _skeletons(extractor, clips, on_progress))

    def stream(
        self,
        sources: PathSource | Iterable[PathSource],
        *,
        on_progress: OnProgress = None,
    ) -> Iterator[ActionPrediction]:
        """Yield the action in one clip after the other, in constant memory.

        A source is asked for when the one before it is done, so ``sources`` may be endless. A file
        that is not there, a folder without videos or a list that cannot be read gives a prediction
        with its ``error`` set, so that the stream goes on.
        """
        if isinstance(sources, (str, os.PathLike, ClipSource)):
            return self._predictions(_clips_of(sources)[0], on_progress)
        return self._stream(sources, on_progress)

    def _stream(
        self, sources: Iterable[PathSource], on_progress: OnProgress
    ) -> Iterator[ActionPrediction]:
        for source in sources:
            try:
                clips = _clips_of(_checked(source))[0]
            except (SkelactError, OSError) as error:
                yield self._predictor.failed(os.path.basename(str(source)), str(error))
            else:
                yield from self._predictions(clips, on_progress)

    def _predictions(
        self, clips: Iterable[ClipSource], on_progress: OnProgress
    ) -> Iterator[ActionPrediction]:
        for _, prediction in self._predictor.predict_clips(clips, on_progress):
            yield prediction


def _skeletons(
    extractor: Extractor,
    clips: Iterable[ClipSource],
    on_progress: OnProgress,
) -> Iterator[ClipSkeletons]:
    for _, skeletons in extract_skeletons(extractor, clips, on_progress):
        yield skeletons


def extract_config(config: ExtractConfig | None, options: dict[str, Any]) -> ExtractConfig:
    """Return a config with some of its fields replaced.

    Raises:
        TypeError: for a name that is no field.
    """
    known = [item.name for item in fields(ExtractConfig)]
    for name in options:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"is {close[0]!r} meant?" if close else f"expected one of {', '.join(known)}"
            raise TypeError(f"unknown option {name!r}; {hint}")
    return replace(config_or_default(config), **options)


def _run(
    source: Source,
    fps: Fps | None,
    run: Callable[[Iterable[ClipSource]], Iterator[R]],
) -> R | list[R]:
    """Return the one result of a file or of frames, or the results of several clips."""
    if fps is None:
        clips, is_one = _clips_of(source)
        results = list(run(clips))
        return results[0] if is_one else results
    if isinstance(source, (str, os.PathLike, ClipSource)):
        raise TypeError(f"fps: it is for frames in memory, a file has its own; got {source!r}")
    rate = parse_fps(fps)
    with spool_frames(source, rate) as clip:
        (result,) = run([clip])
    if isinstance(result, ActionPrediction):
        return replace(result, skeletons=result.skeletons.of_frames(rate))
    return result.of_frames(rate)


def _clips_of(source: Source) -> tuple[list[ClipSource], bool]:
    """Return the clips of a source, and whether it is a single one."""
    if isinstance(source, ClipSource):
        return [source], True
    if isinstance(source, (str, os.PathLike)):
        path = _path(source)
        return find_sources([path]), not (path.is_dir() or path.suffix.lower() in LIST_SUFFIXES)
    if hasattr(source, "__array__"):
        parse_fps(None)
    if not isinstance(source, Iterable):
        raise TypeError(
            "source: expected a path, a ClipSource, several of them, or frames with their fps, got "
            f"{type(source).__name__}"
        )
    items = [_checked(item) for item in source]
    # Named relative to the folder that they have in common, as on the command line.
    paths = [item for item in items if isinstance(item, Path)]
    named = {replace(clip, clip_id=""): clip for clip in find_sources(paths)}
    clips: list[ClipSource] = []
    for item in items:
        if isinstance(item, ClipSource):
            clips.append(item)
        else:
            clips += [named[replace(clip, clip_id="")] for clip in find_sources([item])]
    return clips, False


def _path(source: str | os.PathLike[str]) -> Path:
    # An empty path would be the working folder.
    if not os.fspath(source):
        raise SkelactError("source: expected a path, got an empty one")
    return Path(source)


def _checked(item: Any) -> Path | ClipSource:
    if isinstance(item, ClipSource):
        return item
    if isinstance(item, (str, os.PathLike)):
        return _path(item)
    if hasattr(item, "__array__"):
        parse_fps(None)
    raise TypeError(f"source: expected paths or ClipSources, got {type(item).__name__} among them")
