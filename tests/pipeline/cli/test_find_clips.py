"""Which clips the arguments of a command name, and what it says about the others."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from clips import write_clip
from touch import touch

from skelact.pipeline.cli.extract import find_clips
from skelact.pipeline.cli.main import main


def test_what_is_passed_over_is_one_line_on_stderr(tmp_path, capsys):
    touch(tmp_path, "a.mp4", "._a.mp4", "c.txt", "d.txt")
    assert [clip.clip_id for clip in find_clips([str(tmp_path)])] == ["a.mp4"]
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"{tmp_path}: passed over 2 .txt, 1 hidden\n"


def test_wrong_cuts_are_told_row_by_row_for_the_clips_that_are_read(tmp_path, capsys):
    write_clip(tmp_path / "a.mp4")
    path = tmp_path / "l.csv"
    path.write_text("path,end_frame\na.mp4,40\na.mp4,41\na.mp4,42\n")
    clips = find_clips([str(path)], lambda clip: clip.end_frame != 42)
    # They are clips that fail, not ones left out.
    assert len(clips) == 3
    assert capsys.readouterr().err == (
        f"will fail: {path}, line 3: expected a cut within the file's 40 frames, got 0 to 41\n"
    )


@pytest.mark.parametrize("command", [["extract", "--out", "out"], ["predict"]])
def test_an_empty_argument_is_not_the_current_folder(tmp_path, monkeypatch, command):
    write_clip(tmp_path / "a.mp4")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, [*command, ""])
    assert result.exit_code == 1
    assert "expected a video, a folder or a list, got an empty path" in result.output
    assert not (tmp_path / "out").exists()


def test_a_name_cannot_steer_the_terminal(tmp_path, capsys):
    touch(tmp_path, "a\x1b[2J/a.mp4", "a\x1b[2J/b.txt")
    find_clips([str(tmp_path / "a\x1b[2J")])
    assert capsys.readouterr().err.endswith("a\\x1b[2J: passed over 1 .txt\n")
