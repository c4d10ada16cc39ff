"""The door for Python users: light to import, and documented by examples that run."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
import zipfile

import av
import numpy as np
import pytest
from clips import write_clip

import skelact

HEAVY = {"torch", "numpy", "cv2", "mmpose", "mmengine", "decord", "av", "scipy", "pandas", "click"}


def test_importing_is_light_and_offers_the_names():
    code = (
        "import sys, json, skelact\n"
        "print(json.dumps([dir(skelact), list(sys.modules), skelact.__version__]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    offered, modules, version = json.loads(done.stdout)
    assert HEAVY & set(modules) == set()
    assert [name for name in modules if name.startswith("skelact.")] == []
    assert set(skelact.__all__) <= set(offered)
    assert {"extract", "predict", "Pipeline", "SkeletonSequence", "__version__"} <= set(offered)
    assert version == skelact.__version__


def test_each_name_is_the_one_that_type_checkers_see(repository):
    """The imports under TYPE_CHECKING, the lazy table and __all__ say the same."""
    tree = ast.parse((repository / "__init__.py").read_text())
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: f".{node.module}"
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == skelact._LAZY
    assert set(skelact.__all__) == set(seen) | {"SkelactError", "__version__"}
    for name in seen:
        assert getattr(skelact, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'extrakt'"):
        _ = skelact.extrakt


def test_documented_modules_say_what_is_public():
    for name, module in skelact._LAZY.items():
        if module.startswith(".pipeline"):
            assert name in importlib.import_module(module, "skelact").__all__


def test_types_are_announced(repository):
    assert (repository / "py.typed").is_file()
    assert '"skelact" = ["py.typed"]' in (repository / "pyproject.toml").read_text()


def blocks(repository, heading=None):
    """Return the python blocks of the page, or of one of its sections."""
    text = (repository / "docs" / "api.md").read_text()
    if heading:
        (text,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)


def run_blocks(found):
    names = {}
    for block in found:
        try:
            exec(compile(block, "docs/api.md", "exec"), names)
        except Exception as error:
            raise AssertionError(f"docs/api.md: this block fails:\n{block}") from error
    return names


def test_every_public_class_has_an_example(repository):
    code = "\n".join(blocks(repository))
    # Some come out of a call: what stands for them in the examples.
    written = {
        "ActionPrediction": "skelact.predict(",
        "ClipSkeletons": "skelact.extract(",
        "LabelScore": "prediction[0].label",
        "PersonPrediction": "in prediction.persons",
        "RecognisedElement": "in prediction.elements",
        "Segment": "in prediction.segments",
    }
    for name in skelact.__all__:
        if name != "__version__":
            assert written.get(name, f"skelact.{name}") in code, name


def test_frames_in_memory_need_no_file(repository, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_blocks(blocks(repository, "Frames in memory"))
    assert len(names["skeletons"]) == len(names["frames"]) == 8
    assert names["prediction"].top_k[0].label in names["model"].label_names
    assert names["image"].shape == (96, 128, 3)
    assert not np.array_equal(names["image"], names["frames"][3])
    assert list(tmp_path.iterdir()) == []


def test_the_examples_run_on_a_real_clip(repository, shared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    real = shared / "videos" / "people" / "mmaction2_demo_skeleton.mp4"
    cut_clip(real, tmp_path / "clip.mp4", num_frames=10)
    (tmp_path / "videos").mkdir()
    write_clip(tmp_path / "videos" / "a.mp4", num_frames=4)
    (tmp_path / "broken.mp4").write_text("no video")
    for num_frames, name in enumerate(("walk/a", "walk/b", "sit/c", "sit/d"), 4):
        (tmp_path / "moves" / name).parent.mkdir(parents=True, exist_ok=True)
        cut_clip(real, tmp_path / "moves" / f"{name}.mp4", num_frames)
    # Two steps of training, and not some minutes.
    found = [block.replace("steps=200", "steps=2") for block in blocks(repository)]
    try:
        import pandas  # noqa: F401
    except ImportError:
        found = [block for block in found if "to_df()" not in block]
    names = run_blocks(found)
    assert len(found) >= 8
    assert (len(names["one"]), len(names["several"])) == (3, 2)
    assert names["several"][1].video == "start"
    assert len(names["several"][1].skeletons) == 8
    assert "FFmpeg cannot read it" in names["broken"].error
    saved = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert saved == ["clip.json", "clip.npz", "clip.srt", "slow.mp4"]
    assert zipfile.is_zipfile(tmp_path / "out" / "clip.npz")
    assert names["mine"].label_names == ("sit", "walk")


def cut_clip(path, out, num_frames):
    """Write the first frames of a clip, so that examples are quick."""
    with av.open(str(path)) as source, av.open(str(out), "w") as target:
        stream = target.add_stream("libx264", rate=source.streams.video[0].average_rate)
        for index, frame in enumerate(source.decode(video=0)):
            if index == num_frames:
                break
            if index == 0:
                stream.height, stream.width, stream.pix_fmt = frame.height, frame.width, "yuv420p"
            rgb = frame.to_ndarray(format="rgb24")
            target.mux(stream.encode(av.VideoFrame.from_ndarray(rgb)))
        target.mux(stream.encode())
