"""Features and answers of an RTMDet teacher, which a finder of its shape learns.

The teacher looks at people who stand; the student at the same picture turned by any angle, and is
to find the teacher's boxes turned with it. So is what it knows of people, before it says how sure
it is: that has no up and down.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ... import SkelactError
from ...pose_extract.nets.rtmdet import STRIDES, RTMDetNano, cell_boxes, level_boxes
from ...pose_extract.nets.shapes import RTMDetShape
from ...pose_extract.weights.download import fetch_weights, identify_weights
from .feature_hooks import feature_hooks
from .losses import box_areas, generalised_iou, shared_areas
from .pose_features import scaled_error
from .warp import rotation_matrices

_SURE = 0.1
# Whom the teacher is this sure of, in a box that overlaps so far, it has seen.
_SEEN_CHANCE = 0.25
_SEEN_IOU = 0.5
# How sure it is to be at least of people whom it sees and the labels hold.
_LABEL_CHANCE = 0.7
# How sure it is to be in the middle of people whom it misses and the labels hold: they may be
# hidden. It is half of that so many cells away.
_MISSED_CHANCE = 0.5
_HALF_AWAY = 1.5
# Who is smaller than this (root of the box's area, pixels) belongs to the first levels, as most of
# those do whom RTMDet-nano sees.
_LEVEL_SIZES = (48.0, 90.0)
# Boxes of which so much lies in the box of such a person hold a part of them.
_PART_SHARE = 0.8
# A cell of a turned picture is as sure as the surest that lay this near, in cells: with more than
# half of a cell's diagonal none is lost between the cells.
_NEAR = 0.75
# Features by the path of the module that gives them.
Features = dict[str, Tensor]
# The heads give the network's answers, one for each stride.
HEADS = tuple(f"heads.{number}" for number in range(len(STRIDES)))
# Features that are the same for a rotated person: those from which the heads compute scores.
CLASSIFICATION_FEATURES = tuple(
    f"{head}.cls_convs.{number}" for head in HEADS for number in range(2)
)
# Modules that are no deeper than one separable convolution behind those before them, so that what
# they give can be learned from what they receive. In order: the stem; of each of the four stages
# the convolution that halves the resolution, the pooling of the last and the CSP layer; the neck's
# layers down to finer levels and up again; its outputs; the towers of the heads.
_MODULES = re.compile(
    r"(stem|stage\d|outs|heads(\.\d\.(cls|reg)_convs)?)\.\d|(reduce|down|shrink|up)\d|"
    r".+\.(short_conv|main_conv|blocks\.\d)|(.+\.blocks\.\d|stage\d\.\d)\.conv1"
)


def features_of(net: nn.Module, x: Tensor, given: Features | None = None) -> Features:
    """Return the features inside an ``RTMDetNano``, in the order in which they are computed.

    Args:
        net: The network.
        x: (N, 3, H, W) float32, normalised RGB; H and W multiples of 32.
        given: What the modules after each of these receive in place of its output: the features of
            another network.

    Returns:
        Features (N, C, h, w) by the path of the module that gives them; those of ``HEADS`` are
        (N, 5, H / stride, W / stride).
    """
    modules = {name: module for name, module in net.named_modules() if _MODULES.fullmatch(name)}
    with feature_hooks(modules, given) as found:
        # Not net(x), which may be compiled: the hooks are there for this call alone.
        net.forward(x)
    return cast(Features, found)


def read_rtmdet(path: Path) -> RTMDetNano:
    """Return RTMDet-nano with the weights of an ONNX file, normalisation folded in.

    Args:
        path: A file as OpenMMLab exports it, for one class.

    Raises:
        SkelactError: if it is another network, or the package onnx is missing.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise SkelactError("a detector teaches features with: pip install onnx") from None
    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:  # protobuf's own
        raise SkelactError(f"{path}: expected RTMDet-nano as ONNX: {error}") from None
    stored = {tensor.name: tensor for tensor in graph.initializer}
    kernels = [node.input[1:] for node in graph.node if node.op_type == "Conv"]
    net = RTMDetNano(RTMDetShape()).eval()
    with torch.no_grad():
        layers = _convolutions_in_order(net)
        if len(layers) != len(kernels):
            raise SkelactError(f"{path}: expected RTMDet-nano, got {len(kernels)} convolutions")
        for (parent, conv), names in zip(layers, kernels):
            values = [
                torch.from_numpy(numpy_helper.to_array(stored[name]).copy()) for name in names
            ]
            if len(values) != 2 or values[0].shape != conv.weight.shape:
                raise SkelactError(f"{path}: expected RTMDet-nano, got other convolutions")
            conv.weight.copy_(values[0])
            conv.bias = nn.Parameter(values[1])
            if isinstance(parent, nn.Sequential):
                parent[1] = nn.Identity()
    return net


def _convolutions_in_order(net: RTMDetNano) -> list[tuple[nn.Module, nn.Conv2d]]:
    """Return a network's convolutions with the modules that hold them, as they are computed."""
    found: list[tuple[nn.Module, nn.Conv2d]] = []
    hooks = []
    for parent in net.modules():
        for child in parent.children():
            if isinstance(child, nn.Conv2d):
                hooks.append(
                    child.register_forward_hook(
                        lambda conv, *_, parent=parent: found.append((parent, conv))
                    )
                )
    net(torch.zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    return found


class DetectorTeacher:
    """RTMDet-nano, whose features and boxes a finder learns.

    Args:
        name: Name in the weights table, a path or an address of its ONNX file.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        net: Any = read_rtmdet(fetch_weights(name)).requires_grad_(False)
        self.net = net.to(memory_format=torch.channels_last)

    def __deepcopy__(self, memo: dict[int, Any]) -> DetectorTeacher:
        # An averaged copy of a student shares its teacher.
        return self

    def identity(self) -> dict[str, Any]:
        """Return what it is, JSON-able."""
        return {"name": Path(self._name).name, "sha256": identify_weights(self._name)}

    def as_detector(self) -> nn.Module:
        """Return its network, asked as a finder's is: for pictures (N, 3, H, W), RGB."""
        return _AsFinder(self.net)

    def __call__(self, x: Tensor) -> Features:
        """Return the features of normalised pictures (N, 3, H, W), RGB."""
        if next(self.net.parameters()).device != x.device:
            self.net.to(x.device)
        with torch.no_grad():
            # RTMDet was taught on blue, green and red.
            return features_of(self.net, x.flip(1))


class _AsFinder(nn.Module):
    people = staticmethod(RTMDetNano.people)

    def __init__(self, net: RTMDetNano) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> list[Tensor]:
        found: list[Tensor] = self.net(x.flip(1))
        return found


def rotate_images(x: Tensor, degrees: Tensor, fill: Tensor) -> Tensor:
    """Return pictures (N, 3, S, S) turned clockwise about their middles.

    Args:
        x: In units of 0 to 255.
        degrees: (N,).
        fill: (N,) brightness of the corners that come in.
    """
    theta = F.pad(rotation_matrices(-degrees), (0, 1))
    grid = F.affine_grid(theta, list(x.shape), align_corners=True)
    fill = fill[:, None, None, None]
    return F.grid_sample(x - fill, grid, align_corners=True) + fill


def _places(size: int, stride: int, degrees: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the cells of a turned picture lie in the picture as it was.

    Args:
        size: Cells along a side.
        stride: Pixels from cell to cell.
        degrees: (N,) by which it is turned, clockwise.

    Returns:
        Columns and rows (N, size, size, 2) in cells, and which of them lie inside (N, size, size).
    """
    middle = (size * stride - 1) / 2
    steps = torch.arange(size, device=degrees.device, dtype=torch.float32) * stride - middle
    cells = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1)
    where = (
        cells.reshape(1, -1, 2) @ rotation_matrices(-degrees).transpose(1, 2) + middle
    ) / stride
    where = where.unflatten(1, (size, size))
    return where, ((where > -0.5) & (where < size - 0.5)).all(dim=-1)


def rotated_targets(heads: Sequence[Tensor], degrees: Tensor) -> tuple[Tensor, Tensor]:
    """Return what a detector's answers become where the picture is turned under it.

    Args:
        heads: Per level (N, 5, h, h), as ``RTMDetNano`` gives them for the picture as it was.
        degrees: (N,) by which it is turned, clockwise.

    Returns:
        How sure each cell of the turned picture is to be, (N, K), and its box (N, K, 4) xyxy in
        pixels: the one around the turned ellipse of the box.
    """
    chances, boxes = [], []
    side = heads[0].shape[-1] * STRIDES[0]
    middle = (side - 1) / 2
    back = rotation_matrices(-degrees)
    for stride, level in zip(STRIDES, heads):
        chance, place = _surest(torch.sigmoid(level[:, 0].float()), stride, degrees)
        chances.append(chance)
        own = cell_boxes(level.float(), stride)
        low, high = own.gather(1, place[..., None].expand(-1, -1, 4)).split(2, dim=-1)
        center = ((low + high) / 2 - middle) @ back + middle
        forth = back.transpose(1, 2)
        reach = ((forth[:, None] * ((high - low) / 2)[:, :, None]) ** 2).sum(-1).sqrt()
        boxes.append(torch.cat([center - reach, center + reach], -1).clamp(0, side))
    return torch.cat(chances, 1), torch.cat(boxes, 1)


def _surest(chances: Tensor, stride: int, degrees: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each cell of a turned picture the surest of those that lay near.

    Args:
        chances: (N, h, h) of the picture as it was; NaN where nothing is known.
        stride: Pixels from cell to cell.
        degrees: (N,) by which it is turned, clockwise.

    Returns:
        How sure it is, (N, h h): NaN where nothing is known and none near is seen, 0 outside the
        picture; and which it is, (N, h h).
    """
    size = chances.shape[-1]
    where, inside = _places(size, stride, degrees)
    steps = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]], device=where.device)
    corners = where.flatten(1, 2).floor()[:, :, None] + steps  # (N, h h, 4, 2)
    far = torch.linalg.vector_norm(corners - where.flatten(1, 2)[:, :, None], dim=-1)
    column, row = corners.long().clamp(0, size - 1).unbind(-1)
    places = row * size + column
    found = chances.flatten(1).gather(1, places.flatten(1)).view(places.shape)
    best, corner = found.nan_to_num(0.0).masked_fill(far > _NEAR, -1.0).max(dim=-1)
    nearest = found.gather(2, far.argmin(dim=-1, keepdim=True))[..., 0]
    best = torch.where(nearest.isnan() & (best < _SEEN_CHANCE), torch.nan, best)
    best = torch.where(inside.flatten(1), best, 0.0)
    return best, places.gather(2, corner[..., None])[..., 0]


def rotated_feature_losses(
    student: Features, teacher: Features, degrees: Tensor
) -> dict[str, Tensor]:
    """Return the losses of ``CLASSIFICATION_FEATURES`` where the student's picture is turned.

    Args:
        student: Features of the turned pictures.
        teacher: Features of the pictures as they were.
        degrees: (N,) by which they are turned, clockwise.

    Returns:
        As of ``feature_losses``, over the cells that lie inside the picture as it was.
    """
    losses = {}
    for name in CLASSIFICATION_FEATURES:
        truth, stride = teacher[name].float(), STRIDES[HEADS.index(name.partition(".cls_convs")[0])]
        size = truth.shape[-1]
        where, inside = _places(size, stride, degrees)
        truth = F.grid_sample(truth, 2 * where / (size - 1) - 1, align_corners=True,
                              padding_mode="border")  # fmt: skip
        mine, theirs = (
            features.movedim(1, -1)[inside].T[None, :, :, None]
            for features in (student[name], truth)
        )
        losses[name] = scaled_error(mine, theirs)
    return losses


def join_labels(heads: Sequence[Tensor], people: Tensor, ignored: Tensor) -> list[Tensor]:
    """Return a detector's answers, with what the labels know of people.

    It looks at a picture once, the labels come of several looks along a track. Whom it sees and
    they hold is a person. An athlete in flight is nobody to it, or half a body, but a person to
    them.

    Args:
        heads: Per level (N, 5, h, h), as ``RTMDetNano`` gives them.
        people: (N, P, 4) xyxy in pixels, zeros where there is none; P is at least 1.
        ignored: (N, I, 4), boxes that may hold somebody.

    Returns:
        The same, with logits of at least ``_LABEL_CHANCE`` for the surest cell of each of the
        people who were seen, and higher ones around it; with ``_MISSED_CHANCE`` in the middle of
        those who were missed; with their boxes there, and where a part of them was seen; with NaN
        for the other logits in their boxes, and in those ignored.
    """
    heads = [head.float() for head in heads]
    boxes, logits = level_boxes(heads)
    chances = torch.sigmoid(logits)
    cells, strides = _cells(heads)
    there = people.any(dim=-1)
    shared, areas = shared_areas(people[:, :, None], boxes[:, None]), box_areas(boxes)
    either = box_areas(people)[..., None] + areas[:, None] - shared
    own = (shared >= _SEEN_IOU * either) & there[..., None]  # (N, P, K)
    peak = (own * chances[:, None]).amax(dim=2)
    missed = there & (peak < _SEEN_CHANCE)
    factor = torch.where(there & ~missed, (_LABEL_CHANCE / peak).clamp(min=1.0), 1.0)
    surer = chances * torch.where(own, factor[..., None], 1.0).amax(dim=1)
    unsure = torch.cat([people, ignored], 1)[:, :, None]
    inside = ((cells >= unsure[..., :2]) & (cells <= unsure[..., 2:])).all(dim=-1)
    inside = (inside & torch.cat([missed, ignored.any(dim=-1)], 1)[..., None]).any(dim=1)
    logit = torch.where(surer > chances + 1e-3, torch.logit(surer.clamp(max=1 - 1e-6)), logits)
    logit = torch.where(inside & (surer < _SEEN_CHANCE), torch.nan, logit)

    share, person = (shared * missed[..., None]).max(dim=1)
    is_part = (share > 0) & (share >= _PART_SHARE * areas)
    changed = (surer >= _SEEN_CHANCE) & ~own.any(dim=1) & is_part
    middle, nearest = (_middle_chances(people, cells, strides) * missed[..., None]).max(dim=1)
    is_middle = (middle > 0) & ~(torch.sigmoid(logit) >= middle)
    logit = torch.where(is_middle, torch.logit(middle), logit)
    person, changed = torch.where(is_middle, nearest, person), changed | is_middle

    box = people.gather(1, person[..., None].expand(-1, -1, 4))
    sides = torch.cat([cells - box[..., :2], box[..., 2:] - cells], -1) / strides[:, None]
    levels = [head[0, 0].numel() for head in heads]
    joined = []
    for head, flat, new, is_new in zip(
        heads, logit.split(levels, 1), sides.split(levels, 1), changed.split(levels, 1)
    ):
        ways = torch.where(is_new[:, None], new.transpose(1, 2), head[:, 1:].flatten(2))
        joined.append(torch.cat([flat[:, None], ways], 1).view(head.shape))
    return joined


def _cells(heads: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the corners (K, 2) xy in pixels of the cells of all levels, and their strides (K,)."""
    cells, strides = [], []
    for stride, head in zip(STRIDES, heads):
        steps = torch.arange(head.shape[-1], device=head.device) * float(stride)
        cells.append(torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1).flatten(0, 1))
        strides.append(torch.full((len(cells[-1]),), float(stride), device=head.device))
    return torch.cat(cells), torch.cat(strides)


def _middle_chances(people: Tensor, cells: Tensor, strides: Tensor) -> Tensor:
    """Return how sure cells (K,) are to be of people (N, P, 4) xyxy missed: (N, P, K)."""
    low, high = people.split(2, dim=-1)
    sizes = (high - low).prod(dim=-1).sqrt()
    level = torch.bucketize(sizes, torch.tensor(_LEVEL_SIZES, device=sizes.device))
    steps = cells - (low + high)[:, :, None] / 2
    away = torch.linalg.vector_norm(steps, dim=-1) / strides
    chance = _MISSED_CHANCE * 0.5 ** ((away / _HALF_AWAY) ** 2)
    is_level = strides == torch.tensor(STRIDES, device=strides.device)[level][..., None]
    return torch.where(is_level & (away <= _HALF_AWAY), chance, 0.0)


def detection_losses(
    heads: Sequence[Tensor], chances: Tensor, boxes: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the losses of scores (quality focal) and boxes (generalised IoU and sides).

    Args:
        heads: The student's, as ``RTMDetNano`` gives them.
        chances: (N, K), how sure it is to be; NaN where nothing is known.
        boxes: (N, K, 4).
    """
    found, logits = level_boxes(heads)
    known = ~chances.isnan()
    chances = chances.nan_to_num()
    weight = (torch.sigmoid(logits) - chances).square().detach() + 0.02 * chances
    scores = F.binary_cross_entropy_with_logits(logits, chances, reduction="none")
    loss_score = (weight * scores * known).sum() / chances.sum().clamp(min=1.0)
    sure = chances > _SURE
    if not sure.any():
        return loss_score, found.sum() * 0.0
    guess, truth = found[sure], boxes[sure]
    sides = (truth[:, 2:] - truth[:, :2]).clamp(min=4.0).repeat(1, 2)
    # The overlap alone cannot mend a box whose right side lies left of its left one.
    unlike = 1 - generalised_iou(guess, truth) + ((guess - truth) / sides).abs().mean(dim=1)
    return loss_score, (unlike * chances[sure]).sum() / chances[sure].sum()


def block_losses(student: Features, teacher: Features) -> dict[str, Tensor]:
    """Return the losses of a student's parts but the heads' answers, as of ``feature_losses``."""
    return {
        name: scaled_error(part, teacher[name])
        for name, part in student.items()
        if name not in HEADS
    }
