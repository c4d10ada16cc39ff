"""Installing into an environment that exists: it stays as it was, and the chain runs in it.

The environments are new ones. torch, which may be gigabytes, is not fetched for them: the files
of the one that runs the tests are linked (hard links: nothing done there reaches the original).
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import venv
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from packaging.requirements import Requirement

from skelact.pipeline.config import load_label_names
from skelact.pose_extract.nets.mmpose_adapter import MMPOSE_INSTALL

# numpy 1.26 has wheels up to Python 3.12.
NUMPY = "numpy==1.26.4" if sys.version_info < (3, 13) else "numpy==2.1.0"
# The last but some releases of an environment that was set up for other work, and a setuptools that
# has no pkg_resources any more.
EXISTING = (NUMPY, "opencv-python-headless==4.10.0.84", "setuptools==84.2.1")


def with_requirements(name):
    """Return a distribution with all that it needs here but setuptools, which is chosen below."""
    found, todo = {}, [name]
    while todo:
        distribution = importlib.metadata.distribution(todo.pop())
        if distribution.name in found:
            continue
        found[distribution.name] = distribution
        for line in distribution.requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(requirement.name)
    found.pop("setuptools", None)
    return list(found.values())


class Environment:
    """A virtual environment that knows nothing of this one, of the shared data or the clone."""

    def __init__(self, folder):
        self.folder = folder
        self.bin = folder / "env" / "bin"
        venv.create(folder / "env", with_pip=True, symlinks=True)

    def run(self, *command, check=True):
        """Run a program of the environment's bin folder; return the finished process."""
        hidden = ("PYTHONPATH", "SKELACT_SHARED", "SKELACT_WEIGHTS")
        variables = {name: value for name, value in os.environ.items() if name not in hidden}
        variables |= {
            "SKELACT_SHARED": str(self.folder / "no shared folder"),
            "SKELACT_CACHE": str(self.folder / "cache"),
            "COLUMNS": "200",
        }
        done = subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=self.folder,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    def install(self, *arguments, check=True):
        """Run pip install."""
        return self.run("pip", "install", "--quiet", *arguments, check=check)

    def freeze(self):
        """Return pip's list of what is installed, setuptools included, without skelact."""
        lines = set(self.run("pip", "freeze", "--all").stdout.splitlines())
        return {line for line in lines if not line.startswith(("skelact ", "skelact="))}

    def link(self, distribution):
        """Place the files of a distribution of this environment into that one."""
        site = self.run("python", "-c", "import sysconfig as s; print(s.get_path('purelib'))")
        target = Path(site.stdout.strip())
        for file in distribution.files:
            source = Path(file.locate())
            if ".." in file.parts or not source.is_file():
                continue  # its commands, which nothing here calls
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, target / file)
            except FileExistsError:
                continue
            except OSError:  # another file system
                shutil.copyfile(source, target / file)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Write a clip of an upright block that slides to the right."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 128, 160, "yuv420p"
        for i in range(12):
            image = np.full((160, 128, 3), 90, np.uint8)
            image[30:130, 40 + i : 80 + i] = (200, 150, 120)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        file.mux(stream.encode())
    return path


def make_environment(folder, *requirements):
    """Return an environment with torch and these; skip the test where pip reaches no packages."""
    environment = Environment(folder)
    for distribution in with_requirements("torch"):
        environment.link(distribution)
    done = environment.install(*requirements, check=False)
    if done.returncode:
        pytest.skip(f"pip reaches no packages: {done.stderr.strip().splitlines()[-1]}")
    return environment


def check_prediction(environment, clip):
    """Check that a clip is labelled, or unknown, by the shipped networks alone.

    The whole frame is the person's box, so that the label does not hang on a detection.
    """
    out = environment.folder / "prediction.json"
    environment.run("skelact", "predict", clip, "--json", out, "--detector", "whole-frame")
    (prediction,) = json.loads(out.read_text())
    labels = [item["label"] for item in prediction["top_k"]]
    assert len(labels) == 5
    assert set(labels) <= set(load_label_names("penn_action"))
    assert prediction["label"] == (None if prediction["unknown"] else labels[0])
    # The detector too, on frames in which it may find no person.
    done = environment.run("skelact", "predict", clip, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0 or "no person was found" in done.stdout


@pytest.mark.slow
def test_an_environment_that_exists_stays_as_it_was_and_predicts(source_tree, tmp_path, clip):
    """The two commands of docs/install.md, with numpy 1.26 and a headless OpenCV there."""
    environment = make_environment(tmp_path, *EXISTING)
    before = environment.freeze()
    assert {*EXISTING} <= before
    assert any(line.startswith("torch==") for line in before)

    environment.install(str(source_tree))
    done = environment.run("skelact", "predict", clip, check=False)
    assert done.returncode == 1
    assert MMPOSE_INSTALL in done.stderr
    environment.install(*MMPOSE_INSTALL.removeprefix("pip install ").split())

    after = environment.freeze()
    assert before <= after
    added = {line.partition("==")[0].lower() for line in after - before}
    assert {"mmpose", "mmengine", "mmcv-lite", "decord2"} <= added
    assert not {name for name in added if name.startswith(("opencv", "torch", "nvidia"))}
    # MMEngine runs without the module that this setuptools no longer has.
    assert environment.run("python", "-c", "import pkg_resources", check=False).returncode == 1
    check_prediction(environment, clip)

    findings = json.loads(environment.run("skelact", "doctor", "--json").stdout)
    status = {finding["what"]: finding["status"] for finding in findings}
    assert status["opencv-python-headless"] == "ok"
    assert status["numpy"] == "ok"
    assert status["mmpose"] == "ok"


@pytest.mark.slow
@pytest.mark.skipif(
    "SKELACT_TEST_LOWEST" not in os.environ, reason="set SKELACT_TEST_LOWEST=1 to run it"
)
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the lowest releases are for 3.11")
def test_the_lower_ends_of_the_ranges_predict(source_tree, tmp_path, clip):
    environment = make_environment(
        tmp_path, "-r", source_tree / "requirements-lowest.txt", "setuptools==77.0.3"
    )
    before = environment.freeze()
    environment.install(f"{source_tree}[opencv]")
    assert environment.freeze() == before  # they are what the package asks for, and enough
    environment.install(*MMPOSE_INSTALL.removeprefix("pip install ").split())
    check_prediction(environment, clip)
    for decoder in ("decord", "pyav"):
        overlay = tmp_path / f"{decoder}.mp4"
        environment.run(
            "skelact", "predict", clip, "--decoder", decoder, "--detector", "whole-frame",
            "--overlay", overlay,
        )  # fmt: skip
        assert overlay.stat().st_size > 1000
