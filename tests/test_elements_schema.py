"""docs/elements.schema.json: what `skelact predict` says of elements."""

from __future__ import annotations

import copy
import json
from typing import get_args

import pytest
from json_schema import problems

from skelact.pipeline.elements.element import Element, Kind, Position, Takeoff, diving48_elements


@pytest.fixture(scope="module")
def schema(repository):
    return json.loads((repository / "docs/elements.schema.json").read_text(encoding="utf-8"))


def as_json(element, **others):
    return {
        "start_seconds": 1.2, "end_seconds": 2.68, "person": 0, "kind": element.kind,
        "takeoff": element.takeoff, "half_somersaults": element.half_somersaults,
        "half_twists": element.half_twists, "position": element.position, "code": element.code,
        "diving48_class": element.diving48_class, "confidence": 0.93, "alternatives": [], **others,
    }  # fmt: skip


@pytest.fixture
def clip():
    """A dive that may also be another, and a salto later."""
    other = as_json(Element.from_dive_number("205C"), confidence=0.05)
    dive = as_json(Element.from_dive_number("205B"), alternatives=[other])
    salto = as_json(Element("salto", "sideways", 2, None, "tuck"), start_seconds=8, end_seconds=9)
    return {
        "family": "dive", "label": "205B", "score": 0.93, "unknown": False,
        "elements": [dive, salto],
        "segments": [
            {"start_seconds": 0, "end_seconds": 12.5, "label": None, "score": 0.2},
        ],
    }  # fmt: skip


def test_a_clip_with_a_dive_and_a_salto(schema, clip):
    assert problems(clip, schema) == []


def test_a_clip_of_nothing_known(schema):
    clip = {
        "family": "unknown", "label": None, "score": 0.4, "unknown": True, "elements": [],
        "segments": [],
    }  # fmt: skip
    assert problems(clip, schema) == []


def test_every_dive_of_diving48(schema, clip):
    clip["elements"] = [as_json(dive) for dive in diving48_elements()[1]]
    assert len(clip["elements"]) == 48
    assert problems(clip, schema) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["family"], "diving"),
        (["label"], None),
        (["unknown"], True),
        (["unknown"], 0),
        (["score"], 1.01),
        (["elements"], None),
        (["elements", 0, "kind"], "jump"),
        (["elements", 0, "takeoff"], "sideways"),
        (["elements", 1, "takeoff"], "reverse"),
        (["elements", 1, "code"], "205B"),
        (["elements", 0, "takeoff"], "backward"),
        (["elements", 0, "half_somersaults"], 2.5),
        (["elements", 0, "half_somersaults"], "5"),
        (["elements", 0, "half_twists"], -1),
        (["elements", 0, "position"], "layout"),
        (["elements", 0, "person"], None),
        (["elements", 0, "start_seconds"], -0.1),
        (["elements", 0, "confidence"], True),
        (["elements", 0, "name"], "205B"),
        (["elements", 0, "alternatives", 0, "position"], "PIKE"),
        (["segments", 0, "score"], None),
    ],
)
def test_a_broken_clip(schema, clip, path, value):
    broken = copy.deepcopy(clip)
    *folders, name = path
    inner = broken
    for folder in folders:
        inner = inner[folder]
    inner[name] = value
    assert problems(broken, schema)


@pytest.mark.parametrize("name", ["family", "elements", "segments", "unknown"])
def test_a_clip_that_lacks_something(schema, clip, name):
    del clip[name]
    assert f"$: {name} is missing" in problems(clip, schema)


def test_an_element_that_lacks_something(schema, clip):
    for name in list(clip["elements"][0]):
        broken = copy.deepcopy(clip)
        del broken["elements"][0][name]
        assert f"$.elements[0]: {name} is missing" in problems(broken, schema)


def test_the_values_are_those_of_elements(schema):
    properties = schema["$defs"]["element"]["properties"]
    assert tuple(properties["kind"]["enum"]) == get_args(Kind)
    assert set(properties["takeoff"]["enum"]) == {*get_args(Takeoff), None}
    assert set(properties["position"]["enum"]) == {*get_args(Position), None}


def test_a_keyword_that_the_tests_do_not_know_is_an_error():
    with pytest.raises(KeyError):
        problems({}, {"minProperties": 1})
