"""What README and docs say can be typed, and what they point at is there."""

from __future__ import annotations

import re
import runpy
import shlex

import click
import pytest

from skelact.pipeline.cli.main import main
from skelact.pipeline.config import FinetuneConfig, PretrainConfig, load_config
from skelact.pose_extract.nets.mmpose_adapter import MMPOSE_INSTALL

PAGES = [
    "README.md", "CONTRIBUTING.md", "docs/install.md", "docs/design.md", "docs/extract.md",
    "docs/data.md", "docs/reproduce.md", "docs/distill.md", "docs/train-pose.md",
    "docs/ablations.md", "docs/api.md", "docs/elements.md", "docs/export.md", "docs/report.md",
    "docs/app.md", "docs/index.md", "docs/label.md", "docs/dataset.md", "docs/cluster.md",
    "docs/terminal.md", "docs/learn.md", "docs/speed.md",
    "models/pretrained/penn_action_video.md",
    "models/pretrained/skelact_detector_320.md", "models/pretrained/skelact_litehrnet18_256x192.md",
    "models/pretrained/flight_factors.md",
]  # fmt: skip


def code_lines(text):
    """Return the lines of indented blocks and of fences without a language."""
    fenced = re.findall(r"^```\n(.*?)^```", text, re.M | re.S)
    indented = [line[4:] for line in text.splitlines() if line.startswith("    ")]
    return [line.strip() for line in [*indented, *"\n".join(fenced).splitlines()] if line.strip()]


def commands(repository):
    for page in PAGES:
        for line in code_lines((repository / page).read_text()):
            found = re.search(
                r"(?:^|rm \w+ )((?:skelact )?(?:extract|pretrain|finetune|gate|evaluate|predict|"
                r"synth|export|export-onnx|probe|cost|inspect|distill|train-pose|train-flight|"
                r"doctor|app|learn|models) .*)$",
                line,
            )
            if found and (line.startswith("skelact ") or "docker compose" in line):
                yield page, found.group(1).removeprefix("skelact ").split("  #")[0]


def test_every_skelact_command_in_the_docs_is_one(repository):
    """Its options exist and take what they are given; the files it names are made up."""
    checked = 0
    for page, line in commands(repository):
        name, *arguments = shlex.split(line)
        command = main.get_command(click.Context(main), name)
        if isinstance(command, click.Group):
            command = command.commands.get(arguments.pop(0))
        assert command is not None, f"{page}: {line}"
        with click.Context(command, info_name=name) as context:
            try:
                command.make_parser(context).parse_args(arguments)
            except click.UsageError as error:
                pytest.fail(f"{page}: {line}: {error.message}")
        checked += 1
    assert checked >= 10


def test_make_targets_and_pip_lines_are_those_of_the_makefile(repository):
    makefile, readme = (repository / "Makefile").read_text(), (repository / "README.md").read_text()
    for target in re.findall(r"^    make (\w+)", readme, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target
    pip_lines = re.findall(r"^    pip install (.*)$", readme, re.M)
    # What they do to an environment is tested in tests/test_install.py.
    assert pip_lines == [".", MMPOSE_INSTALL.removeprefix("pip install ")]
    assert pip_lines[1] in makefile


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(repository, page):
    path = repository / page
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = path.parent / name if name else path
        assert file.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", file.read_text(), re.M)
            anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
            assert anchor in anchors, target


def test_files_that_the_docs_name_exist(repository):
    for page in PAGES:
        text = (repository / page).read_text()
        for name in re.findall(r"`((?:configs|pipeline|models|pose_extract|docker|benchmarks|docs)/"
                               r"[\w./-]+)`", text):  # fmt: skip
            assert (repository / name).exists(), f"{page}: {name}"


def test_the_page_of_ablations_is_what_its_figures_give(repository, monkeypatch):
    monkeypatch.syspath_prepend(repository / "benchmarks")
    bench = runpy.run_path(str(repository / "benchmarks" / "ablations.py"))
    page = (repository / "docs" / "ablations.md").read_text(encoding="utf-8")
    assert bench["render"](bench["published"](), page) == page
    # A misspelt setting would be a run that measures something else than its row says.
    for run in bench["all_runs"](list(bench["DATA"]), [], [0]):
        if run.arm.pretrain is not None:
            name, settings = run.pretrain_settings()
            load_config(PretrainConfig, name, "pretrain", settings)
        if run.arm.fraction > 0:
            name, settings = run.finetune_settings()
            load_config(FinetuneConfig, name, "finetune", settings)
