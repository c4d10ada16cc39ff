"""skelact: from raw sports video to a fine-grained action label.

    import skelact

    skelact.predict("clip.mp4").label        # the action
    skelact.extract("clip.mp4").sequence     # the skeletons
    model = skelact.Pipeline(effort="fast")  # keeps its networks for many clips

The folders follow the data: ``pose_extract`` turns video into skeleton
sequences, ``models`` holds SkeletonMAE and the SSL classifier, ``pipeline`` trains, evaluates and
predicts. Importing ``skelact`` imports none of them: the names below are loaded when they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .pipeline.elements.element import Element
    from .pipeline.elements.recognise import RecognisedElement
    from .pipeline.inference.clip_skeletons import ClipSkeletons
    from .pipeline.inference.pipeline import Pipeline, extract, predict
    from .pipeline.inference.results import ActionPrediction, LabelScore, PersonPrediction
    from .pipeline.inference.segments import Segment
    from .pipeline.learn.learn import Learned, learn
    from .pipeline.report.write import write_report
    from .pose_extract.extract import ExtractConfig
    from .pose_extract.skeleton import SkeletonSequence
    from .pose_extract.sources import ClipSource

__version__ = "0.1.0"

__all__ = [
    "ActionPrediction",
    "ClipSkeletons",
    "ClipSource",
    "Element",
    "ExtractConfig",
    "LabelScore",
    "Learned",
    "PersonPrediction",
    "Pipeline",
    "RecognisedElement",
    "Segment",
    "SkelactError",
    "SkeletonSequence",
    "__version__",
    "extract",
    "learn",
    "predict",
    "write_report",
]

# name: the module that defines it; a test holds that these are the names of the imports above.
_LAZY = {
    "ActionPrediction": ".pipeline.inference.results",
    "ClipSkeletons": ".pipeline.inference.clip_skeletons",
    "ClipSource": ".pose_extract.sources",
    "Element": ".pipeline.elements.element",
    "ExtractConfig": ".pose_extract.extract",
    "LabelScore": ".pipeline.inference.results",
    "Learned": ".pipeline.learn.learn",
    "PersonPrediction": ".pipeline.inference.results",
    "Pipeline": ".pipeline.inference.pipeline",
    "RecognisedElement": ".pipeline.elements.recognise",
    "Segment": ".pipeline.inference.segments",
    "SkeletonSequence": ".pose_extract.skeleton",
    "extract": ".pipeline.inference.pipeline",
    "learn": ".pipeline.learn.learn",
    "predict": ".pipeline.inference.pipeline",
    "write_report": ".pipeline.report.write",
}


class SkelactError(Exception):
    """An error with a clear cause: says what was expected, what came and what to do next.

    The command line prints its message without a traceback; a batch counts it against the one
    video it came from.
    """


# Hidden from type checkers, for which every name would be right otherwise.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_LAZY[name], __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
