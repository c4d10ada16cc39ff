"""Exchanges of left and right per 100 frames, before and after they are mended.

Measured joints of the LAAS parkour clips, projected from random sides, and hand-placed ones of Penn
Action get noise of .05 torso lengths; then stretches of the whole body, of arms and of legs are
exchanged. A whole body counts as exchanged where exchanging all pairs puts at least 3 more joints
within .2 torso lengths of their places; arms or legs where they are exchanged and their pairs lie
more than .2 torso lengths apart. Side margins are drawn as those of a Lite-HRNet-18 on 107
people of the Leeds set: .42 +- .22 where left and right are right, .23 +- .22 where they are not.
The dive is a real one, seen from its side, with a real pose model.

    python benchmarks/left_right.py ../shared
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import click
import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from skelact.pipeline.data.annotations import load_annotations
from skelact.pose_extract.layout import COCO_17
from skelact.pose_extract.track.left_right import limb_groups, repair_left_right

NOISE_TORSOS, NEAR_TORSOS = 0.05, 0.2
# Mean and deviation of the mean side margin of kept and of exchanged bodies, and its correlation
# from one frame to the next (of the 73 frames of example_vt_01_normal.mp4: .8).
MARGINS, MARGIN_SPREAD, MARGIN_CORRELATION = (0.42, 0.23), 0.22, 0.8
# The lowest of them.
LEAST_MARGIN = -0.08
_BODY = np.arange(5, 17)
_FLIP = COCO_17.flip_inds()
KINDS = ("clean", "limbs", "body", "body, first part", "both")


@dataclass(frozen=True, eq=False)
class Scene:
    """One person's sequence.

    Attributes:
        keypoints: (T, 17, 2) pixels, noisy, with exchanges.
        scores: (T, 17).
        truth: (T, 17, 2) without noise and exchanges.
        exchanged: (T, 2) bool, whose arms and legs are exchanged.
        margins: (T, 8) side margins.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    truth: np.ndarray
    exchanged: np.ndarray
    margins: np.ndarray

    def torso(self) -> float:
        """Return the median length of the trunk, pixels."""
        seen = (self.scores[:, [5, 6, 11, 12]] > 0).all(axis=1)
        points = self.truth[seen] if seen.any() else self.truth
        down = (points[:, 5] + points[:, 6] - points[:, 11] - points[:, 12]) / 2
        return max(float(np.median(np.linalg.norm(down, axis=1))), 1.0)


def parkour_scenes(path: Path, rng: np.random.Generator) -> list[Scene]:
    """Return the clips of joints_3d.npz, each seen from one random side."""
    scenes = []
    sides = {"l": "left", "r": "right"}
    with np.load(path, allow_pickle=False) as arrays:
        names = arrays["joint_names"].tolist()
        pairs = [(i, name[0], name[2:]) for i, name in enumerate(names)]
        rows = [(i, f"{sides[side]}_{part}") for i, side, part in pairs]
        rows = [(i, COCO_17.index(name)) for i, name in rows if name in COCO_17.keypoint_names]
        inside, outside = np.array(rows).T
        for clip in sorted(set(arrays.files) - {"joint_names", "fps"}):
            joints = arrays[clip].astype(float)
            angle = rng.uniform(0, 2 * np.pi)
            across = joints[..., 0] * np.cos(angle) + joints[..., 1] * np.sin(angle)
            points = np.zeros((len(joints), 17, 2), np.float32)
            scores = np.zeros((len(joints), 17), np.float32)
            # 100 pixels a metre.
            points[:, outside] = 100 * np.stack([across, -joints[..., 2]], axis=-1)[:, inside]
            scores[:, outside] = 0.8
            scores = np.where(np.isfinite(points).all(axis=-1), scores, 0).astype(np.float32)
            points = np.nan_to_num(points)
            points[scores == 0] = 0
            scenes.append(_clean(points, scores))
    return scenes


def penn_scenes(path: Path, every: int) -> list[Scene]:
    """Return every n-th clip of Penn Action's validation part."""
    clips = load_annotations(path).select("dev_val")[::every]
    return [
        _clean(clip.keypoints[0].astype(np.float32), clip.keypoint_scores[0].astype(np.float32))
        for clip in clips
    ]


def _clean(points: np.ndarray, scores: np.ndarray) -> Scene:
    nothing = np.zeros((len(points), 2), bool)
    return Scene(points, scores, points, nothing, np.zeros((len(points), 8), np.float32))


def spoil(scene: Scene, kind: str, rng: np.random.Generator) -> Scene:
    """Return the scene with noise, margins, and exchanges of one of ``KINDS``."""
    count = len(scene.truth)
    exchanged = np.zeros((count, 2), bool)
    if kind in {"limbs", "both"}:
        for group in range(2):
            # A stretch of 1 to 12 frames in about every 40.
            for _ in range(rng.poisson(count / 40)):
                start = rng.integers(count)
                exchanged[start : start + rng.integers(1, 13), group] ^= True
    if kind in {"body", "both"}:
        for _ in range(rng.poisson(count / 60)):
            start = rng.integers(count)
            exchanged[start : start + rng.integers(1, 25)] ^= True
    if kind == "body, first part":
        exchanged[: int(count * rng.uniform(0.3, 0.6))] = True
    noise = rng.normal(0, NOISE_TORSOS * scene.torso(), scene.truth.shape)
    points = (scene.truth + noise).astype(np.float32)
    scores = scene.scores.copy()
    for group, pairs in enumerate(limb_groups(COCO_17)):
        rows = np.flatnonzero(exchanged[:, group])
        for pair in pairs:
            points[np.ix_(rows, pair)] = points[np.ix_(rows, pair[::-1])]
            scores[np.ix_(rows, pair)] = scores[np.ix_(rows, pair[::-1])]
    margins = np.zeros((count, 8), np.float32)
    drawn = np.zeros(2)
    for step in range(count):
        fresh = np.sqrt(1 - MARGIN_CORRELATION**2) if step else 1.0
        drawn = MARGIN_CORRELATION * drawn + fresh * rng.normal(0, MARGIN_SPREAD, 2)
        means = np.where(exchanged[step], *MARGINS[::-1]) + drawn
        margins[step, 2:5], margins[step, 5:] = np.maximum(means, LEAST_MARGIN)
    return replace(scene, keypoints=points, scores=scores, exchanged=exchanged, margins=margins)


def body_exchanges(points: np.ndarray, truth: np.ndarray, seen: np.ndarray, torso: float) -> int:
    """Return the number of frames in which the whole body is exchanged."""

    def near(keypoints: np.ndarray) -> np.ndarray:
        found = np.linalg.norm(keypoints - truth, axis=-1) < NEAR_TORSOS * torso
        count: np.ndarray = (found & seen)[:, _BODY].sum(axis=1)
        return count

    return int((near(points[:, _FLIP]) - near(points) >= 3).sum())


def limb_exchanges(scene: Scene, exchanged: np.ndarray) -> int:
    """Return the number of frames in which arms, plus those in which legs, are visibly wrong."""
    count = 0
    for group, pairs in enumerate(limb_groups(COCO_17)):
        lefts, rights = np.array(pairs).T
        apart = np.linalg.norm(scene.truth[:, lefts] - scene.truth[:, rights], axis=-1)
        seen = (scene.scores[:, lefts] > 0) & (scene.scores[:, rights] > 0)
        is_visible = ((apart > NEAR_TORSOS * scene.torso()) & seen).sum(axis=1) >= 2
        count += int((exchanged[:, group] & is_visible).sum())
    return count


def measure(scenes: list[Scene], use_margins: bool) -> tuple[float, ...]:
    """Return body and limb exchanges per 100 frames before and after, and exchanges that we made.

    The last counts arms and legs that were right and that are exchanged afterwards.
    """
    sums = np.zeros(5)
    for scene in scenes:
        margins = scene.margins if use_margins else None
        points, _, mended = repair_left_right(
            scene.keypoints, scene.scores, COCO_17, side_margins=margins
        )
        seen, torso = scene.scores > 0, scene.torso()
        sums += (
            body_exchanges(scene.keypoints, scene.truth, seen, torso),
            body_exchanges(points, scene.truth, seen, torso),
            limb_exchanges(scene, scene.exchanged),
            limb_exchanges(scene, scene.exchanged ^ mended),
            limb_exchanges(scene, mended & ~scene.exchanged),
        )
    return tuple(100 * sums / sum(len(scene.truth) for scene in scenes))


def dive(folder: Path, pose_name: str) -> tuple[int, int, int]:
    """Return the frames of the dive, and how many are exchanged before and after."""
    from skelact.pose_extract.common.geometry import blend_boxes_with_keypoints
    from skelact.pose_extract.pose.estimator import PoseEstimator
    from skelact.pose_extract.pose.orientation import estimate_oriented

    with np.load(folder / "diver1.npz", allow_pickle=False) as arrays:
        truth, visible, files = (arrays[name] for name in ("keypoints", "visible", "files"))
    with zipfile.ZipFile(folder / "diver1.zip") as archive:
        frames = [
            np.ascontiguousarray(
                cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_COLOR)[
                    ..., ::-1
                ]
            )
            for name in files
        ]
    annotated = [points[seen] for points, seen in zip(truth, visible)]
    bboxes = np.stack(
        [blend_boxes_with_keypoints(np.zeros(4), points, 1.0, 0.125) for points in annotated]
    ).astype(np.float32)
    pose = PoseEstimator(pose_name, device="cpu")
    pose.load()
    found = estimate_oriented(pose, frames, bboxes, 16)
    points, _, _ = repair_left_right(found[0], found[1], COCO_17)
    torso = replace(_clean(truth, visible.astype(float))).torso()
    before = body_exchanges(found[0], truth, visible, torso)
    return len(frames), before, body_exchanges(points, truth, visible, torso)


@click.command()
@click.argument("shared", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--seed", default=0, show_default=True)
@click.option("--every", default=4, show_default=True, help="Take every n-th clip of Penn Action.")
@click.option("--views", default=4, show_default=True, help="Sides of each parkour clip.")
@click.option("--pose", default="litehrnet18-coco-256x192", show_default=True)
def main(shared: Path, seed: int, every: int, views: int, pose: str) -> None:
    """Measure on the data of SHARED."""
    rng = np.random.default_rng(seed)
    parkour = [
        scene
        for _ in range(views)
        for scene in parkour_scenes(shared / "videos" / "parkour" / "joints_3d.npz", rng)
    ]
    sets = {
        "parkour": parkour,
        "Penn Action": penn_scenes(shared / "data" / "penn_action_train.pkl", every),
    }
    table = Table(title="exchanges per 100 frames", title_justify="left")
    for column in ("set", "exchanged", "margins", "body", "mended", "limbs", "mended", "broken"):
        table.add_column(column)
    for name, clean in sets.items():
        for kind in KINDS:
            scenes = [spoil(scene, kind, rng) for scene in clean]
            for use_margins in (False, True):
                figures = [f"{figure:.2f}" for figure in measure(scenes, use_margins)]
                table.add_row(name, kind, "yes" if use_margins else "no", *figures)
    Console(width=110).print(table)
    count, before, after = dive(shared / "data" / "divers", pose)
    print(f"dive, {pose}: {before} of {count} frames exchanged, {after} after mending")


if __name__ == "__main__":
    main()
