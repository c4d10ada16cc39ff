"""Paired comparisons of benchmarks/paired.py by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

from paired import corrected, holm, paired


def test_the_differences_of_shared_draws():
    found = paired({0: 1.0, 1: 2.0, 2: 3.0, 9: 50.0}, {0: 2.0, 1: 4.0, 2: 6.0, 8: 0.0})
    # Gaps 1, 2, 3: mean 2, standard error 1 / sqrt(3); t quantiles of two degrees 4.303 and 1.061.
    assert (found.mean, found.count) == (2.0, 3)
    assert found.half == pytest.approx(4.303 / 3**0.5, abs=1e-3)
    assert found.sees == pytest.approx((4.303 + 1.061) / 3**0.5, abs=1e-3)
    assert found.p == pytest.approx(0.0742, abs=1e-4)
    assert paired({0: 1.0}, {0: 2.0}) is None
    assert paired({0: 1.0, 1: 2.0}, {0: 2.0, 1: 3.0}).p == 1.0


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_a_table_keeps_what_stands_after_the_correction():
    rows = [f"| +1.00 {{p={p};sees=2.0}} |" for p in (0.001, 0.03)]
    text = corrected("\n".join([*rows, "| +1.00 {p=0.04;sees=4.0} |"]))
    assert [line.count("**") for line in text.splitlines()[:3]] == [1, 0, 0]
    assert "{" not in text
    assert "Comparisons: 3." in text
    assert "2.0 points" in text
