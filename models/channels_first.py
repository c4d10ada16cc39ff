"""Layers on features with the channels first, (D, T, B, V): channels, frames, clips, joints.

A channel is one block of memory. So a linear layer is one matrix product, joints are mixed without
a copy, a span of frames is a slice, and a batch norm reads each channel in one piece.
``benchmarks/training_speed.py`` measures a training step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def linear(h: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Map (D_in, ...) to (D_out, ...) by a weight (D_out, D_in) and a bias (D_out,)."""
    columns = h.flatten(1)
    if bias is None:
        out = weight @ columns
    else:
        out = torch.addmm(bias.unsqueeze(1), weight, columns)
    # Not unflatten, whose sizes a traced network (ONNX) would keep.
    return out.view(-1, *h.shape[1:])


class ChannelLinear(nn.Linear):
    """A linear layer on channels first: (D_in, ...) to (D_out, ...)."""

    def forward(self, h: Tensor) -> Tensor:
        """Map (D_in, ...) to (D_out, ...)."""
        return linear(h, self.weight, self.bias)


def mix_joints(h: Tensor, weight: Tensor) -> Tensor:
    """Mix the joints of (D, ..., V) by matrices (K, V, V), rows of which sum over joints.

    Each of the K matrices serves an equal share of the channels, in order.
    """
    per_channel = weight.transpose(1, 2).repeat_interleave(len(h) // len(weight), dim=0)
    return torch.bmm(h.flatten(1, -2), per_channel).view(h.shape)


class TimeConv(nn.Conv2d):
    """A convolution over time of (D_in, T, B, V), padded with zeros.

    Args:
        in_dim: D_in.
        out_dim: D_out.
        kernel_size: Frames of the kernel, an odd number.
        stride: Stride over time.
        dilation: Frames from one tap of the kernel to the next.
        bias: Whether it has a bias.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        kernel_size: int = 1,
        *,
        stride: int = 1,
        dilation: int = 1,
        bias: bool = True,
    ) -> None:
        padding = kernel_size // 2 * dilation
        super().__init__(
            in_dim, out_dim, (kernel_size, 1), (stride, 1), (padding, 0), (dilation, 1), bias=bias
        )

    def forward(self, h: Tensor) -> Tensor:
        """Map (D_in, T, B, V) to (D_out, ceil(T / stride), B, V)."""
        if self.kernel_size == (1, 1):
            return linear(every_frame(h, self.stride[0]), self.weight.flatten(1), self.bias)
        image = h.flatten(2).unsqueeze(0)  # (1, D, T, BV)
        # Under vmap autocast leaves the weights of convolutions as they are.
        out = self._conv_forward(image, self.weight.to(h.dtype), None)
        if self.bias is not None:
            out = out + self.bias.to(h.dtype).view(-1, 1, 1)
        return out.view(*out.shape[1:3], *h.shape[2:])


def every_frame(h: Tensor, stride: int) -> Tensor:
    """Return every ``stride``-th frame of (D, T, B, V)."""
    # The backward pass of a slice of everything would be a copy.
    return h[:, ::stride] if stride > 1 else h


class _TimeMax(torch.autograd.Function):
    """The greatest of three frames, which max_pool2d finds more slowly in this layout."""

    generate_vmap_rule = True

    @staticmethod
    def forward(h: Tensor, stride: int) -> Tensor:
        return _greatest(h, stride)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], output)
        ctx.stride = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        h, highest = ctx.saved_tensors
        num_frames, stride = h.shape[1], ctx.stride
        before, here, _ = _three_frames(h, stride)
        # The first of equal frames takes the gradient, as in max_pool2d. The backward pass of ReLU
        # gives what is left to the others: the gradient where the greatest is above a frame.
        rest = torch.ops.aten.threshold_backward(grads[0], highest - before, 0)
        last = torch.ops.aten.threshold_backward(rest, highest - here, 0)
        grad = rest.new_zeros(h.shape[0], num_frames + 2, *h.shape[2:])
        for offset, share in enumerate((grads[0] - rest, rest - last, last)):
            grad[:, offset : offset + num_frames : stride] += share
        # The first and last frame stood for the ones beyond, too.
        grad[:, 1] += grad[:, 0]
        grad[:, num_frames] += grad[:, num_frames + 1]
        return grad[:, 1:-1], None


def _three_frames(h: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the frames before, at and after every ``stride``-th one; the ends are repeated."""
    padded = torch.cat([h[:, :1], h, h[:, -1:]], dim=1)
    before, here, after = (padded[:, i : i + h.shape[1] : stride] for i in range(3))
    return before, here, after


class TimeMax(nn.Module):
    """The greatest of each three frames, as a layer; see :func:`time_max`."""

    def forward(self, h: Tensor) -> Tensor:
        """Map (D, T, B, V) to the same shape."""
        return time_max(h, 1)


def time_max(h: Tensor, stride: int) -> Tensor:
    """Return the greatest of each three frames of (D, T, B, V), every ``stride``-th."""
    if torch.jit.is_tracing():  # type: ignore[attr-defined]  # the exporter of ONNX knows no function of ours
        return _greatest(h, stride)
    out: Tensor = _TimeMax.apply(h, stride)
    return out


def _greatest(h: Tensor, stride: int) -> Tensor:
    before, here, after = _three_frames(h, stride)
    return torch.maximum(torch.maximum(before, here), after)


class _ChannelNorm(torch.autograd.Function):
    """``relu(norm(rows) + residual)`` with the statistics of the batch, on a CPU.

    Each channel is a group of a group norm, whose kernels are faster than those of batch norm.
    Under ``vmap`` the channels of all models are those of one operation.
    """

    @staticmethod
    def forward(
        rows: Tensor, residual: Tensor | None, weight: Tensor, bias: Tensor, eps: float, relu: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        dim, count = rows.shape
        image = rows.contiguous().unsqueeze(0)
        out, mean, inverse = torch.native_group_norm(image, weight, bias, 1, dim, count, dim, eps)
        out = out.squeeze(0)
        # Other types than float32 PyTorch adds and clamps faster into new memory than in place.
        in_place = out.dtype == torch.float32
        if residual is not None:
            out = out.add_(residual) if in_place else out + residual
        if relu:
            out = out.relu_() if in_place else out.relu()
        return out, mean.view(dim), inverse.view(dim)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        rows, residual, weight, _, _, relu = inputs
        out, mean, inverse = output
        ctx.mark_non_differentiable(mean, inverse)
        ctx.relu, ctx.has_residual = relu, residual is not None
        ctx.save_for_backward(rows, weight, mean, inverse, out if relu else None)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, mean, inverse, out = ctx.saved_tensors
        grad = grads[0].contiguous()
        if ctx.relu:
            grad = torch.ops.aten.threshold_backward(grad, out, 0)
        dim, count = rows.shape
        of_rows, of_weight, of_bias = torch.ops.aten.native_group_norm_backward(
            grad.unsqueeze(0),
            rows.contiguous().unsqueeze(0),
            mean.unsqueeze(0),
            inverse.unsqueeze(0),
            weight,
            1,
            dim,
            count,
            dim,
            [True, True, True],
        )
        of_residual = grad if ctx.has_residual else None
        return of_rows.squeeze(0), of_residual, of_weight, of_bias, None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *inputs: Any
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        count = info.batch_size

        def together(value: Tensor | None, dim: int | None) -> Tensor | None:
            if value is None:
                return None
            stack = value.expand(count, *value.shape) if dim is None else value.movedim(dim, 0)
            return stack.flatten(0, 1)

        tensors = [together(value, dim) for value, dim in zip(inputs[:4], in_dims[:4])]
        out, mean, inverse = _ChannelNorm.apply(*tensors, *inputs[4:])
        models = (count, -1)
        return (out.view(*models, out.shape[-1]), mean.view(models), inverse.view(models)), (
            0,
            0,
            0,
        )


class ChannelNorm(nn.BatchNorm1d):
    """Batch norm of channels first, (D, ...), and what follows it: a residual, and ReLU."""

    def forward(self, h: Tensor, residual: Tensor | None = None, *, relu: bool = False) -> Tensor:
        """Return ``norm(h) + residual``, (D, ...), through ReLU if wanted."""
        rows = h.flatten(1)
        if residual is not None:
            residual = residual.flatten(1)
        if self.training and rows.device.type == "cpu":
            return self._on_cpu(rows, residual, relu).view(h.shape)
        # Under vmap batch norm takes no other type than that of its weights.
        batched = torch._C._functorch.is_batchedtensor(rows)
        source = rows.to(self.weight.dtype) if batched else rows
        out: Tensor = super().forward(source.unsqueeze(0)).squeeze(0).to(rows.dtype)
        out = out if residual is None else out + residual
        return (out.relu() if relu else out).view(h.shape)

    def _on_cpu(self, rows: Tensor, residual: Tensor | None, relu: bool) -> Tensor:
        """Normalise (D, N), and move the running statistics."""
        if residual is not None and residual.dtype != rows.dtype:
            residual = residual.to(rows.dtype)
        out, mean, inverse = _ChannelNorm.apply(
            rows, residual, self.weight, self.bias, self.eps, relu
        )
        running, spread, momentum = self.running_mean, self.running_var, self.momentum
        assert isinstance(running, Tensor)
        assert isinstance(spread, Tensor)
        assert momentum is not None
        with torch.no_grad():
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
            count = rows.shape[1]
            variance = inverse.to(spread.dtype) ** -2 - self.eps
            unbiased = variance * count / max(count - 1, 1)
            running.mul_(1 - momentum).add_(mean.to(spread.dtype) * momentum)
            spread.mul_(1 - momentum).add_(unbiased * momentum)
        return out
