"""What a detector learns follows a rotated image and the labels."""

from __future__ import annotations

import pytest
import torch

from skelact.pipeline.distill.detector_targets import (
    detection_losses,
    join_labels,
    rotate_images,
    rotated_targets,
)
from skelact.pose_extract.nets.rtmdet import cell_boxes


def heads_with(cell, distances):
    """Return RTMDet's output for an image of 160x160: one cell of high score, at stride 16."""
    heads = [torch.zeros(1, 5, side, side) for side in (20, 10, 5)]
    for head in heads:
        head[:, 0] = -20.0
    heads[1][0, :, cell[1], cell[0]] = torch.tensor([5.0, *distances])
    return heads


@pytest.mark.parametrize("degrees", [0, 90, 180, 270, 40])
def test_a_teacher_s_boxes_rotate_with_the_image(degrees):
    # A box of 24 x 72 around (72, 56), known to the cell at (64, 48).
    heads = heads_with((4, 3), (0.25, 1.75, 1.25, 2.75))
    image = torch.full((1, 3, 160, 160), 114.0)
    image[:, :, 20:92, 60:84] = 255.0
    angle = torch.tensor([float(degrees)])
    scores, boxes = rotated_targets(heads, angle)
    assert (scores > 0.9).sum() >= 1
    (box,) = boxes[0, scores[0].argmax()][None]
    rotated = rotate_images(image, angle, torch.zeros(1))[0, 0] > 200
    rows, columns = rotated.nonzero(as_tuple=True)
    seen = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1.0])
    if degrees % 90 == 0:
        assert (box - seen).abs().max() < 1.5
    else:  # around the ellipse, which ends before the corners
        middle, seen_middle = (box[:2] + box[2:]) / 2, (seen[:2] + seen[2:]) / 2
        assert (middle - seen_middle).abs().max() < 1.5
        assert ((box[2:] - box[:2]) < (seen[2:] - seen[:2])).all()
        assert ((box[2:] - box[:2]) > 0.7 * (seen[2:] - seen[:2])).all()
    if degrees == 0:
        loss_score, loss_box = detection_losses(heads, scores, boxes)
        assert loss_box < 1e-4
        assert loss_score < 0.01
        wrong, _ = detection_losses(heads_with((8, 8), (1, 1, 1, 1)), scores, boxes)
        assert wrong > 1


@pytest.mark.parametrize("degrees", range(0, 360, 15))
def test_no_cell_of_high_score_is_lost_between_the_cells_of_a_rotated_image(degrees):
    # All cells within 4 of the middle, each alone.
    for row in range(3, 7):
        for column in range(3, 7):
            heads = heads_with((column, row), (1.0, 1.0, 1.0, 1.0))
            scores, _ = rotated_targets(heads, torch.tensor([float(degrees)]))
            count = int((scores > 0.9).sum())
            assert count == 1 if degrees % 90 == 0 else 1 <= count <= 4


def test_a_detection_of_a_labelled_person_is_a_positive():
    heads = heads_with((4, 3), (0.25, 1.75, 1.25, 2.75))
    heads[1][0, 0, 3, 4] = -0.4  # a score of .40
    heads[1][0, :, 3, 5] = torch.tensor([-1.4, 1.25, 1.75, 0.25, 2.75])  # its neighbour, of .20
    heads[1][0, :, 8, 8] = torch.tensor([-0.4, 1.0, 1.0, 1.0, 1.0])
    people, ignored = torch.tensor([[[60.0, 20.0, 84.0, 92.0]]]), torch.zeros(1, 1, 4)
    joined = torch.sigmoid(join_labels(heads, people, ignored)[1][0, 0])
    assert joined[3, 4] == pytest.approx(0.7, abs=1e-4)
    assert joined[3, 5] == pytest.approx(0.198 * 0.7 / 0.401, abs=1e-2)
    assert joined[8, 8] == pytest.approx(0.401, abs=1e-2)  # the labels have no person there
    high = heads_with((4, 3), (0.25, 1.75, 1.25, 2.75))  # higher than the labels ask for
    assert torch.equal(join_labels(high, people, ignored)[1], high[1])


def test_people_whom_the_teacher_missed_are_learned_from_the_labels():
    seen, missed = [60.0, 20.0, 84.0, 92.0], [80.0, 100.0, 160.0, 152.0]
    heads = heads_with((4, 3), (0.25, 1.75, 1.25, 2.75))
    people = torch.tensor([[seen, missed, [0.0] * 4]])
    joined = join_labels(heads, people, torch.zeros(1, 1, 4))
    # The middle level (64 pixels): best at (112, 128) and (128, 128), next to (120, 126).
    scores = torch.sigmoid(joined[1][0, 0])
    assert scores[8, 7:9].tolist() == pytest.approx([0.46] * 2, abs=0.005)
    mine = (scores >= 0.25) & (scores <= 0.5)
    assert int(mine.sum()) == 6
    places = [mine.new_zeros(20, 20), mine, mine.new_zeros(5, 5)]
    boxes = cell_boxes(joined[1], 16)[0, mine.flatten()]
    assert torch.allclose(boxes, torch.tensor(missed).expand(6, 4), atol=1e-3)
    # Other cells of that box have no target; around the detected person nothing changes.
    unknown = [head[0, 0].isnan() for head in joined]
    assert [int(where.sum()) for where in unknown] == [10 * 7, 5 * 3 - 6, 2]
    for head, answer, where, own in zip(heads, joined, unknown, places):
        assert torch.equal(head[0, :, ~(where | own)], answer[0, :, ~(where | own)])
    # They are learned in rotated images, too.
    rotated, rotated_boxes = rotated_targets(joined, torch.tensor([90.0]))
    best = rotated.nan_to_num()[0].masked_fill(rotated[0] > 0.9, 0.0).argmax()
    low, high = rotated_boxes[0, best].split(2)
    assert torch.allclose(high - low, torch.tensor([52.0, 80.0]), atol=1.0)


def test_a_detection_of_half_a_body_gets_the_box_of_the_whole():
    whole = torch.tensor([60.0, 20.0, 84.0, 132.0])
    heads = heads_with((4, 3), (0.25, 0.75, 1.25, 1.75))  # to the hips at y = 76
    joined = join_labels(heads, whole.expand(1, 1, 4), torch.zeros(1, 1, 4))
    assert joined[1][0, 0, 3, 4] == heads[1][0, 0, 3, 4]
    assert torch.allclose(cell_boxes(joined[1], 16)[0, 3 * 10 + 4], whole)
    # Not where it is another person's box.
    small = torch.tensor([60.0, 36.0, 84.0, 76.0])
    joined = join_labels(heads, torch.stack([whole, small])[None], torch.zeros(1, 1, 4))
    assert torch.equal(joined[1][0, 1:, 3, 4], heads[1][0, 1:, 3, 4])


def test_an_ignored_box_has_no_target():
    seen, maybe = [60.0, 20.0, 84.0, 92.0], [100.0, 100.0, 150.0, 130.0]
    heads = heads_with((4, 3), (0.25, 1.75, 1.25, 2.75))
    people = torch.tensor([[seen, [0.0] * 4]])
    hidden = join_labels(heads, people, torch.tensor([[maybe]]))
    # Cells at multiples of 8, 16 and 32 in the box; except what the teacher detects there.
    assert [int(head[0, 0].isnan().sum()) for head in hidden] == [6 * 4, 3 * 2, 1]
    assert all(torch.equal(a[:, 1:], b[:, 1:]) for a, b in zip(heads, hidden))
    assert not join_labels(heads, people[:, 1:], torch.tensor([[seen]]))[1][0, 0, 3, 4].isnan()
    scores, boxes = rotated_targets(hidden, torch.tensor([90.0]))
    assert int(scores.isnan().sum()) == pytest.approx(31, abs=8)
    # A detection at (48, 120), where the rotated image has the box, is no error.
    detection = heads_with((3, 8), (1.0, 1.0, 1.0, 1.0))
    detection[1][0, 0, 8, 3] = 3.0
    background = heads_with((3, 8), (1.0, 1.0, 1.0, 1.0))
    background[1][0, 0, 8, 3] = -3.0
    losses = [detection_losses(head, scores, boxes)[0] for head in (detection, background)]
    assert losses[0] == losses[1]
    learned, boxes = rotated_targets(heads, torch.tensor([90.0]))
    losses = [detection_losses(head, learned, boxes)[0] for head in (detection, background)]
    assert losses[0] > losses[1]
