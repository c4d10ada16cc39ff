"""`skelact predict --html`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from touch import touch

from skelact.pipeline.cli.main import main
from skelact.pipeline.inference.clip_skeletons import ClipSkeletons
from skelact.pipeline.inference.pipeline import Pipeline
from skelact.pipeline.inference.results import ActionPrediction

from .conftest import SUITED, predicted


@pytest.fixture
def run(clips, tmp_path, monkeypatch):
    """Return what runs the command on clips of which all but broken ones show a dive."""

    def answer(clip):
        name = clip.clip_id
        if "broken" in name:
            skeletons = ClipSkeletons(name, None, "no video", clip)
            return ActionPrediction(name, None, None, (), (), "net", "no video", skeletons)
        return predicted(clip.path, name)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Pipeline, "stream", lambda model, sources, **_: map(answer, sources))
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(clips(SUITED).read_bytes())
    touch(tmp_path, "broken.mp4")
    return lambda *arguments: CliRunner().invoke(main, ["predict", *map(str, arguments)])


def test_one_clip_has_its_page_in_the_folder(run):
    result = run("a.mp4", "--html", "out/r", "--effort", "fast", "--flip-test", "--json", "a.json")
    assert result.exit_code == 0, result.output
    assert "  page: out/r/index.html\n" in result.output
    index = Path("out/r/data/index.js").read_text()
    # Labelled again it is as it was but for the athlete, and beside this report.
    assert "--effort fast --flip-test --html out/r-person-2" in index
    assert "a.json" not in index
    assert run("a.mp4", "--html", "out/r").exit_code == 0


def test_several_clips_have_a_list_and_a_broken_one_stops_none(run):
    result = run("a.mp4", "broken.mp4", "b.mp4", "--html", "r")
    assert result.exit_code == 3
    text = Path("r/data/clips.js").read_text()
    clips = json.loads(text[len('skelactData("clips",') : -3])["clips"]
    assert [clip["error"] for clip in clips] == [None, "no video", None]
    for number in (0, 2):
        assert Path("r", clips[number]["page"]).is_file()
        assert f"  page: r/{clips[number]['page']}\n" in result.output


def test_a_broken_clip_alone_has_no_page(run):
    result = run("broken.mp4", "--html", "r")
    assert result.exit_code == 3
    assert not Path("r").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.mp4", "--html", "mine"), "with thesis.tex; name another folder"),
        (("a.mp4", "--html", "a.mp4"), "got the file"),
        (("a.mp4", "--html", "a.mp4/r"), "cannot be written: a.mp4 is no folder"),
        (("mine/c.mp4", "--html", "mine"), "in which mine/c.mp4 is"),
        (("a.mp4", "--html", "new", "--json", "new/a.json"), "in which new/a.json is"),
        (("a.mp4", "--html", "new", "--overlay", "new/o.mp4"), "in which new/o.mp4 is"),
    ],
)
def test_what_cannot_be_is_told_before_the_work(run, tmp_path, monkeypatch, arguments, message):
    touch(tmp_path, "mine/thesis.tex", "mine/c.mp4")
    monkeypatch.setattr(Pipeline, "__init__", None)  # nothing is loaded
    result = run(*arguments)
    assert result.exit_code == 1
    assert message in result.output.replace(str(tmp_path) + "/", "")
    assert Path("mine/thesis.tex").is_file()
