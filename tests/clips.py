"""Clips whose frames are known by their brightness, and a detector and a pose model for them."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np

from skelact.pose_extract.detect.base import Detections
from skelact.pose_extract.layout import COCO_17
from skelact.pose_extract.pose.crops import Crops

FPS = Fraction(24000, 1001)


BOX = np.array([20, 10, 60, 90], dtype=np.float32)


def write_clip(path, num_frames=40, height=96, width=128):
    """Write a clip whose frame i has brightness 5 i mod 256: a reader can tell its frames apart."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for i in range(num_frames):
            image = np.full((height, width, 3), 5 * i % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode())
    return path


class OneWalker:
    """Finds one person who moves 1 px to the right per frame, except in the frames ``absent``."""

    def __init__(self, absent=()):
        self.absent = set(absent)

    def identity(self):
        return {"name": "one-walker", "absent": sorted(self.absent)}

    def load(self):
        pass

    def detect(self, batch, clip_id):
        none = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
        return [
            none
            if i in self.absent
            else Detections(
                (BOX + np.array([i, 0, i, 0]))[None].astype(np.float32),
                np.array([0.9], np.float32),
            )
            for i in batch.frame_inds.tolist()
        ]


class BrightnessPose:
    """Puts x of all keypoints on the brightness of the crop: shows which frame it was cut from.

    y is the x of the crop's middle, 5 less at the shoulders and 5 more at the hips.
    """

    layout = COCO_17
    device = SimpleNamespace(type="cpu")
    pixels_per_cell = (1.0, 1.0)

    def __init__(self, fail_above=1000):
        self.fail_above = fail_above
        self.batch_sizes = []

    def identity(self):
        return {"name": "brightness"}

    def load(self):
        pass

    def hold(self, frames):
        return frames

    def crop_each(self, frames, rows, centers, sizes, angles):
        images = np.stack([frames[row][:8, :8] for row in rows])
        return Crops(images, np.asarray(centers), sizes, angles)

    def predict(self, crops):
        self.batch_sizes.append(len(crops))
        if crops.images.max() > self.fail_above:
            raise RuntimeError("out of memory")
        value = crops.images.mean(axis=(1, 2, 3))
        points = np.zeros((len(crops), 17, 2), np.float32)
        points[..., 0] = value[:, None]
        points[..., 1] = crops.centers[:, :1]
        # A body that stands: its axis is that of the crops.
        points[:, 5:7, 1] -= 5
        points[:, 11:13, 1] += 5
        return points, np.full((len(crops), 17), 0.8, np.float32)

    def predict_with_sides(self, crops):
        return *self.predict(crops), np.zeros((len(crops), 8), np.float32)

    def heatmaps(self, crops):
        return np.zeros((len(crops), 17, 8, 8), np.float32)

    def decode(self, heatmaps, crops):
        """Read the crops: the heatmaps hold nothing."""
        return self.predict_with_sides(crops)
