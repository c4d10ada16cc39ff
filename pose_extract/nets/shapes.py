"""Shapes of the networks that an exported bundle may hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .lite_hrnet import LiteHRNet

# Mean and standard deviation of the input, RGB.
PIXEL_MEAN = (123.675, 116.28, 103.53)


PIXEL_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class SlimHRNet:
    """Shape of the backbone.

    Attributes:
        width: Channels of the finest branch; each coarser one has twice as many.
        blocks: Basic blocks per branch and module.
        modules: Modules of stages 2, 3 and 4.
        bottleneck: Channels inside the one bottleneck block of stage 1.
    """

    width: int = 16
    blocks: int = 2
    modules: tuple[int, int, int] = (1, 2, 1)
    bottleneck: int = 16

    def backbone(self) -> dict[str, Any]:
        """Return MMPose's config of the backbone; it gives (N, width, H / 4, W / 4)."""
        stages: dict[str, Any] = {
            "stage1": {
                "num_modules": 1,
                "num_branches": 1,
                "block": "BOTTLENECK",
                "num_blocks": (1,),
                "num_channels": (self.bottleneck,),
            }
        }
        for stage, modules in enumerate(self.modules, start=2):
            stages[f"stage{stage}"] = {
                "num_modules": modules,
                "num_branches": stage,
                "block": "BASIC",
                "num_blocks": (self.blocks,) * stage,
                "num_channels": tuple(self.width * 2**branch for branch in range(stage)),
            }
        # MMPose's own start, tiny weights everywhere, learns more slowly from nothing.
        init = [
            {"type": "Kaiming", "layer": ["Conv2d"]},
            {"type": "Constant", "val": 1, "layer": ["_BatchNorm"]},
        ]
        return {"type": "HRNet", "in_channels": 3, "extra": stages, "init_cfg": init}

    def pose_config(self, input_wh: tuple[int, int]) -> dict[str, Any]:
        """Return the config of a top-down pose net on this backbone, as ``PoseEstimator`` reads it.

        Args:
            input_wh: Width and height of the crops, multiples of 32.
        """
        width, height = input_wh
        codec = {
            "type": "UDPHeatmap",
            "input_size": (width, height),
            "heatmap_size": (width // 4, height // 4),
            "sigma": heatmap_sigma(input_wh),
        }
        model = {
            "type": "TopdownPoseEstimator",
            "data_preprocessor": {
                "type": "PoseDataPreprocessor",
                "mean": list(PIXEL_MEAN),
                "std": list(PIXEL_STD),
                "bgr_to_rgb": True,
            },
            "backbone": self.backbone(),
            "head": {
                "type": "HeatmapHead",
                "in_channels": self.width,
                "out_channels": 17,
                "deconv_out_channels": None,
                "loss": {"type": "KeypointMSELoss", "use_target_weight": True},
                "decoder": codec,
            },
            "test_cfg": {"flip_mode": "heatmap", "shift_heatmap": False},
        }
        return {"model": model, "codec": codec, "padding": 1.25, "use_udp": True}


@dataclass(frozen=True)
class RTMDetShape:
    """Shape of an ``RTMDetNano``.

    Attributes:
        width: Channels after the stem; every later number follows from it.
    """

    width: int = 16


NetworkShape = SlimHRNet | LiteHRNet | RTMDetShape


def heatmap_sigma(input_wh: tuple[int, int]) -> float:
    """Return the spread of a keypoint's heatmap, in its pixels: 2 at 256x192, less below."""
    return 2.0 if input_wh[1] >= 256 else 1.5
