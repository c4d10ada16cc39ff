"""The table of named weights: what they are and where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ... import SkelactError


class WeightsError(SkelactError):
    """Weights that cannot be found, fetched or trusted."""


@dataclass(frozen=True)
class WeightFile:
    """One file of weights.

    Attributes:
        name: What it is called on the command line.
        kind: "detector" or "pose".
        filename: Name of the file wherever it lies.
        what: What it is, in a line.
        licence: Under which terms it may be used.
        source: Who trained it.
        num_bytes: Size of the file.
        sha256: Hash of the file.
        url: Where to fetch it, or None where it must be put by hand.
    """

    name: str
    kind: Literal["detector", "pose"]
    filename: str
    what: str
    licence: str
    source: str
    num_bytes: int
    sha256: str
    url: str | None = None


_LITE_HRNET = "Lite-HRNet-18 (wider, NAIVE), COCO-17 pose model, 1.3 M parameters"


_TINYPOSE = "PaddleDetection PP-TinyPose, as an MMPose state dict"


_FILES = (
    WeightFile(
        name="rtmdet-nano",
        kind="detector",
        filename="rtmdet_nano_person_320.onnx",
        what="RTMDet-nano person detector, 320x320, ONNX with NMS",
        licence="Apache-2.0",
        source="OpenMMLab",
        num_bytes=4012393,
        sha256="b8585adb6d1352796f6e86337e09c3459b830645a7e7192d9381670bea2facbd",
    ),
    WeightFile(
        name="litehrnet18-coco-256x192",
        kind="pose",
        filename="litehrnet18_wider_naive_coco_256x192_a.pth",
        what=f"{_LITE_HRNET}, 256x192, 2021 release",
        licence="Apache-2.0",
        source=_TINYPOSE,
        num_bytes=6014829,
        sha256="7d0e27340c0c8eaf4c1721377dd5fb22094431fbec81451be4b2edf44545fc84",
    ),
    WeightFile(
        name="litehrnet18-coco-256x192-b",
        kind="pose",
        filename="litehrnet18_wider_naive_coco_256x192_b.pth",
        what=f"{_LITE_HRNET}, 256x192, later release",
        licence="Apache-2.0",
        source=_TINYPOSE,
        num_bytes=6029421,
        sha256="c66b3dc955c5379df7d60339030bf24522e002dc21bbbf98987747cef9bebfe8",
    ),
    WeightFile(
        name="litehrnet18-coco-128x96",
        kind="pose",
        filename="litehrnet18_wider_naive_coco_128x96_a.pth",
        what=f"{_LITE_HRNET}, 128x96, faster and coarser",
        licence="Apache-2.0",
        source=_TINYPOSE,
        num_bytes=6013213,
        sha256="2442915cfe3349a52fe8016c9176907cf590ca146c065ad249a93783f26cf0c9",
    ),
    # Our own ship in the package.
    WeightFile(
        name="skelact-litehrnet18-256x192",
        kind="pose",
        filename="skelact_litehrnet18_256x192.safetensors",
        what=f"{_LITE_HRNET}, 256x192, for athletes in the air",
        licence="Apache-2.0",
        source="skelact, litehrnet18-coco-256x192 fine-tuned on Leeds Sports Pose Extended",
        num_bytes=3041532,
        sha256="2e55d7a8bda321c97e645beeed9df0d86d8e9db7846142dc0b0c92699a06086f",
    ),
    WeightFile(
        name="skelact-detector-320",
        kind="detector",
        filename="skelact_detector_320.safetensors",
        what="person detector, RTMDet-nano's shape, 320x320, 0.99 M parameters",
        licence="Apache-2.0",
        source="skelact, distilled from rtmdet-nano",
        num_bytes=2157340,
        sha256="03cd3d8a48b1c480b4af356638a5b676a12da356b1e616f8db6f73736d5e0040",
    ),
)


WEIGHTS = {file.name: file for file in _FILES}

# The pose model where none is chosen; it ships in the package.
DEFAULT_POSE = "skelact-litehrnet18-256x192"

# Names of earlier versions, and what an error says of them.
_EARLIER = {
    "skelact-finder-320": "are now called 'skelact-detector-320'",
    "skelact-pose-256x192": f"no longer ship: {DEFAULT_POSE!r} takes their place",
    "skelact-aligner-96": f"no longer ship: {DEFAULT_POSE!r} needs no aligner",
}


def refuse_renamed(name: str) -> None:
    """Check that a name on the command line is none that weights had in earlier versions.

    Raises:
        WeightsError: if it is; it says what takes their place.
    """
    if name in _EARLIER:
        raise WeightsError(f"the weights {name!r} {_EARLIER[name]}")
