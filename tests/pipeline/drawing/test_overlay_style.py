"""What is asked of an overlay: slow motion, a window on the athlete, angles, sound, colours."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from clips import write_clip
from numbered_clips import Recipe, make
from scenes import make_sequence

from skelact.pipeline.drawing.crop import athlete_window
from skelact.pipeline.drawing.overlay import (
    OverlayStyle,
    draw_angles,
    draw_people,
    person_color,
    write_overlay,
)
from skelact.pose_extract.layout import get_layout
from skelact.pose_extract.sources import ClipSource

NAMES = get_layout("coco_17").keypoint_names


def walking(num_frames=50, fps=Fraction(25), img_shape=(400, 1000)):
    """A person whose box, 40 x 100, moves 10 pixels to the right in each frame."""
    boxes = np.zeros((1, num_frames, 4), np.float32)
    boxes[0, :, 0] = 100 + 10 * np.arange(num_frames)
    boxes[..., 2] = boxes[..., 0] + 40
    boxes[..., 1], boxes[..., 3] = 150, 250
    keypoints = np.repeat((boxes[:, :, None, :2] + boxes[:, :, None, 2:]) / 2, 17, axis=2)
    return make_sequence(
        1, num_frames, keypoints=keypoints, bboxes=boxes, fps=fps, img_shape=img_shape,
        keypoint_scores=np.ones((1, num_frames, 17), np.float32),
        track_ids=np.array([0]), frame_inds=np.arange(num_frames),
    )  # fmt: skip


def test_the_window_holds_the_athlete_with_a_margin_and_follows_them():
    window = athlete_window(walking())
    assert window.size_wh == (140, 140)  # 1.4 times the height
    # The middle of the box, 120 + 10 t, is that of the window, and row 200.
    middle = window.corners[10:40] + 70
    assert middle[:, 1].tolist() == [200] * 30
    assert middle[:, 0].tolist() == (120 + 10 * np.arange(10, 40)).tolist()


def test_the_window_stays_within_the_frame_and_is_no_larger():
    window = athlete_window(walking(img_shape=(120, 1000)))
    assert window.size_wh == (140, 120)
    assert window.corners[:, 1].tolist() == [0] * 50
    near = athlete_window(walking(img_shape=(400, 160)))
    assert near.size_wh == (140, 140)
    assert near.corners[-1, 0] == 20


def test_where_the_athlete_is_not_seen_the_window_goes_straight_on():
    sequence = walking()
    sequence.keypoint_scores[0, 15:30] = 0
    sequence.bboxes[0, 15:30] = 0
    path = athlete_window(sequence).corners[:, 0]
    assert np.abs(path[15:30] + 70 - (120 + 10 * np.arange(15, 30))).max() <= 1


def test_a_cut_of_the_picture_is_no_motion():
    """The person stands at two places: smoothing over the cut would show neither."""
    sequence = walking()
    sequence.bboxes[0, :, 0::2] = [[100, 140]]
    sequence.bboxes[0, 25:, 0::2] = [[700, 740]]
    scenes = np.repeat([0, 1], 25)
    sequence = type(sequence)(**{**vars(sequence), "scene_ids": scenes})
    path = athlete_window(sequence).corners[:, 0]
    assert path.tolist() == [50] * 25 + [650] * 25


def test_without_an_athlete_it_is_the_whole_frame():
    window = athlete_window(make_sequence(0, 4, track_ids=np.zeros(0, np.int64)))
    assert window.size_wh == (320, 240)
    assert not window.corners.any()


def test_the_people_lie_where_the_window_shows_them():
    sequence = walking()
    window = athlete_window(sequence)
    moved = window.moved(sequence)
    assert moved.img_shape == (140, 140)
    assert moved.bboxes[0, 20].tolist() == [50, 20, 90, 120]
    frame = np.zeros((400, 1000, 3), np.uint8)
    frame[200, 320] = 255  # the middle of the box of frame 20
    assert np.argwhere(window.cut(frame, 20)[..., 0]).tolist() == [[70, 70]]


def seen(path):
    with av.open(str(path)) as file:
        frames = list(file.decode(video=0))
        times = [frame.time for frame in frames]
        return times, frames[0].height, frames[0].width, len(file.streams.audio)


def fitting(clip, count):
    """A person in the middle of a clip's frames."""
    with av.open(str(clip)) as file:
        height, width = file.streams.video[0].height, file.streams.video[0].width
        fps = file.streams.video[0].average_rate
    sequence = walking(count, Fraction(fps), (height, width))
    sequence.bboxes[:] = [width / 2 - 10, height / 2 - 20, width / 2 + 10, height / 2 + 20]
    sequence.keypoints[:] = [width / 2, height / 2]
    return sequence


def test_slow_motion_lasts_so_many_times_longer(tmp_path):
    clip = write_clip(tmp_path / "a.mkv", 12)
    source, people = ClipSource(clip, "a"), fitting(clip, 12)
    told = []
    write_overlay(people, source, tmp_path / "own.mp4", on_frame=lambda *step: told.append(step))
    write_overlay(people, source, tmp_path / "slow.mp4", style=OverlayStyle(slow=4))
    own, slow = seen(tmp_path / "own.mp4")[0], seen(tmp_path / "slow.mp4")[0]
    assert slow == pytest.approx([4 * second for second in own], abs=1e-3)
    assert told == [(i, 12) for i in range(1, 13)]


def test_a_window_is_enlarged_so_that_text_can_be_read(tmp_path):
    clip = write_clip(tmp_path / "a.mkv", 3)
    style = OverlayStyle(crop="athlete", angles=True)
    write_overlay(fitting(clip, 3), ClipSource(clip, "a"), tmp_path / "o.mp4", style=style)
    _, height, width, _ = seen(tmp_path / "o.mp4")
    assert (height, width) == (336, 336)  # six times 56, 1.4 times 40


def test_sound_is_kept_but_not_in_slow_motion(tmp_path):
    clip = make(Recipe("sound.mp4", "libx264", {}, sound_seconds=1), tmp_path)
    with av.open(str(clip)) as file:
        count = sum(1 for _ in file.decode(video=0))
    source, people = ClipSource(clip, "a"), fitting(clip, count)
    write_overlay(people, source, tmp_path / "own.mp4")
    write_overlay(people, source, tmp_path / "slow.mp4", style=OverlayStyle(slow=2))
    assert [seen(tmp_path / name)[3] for name in ("own.mp4", "slow.mp4")] == [1, 0]
    with av.open(str(clip)) as one, av.open(str(tmp_path / "own.mp4")) as other:
        lengths = [sum(p.duration for p in f.demux(audio=0) if p.size) for f in (one, other)]
    # A packet of AAC, 1024 samples, from before the first frame is left out.
    assert lengths[0] - lengths[1] in (0, 1024)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.mp4", "slow.mp4", "sound.mp4"]


def test_each_person_has_a_colour_of_their_own():
    sequence = make_sequence(2, 1, keypoints=np.zeros((2, 1, 17, 2), np.float32))
    sequence.bboxes[:, 0] = [[20, 40, 80, 200], [200, 40, 280, 200]]
    frame = draw_people(np.full((240, 320, 3), 90, np.uint8), sequence, 0)
    # Lines are blended with the ground.
    assert np.abs(frame[120, 20].astype(int) - person_color(0)).max() < 12
    assert np.abs(frame[120, 200].astype(int) - person_color(1)).max() < 12
    assert len({person_color(person) for person in range(5)}) == 5


def test_the_time_and_the_number_of_each_frame_are_drawn(tmp_path):
    """At the bottom left; the number changes, and nothing else does."""
    clip = write_clip(tmp_path / "a.mkv", 2)
    write_overlay(fitting(clip, 2), ClipSource(clip, "a"), tmp_path / "o.mp4")
    with av.open(str(tmp_path / "o.mp4")) as file:
        one, _ = (frame.to_ndarray(format="rgb24").astype(int) for frame in file.decode(video=0))
    corner = one[-16:, :100]
    assert corner.min() < 60
    assert corner.max() > 180


def test_angles_stand_beside_joints_that_are_seen():
    """A straight leg and a bent one, of which the second knee is not seen."""
    keypoints = np.zeros((1, 1, 17, 2), np.float32)
    scores = np.zeros((1, 1, 17), np.float32)
    for side, x in (("left", 60), ("right", 220)):
        for joint, y in (("hip", 60), ("knee", 120), ("ankle", 180)):
            index = NAMES.index(f"{side}_{joint}")
            keypoints[0, 0, index] = [x, y]
            scores[0, 0, index] = 0.9
    scores[0, 0, NAMES.index("right_knee")] = 0.2
    sequence = make_sequence(1, 1, keypoints=keypoints, keypoint_scores=scores)
    frame = np.full((240, 320, 3), 90, np.uint8)
    draw_angles(frame, sequence, 0)
    changed = np.argwhere((frame != 90).any(axis=2))
    assert len(changed)
    (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0)
    assert 60 <= left < right < 90
    assert 100 < top <= 121
    assert bottom <= 125


@pytest.mark.parametrize(
    ("options", "message"),
    [({"slow": 0.5}, "slow: expected 1 to 100, got 0.5"), ({"crop": "me"}, "crop: expected 'ath")],
)
def test_other_styles_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        OverlayStyle(**options)
