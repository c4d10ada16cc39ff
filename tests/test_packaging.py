"""The package as users get it: the wheel, and the rules that keep the layout sound."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture(scope="module")
def project(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory):
    """Build the wheel from a copy, so that nothing is left in the source tree."""
    source = tmp_path_factory.mktemp("source") / "any name"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=repository, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("needs a git checkout to know the project's files")
    for name in filter(None, listed.stdout.split("\0")):
        if (repository / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((repository / name).read_bytes())
    out = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return next(out.glob("*.whl"))


def test_every_package_is_listed_and_no_module_strays_at_the_root(repository, project):
    folders = [
        path.parent.relative_to(repository)
        for package in repository.glob("[a-z]*/__init__.py")
        for path in package.parent.rglob("__init__.py")
    ]
    found = {".".join(("skelact", *folder.parts)) for folder in folders}
    assert set(project["tool"]["setuptools"]["packages"]) == {"skelact"} | found
    assert set(project["tool"]["setuptools"]["package-dir"]) == {"skelact"} | found
    assert [p.name for p in repository.glob("*.py")] == ["__init__.py"]
    assert not (repository / "tests" / "__init__.py").exists()


def test_the_wheel_holds_the_package_alone(repository, wheel):
    names = zipfile.ZipFile(wheel).namelist()
    inside = {name for name in names if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in inside} == {"skelact"}
    for package in ("models", "pipeline", "pose_extract", "configs"):
        for path in (repository / package).rglob("*.py"):
            assert f"skelact/{path.relative_to(repository).as_posix()}" in inside
    for path in (repository / "configs").rglob("*.yaml"):
        assert f"skelact/{path.relative_to(repository).as_posix()}" in inside
    for path in (repository / "models" / "pretrained").iterdir():
        assert f"skelact/models/pretrained/{path.name}" in inside
    assert not [name for name in inside if "tests" in name or "benchmarks" in name]


def test_the_wheel_runs_elsewhere(wheel, tmp_path):
    """In an environment of its own that sees this one's packages, but not this source tree."""
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    paths = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    site = paths.stdout.strip()
    zipfile.ZipFile(wheel).extractall(site)
    # Paths added by a .pth file come last, and their own .pth files, the editable ones, are not
    # read.
    with open(f"{site}/theirs.pth", "w") as stream:
        stream.write(sysconfig.get_path("purelib") + "\n")
    code = (
        "import sys; sys.argv = ['skelact', *sys.argv[1:]]\n"
        "import skelact; assert 'env' in skelact.__file__, skelact.__file__\n"
        "from skelact.pipeline.cli.main import main; main()"
    )
    for arguments in (["--help"], ["--version"], ["predict", "--help"]):
        done = subprocess.run(
            [python, "-c", code, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    code = "from skelact.pipeline.config import *; print(len(shipped_configs('finetune')))"
    done = subprocess.run(
        [python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) >= 9


def test_pinned_requirements_hold_what_the_package_asks_for(repository, project):
    def name(line):
        return re.split(r"[=<>;\s\[]", line)[0].lower()

    pinned = {
        name(line)
        for line in (repository / "requirements.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    # torch is installed before it: which build is the user's choice.
    assert {name(line) for line in project["project"]["dependencies"]} == pinned | {"torch"}
