"""What the two constants of ``pose_extract/pose/heatmaps.py`` are worth on people in flight.

People of the Leeds set (the part `dev` of ``flight.py``) are cropped along the axis of their
annotated bodies. For each blur of the heatmaps: the share of joints whose highest cell lies within
.2 torso lengths. For each reach of the sums: the calibration error of the scores.

    python benchmarks/heatmaps.py ../shared
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from flight_figures import NEAR_TORSOS, TILTS, Errors, reliabilities_of
from flight_people import JOINTS, Poses, load_lspet, scored

from skelact.pipeline.pose_training.people import read_corrections
from skelact.pose_extract.common.geometry import body_angles
from skelact.pose_extract.layout import COCO_17
from skelact.pose_extract.pose import heatmaps as under_test
from skelact.pose_extract.pose.crops import Crops
from skelact.pose_extract.pose.estimator import PoseEstimator
from skelact.pose_extract.pose.orientation import OrientationConfig, body_extents

BLURS, REACHES = (0.0, 0.5, 0.75, 1.0, 1.5), (0.0, 0.5, 1.0)
SIGMA = 2.0
_BATCH = 16


@click.command()
@click.argument("shared", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--pose", default="skelact-litehrnet18-256x192", show_default=True)
@click.option("--limit", type=click.IntRange(1), help="Only the first people.")
def main(shared: Path, pose: str, limit: int | None) -> None:
    """Measure blurs and reaches on people of the folder SHARED."""
    people = scored(load_lspet(shared, "dev", read_corrections("lspet")))
    people = people.take(np.arange(len(people))[:limit])
    estimator = PoseEstimator(pose, device="cpu", precision="fp32", num_threads=1)
    angles = body_angles(people.keypoints, COCO_17)
    places = body_extents(people.keypoints, people.visible * 1.0, angles, OrientationConfig())
    rows = [
        estimator.crop_rotated(people.image(i), *(part[[i]] for part in (*places, angles)))
        for i in range(len(people))
    ]
    crops = Crops.concatenate(rows)
    heatmaps = np.concatenate(
        [
            estimator.heatmaps(crops.take(slice(start, start + _BATCH)))
            for start in range(0, len(crops), _BATCH)
        ]
    )

    def errors(blur: float, reach: float) -> Errors:
        smooth = under_test.blurred(heatmaps, SIGMA, blur) if blur else heatmaps
        cells = smooth.reshape(*smooth.shape[:2], -1).argmax(axis=-1)
        spots = np.stack([cells % smooth.shape[3], cells // smooth.shape[3]], -1).astype(float)
        scores = under_test.found_chances(heatmaps, spots, SIGMA, reach)
        in_crop = (spots * np.array(estimator.pixels_per_cell)).astype(np.float32)
        return Errors.of(people, Poses(crops.to_frame(in_crop), scores, len(crops)))

    for blur in BLURS:
        found = errors(blur, under_test.REACH_SIGMAS)
        shares = {
            name: np.nanmean(np.where(np.isnan(part), np.nan, part <= NEAR_TORSOS))
            for name, chosen in found.groups().items()
            if len(part := found.torsos[np.ix_(chosen, JOINTS)])
        }
        named = [f"{name} {shares[name]:.3f}" for name in TILTS if name in shares]
        click.echo(f"blur {blur:g} sigma: joints found: {', '.join(named)}")
    for reach in REACHES:
        gaps = reliabilities_of(errors(under_test.BLUR_SIGMAS, reach))
        named = [f"{name} {gap.calibration_error:.3f}" for name, gap in gaps.items()]
        click.echo(f"reach {reach:g} sigma: calibration error: {', '.join(named)}")


if __name__ == "__main__":
    main()
