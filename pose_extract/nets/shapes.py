"""Shapes of the networks that an exported bundle may hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .lite_hrnet import LiteHRNet

# Mean and standard deviation of the input, RGB.
PIXEL_MEAN = (123.675, 116.28, 103.53)


PIXEL_STD = (58.395, 57.12, 57.375)


def _check_range(name: str, value: int, most: int) -> None:
    """Check a size: a file must not ask for a network that fills the memory."""
    if not 1 <= value <= most:
        raise ValueError(f"{name}: expected 1 to {most}, got {value}")


@dataclass(frozen=True)
class SlimHRNet:
    """Shape of a slim HRNet (Sun et al., CVPR 2019), the aligner's backbone.

    Plain convolutions at an eighth of the published width run several times as fast on a processor
    as Lite-HRNet's many small operations.

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

    def __post_init__(self) -> None:
        # The largest published HRNet: width 48, blocks 4, modules (1, 4, 3), bottleneck 64.
        _check_range("width", self.width, 64)
        _check_range("blocks", self.blocks, 4)
        _check_range("bottleneck", self.bottleneck, 64)
        for modules in self.modules:
            _check_range("modules", modules, 4)

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


@dataclass(frozen=True)
class RTMDetShape:
    """Shape of an ``RTMDetNano``.

    Attributes:
        width: Channels after the stem; every later number follows from it.
    """

    width: int = 16

    def __post_init__(self) -> None:
        _check_range("width", self.width, 80)  # that of RTMDet-x, the largest published


NetworkShape = SlimHRNet | LiteHRNet | RTMDetShape
