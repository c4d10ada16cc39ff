"""RTMDet-nano for one class (Lyu et al., 2022): CSPNeXt, a path aggregation neck, heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from .shapes import RTMDetShape

STRIDES = (8, 16, 32)
# The parts that answer, one for each stride.
HEADS = tuple(f"head{number}" for number in range(len(STRIDES)))
# Features by the name of the part that gives them; see ``RTMDetNano``.
Features = dict[str, Tensor]
# Takes a part's name and what it gives, and returns what the parts after it are fed with.
_Passed = Callable[[str, Tensor], Tensor]


class _Depthwise(nn.Conv2d):
    """A convolution of each channel on its own, which learns in full precision.

    It waits for memory, not for numbers; its gradients in bfloat16 take a CPU many times as long.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


class _SiLU(nn.SiLU):
    """In place where nothing learns; for its gradient PyTorch would keep a copy of its input."""

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

    def forward(self, x: Tensor, name: str, passed: _Passed) -> Tensor:
        out = self.conv2(passed(f"{name}.conv1", self.conv1(x)))
        return passed(name, out + x if self.add else out)


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
        self.blocks = nn.ModuleList(_Block(middle, add) for _ in range(blocks))
        self.attention = _Attention(outputs) if attention else nn.Identity()
        self.final_conv = _conv(outputs, outputs)

    def forward(self, x: Tensor, name: str, passed: _Passed) -> Tensor:
        short = passed(f"{name}.short", self.short_conv(x))
        main = passed(f"{name}.main", self.main_conv(x))
        for number, block in enumerate(self.blocks):
            main = block(main, f"{name}.block{number}", passed)
        both = torch.cat([main, short], dim=1)
        return passed(name, self.final_conv(self.attention(both)))


class _Pooling(nn.Module):
    """Spatial pyramid pooling."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels, channels // 2)
        self.conv2 = _conv(channels * 2, channels)

    def forward(self, x: Tensor, name: str, passed: _Passed) -> Tensor:
        x = passed(f"{name}.conv1", self.conv1(x))
        pooled = [nn.functional.max_pool2d(x, side, 1, side // 2) for side in (5, 9, 13)]
        return passed(name, self.conv2(torch.cat([x, *pooled], dim=1)))


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

    def forward(self, x: Tensor, name: str, passed: _Passed) -> Tensor:
        answers = []
        for tower, convs, last in (
            ("cls", self.cls_convs, self.cls),
            ("reg", self.reg_convs, self.reg),
        ):
            features = x
            for number, conv in enumerate(convs):
                features = passed(f"{name}.{tower}{number}", conv(features))
            answers.append(last(features))
        return passed(name, torch.cat(answers, dim=1))


class RTMDetNano(nn.Module):
    """The network, in parts that can be fed with another network's features.

    A part is no deeper than one separable convolution, so what it computes can be learned from what
    it is fed with and what it gives. In order: the convolutions of "stem", "stage1" to "stage4",
    the neck's "down0" and "down1" on the way to finer levels and "up0" and "up1" back, "out0" to
    "out2" on the three levels and "head0" to "head2" on those. What lies inside of one of these is
    named after it, with a dot.

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

    def parts(self, x: Tensor, given: Features | None = None) -> Features:
        """Return the features that each part gives.

        Args:
            x: (N, 3, H, W) float32, normalised RGB; H and W multiples of 32.
            given: What each part is fed with in place of what the parts before it gave.
        """
        found: Features = {}

        def passed(name: str, features: Tensor) -> Tensor:
            found[name] = features
            return features if given is None else given[name]

        self._heads(x, passed)
        return found

    def _heads(self, x: Tensor, passed: _Passed) -> list[Tensor]:
        def larger(features: Tensor) -> Tensor:
            return nn.functional.interpolate(features, scale_factor=2.0, mode="nearest")

        for number, conv in enumerate(self.stem):
            x = passed(f"stem.{number}", conv(x))
        levels = []
        for number in range(1, 5):
            name = f"stage{number}"
            shrink, *pooling, layer = getattr(self, name)
            x = passed(f"{name}.shrink", shrink(x))
            if pooling:
                x = pooling[0](x, f"{name}.pooling", passed)
            x = layer(x, name, passed)
            levels.append(x)
        _, fine, middle, coarse = levels
        reduced0 = passed("down0.reduce", self.reduce0(coarse))
        x = self.down0(torch.cat([larger(reduced0), middle], 1), "down0", passed)
        reduced1 = passed("down1.reduce", self.reduce1(x))
        fine = self.down1(torch.cat([larger(reduced1), fine], 1), "down1", passed)
        shrunk = passed("up0.shrink", self.shrink0(fine))
        middle = self.up0(torch.cat([shrunk, reduced1], 1), "up0", passed)
        shrunk = passed("up1.shrink", self.shrink1(middle))
        coarse = self.up1(torch.cat([shrunk, reduced0], 1), "up1", passed)
        outs = [
            passed(f"out{number}", out(level))
            for number, (out, level) in enumerate(zip(self.outs, (fine, middle, coarse)))
        ]
        return [head(out, name, passed) for head, out, name in zip(self.heads, outs, HEADS)]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Find people.

        Args:
            x: (N, 3, H, W) float32, normalised RGB; H and W multiples of 32.

        Returns:
            Per stride of 8, 16 and 32, (N, 5, H / stride, W / stride): the logit of a person, and
            the ways from the cell's corner to the left, upper, right and lower side of the box, in
            strides.
        """
        return [head.float() for head in self._heads(x, lambda _, features: features)]

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
