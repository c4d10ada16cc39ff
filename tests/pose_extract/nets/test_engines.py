"""What runs networks: the same answers from all engines, chosen once and remembered."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from skelact import SkelactError
from skelact.pose_extract.nets import engine_choice
from skelact.pose_extract.nets.engine_choice import choose_engine, fingerprint
from skelact.pose_extract.nets.engines import EngineOptions, ImageNetwork

MEAN, STD = (10.0, 20.0, 30.0), (1.0, 2.0, 4.0)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """A cache of the user's that is empty."""
    monkeypatch.setenv("SKELACT_CACHE", str(tmp_path))
    return tmp_path / "engines"


def network(seed=0, **settings):
    """The three channels themselves, and a convolution of them."""
    torch.manual_seed(seed)

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, x):
            return [x, self.conv(x)]

    return ImageNetwork(Both(), MEAN, STD, input_hw=(8, 6), **settings).eval()


def options(engine, **settings):
    return EngineOptions(engine, device="cpu", num_threads=1, **settings)


@pytest.mark.parametrize("engine", ["auto", "pytorch", "onnxruntime", "openvino"])
@pytest.mark.parametrize("reverse", [False, True])
def test_images_are_normalised_and_run(engine, reverse):
    if engine == "openvino":
        pytest.importorskip("openvino", reason="needs openvino (pip install openvino)")
    run = choose_engine(network(reverse=reverse), options(engine))
    images = network().example(11)  # more than are run at a time
    images[0] = (12, 24, 50)  # R, G, B
    channels, convolved = run(images)
    # (12 - 10) / 1, (24 - 20) / 2, (50 - 30) / 4; in BGR the means and deviations are B's first.
    expected = [40.0, 2.0, -4.5] if reverse else [2.0, 2.0, 5.0]
    assert channels[0, :, 3, 2] == pytest.approx(expected)
    assert channels.shape == (11, 3, 8, 6)
    assert convolved.dtype == np.float32
    with torch.inference_mode():
        plain = network(reverse=reverse)(torch.from_numpy(images))[1].numpy()
    assert np.allclose(convolved, plain, atol=1e-4)


def test_half_precision_gives_what_autocast_gives_and_leaves_the_network_as_it_is():
    whole = network()
    images = torch.from_numpy(whole.example(3))
    half = whole.with_dtype(torch.bfloat16)
    with torch.inference_mode():
        found = half(images)[1]
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(found, whole(images)[1])
        assert not torch.equal(found.float(), whole(images)[1])
    assert {value.dtype for value in half.parameters()} == {torch.bfloat16}
    assert {value.dtype for value in whole.parameters()} == {torch.float32}
    assert half.mean.dtype == torch.float32
    assert whole.with_dtype(torch.float32) is whole


def test_an_image_gives_the_same_whatever_is_beside_it():
    run = choose_engine(network(), options("onnxruntime"))
    images = network().example(7)
    together = run(images)[1]
    for count in (1, 2, 3):
        assert np.array_equal(run(images[:count])[1], together[:count])


def test_only_networks_that_may_take_images_of_another_size():
    images = np.zeros((2, 16, 12, 3), np.uint8)
    run = choose_engine(network(any_size=True), options("onnxruntime"))
    assert run(images)[1].shape == (2, 4, 16, 12)
    fixed = choose_engine(network(), options("onnxruntime"))
    with pytest.raises(Exception, match="Got: 16 Expected: 8"):
        fixed(images)


def test_the_fastest_is_measured_once(cache, monkeypatch):
    choose_engine(network(), options("auto"))
    (path,) = cache.glob("*.json")
    assert path.stem == fingerprint(network()) != fingerprint(network(seed=1))
    (note,) = json.loads(path.read_text()).values()
    assert note["engine"] == min(note["milliseconds"], key=note["milliseconds"].get)
    assert {*note["milliseconds"], *note["left_out"]} == {"pytorch", "onnxruntime", "openvino"}
    assert not list(cache.glob("*.lock"))

    def never(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(engine_choice._CachedNetwork, "_measured", never)
    for engine in ("pytorch", "onnxruntime"):
        # What is noted is taken with any number of threads; a note of another machine is none.
        notes = {
            key: note | {"engine": engine} for key, note in json.loads(path.read_text()).items()
        }
        path.write_text(json.dumps(notes))
        for threads in (1, 2):
            choice = EngineOptions("auto", device="cpu", num_threads=threads)
            assert choose_engine(network(), choice).name == engine
    monkeypatch.setattr(engine_choice, "processor_name", lambda: "another processor")
    with pytest.raises(AssertionError, match="measured again"):
        choose_engine(network(), options("auto"))


@pytest.mark.parametrize("content", ["", "[1]", '{"a": {"engine": "evil"}}', '{"a": 1}'])
def test_damaged_notes_and_files_are_made_anew(cache, content):
    choose_engine(network(), options("auto"))
    (notes,) = cache.glob("*.json")
    notes.write_text(content)
    (file,) = cache.glob("*.onnx")
    file.write_bytes(b"damaged")
    assert choose_engine(network(), options("onnxruntime"))(network().example(1))
    assert file.stat().st_size > 100
    choose_engine(network(), options("auto"))
    assert "milliseconds" in notes.read_text()


def test_an_engine_that_gives_something_else_is_refused(monkeypatch):
    real = engine_choice._OTHERS["onnxruntime"]

    class Wrong:
        name = "onnxruntime"

        def __init__(self, path, options):
            self._engine = real(path, options)

        def __call__(self, images):
            return [output + 0.01 * output.max() for output in self._engine(images)]

    monkeypatch.setitem(engine_choice._OTHERS, "onnxruntime", Wrong)
    with pytest.raises(SkelactError, match=r"differ from PyTorch's by 0\.01"):
        choose_engine(network(), options("onnxruntime"))
    assert choose_engine(network(), options("auto")).name != "onnxruntime"


def test_without_onnx_it_is_pytorch(cache, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnx" else real(name)
    )
    assert choose_engine(network(), options("auto")).name == "pytorch"
    (path,) = cache.glob("*.json")
    (note,) = json.loads(path.read_text()).values()
    assert "pip install onnx" in note["left_out"]["onnxruntime"]
    with pytest.raises(SkelactError, match="pip install onnx"):
        choose_engine(network(), options("onnxruntime"))


def test_what_an_engine_cannot_do_is_said():
    with pytest.raises(SkelactError, match="onnxruntime computes in fp32"):
        choose_engine(network(), options("onnxruntime", precision="bf16"))
    assert choose_engine(network(), options("auto", precision="bf16")).name == "pytorch"


def test_without_a_cache_that_can_be_written_it_is_pytorch(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SKELACT_CACHE", str(tmp_path / "file"))
    assert choose_engine(network(), options("auto")).name == "pytorch"
    with pytest.raises(SkelactError, match="SKELACT_CACHE names another folder"):
        choose_engine(network(), options("onnxruntime"))


def test_onnx_runtime_sends_nothing_and_leaves_nothing(tmp_path):
    script = (
        "from skelact.pose_extract.nets.onnx_files import import_onnxruntime; "
        "import_onnxruntime().get_available_providers()"
    )
    # Nothing else: where variables tell of CI, it sends nothing by itself.
    names = ("TMPDIR", "XDG_CACHE_HOME", "HOME")
    environment = {"PATH": os.environ["PATH"]} | dict.fromkeys(names, str(tmp_path))
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    assert list(tmp_path.rglob("*")) == []
