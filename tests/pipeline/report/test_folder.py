"""The folder of a report takes the place of a report alone, and is whole or not there."""

from __future__ import annotations

import os

import pytest

from skelact import SkelactError
from skelact.pipeline.report.folder import FILE_LIST, check_report_folder, new_folder


def write(folder, *names, text="new"):
    with new_folder(folder) as new:
        for name in names:
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_text(text)


def tree(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_report_replaces_a_report_whole(tmp_path):
    write(tmp_path / "out" / "r", "index.html", "data/old.js", text="old")
    write(tmp_path / "out" / "r", "index.html", "video.mp4")
    assert tree(tmp_path / "out") == [
        "r", "r/index.html", f"r/{FILE_LIST}", "r/video.mp4"
    ]  # fmt: skip
    assert (tmp_path / "out" / "r" / "index.html").read_text() == "new"


@pytest.mark.parametrize("name", ["thesis.tex", "data/notes.json", "deep/er/x"])
def test_what_is_the_users_is_never_replaced(tmp_path, name):
    folder = tmp_path / "r"
    write(folder, "index.html", "data/index.js", text="old")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("mine")
    with pytest.raises(SkelactError, match=f"with {name}; name another folder"):
        write(folder, "index.html")
    assert (folder / name).read_text() == "mine"
    assert (folder / "index.html").read_text() == "old"


def test_a_file_that_comes_while_a_report_is_written_stays(tmp_path):
    folder = tmp_path / "r"

    def run():
        with new_folder(folder) as new:
            (new / "index.html").touch()
            folder.mkdir()
            (folder / "mine.txt").write_text("mine")

    with pytest.raises(SkelactError, match=r"mine\.txt"):
        run()
    assert tree(tmp_path) == ["r", "r/mine.txt"]


def test_a_link_to_a_folder_of_the_users_is_the_users(tmp_path):
    (tmp_path / "mine").mkdir()
    folder = tmp_path / "r"
    write(folder, "index.html")
    (folder / "linked").symlink_to(tmp_path / "mine")
    with pytest.raises(SkelactError, match="with linked"):
        write(folder, "index.html")


def test_the_folder_that_a_link_names_is_the_one_that_is_replaced(tmp_path):
    write(tmp_path / "real", "index.html", text="old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link", "index.html")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "index.html").read_text() == "new"


def test_a_failure_leaves_what_was_there(tmp_path):
    folder = tmp_path / "r"
    write(folder, "index.html", text="old")

    def run():
        with new_folder(folder) as new:
            (new / "index.html").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()
    assert (folder / "index.html").read_text() == "old"
    write(tmp_path / "nothing")
    assert tree(tmp_path) == ["r", "r/index.html", f"r/{FILE_LIST}"]


def test_a_leftover_of_a_killed_run_goes_and_that_of_a_living_one_stays(tmp_path):
    dead = tmp_path / ".r.abcdefgh"
    (dead / "report").mkdir(parents=True)
    (dead / "in-work").touch()
    users = tmp_path / ".r.12345678"
    users.mkdir()
    with new_folder(tmp_path / "r") as living:
        (living / "x").touch()
        write(tmp_path / "r", "index.html")
        assert living.is_dir()
        assert not dead.exists()
        assert users.is_dir()


def test_files_that_the_command_uses_are_not_inside(tmp_path):
    folder = tmp_path / "r"
    write(folder, "video.mp4")
    with pytest.raises(
        SkelactError, match=r"--html: expected a folder of its own, .*video\.mp4 is"
    ):
        check_report_folder(folder, [folder / "video.mp4"])
    check_report_folder(folder, [tmp_path / "r2.mp4"])
    with pytest.raises(SkelactError, match="got the file"):
        check_report_folder(folder / "video.mp4")


def test_permissions_are_those_of_any_new_folder(tmp_path):
    write(tmp_path / "r", "index.html")
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "r").stat().st_mode & 0o777 == 0o777 & ~umask
