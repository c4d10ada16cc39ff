"""Directions of imports between folders, held over all relative imports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

# Each folder or file may import those before it in its list, never those after it. New ones are
# added here; the order follows a clip on its way to a label where imports leave the choice.
POSE_EXTRACT = [
    "layout", "skeleton", "common", "effort", "decode", "lists", "folders", "sources", "nets",
    "weights", "detect", "pose", "track", "extract", "store", "folder_run", "tasks",
    "inference_process", "workers", "ray_node", "ray_cluster", "batch",
]  # fmt: skip
PIPELINE = [
    "yaml_file", "angles", "data", "network_config", "optim_config", "pretext_config", "config",
    "checkpoints", "elements", "drawing", "inference", "export", "report", "app", "evaluation",
    "training", "synth", "distill", "pose_training", "flight_training", "learn", "cli",
]  # fmt: skip
# What reads a video with a library of its own.
OPENERS = ("av.open", "decord.VideoReader", "cv2.VideoCapture")
# They make weights and data; no prediction and no training imports them, and the commands pass on
# what they make.
WORKSHOP = {("pipeline", name) for name in ("synth", "distill", "pose_training", "flight_training")}
PACKAGES = ("configs", "pose_extract", "models", "pipeline")


def files(root):
    return [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]


def imports(path, root):
    """Return the modules and folders, as parts of their path, that a file imports relatively.

    Imports inside functions and under TYPE_CHECKING count too.
    """
    folder = path.relative_to(root).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            start = folder[: len(folder) - node.level + 1]
            module = (*start, *(node.module.split(".") if node.module else ()))
            for alias in node.names:
                inner = (*module, alias.name)
                is_module = root.joinpath(*inner).is_dir() or module_file(inner, root).is_file()
                found.add(inner if is_module else module)
    return found


def module_file(parts, root):
    return root.joinpath(*parts).with_suffix(".py") if parts else root / "__init__.py"


def box(parts):
    """Return the package and the folder or file in it: ("pose_extract", "track")."""
    return tuple(Path(part).stem for part in parts[:2])


def arrows(root):
    """Return (file, what it imports), both as parts of their path, without those inside a box."""
    pairs = []
    for path in files(root):
        name = path.relative_to(root).parts
        for target in sorted(imports(path, root)):
            if box(name) != box(target):
                pairs.append((name, target))
    return pairs


def backward(root):
    """Return the imports that run against the order, as lines."""
    places = {("pose_extract", name): i for i, name in enumerate(POSE_EXTRACT)}
    places |= {("pipeline", name): i for i, name in enumerate(PIPELINE)}
    wrong = []
    for name, target in arrows(root):
        if not target:
            continue  # the package root: the version and the errors, which stand on nothing
        mine, theirs = box(name), box(target)
        if mine[0] == theirs[0] == "models":
            allowed = True
        elif mine[0] == "models":
            allowed = theirs == ("pose_extract", "layout")
        elif mine[0] == theirs[0]:
            allowed = places.get(theirs, 99) < places.get(mine, -1)
        else:
            allowed = mine[0] == "pipeline"
        if not allowed:
            wrong.append(f"{'/'.join(name)} imports {'/'.join(target)}")
    return wrong


def circles(root):
    """Return the files that reach themselves through imports."""
    reached = {}
    for path in files(root):
        name = path.relative_to(root).with_suffix("").parts
        reached[name] = {part for part in imports(path, root) if module_file(part, root).is_file()}
    changed = True
    while changed:
        changed = False
        for name, targets in reached.items():
            more = set().union(*(reached.get(target, set()) for target in targets)) - targets
            if more:
                reached[name] = targets | more
                changed = True
    return sorted("/".join(name) for name, targets in reached.items() if name in targets)


def test_every_folder_and_file_has_its_place(repository):
    names = {
        box(path.relative_to(repository).parts)
        for package in ("pose_extract", "pipeline")
        for path in (repository / package).rglob("*.py")
        if path.relative_to(repository).parts[1:] != ("__init__.py",)
    }
    placed = {("pose_extract", name) for name in POSE_EXTRACT}
    placed |= {("pipeline", name) for name in PIPELINE}
    assert names - placed == set(), "place them in the lists of this file"


def test_no_import_runs_back(repository):
    assert backward(repository) == []


def test_no_files_import_each_other_in_a_circle(repository):
    assert circles(repository) == []


def test_commands_alone_import_the_workshop(repository):
    users = {box(name) for name, target in arrows(repository) if box(target) in WORKSHOP}
    assert users - WORKSHOP == {("pipeline", "cli")}


def test_the_root_gives_files_the_errors_and_the_version_alone(repository):
    """The root's other names stand on the folders: a file that took one would close a circle."""
    taken = set()
    for path in files(repository):
        depth = len(path.relative_to(repository).parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == depth and node.module is None:
                taken |= {alias.name for alias in node.names}
    assert taken <= {"SkelactError", "__version__", *PACKAGES}


def test_files_import_the_package_relatively(repository):
    """An absolute import would find another copy of the package, if one is installed."""
    absolute = []
    for path in [repository / "__init__.py", *files(repository)]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            absolute += [f"{path}: {name}" for name in names if name.split(".")[0] == "skelact"]
    assert absolute == []


def test_every_folder_says_in_one_line_what_it_holds(repository):
    for path in files(repository):
        if path.name == "__init__.py":
            docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
            assert docstring, f"{path}: expected a docstring"
            assert "\n" not in docstring, f"{path}: expected one line"
    for package in PACKAGES:
        for path in (repository / package).rglob("*.py"):
            assert (path.parent / "__init__.py").is_file(), f"{path.parent}: no __init__.py"


@pytest.fixture
def house(tmp_path):
    """Build a package: track stands on decode, a network on the layout, a command on synth."""

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    write("pose_extract/layout.py", "")
    write("pose_extract/decode/video.py", "from ... import SkelactError\n")
    write("pose_extract/track/path.py", "from ..decode import video\n")
    write("models/net.py", "from ..pose_extract.layout import COCO\n")
    write("pipeline/synth/dataset.py", "from ...pose_extract.layout import COCO\n")
    write("pipeline/cli/main.py", "def run():\n    from ..synth.dataset import dives\n")
    return tmp_path, write


def test_an_arrow_that_runs_back_is_found_inside_functions_too(house):
    root, write = house
    assert backward(root) == []
    write("pose_extract/decode/video.py", "def f():\n    from ..track.path import Path\n")
    assert backward(root) == ["pose_extract/decode/video.py imports pose_extract/track/path"]
    assert circles(root) == ["pose_extract/decode/video", "pose_extract/track/path"]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("models/net.py", "from ..pose_extract.track import path",
         "models/net.py imports pose_extract/track/path"),
        ("models/net.py", "from ..pipeline.synth import dataset",
         "models/net.py imports pipeline/synth/dataset"),
        ("pose_extract/layout.py", "from ..models.net import Net",
         "pose_extract/layout.py imports models/net"),
        ("pipeline/elsewhere.py", "from .synth.dataset import dives",
         "pipeline/elsewhere.py imports pipeline/synth/dataset"),
    ],
)  # fmt: skip
def test_other_arrows_that_are_not_allowed(house, name, text, line):
    root, write = house
    write(name, text + "\n")
    assert backward(root) == [line]


def test_videos_are_opened_in_one_place(repository):
    """There only formats that name no other files are; ``av.open`` elsewhere writes."""
    door = repository / "pose_extract" / "decode" / "formats.py"
    found = []
    for path in files(repository):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in OPENERS and path != door:
                modes = [ast.unparse(argument) for argument in node.args[1:]]
                if modes != ["'w'"]:
                    found.append(f"{path.relative_to(repository)}:{node.lineno}")
    # The one line of decord's adapter: files that PyAV took first.
    assert [place.split(":")[0] for place in found] == ["pose_extract/decode/decord_adapter.py"]
