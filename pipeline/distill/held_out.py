"""``skelact distill measure``: small networks and their teachers on held-out sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ... import SkelactError
from ...pose_extract.weights.bundle import BundleKind, is_bundle, load_bundle_weights, read_bundle
from ...pose_extract.weights.download import fetch_weights
from ...pose_extract.weights.table import WEIGHTS
from .detector_features import DetectorTeacher
from .labelled_frames import LabelledFrames
from .pose_features import FeatureTeacher
from .train import build_network, measure_held_out, split_labels

_TEACHER_SIDE = 320


def measure_by_name(name: str, labelled: LabelledFrames) -> dict[str, float]:
    """Measure a network on the held-out sources of labels.

    Args:
        name: Path of either file of an exported bundle, or a name of the weights table: one of
            ours, a Lite-HRNet pose model, or RTMDet-nano.
        labelled: All frames and people of the labels.

    Returns:
        Its figures upright, over all angles and at the worst of them.

    Raises:
        SkelactError: if it is none of these, or nothing is held out.
    """
    kind: BundleKind
    file = WEIGHTS[name].filename if name in WEIGHTS else name
    if is_bundle(file):
        path = fetch_weights(name) if name in WEIGHTS else Path(name)
        meta = read_bundle(path)
        net: Any = build_network(meta)
        load_bundle_weights(path, net)
        kind, input_wh = meta.kind, meta.input_wh
    elif name in WEIGHTS and WEIGHTS[name].kind == "pose":
        kind, teacher = "pose", FeatureTeacher(name)
        net, input_wh = teacher.net, teacher.input_wh
    elif name in WEIGHTS:
        kind, net, input_wh = (
            "detector",
            DetectorTeacher(name).as_detector(),
            (_TEACHER_SIDE, _TEACHER_SIDE),
        )
    else:
        raise SkelactError(
            f"no network called {name!r}; expected an exported bundle's .json, or one of "
            f"{', '.join(WEIGHTS)}"
        )
    _, rows = split_labels(labelled, kind)
    if not rows:
        raise SkelactError("nothing of these labels is held out: they come of too few sources")
    return measure_held_out(net.eval(), kind, input_wh, labelled, rows)
