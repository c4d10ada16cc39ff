"""Motion cues: the camera's motion from frame to frame and, with it taken out, the people's.

Works on downscaled frames, so its cost hardly depends on the size of the video. The numbers were
chosen with ``benchmarks/athlete.py`` (docs/design.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from ..common.geometry import box_areas

# Longer side of a downscaled frame, pixels.
_SIDE = 320
# The corners that are tracked, their least distance, and the side of the window that is compared
# around them, pixels. Of the settings of ``benchmarks/camera_motion.py`` this one takes half of the
# time of the costliest and leaves no more difference between frames, on each of three sets.
_MAX_CORNERS = 150
_CORNER_DISTANCE = 10
_WINDOW = 11
# A corner is sought in at most so many steps, or until one is shorter than so many pixels.
_SEARCH = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 10, 0.03)
# Share of tracked corners that are inliers of the camera motion. Below it, and with colours whose
# similarity is lower than this, a scene was cut; a fast pan through one hall keeps its colours.
_MIN_INLIERS = 0.3
_MAX_CUT_SIMILARITY = 0.965
# Bins of lightness, a and b (CIELAB); odd numbers of a and b: grey lies in the middle of one.
_COLOR_BINS = (6, 5, 5)
NUM_COLORS = int(np.prod(_COLOR_BINS))
# (3, 256) uint8: what each value of lightness, a and b adds to the number of a pixel's bin.
_BIN_PARTS = np.stack(
    [
        np.arange(256) * bins // 256 * int(np.prod(_COLOR_BINS[i + 1 :]))
        for i, bins in enumerate(_COLOR_BINS)
    ]
).astype(np.uint8)
# A box is widened on each side by up to half of it, in steps of a tenth, over what changes more
# than twice as much as the frame's mean.
_WIDEN_STEPS = np.linspace(0.0, 0.5, 6)
_WIDEN_CHANGE = 2.0
# A region moves where the change, smoothed over a limb's width, is more than twice the frame's
# mean. It is found on cells of so many downscaled pixels a side; the smoothing is in cells.
_REGION_CELL = 2
_REGION_SMOOTHING = 2.0
# A box that covers so much of that region holds what moves most.
_HELD_SHARE = 0.7
# (4, 1, 1): the way outwards of the sides x1, y1, x2, y2.
_OUTWARDS = np.array([-1, -1, 1, 1])[:, None, None]


@dataclass(frozen=True, eq=False)
class FrameCues:
    """The motion and the colours of a frame.

    Attributes:
        from_previous: (2, 3) float64, affine map from the previous frame's pixels to this one's.
        is_cut: Whether another scene begins here.
        motion: (h + 1, w + 1) float64 integral image of the change that is not the camera's motion,
            over its mean, of the downscaled frame.
        colors: (h, w) uint8 colour bin of each pixel of the downscaled frame.
        scale: Downscaled pixels per pixel.
    """

    from_previous: np.ndarray
    is_cut: bool
    motion: np.ndarray
    colors: np.ndarray
    scale: float

    def motion_in(self, bboxes: np.ndarray) -> np.ndarray:
        """Return (N,) the mean change inside boxes (N, 4), over the frame's mean change."""
        total, area = self._change_in(*self._clipped((bboxes * self.scale).T))
        inside: np.ndarray = total / area
        return inside

    def widened(self, bboxes: np.ndarray) -> np.ndarray:
        """Return boxes (N, 4) widened to what moves around them.

        Detectors trained on upright people find the half of an athlete that looks most like one;
        the other half moves with it. Of all widenings the one is taken whose total change, less
        twice the frame's mean change times its area, is greatest.
        """
        if not len(bboxes):
            return bboxes
        scaled = bboxes * self.scale
        sides = np.tile(scaled[:, 2:] - scaled[:, :2], 2)
        # (4, N, S): each side of each box, moved outwards by each of S steps.
        moved = scaled.T[:, :, None] + _WIDEN_STEPS * _OUTWARDS * sides.T[:, :, None]
        x1, y1, x2, y2 = self._clipped(moved, every_pair=True)
        total, area = self._change_in(
            x1[:, :, None, None, None],
            y1[:, None, :, None, None],
            x2[:, :, None, :, None],
            y2[:, None, :, None, :],
        )
        gain = total - _WIDEN_CHANGE * area
        rows = np.arange(len(bboxes))
        best = gain.reshape(len(bboxes), -1).argmax(axis=1)
        left, top, right, bottom = np.unravel_index(best, gain.shape[1:])
        chosen = np.stack(
            [x1[rows, left], y1[rows, top], x2[rows, left, right], y2[rows, top, bottom]], axis=1
        )
        # A box that stays as it is keeps its fractions of a pixel.
        result: np.ndarray = np.where(best[:, None] > 0, chosen / self.scale, bboxes)
        return result.astype(np.float32)

    @cached_property
    def moving_region(self) -> np.ndarray:
        """The box (1, 4) float32 around where most moves; (0, 4) where nothing does.

        Of the connected regions whose change is more than twice the frame's mean, the one with the
        greatest total change. It finds a body that no detector finds, and anything else that moves.
        """
        rows, columns = (
            np.append(np.arange(0, length, _REGION_CELL), length) for length in self.colors.shape
        )
        total, area = self._change_in(columns[:-1], rows[:-1, None], columns[1:], rows[1:, None])
        above = total - _WIDEN_CHANGE * area
        smooth = cv2.GaussianBlur(above, (0, 0), _REGION_SMOOTHING)
        count, regions, extents, _ = cv2.connectedComponentsWithStats((smooth > 0).astype(np.uint8))
        mass = np.bincount(regions.ravel(), np.maximum(above, 0.0).ravel(), count)
        mass[0] = 0.0  # what does not move
        most = int(mass.argmax())
        if mass[most] == 0.0:
            return np.zeros((0, 4), np.float32)
        x, y, width, height = extents[most, :4]
        sides = [columns[x], rows[y], columns[x + width], rows[y + height]]
        region = np.array([sides]) / self.scale
        result: np.ndarray = region.astype(np.float32)
        return result

    def holds_motion(self, bboxes: np.ndarray) -> bool:
        """Return whether one of some boxes (N, 4) holds where most moves.

        It does if, widened to what moves around it, it covers most of that region.
        """
        if not len(self.moving_region):
            return False
        (region,) = self.moving_region
        wide = self.widened(bboxes)
        low, high = np.maximum(wide[:, :2], region[:2]), np.minimum(wide[:, 2:], region[2:])
        covered = box_areas(np.concatenate([low, high], axis=1)) / box_areas(region)
        return bool((covered >= _HELD_SHARE).any())

    def _clipped(self, sides: np.ndarray, *, every_pair: bool = False) -> tuple[np.ndarray, ...]:
        """Return sides x1, y1, x2, y2 in whole downscaled pixels, inside the frame, x1 < x2.

        Args:
            sides: (4, N) or (4, N, S), in that order, downscaled pixels.
            every_pair: With each of S left sides each right side is returned, (N, S, S), and so
                with the upper and lower ones.
        """
        height, width = self.colors.shape
        x1, y1, x2, y2 = np.rint(sides).astype(int)
        x1, y1 = np.clip(x1, 0, width - 1), np.clip(y1, 0, height - 1)
        least_x, least_y = x1 + 1, y1 + 1
        if every_pair:
            x2, y2 = x2[:, None], y2[:, None]
            least_x, least_y = least_x[..., None], least_y[..., None]
        return x1, y1, np.clip(x2, least_x, width), np.clip(y2, least_y, height)

    def _change_in(
        self, x1: np.ndarray, y1: np.ndarray, x2: np.ndarray, y2: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return total changes and areas of boxes in downscaled pixels, all shapes as broadcast."""
        table = self.motion
        total = table[y2, x2] - table[y1, x2] - table[y2, x1] + table[y1, x1]
        return total, (x2 - x1) * (y2 - y1)

    def colors_in(self, bboxes: np.ndarray) -> np.ndarray:
        """Return (N, NUM_COLORS) float32: square roots of the colour histograms in the boxes.

        The product of two such rows is their similarity (Bhattacharyya coefficient), 0 to 1.
        """
        result = np.zeros((len(bboxes), NUM_COLORS), np.float32)
        height, width = self.colors.shape
        for row, bbox in zip(result, bboxes * self.scale):
            center, half = (bbox[:2] + bbox[2:]) / 2, (bbox[2:] - bbox[:2]) * (0.3, 0.35)
            x1, y1 = np.maximum(center - half, 0).astype(int)
            x2, y2 = np.ceil(np.minimum(center + half, (width, height))).astype(int)
            found = self.colors[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)].ravel()
            if len(found):
                row[:] = np.sqrt(np.bincount(found, minlength=NUM_COLORS) / len(found))
        return result


class CueReader:
    """Turns successive frames into cues; a frame's cues come with the next frame.

    The change in a frame is its difference from both neighbours, warped by the camera's motion:
    this leaves the moving person where they are now, not where they were.
    """

    def __init__(self) -> None:
        self._frames: list[tuple[np.ndarray, np.ndarray, float]] = []
        self._maps: list[tuple[np.ndarray, bool]] = []

    def add(self, frame: np.ndarray) -> FrameCues | None:
        """Take a frame (H, W, 3) uint8 RGB; return the cues of the one before it, if any."""
        small, scale = _downscale(frame)
        gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        colors = _color_bins(small)
        if self._frames:
            before, before_colors, _ = self._frames[-1]
            self._maps.append(_camera_motion(before, gray, before_colors, colors))
        else:
            self._maps.append((np.eye(2, 3), False))
        self._frames.append((gray, colors, scale))
        if len(self._frames) == 1:
            return None
        cues = self._cues(len(self._frames) - 2)
        del self._frames[:-2], self._maps[:-2]
        return cues

    def finish(self) -> FrameCues | None:
        """Return the cues of the last frame, if there was any."""
        return self._cues(len(self._frames) - 1) if self._frames else None

    def _cues(self, i: int) -> FrameCues:
        gray, colors, scale = self._frames[i]
        shape = gray.shape[::-1]
        changes = []
        from_previous, is_cut = self._maps[i]
        if i > 0 and not is_cut:
            warped = cv2.warpAffine(
                self._frames[i - 1][0], from_previous, shape, borderMode=cv2.BORDER_REPLICATE
            )
            changes.append(cv2.absdiff(warped, gray))
        if i + 1 < len(self._frames) and not self._maps[i + 1][1]:
            warped = cv2.warpAffine(
                self._frames[i + 1][0],
                self._maps[i + 1][0],
                shape,
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
            changes.append(cv2.absdiff(warped, gray))
        if changes:
            least = changes[0] if len(changes) == 1 else cv2.min(*changes)
            change: np.ndarray = cv2.GaussianBlur(least.astype(np.float32), (5, 5), 0)
        else:
            change = np.ones(gray.shape, np.float32)
        # In a frame in which nothing changes, noise must not count as motion.
        change = change / (float(change.mean()) + 1.0)
        in_pixels = from_previous.copy()
        in_pixels[:, 2] /= scale
        return FrameCues(in_pixels, is_cut, cv2.integral(change), colors, scale)


def _downscale(frame: np.ndarray) -> tuple[np.ndarray, float]:
    scale = min(1.0, _SIDE / max(frame.shape[:2]))
    if scale == 1.0:
        return frame, 1.0
    size = (max(8, round(frame.shape[1] * scale)), max(8, round(frame.shape[0] * scale)))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA), scale


def _color_bins(image: np.ndarray) -> np.ndarray:
    planes = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2LAB))
    lightness, a, b = (cv2.LUT(plane, part) for plane, part in zip(planes, _BIN_PARTS))
    return cv2.add(cv2.add(lightness, a), b)


def _camera_motion(
    before: np.ndarray, after: np.ndarray, before_colors: np.ndarray, colors: np.ndarray
) -> tuple[np.ndarray, bool]:
    """Return the affine map (2, 3) from one grey image to the next, and whether it was a cut."""
    corners = cv2.goodFeaturesToTrack(before, _MAX_CORNERS, 0.01, _CORNER_DISTANCE)
    share, found = 0.0, None
    if corners is not None and len(corners) >= 8:
        moved, status, _ = cv2.calcOpticalFlowPyrLK(
            before,
            after,
            corners,
            None,  # type: ignore[call-overload]
            winSize=(_WINDOW, _WINDOW),
            maxLevel=4,
            criteria=_SEARCH,
        )
        good = status[:, 0] == 1
        if good.sum() >= 8:
            found, inliers = cv2.estimateAffinePartial2D(
                corners[good], moved[good], method=cv2.RANSAC, ransacReprojThreshold=3.0
            )
            share = float(inliers.mean()) * float(good.mean()) if found is not None else 0.0
    if share < _MIN_INLIERS and _similarity(before_colors, colors) < _MAX_CUT_SIMILARITY:
        return np.eye(2, 3), True
    return (np.eye(2, 3) if found is None else found), False


def _similarity(first: np.ndarray, second: np.ndarray) -> float:
    shares = [
        np.sqrt(np.bincount(colors.ravel(), minlength=NUM_COLORS) / colors.size)
        for colors in (first, second)
    ]
    return float(shares[0] @ shares[1])
