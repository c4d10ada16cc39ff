"""How slow a clip is, from bodies in flight whose gravity is known by hand."""

from __future__ import annotations

import numpy as np
import pytest
from flying_bodies import somersault

from skelact.pipeline.elements.slow_motion import real_seconds, times_slower

# The centre of these bodies falls by (400 + 245 * fall) t^2 pixels, their torsos have 100: 19.6
# torso lengths per second squared, as a torso of half a metre does.
FALL = (0.5 * 19.62 * 100 - 400) / 245


def salto(slow=1.0, shown_slower=1.0):
    """Return a salto that is filmed faster, or whose frames last longer."""
    keypoints, scores, seconds = somersault(4, hip=115, knee=130, fall=FALL, slow=slow)
    maps = np.tile(np.eye(2, 3, dtype=np.float32), (len(seconds), 1, 1))
    return keypoints, scores, shown_slower * seconds, maps


def test_real_time_is_left_as_it_is():
    clip = salto()
    assert times_slower(*clip) == 1.0
    assert np.allclose(real_seconds(*clip, np.zeros(len(clip[2]), np.int64)), clip[2])


@pytest.mark.parametrize("slow", [2.0, 4.0])
def test_slow_motion_is_told_by_gravity(slow):
    assert times_slower(*salto(slow=slow)) == pytest.approx(slow, rel=0.1)
    assert times_slower(*salto(shown_slower=slow)) == pytest.approx(slow, rel=0.1)


def test_each_scene_has_its_own_pace():
    """A replay, four times slower, after what it repeats."""
    first, replay = salto(), salto(shown_slower=4.0)
    live = len(first[2])
    seconds = np.concatenate([first[2], first[2][-1] + 0.04 + replay[2]])
    arrays = [np.concatenate(pair) for pair in zip(first[:2], replay[:2])]
    maps = np.concatenate([first[3], replay[3]])
    scenes = np.repeat([0, 1], live)
    found = real_seconds(*arrays, seconds, maps, scenes)
    assert np.allclose(found[:live], first[2])
    assert np.diff(found[live:]) == pytest.approx(np.full(live - 1, 0.04), rel=0.1)


def test_a_body_that_stands_tells_nothing():
    keypoints, scores, seconds, maps = salto()
    still = np.repeat(keypoints[:1], len(seconds), axis=0)
    assert times_slower(still, scores, 8 * seconds, maps) == 1.0
    assert times_slower(still, 0 * scores, seconds, maps) == 1.0
