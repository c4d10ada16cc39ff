"""No command writes over what it reads, by whatever name, and none writes a file twice."""

from __future__ import annotations

import json
import os
import pickle
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from clips import write_clip

from skelact import SkelactError
from skelact.pipeline.cli.main import main
from skelact.pipeline.cli.outputs import check_outputs, files_of
from skelact.pose_extract.common.files import PACKAGE_FOLDER

LOST = "is one of the sources and would be lost"


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """A clip, a list, boxes, an annotation file and an exported bundle; none is ever changed."""
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", 5)
    Path("list.csv").write_text("path\nclip.mp4\n")
    Path("boxes.json").write_text("{}")
    Path("map.json").write_text("{}")
    Path("ann.pkl").write_bytes(pickle.dumps({"split": {}, "annotations": []}))
    shipped = PACKAGE_FOLDER / "models" / "pretrained" / "penn_action_video"
    for suffix in (".json", ".safetensors"):
        Path(f"net{suffix}").write_bytes(shipped.with_suffix(suffix).read_bytes())
    before = {path: path.read_bytes() for path in Path().iterdir()}
    yield tmp_path
    assert {path: path.read_bytes() for path in before} == before


COMMANDS = [
    ("clip.mp4", "predict clip.mp4 --overlay"),
    ("clip.mp4", "predict list.csv --overlay"),
    ("clip.mp4", "predict clip.mp4 --json"),
    ("list.csv", "predict list.csv --json"),
    ("list.csv", "predict list.csv --timeline"),
    ("net.json", "predict clip.mp4 --checkpoint net.json --json"),
    ("net.safetensors", "predict clip.mp4 --checkpoint net.json --json"),
    ("boxes.json", "predict clip.mp4 --boxes boxes.json --json"),
    ("net.json", "predict clip.mp4 --pose net.json --json"),
    ("clip.mp4", "extract clip.mp4 --out out --annotations"),
    ("list.csv", "extract list.csv --out out --annotations"),
    ("boxes.json", "extract clip.mp4 --boxes boxes.json --out out --annotations"),
    ("ann.pkl", "evaluate --ann-file ann.pkl --split val --json"),
    ("net.json", "evaluate --checkpoint net.json --ann-file ann.pkl --split val --json"),
    ("map.json", "evaluate --label-map map.json --ann-file ann.pkl --split val --json"),
    ("ann.pkl", "export-onnx net.json --ann-file ann.pkl --split val"),
    ("net.json", "export-onnx net.json"),
    ("net.json", "distill measure net.json --labels . --json"),
]


@pytest.mark.parametrize(("target", "command"), COMMANDS, ids=[" ".join(c) for c in COMMANDS])
def test_what_a_command_reads_stays_as_it_is(inputs, target, command):
    suffix = Path(target).suffix
    Path("hard" + suffix).hardlink_to(target)
    Path("soft" + suffix).symlink_to(inputs / target)
    before = sorted(os.listdir())
    for name in (target, f"../{inputs.name}/{target}", "hard" + suffix, "soft" + suffix):
        result = CliRunner().invoke(main, [*command.split(), name])
        assert result.exit_code == 1, result.output
        assert LOST in result.output
    assert sorted(os.listdir()) == before


def test_the_manifest_is_no_place_for_annotations(inputs):
    Path("out").mkdir()
    Path("out", "manifest.jsonl").write_text("")
    arguments = ["extract", "clip.mp4", "--out", "out", "--annotations", "out/manifest.jsonl"]
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, LOST in result.output) == (1, True)


def test_a_distillation_does_not_write_over_what_it_starts_from(inputs):
    Path("detector.json").write_text(json.dumps({}))
    arguments = ["distill", "train", "detector_rtmdet", "--labels", ".", "--work-dir", "."]
    result = CliRunner().invoke(main, [*arguments, "--init", "detector.json"])
    assert (result.exit_code, LOST in result.output) == (1, True)


@pytest.mark.parametrize(
    "command",
    [
        "predict clip.mp4 --overlay both.mp4 --json both.mp4",
        "predict clip.mp4 --overlay both.mp4 --json ./both.mp4",
        "synth diving --train 1 --val 0 --test 0 --out both.mp4 --sheet both.mp4",
    ],
)
def test_two_outputs_are_two_files(inputs, command):
    result = CliRunner().invoke(main, command.split())
    assert result.exit_code == 1
    assert "expected two files, got" in result.output
    assert not Path("both.mp4").exists()


def test_names_that_are_no_files_are_no_inputs(tmp_path):
    target = tmp_path / "a.json"
    target.write_text("")
    options = {"detector": "rtmdet-nano", "boxes": None, "subject": "athlete"}
    assert files_of(options) == ["rtmdet-nano"]
    check_outputs([("--json", target)], [None, "rtmdet-nano", "a\0b", "n" * 5000, tmp_path / "b"])
    with pytest.raises(SkelactError, match=LOST):
        check_outputs([("--json", target)], [*files_of({"pose": str(target)})])


def test_thousands_of_clips_take_no_time(tmp_path):
    paths = [tmp_path / f"{i}.mp4" for i in range(2000)]
    for path in paths:
        path.touch()
        path.with_suffix(".out").touch()
    start = time.monotonic()
    check_outputs([], paths, [("--overlay", path.with_suffix(".out")) for path in paths])
    # Each with each would be four million looks at files.
    assert time.monotonic() - start < 2


class WorkBegan(Exception):
    """Raised by what a command does after its checks."""


FILE = "boxes.json/"  # a file where a folder would have to be
DIVES = "synth diving --train 1 --val 0 --test 0 --out"
# Command, places that cannot be, a place that can, what is said, and the function that is the work.
PLACES = [
    (DIVES, [FILE + "d.pkl"], "d.pkl", "synth.dataset.write_diving"),
    (
        f"{DIVES} d.pkl --sheet",
        ["d.txt", "d", FILE + "a/d.png"],
        "d.png",
        "synth.dataset.write_diving",
    ),
    (
        "export-onnx net.json",
        ["a.txt", "a.ONNX", FILE + "a.onnx"],
        "a.onnx",
        "cli.export_onnx.simulated_clips",
    ),
    (
        "evaluate --ann-file ann.pkl --split val --json",
        [FILE + "a"],
        "a",
        "evaluation.evaluate.evaluate_checkpoint",
    ),
    ("gate net.json --work-dir", [FILE + "a"], "a", "training.train.add_gate"),
    ("predict clip.mp4 --json", [FILE + "a"], "a", "inference.pipeline.Pipeline"),
    (
        "predict clip.mp4 --overlay",
        [FILE + "a.mp4", FILE + "a", "boxes.json"],
        "a.mp4",
        "inference.pipeline.Pipeline",
    ),
    (
        "predict clip.mp4 --timeline",
        ["a.txt", FILE + "a.csv", FILE + "a.srt", FILE + "a"],
        "a.srt",
        "inference.pipeline.Pipeline",
    ),
    ("extract clip.mp4 --out out --annotations", [FILE + "a"], "a", "cli.extract.make_extractor"),
    (
        "distill measure net.json --labels . --json",
        [FILE + "a", "."],
        "a",
        "distill.labelled_frames.LabelledFrames.load",
    ),
]


@pytest.mark.parametrize(("command", "bad", "good", "work"), PLACES, ids=[p[0] for p in PLACES])
def test_a_place_that_cannot_be_is_told_before_the_work(
    inputs, monkeypatch, command, bad, good, work
):
    def began(*arguments, **options):
        raise WorkBegan

    monkeypatch.setattr(f"skelact.pipeline.{work}", began)
    before = sorted(os.listdir())
    for place in bad:
        result = CliRunner().invoke(main, [*command.split(), place])
        assert isinstance(result.exception, SystemExit), result.output
        assert (result.exit_code in (1, 2), place in result.output) == (True, True), result.output
    assert sorted(os.listdir()) == before
    assert isinstance(CliRunner().invoke(main, [*command.split(), good]).exception, WorkBegan)


def test_a_folder_is_no_file_and_one_without_permission_takes_none(tmp_path, monkeypatch):
    with pytest.raises(SkelactError, match="--json: expected a place for a file, got the folder"):
        check_outputs([("--json", tmp_path)], [])
    check_outputs([("--json", tmp_path / "new" / "deep" / "a.json"), ("--csv", Path("a.csv"))], [])
    # Whoever runs the tests as root may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(SkelactError, match=f"no permission in {tmp_path}"):
        check_outputs([("--json", tmp_path / "new" / "a.json")], [])
