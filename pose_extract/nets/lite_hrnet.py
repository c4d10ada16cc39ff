"""Lite-HRNet-18 (Yu et al., CVPR 2021) in its NAIVE form, wider, as MMPose builds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..layout import COCO_17


@dataclass(frozen=True)
class LiteHRNet:
    """Shape of the backbone.

    Attributes:
        depth: Layers; 18 is the only one.
    """

    depth: int = 18

    def __post_init__(self) -> None:
        if self.depth != 18:
            raise ValueError(f"depth: expected 18, the only one there is, got {self.depth}")

    def pose_config(self, input_wh: tuple[int, int]) -> dict[str, Any]:
        """Return the config of a pose model on this backbone, as ``PoseEstimator`` reads it.

        Args:
            input_wh: Width and height of the crops, multiples of 32.
        """
        width, height = input_wh
        stages = {
            "num_modules": (2, 4, 2),
            "num_branches": (2, 3, 4),
            "num_blocks": (2, 2, 2),
            "module_type": ("NAIVE",) * 3,
            "with_fuse": (True,) * 3,
            "reduce_ratios": (1, 1, 1),
            "num_channels": ((40, 80), (40, 80, 160), (40, 80, 160, 320)),
        }
        codec = {
            "type": "MSRAHeatmap",
            "input_size": (width, height),
            "heatmap_size": (width // 4, height // 4),
            "sigma": 2,
        }
        model = {
            "type": "TopdownPoseEstimator",
            "data_preprocessor": {
                "type": "PoseDataPreprocessor",
                "mean": [123.675, 116.28, 103.53],
                "std": [58.395, 57.12, 57.375],
                "bgr_to_rgb": True,
            },
            "backbone": {
                "type": "LiteHRNet",
                "in_channels": 3,
                "extra": {
                    "stem": {"stem_channels": 32, "out_channels": 32, "expand_ratio": 1},
                    "num_stages": 3,
                    "stages_spec": stages,
                    "with_head": True,
                },
            },
            "head": {
                "type": "HeatmapHead",
                "in_channels": 40,
                "out_channels": COCO_17.num_keypoints,
                "deconv_out_channels": None,
                "loss": {"type": "KeypointMSELoss", "use_target_weight": True},
                "decoder": codec,
            },
            "test_cfg": {"flip_mode": "heatmap", "shift_heatmap": True},
        }
        return {"model": model, "codec": codec, "padding": 1.25, "use_udp": False}
