"""RTMDet-nano for one class (Lyu et al., 2022): CSPNeXt, a path aggregation neck, heads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .student import RTMDetShape

STRIDES = (8, 16, 32)
# Features of each part, by name: what a part is fed with and what it gives; see ``RTMDetNano``.
Features = dict[str, Tensor]


def _conv(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.SiLU(inplace=True),
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
    """Weights of channels, from their means."""

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
        self.blocks = nn.Sequential(*(_Block(middle, add) for _ in range(blocks)))
        self.attention = _Attention(outputs) if attention else nn.Identity()
        self.final_conv = _conv(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        short = self.short_conv(x)
        both = torch.cat([self.blocks(self.main_conv(x)), short], dim=1)
        out: Tensor = self.final_conv(self.attention(both))
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
    """Two towers over a level: each position says how sure and how far."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cls_convs = nn.Sequential(*(_separable(channels, channels) for _ in range(2)))
        self.reg_convs = nn.Sequential(*(_separable(channels, channels) for _ in range(2)))
        self.cls = nn.Conv2d(channels, 1, 1)
        self.reg = nn.Conv2d(channels, 4, 1)
        assert self.cls.bias is not None
        assert self.reg.bias is not None
        # Few cells are sure; boxes begin with sides in their order.
        nn.init.constant_(self.cls.bias, -4.6)
        nn.init.constant_(self.reg.bias, 2.0)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.cls(self.cls_convs(x)), self.reg(self.reg_convs(x))], dim=1)


class RTMDetNano(nn.Module):
    """The network, in parts that can be fed with another network's features.

    Its parts, in order: "stem", "stage1" to "stage4", the neck's "reduce0", "down0", "reduce1",
    "down1" on the way to finer levels and "up0", "up1" back, "out0" to "out2" on the three levels,
    and "head0" to "head2" on those.

    Args:
        shape: Its shape.
    """

    def __init__(self, shape: RTMDetShape) -> None:
        super().__init__()
        w = shape.rtmdet_width
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

    def parts(self, x: Tensor, given: Features | None = None) -> Features:
        """Return the features that each part gives.

        Args:
            x: (N, 3, H, W) float32, normalised RGB; H and W multiples of 32.
            given: What each part is fed with in place of what the parts before it gave.
        """
        found: Features = {}
        fed = found if given is None else given

        def larger(name: str) -> Tensor:
            return nn.functional.interpolate(fed[name], scale_factor=2.0, mode="nearest")

        found["stem"] = self.stem(x)
        found["stage1"] = self.stage1(fed["stem"])
        found["stage2"] = self.stage2(fed["stage1"])
        found["stage3"] = self.stage3(fed["stage2"])
        found["stage4"] = self.stage4(fed["stage3"])
        found["reduce0"] = self.reduce0(fed["stage4"])
        found["down0"] = self.down0(torch.cat([larger("reduce0"), fed["stage3"]], 1))
        found["reduce1"] = self.reduce1(fed["down0"])
        found["down1"] = self.down1(torch.cat([larger("reduce1"), fed["stage2"]], 1))
        found["up0"] = self.up0(torch.cat([self.shrink0(fed["down1"]), fed["reduce1"]], 1))
        found["up1"] = self.up1(torch.cat([self.shrink1(fed["up0"]), fed["reduce0"]], 1))
        for number, level in enumerate(("down1", "up0", "up1")):
            found[f"out{number}"] = self.outs[number](fed[level])
        for number, head in enumerate(self.heads):
            found[f"head{number}"] = head(fed[f"out{number}"])
        return found

    def forward(self, x: Tensor) -> list[Tensor]:
        """Find people.

        Args:
            x: (N, 3, H, W) float32, normalised RGB; H and W multiples of 32.

        Returns:
            Per stride of 8, 16 and 32, (N, 5, H / stride, W / stride): the logit of a person, and
            the ways from the cell's corner to the left, upper, right and lower side of the box, in
            strides.
        """
        found = self.parts(x)
        return [found[f"head{number}"].float() for number in range(len(STRIDES))]

    @staticmethod
    def people(out: Sequence[Tensor], most: int = 100) -> tuple[Tensor, Tensor]:
        """Return boxes and scores of what the network gave, several for the same person.

        Args:
            out: Levels, as of :meth:`forward`.
            most: K.

        Returns:
            Boxes (N, K, 4) xyxy in pixels of the input, and scores (N, K), best first.
        """
        boxes, logits = level_boxes(out)
        best, places = logits.topk(min(most, logits.shape[1]), dim=1)
        return boxes.gather(1, places[..., None].expand(-1, -1, 4)), torch.sigmoid(best)


def cell_boxes(level: Tensor, stride: int) -> Tensor:
    """Return the box (N, h w, 4) of each cell of a level, xyxy in pixels of the input.

    Args:
        level: (N, 5, h, w), as :class:`RTMDetNano` gives it.
        stride: Pixels from cell to cell.
    """
    height, width = level.shape[2:]
    xs = torch.arange(width, device=level.device) * stride
    ys = torch.arange(height, device=level.device)[:, None] * stride
    left, upper, right, lower = (stride * level[:, 1:]).unbind(1)
    return torch.stack([xs - left, ys - upper, xs + right, ys + lower], -1).flatten(1, 2)


def level_boxes(levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return boxes (N, K, 4) xyxy in pixels of the input, and their logits (N, K).

    Args:
        levels: As :class:`RTMDetNano` gives them.
    """
    boxes = [cell_boxes(level, stride) for level, stride in zip(levels, STRIDES)]
    logits = [level[:, 0].flatten(1) for level in levels]
    return torch.cat(boxes, 1), torch.cat(logits, 1)
