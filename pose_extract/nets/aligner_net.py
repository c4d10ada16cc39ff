"""The aligner's network: the axis and the size of the body in a crop."""

from __future__ import annotations

from torch import Tensor, nn

from .mmpose_adapter import build_pose_model
from .shapes import SlimHRNet


class AlignerNet(nn.Module):
    """A slim HRNet with a head for one body's axis and size.

    Args:
        network: Shape of the backbone.
        side: Pixels of a side of the input, a multiple of 32.
    """

    def __init__(self, network: SlimHRNet, side: int) -> None:
        super().__init__()
        self.backbone = build_pose_model(network.backbone())
        self.head = nn.Sequential(
            nn.Conv2d(network.width, 32, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 64, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(64 * (side // 16) ** 2, 6),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Find how a body lies in a crop.

        Args:
            x: (N, 3, side, side) float32, normalised RGB.

        Returns:
            (N, 6) float32: cosine and sine of the angle by which the body is rotated, clockwise
            from upright, a vector shorter than one where the network has little confidence; x and y
            of the body's middle from that of the crop, over the crop's side; the logarithms of its
            width and height along its own axes, over the crop's side.
        """
        out: Tensor = self.head(self.backbone(x)[0])
        return out.float()
