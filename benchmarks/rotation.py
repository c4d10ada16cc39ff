"""How poses bear rotation: annotated people rotated by 0 to 330 degrees, as a plot.

Stock is one upright crop per person; ours are the crops of `--effort balanced` and `thorough`. COCO
people are measured by OKS, with boxes around their rotated outlines; with --youtube also one frame
per video of VGG's YouTube Pose by PCK: the share of wrists, elbows and shoulders within half the
distance between the shoulders, with boxes around the rotated box that the detector finds upright.

    python benchmarks/rotation.py ../shared/data/pose_gt/coco \\
        --youtube ../shared/videos/youtube_pose_frames --out docs/rotation.png
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
from png_option import PngPath

from skelact.pose_extract.common.geometry import COCO_SIGMAS
from skelact.pose_extract.decode.frames import FrameBatch
from skelact.pose_extract.detect.build import build_detector
from skelact.pose_extract.effort import EFFORTS, Effort
from skelact.pose_extract.pose.estimator import PoseEstimator
from skelact.pose_extract.pose.orientation import OrientationConfig, estimate_oriented

ANGLES = range(0, 360, 30)
_YOUTUBE_JOINTS = {
    "Left shoulder": 5, "Right shoulder": 6, "Left elbow": 7, "Right elbow": 8,
    "Left wrist": 9, "Right wrist": 10,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Person:
    """A person annotated by hand.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        outline: (K, 2) points whose extent is the box, pixels.
        joints: (J,) which keypoints are annotated.
        truth: (J, 2) where they are, pixels.
        score: Distances (J,) in pixels to a figure from 0 to 1.
    """

    image: np.ndarray
    outline: np.ndarray
    joints: np.ndarray
    truth: np.ndarray
    score: Callable[[np.ndarray], float]


def load_coco(folder: Path) -> list[Person]:
    """Return the annotated people of COCO images, scored by OKS."""
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        index = COCO(str(folder / "test_coco.json"))
    people = []
    for image in index.loadImgs(index.getImgIds()):
        pixels = cv2.imread(str(next(folder.rglob(image["file_name"]))))[..., ::-1]
        for ann in index.loadAnns(index.getAnnIds(image["id"], iscrowd=False)):
            if not ann["num_keypoints"]:
                continue
            points = np.reshape(ann["keypoints"], (17, 3)).astype(float)
            joints = np.flatnonzero(points[:, 2])
            width = 2 * ann["area"] * (2 * COCO_SIGMAS[joints]) ** 2

            def oks(distances: np.ndarray, width: np.ndarray = width) -> float:
                return float(np.exp(-(distances**2) / width).mean())

            outline = np.concatenate([np.reshape(part, (-1, 2)) for part in ann["segmentation"]])
            pixels = np.ascontiguousarray(pixels)
            people.append(Person(pixels, outline, joints, points[joints, :2], oks))
    return people


def load_youtube(folder: Path) -> list[Person]:
    """Return one person per video of YouTube Pose, scored by PCK."""
    detector = build_detector("rtmdet-nano")
    detector.load()
    people: dict[str, Person] = {}
    for record in json.loads((folder / "annotations.json").read_text()):
        video = record["file"].rsplit("_", 1)[0]
        if video in people:
            continue
        image = np.ascontiguousarray(cv2.imread(str(folder / record["file"]))[..., ::-1])
        truth = np.array([record["joints"][name] for name in _YOUTUBE_JOINTS], float)
        batch = FrameBatch(image[None], np.array([0]), np.zeros(1))
        bboxes = detector.detect(batch, video)[0].bboxes
        inside = [((truth >= box[:2]) & (truth <= box[2:])).all(axis=1).sum() for box in bboxes]
        if not inside or max(inside) < 4:
            continue
        x1, y1, x2, y2 = bboxes[int(np.argmax(inside))]
        near = max(float(np.linalg.norm(truth[0] - truth[1])) / 2, 4.0)

        def pck(distances: np.ndarray, near: float = near) -> float:
            return float((distances <= near).mean())

        outline = np.array([[x1, y1], [x2, y1], [x1, y2], [x2, y2]])
        joints = np.array(list(_YOUTUBE_JOINTS.values()))
        people[video] = Person(image, outline, joints, truth, pck)
    return list(people.values())


def rotated(person: Person, degrees: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rotated image, the box around the rotated outline, and the true keypoints."""
    height, width = person.image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1.0)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = (int(height * sin + width * cos), int(height * cos + width * sin))
    matrix[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    outline = person.outline @ matrix[:, :2].T + matrix[:, 2]
    truth = person.truth @ matrix[:, :2].T + matrix[:, 2]
    box = np.concatenate([outline.min(axis=0), outline.max(axis=0)]).astype(np.float32)
    return cv2.warpAffine(person.image, matrix, size), box, truth


def measure(
    people: list[Person],
    estimator: PoseEstimator,
    efforts: Sequence[Effort] = ("balanced", "thorough"),
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Return the mean figure of each way at each angle, and its crops per person."""
    figures: dict[str, list[float]] = {"stock": [], **{effort: [] for effort in efforts}}
    num_crops = dict.fromkeys(figures, 0.0)
    num_crops["stock"] = float(len(people) * len(ANGLES))
    for degrees in ANGLES:
        images, boxes, truths = zip(*(rotated(person, degrees) for person in people))
        found = {
            "stock": np.concatenate(
                [
                    estimator.predict(estimator.crop(image, box[None]))[0]
                    for image, box in zip(images, boxes)
                ]
            )
        }
        for effort in efforts:
            config = OrientationConfig(view_thr=EFFORTS[effort].athlete_view_thr)
            found[effort], _, count = estimate_oriented(
                estimator, images, np.stack(boxes), 16, config
            )
            num_crops[effort] += count
        for name, keypoints in found.items():
            values = [
                person.score(np.linalg.norm(points[person.joints] - truth, axis=1))
                for points, truth, person in zip(keypoints, truths, people)
            ]
            figures[name].append(round(float(np.mean(values)), 4))
    return figures, {name: count / len(people) / len(ANGLES) for name, count in num_crops.items()}


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--youtube", type=click.Path(exists=True, path_type=Path), help="YouTube Pose frames."
)
@click.option("--pose", default="litehrnet18-coco-256x192", show_default=True)
@click.option("--out", type=PngPath(), help="Write the plot to this file.")
def main(folder: Path, youtube: Path | None, pose: str, out: Path | None) -> None:
    """Measure on the people of FOLDER, which holds COCO's test_coco.json and images."""
    estimator = PoseEstimator(pose, device="cpu", precision="fp32")
    estimator.load()
    sets = {"OKS": load_coco(folder)}
    if youtube is not None:
        sets["PCK"] = load_youtube(youtube)
    results = {}
    for metric, people in sets.items():
        title = f"{metric} of {len(people)} people"
        results[title], num_crops = measure(people, estimator)
        for name, values in results[title].items():
            click.echo(
                f"{title}, {name:10} mean {np.mean(values):.3f}, {num_crops[name]:.2f} crops  "
                f"{json.dumps(values)}"
            )
    if out:
        _plot(results, out)


def _plot(results: dict[str, dict[str, list[float]]], out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, row = plt.subplots(
        1, len(results), figsize=(5.2 * len(results), 3.2), layout="constrained", squeeze=False
    )
    for axes, (title, figures) in zip(row[0], results.items()):
        for (name, values), style in zip(figures.items(), ("o:", "s--", "^-")):
            axes.plot(list(ANGLES), values, style, label=f"{name}, mean {np.mean(values):.2f}")
        axes.set(xlabel="rotated by, degrees", ylabel=f"mean {title}", ylim=(0, 1))
        axes.set_xticks(list(ANGLES)[::2])
        axes.grid(alpha=0.3)
        axes.legend(loc="lower left")
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main()
