"""Elements and their names: dive numbers, classes of Diving48, words."""

from __future__ import annotations

import json

import pytest

from skelact import SkelactError
from skelact.pipeline.config import load_label_names
from skelact.pipeline.elements.element import Element, diving48_elements

# How MTL-AQA numbers positions and the sense of rotation of all its dives.
MTL_POSITIONS = {0: ("straight", "free"), 1: ("pike",), 2: ("tuck",)}
MTL_ROTATIONS = {0: "back", 1: "forward", 2: "inward", 3: "reverse"}


def published(shared, name):
    dives = json.loads((shared / "data/labels" / name).read_text())["dives"]
    assert len(dives) == {"finediving_dives.json": 3000, "mtl_aqa_dives.json": 1412}[name]
    return dives


@pytest.mark.parametrize(
    ("number", "dive"),
    [
        ("101A", Element("dive", "forward", 1, 0, "straight")),
        ("205B", Element("dive", "back", 5, 0, "pike")),
        ("307C", Element("dive", "reverse", 7, 0, "tuck")),
        ("409C", Element("dive", "inward", 9, 0, "tuck")),
        ("1011B", Element("dive", "forward", 11, 0, "pike")),
        ("5253B", Element("dive", "back", 5, 3, "pike")),
        ("5337D", Element("dive", "reverse", 3, 7, "free")),
        ("612B", Element("dive", "armstand_forward", 2, 0, "pike")),
        ("626C", Element("dive", "armstand_back", 6, 0, "tuck")),
        ("6243D", Element("dive", "armstand_back", 4, 3, "free")),
        ("636C", Element("dive", "armstand_reverse", 6, 0, "tuck")),
        ("100A", Element("dive", "forward", 0, 0, "straight")),
    ],
)
def test_dive_numbers(number, dive):
    assert Element.from_dive_number(number) == dive
    assert dive.code == number


def test_a_flying_dive_is_one_without():
    assert Element.from_dive_number("113B").code == "103B"


@pytest.mark.parametrize(
    "text",
    ["", "205", "205E", "205b", " 205B", "225B", "505B", "5503B", "5250B", "600A", "645C", "705B",
     "1012B", "5253", "62430D", "205B\n", "٢05B", "20⁵B"],
)  # fmt: skip
def test_what_is_no_dive_number(text):
    with pytest.raises(SkelactError, match="dive number .* expected"):
        Element.from_dive_number(text)


@pytest.mark.parametrize("name", ["finediving_dives.json", "mtl_aqa_dives.json"])
def test_published_dive_numbers_come_back(shared, name):
    for dive in published(shared, name):
        assert Element.from_dive_number(dive["dive_number"]).code == dive["dive_number"]


def test_factors_of_published_dives(shared):
    for dive in published(shared, "mtl_aqa_dives.json"):
        element = Element.from_dive_number(dive["dive_number"])
        armstand = "armstand_" if dive["armstand"] else ""
        assert element.takeoff == armstand + MTL_ROTATIONS[dive["rotation_type"]]
        assert element.half_somersaults == dive["half_somersaults"]
        assert element.half_twists == dive["half_twists"]
        assert element.position in MTL_POSITIONS[dive["position"]]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("Forward 25som NoTwis TUCK", "105C"),
        ("Back 15som 05Twis FREE", "5231D"),
        ("Reverse 15som 35Twis FREE", "5337D"),
        ("Forward 1som NoTwis PIKE", "102B"),
        ("Inward Dive NoTwis PIKE", "401B"),
        ("Forward Dive NoTwis STR", "101A"),
    ],
)
def test_classes_of_diving48(name, number):
    dive = Element.from_diving48(name)
    assert dive.code == number
    assert dive.diving48_class == name


def test_all_classes_of_diving48_come_back():
    names, dives = diving48_elements()
    assert names == load_label_names("diving48")
    assert len(set(dives)) == 48
    assert tuple(dive.diving48_class for dive in dives) == names
    assert tuple(Element.from_dive_number(dive.code) for dive in dives) == dives


@pytest.mark.parametrize(
    "name",
    ["Forward", "Forward 25som 1Twis", "Up 1som NoTwis PIKE", "Armstand 2som NoTwis TUCK",
     "Forward 25som 1Twis LAYOUT", "Forward 123som NoTwis PIKE", "Forward 13som NoTwis PIKE",
     "forward 1som NoTwis PIKE", "Forward ١som NoTwis PIKE"],
)  # fmt: skip
def test_a_name_of_another_form(name):
    with pytest.raises(SkelactError, match="expected Forward, Back"):
        Element.from_diving48(name)


@pytest.mark.parametrize(
    "dive",
    [
        Element("dive", "forward_or_inward", 5, 0, "pike"),
        Element("dive", None, 5, 0, "pike"),
        Element("dive", "back", None, 0, "pike"),
        Element("dive", "back", 5, None, "pike"),
        Element("dive", "back", 5, 0, None),
        Element("dive", "armstand_back", 10, 0, "tuck"),
        Element("dive", "back", 10, 1, "free"),
        Element("salto", "back", 2, 0, "tuck"),
    ],
)
def test_no_number_where_it_cannot_be_said(dive):
    assert dive.code is None
    assert dive.diving48_class is None


def test_a_dive_that_is_none_of_the_48():
    dive = Element.from_dive_number("109C")
    assert dive.diving48_class == "Forward 45som NoTwis TUCK"
    assert Element.from_dive_number("109B").diving48_class is None
    assert Element.from_dive_number("626C").diving48_class is None


@pytest.mark.parametrize(
    ("element", "words"),
    [
        (Element("dive", "back", 5, 2, "pike"), "back, 2 1/2 somersaults, 1 twist, pike"),
        (Element("dive", "back", 5, 0, "pike"), "back, 2 1/2 somersaults, pike"),
        (Element("dive", "inward", 1, 0, "pike"), "inward, 1/2 somersault, pike"),
        (Element("dive", "forward_or_inward", 2, None, None), "forward or inward, 1 somersault"),
        (
            Element("dive", "armstand_back", 4, 3, "free"),
            "armstand back, 2 somersaults, 1 1/2 twists, free",
        ),
        (Element("dive", "forward", 0, 0, "straight"), "forward, 0 somersaults, straight"),
        (Element("dive", None, 4, 0, "tuck"), "dive, 2 somersaults, tuck"),
        (Element("salto", "back", 2, 2, "tuck"), "backward salto tucked, 1 twist"),
        (Element("salto", "forward", 4, 1, "pike"), "forward double salto piked, 1/2 twist"),
        (Element("salto", "sideways", 3, 0, "straight"), "sideways 1 1/2 salto stretched"),
        (Element("salto"), "salto"),
        (Element("flic_flac", "back"), "backward flic-flac"),
        (Element("walkover", "forward"), "forward walkover"),
        (Element("handstand"), "handstand"),
        (Element("other"), "element"),
    ],
)
def test_words(element, words):
    assert element.words == words


@pytest.mark.parametrize(
    ("number", "faces_water", "forward", "head_first"),
    [
        ("103B", True, True, True),
        ("204C", False, False, False),
        ("5331D", True, False, True),
        ("405C", False, True, True),
        # From the hands, two half somersaults end on the hands.
        ("622C", False, False, True),
        ("613B", True, True, False),
        ("636C", True, False, True),
    ],
)
def test_what_a_take_off_group_means(number, faces_water, forward, head_first):
    dive = Element.from_dive_number(number)
    assert dive.faces_water is faces_water
    assert dive.rotates_forward is forward
    assert dive.enters_head_first is head_first


def test_what_a_sense_of_rotation_alone_means():
    dive = Element("dive", "back_or_reverse", 3, 0, "pike")
    assert dive.rotates_forward is False
    assert dive.faces_water is None
    assert dive.enters_head_first is True


def test_what_cannot_be_said_is_none():
    dive = Element("dive", None, 3)
    assert dive.rotates_forward is dive.faces_water is dive.enters_head_first is None
    assert Element("dive", "back").enters_head_first is None
    assert Element("salto", "sideways", 2).rotates_forward is None
    assert Element("salto", "forward", 2).faces_water is None
    assert Element("salto", None, 2).enters_head_first is False
    assert Element("handstand", None, 1).enters_head_first is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("jump",), "kind: expected one of dive, salto"),
        (("dive", "sideways"), "takeoff of a dive: expected one of forward"),
        (("salto", "reverse"), "takeoff of a salto: expected one of forward, back, sideways"),
        (("dive", "back", 2, 0, "layout"), "position: expected one of straight"),
        (("dive", "back", 12), "half_somersaults: expected 0 to 11 or None, got 12"),
        (("dive", "back", 2.0), "half_somersaults: expected 0 to 11 or None, got 2.0"),
        (("dive", "back", True), "half_somersaults: expected 0 to 11 or None, got True"),
        (("dive", "back", 2, -1), "half_twists: expected 0 to 9 or None, got -1"),
    ],
)
def test_elements_that_do_not_exist(options, message):
    with pytest.raises(SkelactError, match=message):
        Element(*options)
