"""People with their labels and, beside them, the poses that a model gives them, as one image."""

from __future__ import annotations

from math import ceil
from pathlib import Path

import cv2
import numpy as np
from flight_people import JOINTS

from skelact.pipeline.pose_training.people import AnnotatedPeople
from skelact.pose_extract.layout import COCO_17

_EDGES = [edge for edge in COCO_17.edges if set(edge) <= set(JOINTS)] + [(5, 6), (11, 12)]
# RGB. Red and blue, as sheets of this set are usually judged; the middle of the body is grey.
_LEFT, _RIGHT, _MIDDLE, _TEXT = (230, 40, 40), (40, 90, 250), (220, 220, 220), (255, 255, 0)
# Behind poses without their images, which are not everybody's to show.
_BACKGROUND = (40, 40, 40)
_TILE, _GAP, _TILES_PER_ROW = 150, 6, 6
# A tile shows the person's box and as much again on all sides together as a limb that is guessed
# may need.
_ZOOM_OUT = 1.25


def worst_first(errors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the people with the largest mean errors, worst first: their indices and the means.

    Args:
        errors: (P, V) distances in torsos, NaN where nothing is annotated; each person has some.
        count: At most so many.
    """
    means = np.nanmean(errors, axis=1)
    order = np.argsort(-means, kind="stable")[:count]
    return order, means[order]


def draw_sheet(
    people: AnnotatedPeople, keypoints: np.ndarray, means: np.ndarray, with_images: bool = True
) -> np.ndarray:
    """Return (H, W, 3) uint8 RGB, six people a row: the label at the left, the pose at the right.

    Left limbs are red, right ones blue.

    Args:
        people: P people, at least one.
        keypoints: (P, 17, 2) their poses, pixels.
        means: (P,) their mean errors in torsos, written on them.
        with_images: Whether the poses are drawn on the images, or on a plain background.
    """
    num_rows = ceil(len(people) / _TILES_PER_ROW)
    num_columns = min(len(people), _TILES_PER_ROW)
    pitch = np.array([_TILE + _GAP, 2 * _TILE + _GAP])
    page = np.full((*(pitch * (num_rows, num_columns) - _GAP), 3), 255, np.uint8)
    everything = np.ones(17, bool)
    bboxes = people.bboxes()
    for i in range(len(people)):
        image, to_tile = people.image(i) if with_images else None, _to_tile(bboxes[i])
        panels = [
            _draw(image, to_tile, points, shown)
            for points, shown in (
                (people.keypoints[i], people.visible[i]),
                (keypoints[i], everything),
            )
        ]
        tile = np.concatenate(panels, axis=1)
        text = f"{Path(people.names[i]).stem}  {means[i]:.2f}"
        cv2.putText(tile, text, (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, _TEXT, 1, cv2.LINE_AA)
        y, x = pitch * divmod(i, _TILES_PER_ROW)
        page[y : y + _TILE, x : x + 2 * _TILE] = tile
    return page


def _to_tile(box: np.ndarray) -> np.ndarray:
    """Return the matrix (2, 3) from pixels of the image to those of a tile around a box."""
    scale = _TILE / (_ZOOM_OUT * float((box[2:] - box[:2]).max()))
    shift = _TILE / 2 - scale * (box[:2] + box[2:]) / 2
    return np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]])


def _draw(
    image: np.ndarray | None, to_tile: np.ndarray, points: np.ndarray, shown: np.ndarray
) -> np.ndarray:
    """Return a tile (150, 150, 3) of an image with a pose (17, 2) drawn where it is shown (17,)."""
    if image is None:
        tile = np.full((_TILE, _TILE, 3), _BACKGROUND, np.uint8)
    else:
        tile = cv2.warpAffine(image, to_tile, (_TILE, _TILE), flags=cv2.INTER_AREA)
    places = np.rint(points @ to_tile[:, :2].T + to_tile[:, 2]).astype(int).tolist()
    for i, j in _EDGES:
        if shown[i] and shown[j]:
            color = _color(i) if i % 2 == j % 2 else _MIDDLE
            cv2.line(tile, places[i], places[j], color, 2, cv2.LINE_AA)
    for joint in JOINTS[shown[JOINTS]].tolist():
        cv2.circle(tile, places[joint], 3, _color(joint), -1, cv2.LINE_AA)
    return tile


def _color(joint: int) -> tuple[int, int, int]:
    return _LEFT if COCO_17.keypoint_names[joint].startswith("left_") else _RIGHT
