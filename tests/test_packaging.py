"""The package as users get it: the wheel, and the rules that keep the layout sound."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from skelact.pose_extract.nets.mmpose_adapter import MMPOSE_INSTALL

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture(scope="module")
def project(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def wheel(source_tree, tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)],
        cwd=source_tree,
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
    for package in ("app", "report"):
        for path in (repository / "pipeline" / package / "page").iterdir():
            assert f"skelact/pipeline/{package}/page/{path.name}" in inside
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


def pins(path):
    """Return the exact versions that a requirements file asks for here, name to version."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    here = [Requirement(line) for line in lines]
    here = [pin for pin in here if pin.marker is None or pin.marker.evaluate()]
    assert all(re.fullmatch(r"==[^,*]+", str(pin.specifier)) for pin in here)
    return {pin.name: str(pin.specifier).removeprefix("==") for pin in here}


def asked_for(project):
    """Return the ranges of the package, with OpenCV's; torch comes before all others."""
    lines = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["opencv"],
    ]
    ranges = {Requirement(line).name: Requirement(line).specifier for line in lines}
    del ranges["torch"]
    return ranges


def test_the_pinned_requirements_lie_in_the_ranges_of_the_package(repository, project):
    pinned, ranges = pins(repository / "requirements.txt"), asked_for(project)
    # New environments, and images, get what makes the networks faster, too.
    (onnx,) = project["project"]["optional-dependencies"]["onnx"]
    ranges["onnx"] = Requirement(onnx).specifier
    assert pinned.keys() == ranges.keys()
    assert all(ranges[name].contains(version) for name, version in pinned.items())


def test_the_lowest_requirements_are_the_lower_ends_of_the_ranges(repository, project):
    lowest = pins(repository / "requirements-lowest.txt")
    lower_ends = {
        name: Version(str(specifier).removeprefix(">="))
        for name, specifier in asked_for(project).items()
    }
    assert {name: Version(version) for name, version in lowest.items()} == lower_ends


def test_neither_opencv_nor_the_openmmlab_packages_are_dependencies(project):
    """Each would write over an OpenCV or a setuptools that is there."""
    names = {Requirement(line).name for line in project["project"]["dependencies"]}
    assert not {"mmpose", "mmengine", "mmcv-lite", "mmcv", "setuptools"} & names
    assert not {name for name in names if name.startswith("opencv")}


def test_the_install_page_gives_the_commands_of_the_files(repository, project):
    """The Makefile, the Dockerfiles, the error of a missing MMPose and the page say the same."""
    lines = (repository / "docs" / "install.md").read_text().splitlines()
    page = {line.strip() for line in lines if line.startswith("    ")}
    installs = {line.removeprefix("pip install ") for line in page if line.startswith("pip inst")}
    no_deps = MMPOSE_INSTALL.removeprefix("pip install ")
    new, existing = ["torch==2.13.0", "-r requirements.txt", f"{no_deps} -e ."], [".", no_deps]
    extras = {f'".[{name}]"' for name in ("opencv", "headless")}
    assert installs == {*new, *existing, *extras, "onnxruntime-gpu"}
    assert {"opencv", "headless"} <= project["project"]["optional-dependencies"].keys()
    makefile = (repository / "Makefile").read_text()
    assert f"TORCH ?= {new[0]}\n" in makefile
    for command in (f"{new[1]} -r requirements-dev.txt", new[2]):
        assert f"$(PIP) {command}\n" in makefile
    for name in ("Dockerfile.cpu", "Dockerfile.cuda"):
        text = (repository / "docker" / name).read_text()
        for command in (new[0], new[1], f"{no_deps} ."):
            assert f"{command}\n" in text, (name, command)
        assert f"docker build -f docker/{name} -t skelact:{name.partition('.')[2]} ." in page
