"""From clips to skeleton sequences: the one chain of decoding, detection, tracking and poses.

Everything streams; ``track/athlete.py`` tells the chain for one clip, ``batch.py`` writes the
results of many into a folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from .common.collector import collector_paused
from .common.device import EngineName, Precision, is_gpu_lost
from .common.text import one_line
from .decode.frames import DecoderKilledError
from .decode.process import WORKERS
from .detect.base import PersonDetector
from .detect.build import build_detector
from .detect.rotated_views import RotatedViewsDetector
from .effort import DEFAULT_EFFORT, EFFORTS, Effort
from .nets.inference_client import InferenceLostError
from .pose.estimator import PoseEstimator
from .skeleton import SkeletonSequence
from .sources import ClipSource
from .track.athlete import AthleteTracker
from .track.path_search import PathConfig
from .track.smooth import smooth_sequence
from .weights.download import choose_detector
from .weights.table import DEFAULT_POSE

if TYPE_CHECKING:
    from .nets.engines import EngineSource

# Which box is the athlete's is decided over the whole clip: weak ones are kept until then. Chosen
# with benchmarks/athlete.py: a lower threshold changes nothing.
_CANDIDATE_THR = 0.08
_MAX_CANDIDATES = 15
# Most boxes that a detector gives per view, before those of all views are merged.
_MAX_PER_VIEW = 100
# People kept, and kept with the subject "all".
_NUM_PERSON, _NUM_PERSON_ALL = 2, 16


@dataclass(frozen=True)
class ExtractConfig:
    """What shapes the skeletons, and how the work is run.

    Attributes:
        effort: "fast", "balanced" or "thorough": how much is done; see ``EffortConfig``.
        subject: Who is person 0: "athlete", "largest", "most-motion", "centre", or the person in a
            box "x1,y1,x2,y2" of the first frame; "all" keeps everyone.
        decoder: "auto" (decord, PyAV where decord cannot), "decord" or "pyav".
        detector: "auto" (the best on this machine), a name or a file; see ``build_detector``.
        boxes: File with ground-truth boxes, used in place of the detector.
        det_score_thr: Detections with a lower score are no candidates; None takes 0.08.
        max_det: At most this many candidates per frame, best score first; None takes 15.
        pose: "auto" (the one that ships), a name or a file; see ``PoseEstimator``.
        pose_checkpoint: Weights for an MMPose config given by path.
        flip_test: Average the heatmaps of each crop and its mirror image.
        engine: What runs the networks: "auto" (on a processor the fastest), "pytorch",
            "onnxruntime" or "openvino"; see ``EngineOptions``.
        precision: Arithmetic of the pose model: "auto", "fp32", "bf16" or "fp16".
        num_person: Keep at most this many people, the athlete first; None takes 2, or 16 with
            the subject "all".
        smooth: Smooth the keypoints over time.
        device: "auto", "cpu", "cuda" or "cuda:N".
        batch_size: Crops per batch of the pose model; 0 takes 16 on the CPU and 128 elsewhere.
        num_threads: Threads of the networks; 0 takes the free cores.
        trust_config: Run the MMPose config that ``pose`` names, which is Python code, also where it
            lies outside the installed package.

    Raises:
        TypeError: if a value is of another type; the message names the option.
        ValueError: if a value cannot be; the message names it.
    """

    effort: Effort = DEFAULT_EFFORT
    subject: str = "athlete"
    decoder: Literal["auto", "decord", "pyav"] = "auto"
    detector: str = "auto"
    boxes: str | Path | None = None
    det_score_thr: float | None = None
    max_det: int | None = None
    pose: str = "auto"
    pose_checkpoint: str | None = None
    flip_test: bool = False
    engine: EngineName = "auto"
    precision: Precision = "auto"
    num_person: int | None = None
    smooth: bool = False
    device: str = "auto"
    batch_size: int = 0
    num_threads: int = 0
    trust_config: bool = False

    def __post_init__(self) -> None:
        for name, declared in get_type_hints(type(self)).items():
            object.__setattr__(self, name, _as_declared(name, getattr(self, name), declared))
        least = {"num_person": 1, "max_det": 1, "batch_size": 0, "num_threads": 0}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise ValueError(f"{name}: expected at least {smallest}, got {value}")
        PathConfig.for_subject(self.subject)
        if self.det_score_thr is not None and not 0 <= self.det_score_thr <= 1:
            raise ValueError(f"det_score_thr: expected 0 to 1, got {self.det_score_thr}")
        if self.boxes is not None and self.detector != "auto":
            raise ValueError(f"detector: expected none with boxes, got {self.detector!r}")
        if self.num_person is not None and self.detector == "whole-frame":
            raise ValueError("num_person: expected none with detector 'whole-frame', one person")
        for name in ("det_score_thr", "max_det"):
            if getattr(self, name) is not None and not self.is_detecting:
                given = "boxes" if self.boxes is not None else "detector 'whole-frame'"
                raise ValueError(f"{name}: expected a detector that it applies to, got {given}")

    @property
    def is_detecting(self) -> bool:
        """Whether people are detected; given boxes, and whole frames, are taken as they are."""
        return self.boxes is None and self.detector != "whole-frame"

    @property
    def can_share_networks(self) -> bool:
        """Whether another process can run all networks: MMDetection runs its own."""
        return self.detector != "mmdet-faster-rcnn"

    @property
    def max_person(self) -> int:
        """At most this many people are kept."""
        if self.num_person is not None:
            return self.num_person
        return _NUM_PERSON_ALL if self.subject == "all" else _NUM_PERSON


# How messages call the types of options.
_TYPE_WORDS = {
    str: "text",
    Path: "a path",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    type(None): "None",
}


def _as_declared(name: str, value: Any, declared: Any) -> Any:
    """Return an option's value as its field declares it; numpy's scalars become plain ones.

    Raises:
        TypeError: if it is of another type.
        ValueError: if it is none of the words to choose from.
    """
    choices = get_args(declared) or (declared,)
    if get_origin(declared) is Literal:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
        return value
    if getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(value, os.PathLike) and str in choices and Path not in choices:
        value = os.fspath(value)
    if isinstance(value, int) and float in choices and not isinstance(value, bool):
        value = float(value)
    # True is an int, too.
    if not isinstance(value, choices) or (isinstance(value, bool) and bool not in choices):
        words = " or ".join(_TYPE_WORDS[choice] for choice in choices)
        raise TypeError(f"{name}: expected {words}, got {value!r}")
    return value


def config_or_default(config: ExtractConfig | None) -> ExtractConfig:
    """Return a config that was given, or the default one for None.

    Raises:
        TypeError: if it is anything else, such as a dictionary.
    """
    if config is None:
        return ExtractConfig()
    if not isinstance(config, ExtractConfig):
        raise TypeError(f"config: expected an ExtractConfig or None, got {config!r}")
    return config


@dataclass(frozen=True, eq=False)
class ClipResult:
    """What came of one clip: a sequence, or the error that stopped it.

    Attributes:
        clip: The clip asked for.
        sequence: Its skeletons, or None.
        error: Why there are none, or None.
        num_lost: Frames that could not be decoded.
        facts: What the manifest says besides: ``subject`` and the facts of ``TrackedClip``.
    """

    clip: ClipSource
    sequence: SkeletonSequence | None
    error: Exception | None
    num_lost: int
    facts: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """How far the clip being read has come; given to ``on_progress`` after each frame batch.

    Attributes:
        clip: The clip being read.
        frames_done: Frames of it that are done.
        frames_total: Frames it is expected to have, or None where its file does not say.
        people_done: Person crops that went through the pose model since the run began.
    """

    clip: ClipSource
    frames_done: int
    frames_total: int | None
    people_done: int


class _CallbackError(Exception):
    """The caller's own ``on_progress`` raised its cause."""


class Extractor:
    """Turns clips into skeleton sequences; the networks are loaded once, at the first clip.

    Args:
        config: What to run and how.
        detector: A detector of your own, in place of the one that ``config`` names.
        pose: A pose model that is already there, in place of the one that ``config`` names.
        engines: Where the engines of the networks come from; None makes them in this process.
    """

    def __init__(
        self,
        config: ExtractConfig | None = None,
        *,
        detector: PersonDetector | None = None,
        pose: PoseEstimator | None = None,
        engines: EngineSource | None = None,
    ) -> None:
        self.config = config_or_default(config)
        # Such parts are not there in other processes.
        self.has_own_parts = detector is not None or pose is not None
        self._detector = detector or candidate_detector(self.config, engines)
        self._pose = pose or _pose_estimator(self.config, engines)
        self._tracker = AthleteTracker(
            self._detector,
            self._pose,
            EFFORTS[self.config.effort],
            num_person=self.config.max_person,
            decoder=self.config.decoder,
            use_motion=self.config.is_detecting,
            path_config=PathConfig.for_subject(self.config.subject),
        )

    def identity(self) -> dict[str, Any]:
        """Return all that shapes the skeletons, JSON-able, without loading a network.

        Each part answers for itself. Batch size, device and threads are left out: they change
        nothing but rounding.
        """
        return {
            "decoder": self.config.decoder,
            "detector": self._detector.identity(),
            "tracker": self._tracker.identity(),
            "pose": self._pose.identity(),
            "smooth": self.config.smooth,
        }

    def load(self) -> None:
        """Load the networks; only the first call does anything.

        Raises:
            SkelactError: if one cannot be loaded.
        """
        with collector_paused():
            self._pose.load()
            self._detector.load()

    def run(
        self,
        clips: Iterable[ClipSource],
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Iterator[ClipResult]:
        """Yield one result per clip, in order; a broken clip gives a result with its error.

        Raises:
            SkelactError: if a network cannot be loaded, before any clip is read.
            InferenceLostError: if networks run in another process, and it has ended, or if the
                GPU fails, so that this process can use it no more.
            Exception: what ``on_progress`` raises is no fault of a clip, and ends the run.
        """
        WORKERS.start()  # it starts while the networks load
        self.load()
        batch_size = self.config.batch_size or (16 if self._pose.device.type == "cpu" else 128)
        for clip in clips:

            def report(done: int, total: int | None, people: int, clip: ClipSource = clip) -> None:
                if on_progress:
                    try:
                        on_progress(Progress(clip, done, total, people))
                    except Exception as error:
                        raise _CallbackError from error

            try:
                try:
                    tracked = self._tracker.run(clip, batch_size, report)
                except DecoderKilledError:
                    # It is not the clip's fault, and may be over.
                    tracked = self._tracker.run(clip, batch_size, report)
                sequence = tracked.sequence
                if self.config.smooth:
                    sequence = smooth_sequence(sequence)
            except _CallbackError as error:
                raise error.__cause__ or error from None
            except InferenceLostError:
                raise
            except Exception as error:
                if is_gpu_lost(error):  # all clips after it would fail
                    raise InferenceLostError(
                        f"the GPU fails: {one_line(error)}; the clips that are done are kept, and "
                        "the same command goes on"
                    ) from error
                yield ClipResult(clip, None, error, 0)
            else:
                facts: dict[str, float | str] = {**tracked.facts, "subject": self.config.subject}
                yield ClipResult(clip, sequence, None, tracked.num_lost, facts)


def candidate_detector(
    config: ExtractConfig, engines: EngineSource | None = None, *, all_views: bool = False
) -> PersonDetector:
    """Return what gives the candidates: a detector on rotated views, or boxes that are given.

    Args:
        config: Names the detector.
        engines: Where the engine of its network comes from; None makes it in this process.
        all_views: Look at all rotations of each frame, whatever the effort leaves out.
    """
    if not config.is_detecting:
        return build_detector(config.detector, boxes=config.boxes)
    effort = EFFORTS[config.effort]
    name = choose_detector() if config.detector == "auto" else config.detector
    detectors = [
        build_detector(
            name,
            score_thr=_CANDIDATE_THR if config.det_score_thr is None else config.det_score_thr,
            max_det=_MAX_PER_VIEW,
            device=config.device,
            num_threads=config.num_threads,
            size_factor=scale,
            engine=config.engine,
            engines=engines,
        )
        for scale in effort.detector_scales
    ]
    max_candidates = _MAX_CANDIDATES if config.max_det is None else config.max_det
    view_thr = float("inf") if all_views else effort.detector_view_thr
    return RotatedViewsDetector(detectors, effort.rotations, max_candidates, view_thr)


def _pose_estimator(config: ExtractConfig, engines: EngineSource | None) -> PoseEstimator:
    return PoseEstimator(
        DEFAULT_POSE if config.pose == "auto" else config.pose,
        checkpoint=config.pose_checkpoint,
        device=config.device,
        engine=config.engine,
        precision=config.precision,
        flip_test=config.flip_test,
        num_threads=config.num_threads,
        trust_config=config.trust_config,
        engines=engines,
    )
