"""How poses bear rotation: OKS of annotated people turned by 0 to 330 degrees, as a plot.

Stock is one upright crop per person; ours are the crops of `--effort balanced` and `thorough`.

    python benchmarks/rotation.py ../shared/data/pose_gt/coco --out docs/rotation.png
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np

from skelact.pose_extract.boxes import COCO_SIGMAS
from skelact.pose_extract.extract import orient_config
from skelact.pose_extract.orient import estimate_oriented
from skelact.pose_extract.pose import PoseEstimator

ANGLES = range(0, 360, 30)
Person = tuple[np.ndarray, dict[str, Any]]


def load_people(folder: Path) -> list[Person]:
    """Return (picture, annotation) of all annotated people."""
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        index = COCO(str(folder / "test_coco.json"))
    people = []
    for image in index.loadImgs(index.getImgIds()):
        picture = cv2.imread(str(next(folder.rglob(image["file_name"]))))[..., ::-1]
        for ann in index.loadAnns(index.getAnnIds(image["id"], iscrowd=False)):
            if ann["num_keypoints"]:
                people.append((np.ascontiguousarray(picture), ann))
    return people


def turned(person: Person, degrees: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the turned picture, the box around the turned outline, and the true keypoints."""
    picture, ann = person
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1.0)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = (int(height * sin + width * cos), int(height * cos + width * sin))
    matrix[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    outline = np.concatenate([np.reshape(part, (-1, 2)) for part in ann["segmentation"]])
    outline = outline @ matrix[:, :2].T + matrix[:, 2]
    truth = np.reshape(ann["keypoints"], (17, 3))[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    box = np.concatenate([outline.min(axis=0), outline.max(axis=0)]).astype(np.float32)
    return cv2.warpAffine(picture, matrix, size), box, truth


def oks(points: np.ndarray, truth: np.ndarray, ann: dict[str, Any]) -> float:
    """Return the object keypoint similarity of a pose, as COCO defines it."""
    seen = np.reshape(ann["keypoints"], (17, 3))[:, 2] > 0
    distance = ((points - truth) ** 2).sum(axis=1)
    return float(np.exp(-distance / (2 * ann["area"] * (2 * COCO_SIGMAS) ** 2))[seen].mean())


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--pose", default="litehrnet18-coco-256x192", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Write the plot to this file.")
def main(folder: Path, pose: str, out: Path | None) -> None:
    """Measure on the people of FOLDER, which holds COCO's test_coco.json and pictures."""
    people = load_people(folder)
    estimator = PoseEstimator(pose, device="cpu", precision="fp32")
    estimator.load()
    figures: dict[str, list[float]] = {"stock": [], "balanced": [], "thorough": []}
    for degrees in ANGLES:
        pictures, boxes, truths = zip(*(turned(person, degrees) for person in people))
        found = {
            "stock": np.concatenate(
                [
                    estimator.predict(estimator.crop(picture, box[None]))[0]
                    for picture, box in zip(pictures, boxes)
                ]
            )
        }
        for effort in ("balanced", "thorough"):
            config = orient_config(effort)  # type: ignore[arg-type]
            found[effort] = estimate_oriented(estimator, pictures, np.stack(boxes), 16, config)[0]
        for name, keypoints in found.items():
            values = [
                oks(points, truth, ann)
                for points, truth, (_, ann) in zip(keypoints, truths, people)
            ]
            figures[name].append(round(float(np.mean(values)), 4))
    for name, values in figures.items():
        click.echo(f"{name:10} mean {np.mean(values):.3f}  {json.dumps(values)}")
    if out:
        _plot(figures, out, len(people))


def _plot(figures: dict[str, list[float]], out: Path, count: int) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    for (name, values), style in zip(figures.items(), ("o:", "s--", "^-")):
        axes.plot(list(ANGLES), values, style, label=f"{name}, mean {np.mean(values):.2f}")
    axes.set(
        xlabel="turned by, degrees",
        ylabel=f"mean OKS of {count} people",
        ylim=(0, 1),
        xticks=list(ANGLES),
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main()
