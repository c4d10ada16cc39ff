"""``skelact doctor`` in environments that are not whole; its metadata and modules are made up."""

from __future__ import annotations

import importlib.metadata

import pytest

from skelact.pipeline.cli import doctor


def found(check, what):
    return {finding.what: finding for finding in check()}[what]


@pytest.fixture
def asks_for(monkeypatch):
    """Return a function that sets what the package's metadata asks for."""

    def set_lines(*lines):
        monkeypatch.setattr(importlib.metadata, "requires", lambda name: list(lines))

    return set_lines


def test_the_ranges_are_those_of_the_metadata(asks_for):
    asks_for("numpy>=1.26.4", "scipy>=99", "opencv-python>=4.10; extra == 'opencv'")
    assert found(doctor._packages, "numpy").status == "ok"
    old = found(doctor._packages, "scipy")
    assert (old.status, old.mend) == ("note", 'pip install "scipy>=99"')
    assert old.found.endswith("tested with >=99")


def test_a_package_that_is_missing_or_broken_has_the_command(asks_for, monkeypatch, tmp_path):
    (tmp_path / "broken.py").write_text("raise OSError('libGL.so.1: no such file')\n")
    monkeypatch.syspath_prepend(tmp_path)
    asks_for("no-such-package>=2", "broken>=1", "left-out>=1; extra == 'dev'")
    lost = found(doctor._packages, "no-such-package")
    assert (lost.status, lost.mend) == ("missing", 'pip install "no-such-package>=2"')
    broken = found(doctor._packages, "broken")
    assert (broken.status, broken.found) == ("missing", "libGL.so.1: no such file")
    assert [finding.what for finding in doctor._packages()] == ["no-such-package", "broken"]


def test_any_opencv_will_do_but_not_two(asks_for, monkeypatch):
    asks_for("opencv-python>=4.10; extra == 'opencv'")
    versions = {"opencv-python-headless": "4.12.0.88"}
    monkeypatch.setattr(doctor, "_installed", lambda names: dict(versions))
    (only,) = doctor._packages()
    assert (only.what, only.status, only.found) == ("opencv-python-headless", "ok", "4.12.0.88")
    versions["opencv-python"] = "5.0.0.93"
    first, both = doctor._packages()
    assert (first.status, both.status) == ("ok", "note")
    assert "pip uninstall opencv-python-headless opencv-python" in both.mend


def test_without_mmpose_it_says_the_one_command(monkeypatch):
    real = doctor.importlib.util.find_spec
    hidden = ("mmpose", "mmengine", "mmcv")
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *rest: None if name in hidden else real(name)
    )
    lost = found(doctor._mmpose, "MMPose")
    assert lost.status == "missing"
    assert lost.mend == "pip install --no-deps mmengine==0.10.7 mmcv-lite==2.2.0 mmpose==1.3.2"


def test_a_source_tree_that_is_not_installed_is_a_finding(monkeypatch):
    def unknown(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", unknown)
    (finding,) = doctor._packages()
    assert (finding.what, finding.status) == ("skelact", "missing")
    assert "pip install -e ." in finding.mend


def test_the_table_keeps_names_whole_and_takes_no_text_for_markup(monkeypatch, capsys):
    """In 80 columns, as in a file or a pipe."""
    monkeypatch.setenv("COLUMNS", "80")
    name, mend = "weights litehrnet18-coco-256x192-b", f"put it into {'/long' * 20} please"
    doctor._print(
        [
            doctor.Finding(name, "missing", "[/red] is not there: [bold]\x1b[2J", mend),
            doctor.Finding("av", "ok", "18.1.0"),
        ]
    )
    printed = capsys.readouterr().out
    assert f"│ {name} │ missing │" in printed
    assert "[/red]" in printed
    assert "[bold]" in printed
    assert "\x1b" not in printed
    # A command can be copied from its one line.
    assert printed.rstrip().splitlines()[-2:] == ["to mend:", f"  {name}: {mend}"]


def test_the_decoders_and_their_process_are_listed():
    findings = {finding.what: finding for finding in doctor._decoders()}
    assert list(findings) == ["decoding process", "decoder decord", "decoder pyav"]
    assert {finding.status for finding in findings.values()} == {"ok"}
    assert "limited to 8 GiB and 120 s" in findings["decoding process"].found


def test_a_decoding_process_that_cannot_start_is_a_finding(monkeypatch):
    monkeypatch.setattr("skelact.pose_extract.decode.process._START", "raise SystemExit(3)")
    lost = found(doctor._decoders, "decoding process")
    assert lost.status == "missing"
    assert "exit code 3" in lost.found
