"""Names of dives as Diving48 writes them."""

from __future__ import annotations

import pytest

from skelact import SkelactError
from skelact.pipeline.synth.dive import Dive, diving_labels


@pytest.mark.parametrize(
    ("name", "dive"),
    [
        ("Forward 25som NoTwis TUCK", Dive("Forward", 5, 0, "TUCK")),
        ("Back 15som 05Twis FREE", Dive("Back", 3, 1, "FREE")),
        ("Reverse 15som 35Twis FREE", Dive("Reverse", 3, 7, "FREE")),
        ("Forward 1som NoTwis PIKE", Dive("Forward", 2, 0, "PIKE")),
        ("Inward Dive NoTwis PIKE", Dive("Inward", 1, 0, "PIKE")),
    ],
)
def test_names_of_diving48(name, dive):
    assert Dive.parse(name) == dive


@pytest.mark.parametrize("name", ["Forward", "Forward 25som 1Twis", "Up 1som NoTwis PIKE"])
def test_a_name_of_another_form(name):
    with pytest.raises(SkelactError, match="expected"):
        Dive.parse(name)


def test_all_classes_are_different_dives():
    names, dives = diving_labels()
    assert len(names) == len(set(dives)) == 48


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("Sideways", 2, 0, "PIKE"), "take_off: expected one of Forward"),
        (("Forward", 2, 0, "LAYOUT"), "position: expected one of STR"),
        (("Forward", 0, 0, "PIKE"), "expected 1 to 9 half somersaults, got 0"),
        (("Forward", 2, 10, "FREE"), "expected 0 to 9 half twists, got 10"),
    ],
)
def test_dives_that_do_not_exist(options, message):
    with pytest.raises(SkelactError, match=message):
        Dive(*options)


@pytest.mark.parametrize(
    ("dive", "faces_water", "forward", "head_first"),
    [
        (Dive("Forward", 3, 0, "PIKE"), True, True, True),
        (Dive("Back", 4, 0, "TUCK"), False, False, False),
        (Dive("Reverse", 3, 1, "FREE"), True, False, True),
        (Dive("Inward", 5, 0, "TUCK"), False, True, True),
        # From the hands, two half somersaults end on the hands.
        (Dive("Armstand", 2, 0, "TUCK"), False, False, True),
    ],
)
def test_what_a_take_off_group_means(dive, faces_water, forward, head_first):
    assert dive.faces_water is faces_water
    assert dive.rotates_forward is forward
    assert dive.enters_head_first is head_first
