"""Labels on which two pose models agree."""

from __future__ import annotations

import numpy as np
from distill_scenes import BODY, person

from skelact.pipeline.distill.teachers import (
    LabelConfig,
    agree,
    different_people,
    unexplained,
)


def test_teachers_who_agree_give_a_label_and_others_do_not():
    config = LabelConfig()
    scores = np.full((2, 17), 0.8)
    keypoints, peaks, weights = agree(np.stack([BODY, BODY + 1]), scores, 7200.0, config)
    assert np.allclose(keypoints, BODY + 0.5)
    assert np.allclose(peaks, 0.8)
    assert weights.all()

    moved = BODY.copy()
    moved[9] += 40.0  # they disagree on a wrist: it has no weight
    label = agree(np.stack([BODY, moved]), scores, 7200.0, config)
    assert label[2].tolist() == [float(i != 9) for i in range(17)]

    unseen = scores.copy()
    unseen[:, 15] = 0.05  # neither sees an ankle: its peak is 0
    label = agree(np.stack([BODY, moved]), unseen, 7200.0, config)
    assert label[1][15] == 0.0
    assert label[2][15] == 1.0

    assert agree(np.stack([BODY, BODY + 60]), scores, 7200.0, config) is None


def test_one_person_in_two_boxes_is_labelled_once_and_parts_are_not_ignored():
    first, second, other = person(30, 60), person(32, 61), person(200, 20)
    assert different_people([first, second, other]) == [first, other]
    people = np.stack([first[0]])
    head, elsewhere = first[0] * [1, 1, 1, 0] + [0, 0, 0, 90], np.array([200, 20, 260, 140.0])
    left = unexplained(np.stack([first[0] + 2, head, elsewhere]).astype(np.float32), people)
    assert left.tolist() == [elsewhere.tolist()]
