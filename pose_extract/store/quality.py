"""Quality figures of a skeleton sequence, computed from the sequence itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..common.geometry import body_angles
from ..skeleton import SkeletonSequence

# Degrees from standing beyond which a body counts as upside down: past horizontal (90) by a
# margin of 30, so that a body that lies is not counted.
_UPSIDE_DOWN = 120.0


@dataclass(frozen=True)
class Quality:
    """Figures about the athlete, person 0.

    Attributes:
        athlete_share: Share of the frames in which they are seen, 0 to 1.
        gaps: Runs of frames between sightings in which they are not.
        longest_gap: Longest of these, in frames.
        mean_score: Mean keypoint score where they are seen.
        jitter: Median distance of a joint from the middle of its positions one frame before and
            after, over the body's size; high where poses jump.
        inverted_share: Share of the sightings in which they are upside down.
        turns: Net rotation in the image plane, in whole turns (360 degrees), either way.
    """

    athlete_share: float
    gaps: int
    longest_gap: int
    mean_score: float
    jitter: float
    inverted_share: float
    turns: float

    @property
    def score(self) -> float:
        """One number to sort by, low for a bad sequence.

        ``athlete_share * mean_score / (1 + 10 jitter)``. The 10 was not tuned: a jitter of a tenth
        of the body's size, plainly a broken sequence, halves the score.
        """
        return self.athlete_share * self.mean_score / (1.0 + 10.0 * self.jitter)


def measure_quality(sequence: SkeletonSequence) -> Quality:
    """Measure a sequence; all figures are 0 where no person is seen."""
    present = np.asarray(sequence.is_present()[:1].any(axis=0))
    steps = np.flatnonzero(present)
    if len(steps) == 0:
        return Quality(0.0, 0, 0, 0.0, 0.0, 0.0, 0.0)
    points = sequence.keypoints[0, steps].astype(np.float64)
    missing = np.diff(steps) - 1
    size = max(float(np.median(np.linalg.norm(np.ptp(points, axis=1), axis=1))), 1.0)
    jitter = 0.0
    inner = np.flatnonzero((np.diff(steps)[:-1] == 1) & (np.diff(steps)[1:] == 1)) + 1
    if len(inner):
        middle = (points[inner - 1] + points[inner + 1]) / 2
        jitter = float(np.median(np.linalg.norm(points[inner] - middle, axis=-1))) / size
    angles = body_angles(points, sequence.keypoint_layout)
    turning = (np.diff(angles) + 180) % 360 - 180
    return Quality(
        athlete_share=round(len(steps) / len(present), 4),
        gaps=int((missing > 0).sum()),
        longest_gap=int(missing.max(initial=0)),
        mean_score=round(float(sequence.keypoint_scores[0, steps].mean()), 4),
        jitter=round(jitter, 4),
        inverted_share=round(float((np.abs(angles) > _UPSIDE_DOWN).mean()), 4),
        turns=round(abs(float(turning.sum())) / 360, 2),
    )
