"""Shapes of the networks that an exported bundle may hold."""

from __future__ import annotations

from dataclasses import dataclass

from .lite_hrnet import LiteHRNet

# Mean and standard deviation of the input, RGB.
PIXEL_MEAN = (123.675, 116.28, 103.53)


PIXEL_STD = (58.395, 57.12, 57.375)


def _check_range(name: str, value: int, most: int) -> None:
    """Check a size: a file must not ask for a network that fills the memory."""
    if not 1 <= value <= most:
        raise ValueError(f"{name}: expected 1 to {most}, got {value}")


@dataclass(frozen=True)
class RTMDetShape:
    """Shape of an ``RTMDetNano``.

    Attributes:
        width: Channels after the stem; every later number follows from it.
    """

    width: int = 16

    def __post_init__(self) -> None:
        _check_range("width", self.width, 80)  # that of RTMDet-x, the largest published


NetworkShape = LiteHRNet | RTMDetShape
