"""RTMDet-nano for one class (Lyu et al., 2022): CSPNeXt, a path aggregation neck, heads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .shapes import RTMDetShape

STRIDES = (8, 16, 32)


class _Depthwise(nn.Conv2d):
    """A depthwise convolution whose gradients are computed in full precision.

    It is bound by memory, not by arithmetic; its gradients in bfloat16 take a CPU many times as
    long.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


class _SiLU(nn.SiLU):
    """In place where no gradient is needed; for one, PyTorch keeps the input."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.silu(x, inplace=not torch.is_grad_enabled())


def _conv(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Module:
    layer = nn.Conv2d if groups == 1 else _Depthwise
    return nn.Sequential(
        layer(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        _SiLU(),
    )


def _separable(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        _conv(inputs, inputs, kernel, stride, groups=inputs), _conv(inputs, outputs)
    )


class _Block(nn.Module):
    def __init__(self, channels: int, add: bool) -> None:
        super().__init__()
        self.conv1 = _separable(channels, channels, 3)
        self.conv2 = _separable(channels, channels, 5)
        self.add = add

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(x))
        return out + x if self.add else out


class _Attention(nn.Module):
    """Channel attention: each channel is scaled by a factor computed from all channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * nn.functional.hardsigmoid(self.fc(x.mean(dim=(2, 3), keepdim=True)))


class _CSP(nn.Module):
    """A cross-stage partial layer: half of the channels pass through the blocks."""

    def __init__(
        self, inputs: int, outputs: int, blocks: int, *, add: bool = False, attention: bool = False
    ) -> None:
        super().__init__()
        middle = outputs // 2
        self.main_conv = _conv(inputs, middle)
        self.short_conv = _conv(inputs, middle)
        self.blocks = nn.ModuleList(_Block(middle, add) for _ in range(blocks))
        self.attention = _Attention(outputs) if attention else nn.Identity()
        self.final_conv = _conv(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        short = self.short_conv(x)
        main = self.main_conv(x)
        for block in self.blocks:
            main = block(main)
        out: Tensor = self.final_conv(self.attention(torch.cat([main, short], dim=1)))
        return out


class _Pooling(nn.Module):
    """Spatial pyramid pooling."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels, channels // 2)
        self.conv2 = _conv(channels * 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        pooled = [nn.functional.max_pool2d(x, side, 1, side // 2) for side in (5, 9, 13)]
        out: Tensor = self.conv2(torch.cat([x, *pooled], dim=1))
        return out


class _Head(nn.Module):
    """Two towers over a level: the logit of a person and the l, t, r, b distances at each cell."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cls_convs = nn.Sequential(*(_separable(channels, channels) for _ in range(2)))
        self.reg_convs = nn.Sequential(*(_separable(channels, channels) for _ in range(2)))
        self.cls = nn.Conv2d(channels, 1, 1)
        self.reg = nn.Conv2d(channels, 4, 1)
        assert self.cls.bias is not None
        assert self.reg.bias is not None
        # At first a score of 0.01 (logit -4.6), since few cells lie on people, as in RetinaNet (Lin
        # et al., 2017); and boxes of four strides, whose sides are in their order.
        nn.init.constant_(self.cls.bias, -4.6)
        nn.init.constant_(self.reg.bias, 2.0)

    def forward(self, x: Tensor) -> Tensor:
        logit, sides = self.cls(self.cls_convs(x)), self.reg(self.reg_convs(x))
        return torch.cat([logit, sides], dim=1)


class RTMDetNano(nn.Module):
    """The network: CSPNeXt (stem and four stages), the neck, and a head per stride.

    Args:
        shape: Its shape.
    """

    def __init__(self, shape: RTMDetShape) -> None:
        super().__init__()
        w = shape.width
        self.stem = nn.Sequential(
            _conv(3, w // 2, 3, 2), _conv(w // 2, w // 2, 3), _conv(w // 2, w, 3)
        )

        def stage(inputs: int, blocks: int) -> nn.Module:
            layer = _CSP(2 * inputs, 2 * inputs, blocks, add=True, attention=True)
            return nn.Sequential(_separable(inputs, 2 * inputs, stride=2), layer)

        self.stage1, self.stage2, self.stage3 = stage(w, 1), stage(2 * w, 2), stage(4 * w, 2)
        self.stage4 = nn.Sequential(
            _separable(8 * w, 16 * w, stride=2),
            _Pooling(16 * w),
            _CSP(16 * w, 16 * w, 1, attention=True),
        )
        self.reduce0, self.reduce1 = _conv(16 * w, 8 * w), _conv(8 * w, 4 * w)
        self.down0, self.down1 = _CSP(16 * w, 8 * w, 1), _CSP(8 * w, 4 * w, 1)
        self.shrink0, self.shrink1 = (_separable(k * w, k * w, stride=2) for k in (4, 8))
        self.up0, self.up1 = _CSP(8 * w, 8 * w, 1), _CSP(16 * w, 16 * w, 1)
        self.outs = nn.ModuleList(_separable(k * w, 4 * w) for k in (4, 8, 16))
        self.heads = nn.ModuleList(_Head(4 * w) for _ in STRIDES)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Find people.

        Args:
            x: (N, 3, H, W) float32, normalised RGB; H and W multiples of 32.

        Returns:
            Per stride of 8, 16 and 32, (N, 5, H / stride, W / stride) float32: the logit of a
            person, and the distances from the cell's corner to the left, top, right and bottom side
            of the box, in strides.
        """
        x = self.stage1(self.stem(x))
        fine = self.stage2(x)
        middle = self.stage3(fine)
        coarse = self.stage4(middle)
        # Down to finer levels, then up again.
        reduced0 = self.reduce0(coarse)
        middle = self.down0(torch.cat([_enlarged(reduced0), middle], 1))
        reduced1 = self.reduce1(middle)
        fine = self.down1(torch.cat([_enlarged(reduced1), fine], 1))
        middle = self.up0(torch.cat([self.shrink0(fine), reduced1], 1))
        coarse = self.up1(torch.cat([self.shrink1(middle), reduced0], 1))
        levels = [out(level) for out, level in zip(self.outs, (fine, middle, coarse))]
        return [head(level).float() for head, level in zip(self.heads, levels)]

    @staticmethod
    def people(out: Sequence[Tensor], most: int = 100) -> tuple[Tensor, Tensor]:
        """Return the boxes with the best scores, before non-maximum suppression.

        Args:
            out: Levels, as :meth:`forward` returns them.
            most: K, the number of boxes.

        Returns:
            Boxes (N, K, 4) xyxy in pixels of the input, and scores (N, K), best first.
        """
        boxes, logits = level_boxes(out)
        best, places = logits.topk(min(most, logits.shape[1]), dim=1)
        return boxes.gather(1, places[..., None].expand(-1, -1, 4)), torch.sigmoid(best)


def _enlarged(features: Tensor) -> Tensor:
    return nn.functional.interpolate(features, scale_factor=2.0, mode="nearest")


def cell_boxes(level: Tensor, stride: int) -> Tensor:
    """Return the box (N, h w, 4) of each cell of a level, xyxy in pixels of the input.

    Args:
        level: (N, 5, h, w), as :class:`RTMDetNano` gives it.
        stride: Pixels from cell to cell.
    """
    height, width = level.shape[2:]
    xs = torch.arange(width, device=level.device) * stride
    ys = torch.arange(height, device=level.device)[:, None] * stride
    left, top, right, bottom = (stride * level[:, 1:]).unbind(1)
    return torch.stack([xs - left, ys - top, xs + right, ys + bottom], -1).flatten(1, 2)


def level_boxes(levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return boxes (N, K, 4) xyxy in pixels of the input, and their logits (N, K).

    Args:
        levels: As :class:`RTMDetNano` gives them.
    """
    boxes = [cell_boxes(level, stride) for level, stride in zip(levels, STRIDES)]
    logits = [level[:, 0].flatten(1) for level in levels]
    return torch.cat(boxes, 1), torch.cat(logits, 1)
