"""``skelact distill measure``: detectors and their teacher on held-out sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ... import SkelactError
from ...pose_extract.detect.torch_detector import detector_network
from ...pose_extract.weights.bundle import is_bundle, load_bundle_weights, read_bundle
from ...pose_extract.weights.download import fetch_weights
from ...pose_extract.weights.table import WEIGHTS
from .detector_features import DetectorTeacher
from .detector_samples import DetectorSamples
from .labelled_frames import LabelledFrames
from .measure import measure_detector
from .train import split_sources

_TEACHER_SIDE = 320


def measure_by_name(name: str, labelled: LabelledFrames) -> dict[str, float]:
    """Measure a detector on the held-out sources of labels.

    Args:
        name: Path of either file of an exported bundle, or a name of the weights table:
            one of ours, or RTMDet-nano.
        labelled: All frames and people of the labels.

    Returns:
        Its figures upright, over all angles and at the worst of them.

    Raises:
        SkelactError: if it is none of these, or nothing is held out.
    """
    detectors = [file.name for file in WEIGHTS.values() if file.kind == "detector"]
    file = WEIGHTS[name].filename if name in detectors else name
    if is_bundle(file):
        path = fetch_weights(name) if name in detectors else Path(name)
        meta = read_bundle(path, "detector")
        net: Any = detector_network(meta)
        load_bundle_weights(path, net)
        input_wh = meta.input_wh
    elif name in detectors:
        net, input_wh = DetectorTeacher(name).as_detector(), (_TEACHER_SIDE, _TEACHER_SIDE)
    else:
        raise SkelactError(
            f"no detector called {name!r}; expected an exported bundle's .json, or one of "
            f"{', '.join(detectors)}"
        )
    _, rows = split_sources(labelled.names.tolist())
    if not rows:
        raise SkelactError("nothing of these labels is held out: they come of too few sources")
    samples = DetectorSamples(labelled, rows, input_wh[0])
    return measure_detector(net.eval(), samples, input_wh)
