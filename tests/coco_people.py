"""The annotated people of COCO images."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

NET = "litehrnet18-coco-256x192"


@pytest.fixture(scope="module")
def coco(shared):
    """The annotated people: (folder, pycocotools' COCO, [(image, annotations)])."""
    folder = shared / "data" / "pose_gt" / "coco"
    index = COCO(str(folder / "test_coco.json"))
    people = []
    for image in index.loadImgs(index.getImgIds()):
        annotations = [
            ann
            for ann in index.loadAnns(index.getAnnIds(image["id"], iscrowd=False))
            if ann["num_keypoints"]
        ]
        if annotations:
            pixels = cv2.imread(str(next(folder.rglob(image["file_name"]))))[..., ::-1]
            people.append((np.ascontiguousarray(pixels), annotations))
    return index, people
