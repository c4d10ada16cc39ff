"""The pages per job: what they tell to type is run, line by line, on made-up clips."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from clips import BrightnessPose, OneWalker, write_clip

from skelact.pipeline.cli.main import main
from skelact.pose_extract.extract import ExtractConfig, Extractor


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """A folder with a clip and a folder of clips; networks are fakes whose answers are known."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "videos").mkdir()
    for name in ("clip.mp4", "videos/a.mp4", "videos/b.mp4"):
        write_clip(tmp_path / name, 24)

    def fakes(options):
        return Extractor(
            ExtractConfig(effort="fast", detector="whole-frame"),
            detector=OneWalker(),
            pose=BrightnessPose(),
        )

    for command in ("extract", "predict"):
        monkeypatch.setattr(f"skelact.pipeline.cli.{command}.make_extractor", fakes)
    return tmp_path


def blocks(page):
    """Return the indented blocks of a page, in order."""
    found = re.findall(r"(?:^    .*\n(?:\s*\n(?=    ))?)+", page.read_text(), re.M)
    return [[line[4:] for line in block.splitlines() if line.strip()] for block in found]


def run_page(page):
    """Run the commands of a page; blocks that are lists become files of that name."""
    ran = []
    for block in blocks(page):
        if block[0].startswith("path,"):
            Path("clips.csv").write_text("\n".join(block) + "\n")
        for line in block:
            if line.startswith("skelact "):
                result = CliRunner().invoke(main, shlex.split(line)[1:])
                assert result.exit_code == 0, f"{line}: {result.output}"
                ran.append((line, result))
    return ran


def test_label_a_clip(repository, reader):
    ran = run_page(repository / "docs" / "label.md")
    assert len(ran) == 7
    for name in ("report/index.html", "overlay.mp4", "slow.mp4", "out.csv", "out.srt"):
        assert Path(name).is_file(), name
    (entry,) = json.loads(Path("out.json").read_text())
    lines = Path("out.jsonl").read_text().splitlines()
    assert [json.loads(line)["video"] for line in lines] == ["a.mp4", "b.mp4"]
    # The table of the page has all fields.
    text = (repository / "docs" / "label.md").read_text()
    named = set(re.findall(r"`(\w+)`", text[text.index("| of an entry") : text.index("## Who")]))
    assert entry.keys() <= named
    assert entry["persons"][0].keys() <= named


def test_a_folder_to_a_data_set(repository, reader):
    ran = run_page(repository / "docs" / "dataset.md")
    assert len(ran) == 5
    assert Path("skeletons/inspect/index.html").is_file()
    assert Path("mine.pkl").is_file()
    assert "2 annotations" in ran[2][1].output
    assert Path("skeletons/export/angles.csv").is_file()


def test_on_a_cluster(repository, reader):
    """All parts of the array, in any order, and the run that gathers them."""
    page = (repository / "docs" / "cluster.md").read_text()
    (line,) = re.findall(r'^skelact (.*) --shard "\$SLURM_ARRAY_TASK_ID/8".*$', page, re.M)
    for part in (3, 1, 8, 2, 4, 7, 5, 6):
        result = CliRunner().invoke(main, [*shlex.split(line), "--shard", f"{part}/8"])
        assert result.exit_code == 0, result.output
    (gather,) = re.findall(r"^    skelact (.*--annotations.*)$", page, re.M)
    result = CliRunner().invoke(main, shlex.split(gather))
    assert "2 of 2 clips done (0 worked on now)" in result.output
    assert "mine.pkl: 2 annotations" in result.output


def test_every_page_has_its_place_in_the_navigation(repository):
    def pages(entry):
        if isinstance(entry, str):
            return [entry]
        values = entry.values() if isinstance(entry, dict) else entry
        return [page for value in values for page in pages(value)]

    config = yaml.safe_load((repository / "mkdocs.yml").read_text())
    listed = pages(config["nav"])
    assert sorted(listed) == sorted(path.name for path in (repository / "docs").glob("*.md"))
    assert config["strict"] is True


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(
    repository, tmp_path, monkeypatch
):
    build = pytest.importorskip("mkdocs.commands.build", reason="needs mkdocs: see docs/install.md")
    config = pytest.importorskip("mkdocs.config")
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    loaded = config.load_config(str(repository / "mkdocs.yml"), site_dir=str(tmp_path / "site"))
    build.build(loaded)  # a warning ends it, as with a dead link or anchor
    for page in (tmp_path / "site").rglob("*.html"):
        tags = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page.read_text())
        assert not [tag for tag in tags if re.search(r"(?:src|href)=\"?(?:https?:)?//", tag)], page
    for style in (tmp_path / "site").rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//", style.read_text()), style
