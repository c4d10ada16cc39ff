"""Colours of the page can be read and told apart: WCAG 2.2, level AA (1.4.3 and 1.4.11)."""

from __future__ import annotations

import re

import numpy as np
import pytest

# Of text and its ground; and of what is no text: curves, edges of controls, swatches.
TEXTS = [
    ("text", "ground"), ("text", "panel"), ("quiet", "ground"), ("quiet", "panel"),
    ("accent", "ground"), ("accent", "panel"), ("on-accent", "accent"), ("text", "flight"),
    ("text", "gap"), ("text", "other-phase"), ("quiet", "other-phase"),
    *((f"person-{i}", "panel") for i in range(7)),
]  # fmt: skip
SHAPES = [
    ("left", "ground"), ("right", "ground"), ("edge", "ground"), ("edge", "panel"),
    ("warn", "ground"), ("accent", "other-phase"), ("edge", "other-phase"),
]  # fmt: skip


@pytest.fixture(scope="module")
def schemes(repository):
    css = (repository / "pipeline" / "report" / "page" / "report.css").read_text()
    light, dark = (
        dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)[:2]
    )
    return {"light": light, "dark": light | dark}


def luminance(color):
    """Return the relative luminance of WCAG 2.2."""
    values = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_the_contrast_of_known_colours():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_shapes_stand_out(schemes, scheme):
    colors = schemes[scheme]
    for pairs, least in ((TEXTS, 4.5), (SHAPES, 3.0)):
        for front, ground in pairs:
            assert contrast(colors[front], colors[ground]) >= least, (scheme, front, ground)


# Viénot, Brettel and Mollon 1999: linear RGB as people without one kind of cones see it.
PROTAN = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]])
DEUTAN = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])


def seen(color, matrix):
    values = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return np.cbrt((matrix @ linear).clip(0))


@pytest.mark.parametrize("matrix", [np.eye(3), PROTAN, DEUTAN], ids=["all", "protan", "deutan"])
def test_left_and_right_and_the_first_people_are_told_apart(schemes, matrix):
    for colors in schemes.values():
        pairs = [("left", "right"), ("on-video-0", "on-video-1"), ("person-0", "person-1")]
        for one, other in pairs:
            assert np.abs(seen(colors[one], matrix) - seen(colors[other], matrix)).max() > 0.25
