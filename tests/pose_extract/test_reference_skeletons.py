"""Skeletons of two real clips with the shipped weights, byte for byte as they were.

``python tests/pose_extract/test_reference_skeletons.py`` writes them to reference_skeletons.npz; to
be made anew only where a change is meant to change skeletons, such as other weights that ship, and
the change is said.
"""

from __future__ import annotations

import hashlib
import os
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from skelact.pose_extract.extract import ExtractConfig, Extractor
from skelact.pose_extract.nets.notes import processor_name
from skelact.pose_extract.sources import ClipSource
from skelact.pose_extract.weights.table import DEFAULT_POSE

REFERENCE = Path(__file__).with_name("reference_skeletons.npz")
CLIPS = {
    "floor": ("gym/example_fx_01_normal.mp4", 8, 17),
    "street": ("people/mmaction2_demo_skeleton.mp4", 0, 20),
}
FIELDS = ("keypoints", "keypoint_scores", "bboxes", "track_ids")


def arithmetic():
    """Return a hash of what this machine computes: equal ones give equal bytes.

    The order of sums, and with it the last bits, differs between processors and releases; that of
    matrix products between the makers of processors, too, though convolutions are equal.
    """
    import cv2
    import torch

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    releases = [version(name) for name in ("torch", "numpy", "scipy", "decord2", "av")]
    maker = processor_name().partition(" ")[0]
    digest = hashlib.sha256(" ".join([*releases, cv2.__version__, maker]).encode())
    image = torch.randint(256, (96, 128, 3), generator=generator, dtype=torch.uint8).numpy()
    matrix = np.array([[0.8, 0.3, 5.0], [-0.3, 0.8, 20.0]], np.float32)
    digest.update(cv2.warpAffine(image, matrix, (64, 48), flags=cv2.INTER_LINEAR).tobytes())
    for channels, groups in ((32, 1), (40, 1), (64, 64)):
        x = torch.randn(4, channels, 48, 36, generator=generator)
        x = x.contiguous(memory_format=torch.channels_last)
        kernel = torch.randn(channels, channels // groups, 3, 3, generator=generator)
        out = torch.nn.functional.conv2d(x, kernel, padding=1, groups=groups)
        digest.update(out.contiguous().numpy().tobytes())
    return digest.hexdigest()


def skeletons(videos, name, effort):
    path, start, stop = CLIPS[name]
    config = ExtractConfig(
        effort=effort,
        detector="skelact-detector-320",
        pose=DEFAULT_POSE,
        engine="pytorch",
        precision="fp32",
        device="cpu",
        num_threads=1,
    )
    clip = ClipSource(videos / path, name, start_frame=start, end_frame=stop)
    (result,) = Extractor(config).run([clip])
    assert result.error is None
    return {field: getattr(result.sequence, field) for field in FIELDS}


@pytest.mark.parametrize("effort", ["balanced", "thorough"])
@pytest.mark.parametrize("name", CLIPS)
def test_skeletons_are_what_they_were(shared, name, effort):
    found = skeletons(shared / "videos", name, effort)
    with np.load(REFERENCE, allow_pickle=False) as reference:
        expected = {field: reference[f"{name}/{effort}/{field}"] for field in FIELDS}
        is_same_arithmetic = str(reference["arithmetic"]) == arithmetic()
    if is_same_arithmetic:
        for field in FIELDS:
            assert found[field].tobytes() == expected[field].tobytes(), field
        return
    assert found["track_ids"].tolist() == expected["track_ids"].tolist()
    # Rounding moves keypoints by less than a pixel; where two heatmap peaks are alike, or a view is
    # accepted by a hair, one may jump.
    moved = np.linalg.norm(found["keypoints"] - expected["keypoints"], axis=-1)
    assert (moved < 1.0).mean() > 0.9
    assert np.median(np.abs(found["bboxes"] - expected["bboxes"])) < 0.5


def main():
    videos = Path(os.environ.get("SKELACT_SHARED", "../shared")) / "videos"
    arrays = {
        f"{name}/{effort}/{field}": array
        for name in CLIPS
        for effort in ("balanced", "thorough")
        for field, array in skeletons(videos, name, effort).items()
    }
    np.savez_compressed(REFERENCE, arithmetic=np.array(arithmetic()), **arrays)


if __name__ == "__main__":
    main()
