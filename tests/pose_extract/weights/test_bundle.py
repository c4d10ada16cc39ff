"""Model files: what is saved is loaded; what does not fit is refused; older files still load."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors

from skelact.pose_extract.common.files import sha256_of
from skelact.pose_extract.detect.build import build_detector
from skelact.pose_extract.nets.lite_hrnet import LiteHRNet
from skelact.pose_extract.nets.rtmdet import RTMDetNano
from skelact.pose_extract.nets.shapes import RTMDetShape
from skelact.pose_extract.pose.estimator import PoseEstimator
from skelact.pose_extract.weights.bundle import (
    BundleMeta,
    bundle_pair,
    load_bundle_weights,
    read_bundle,
    save_bundle,
)
from skelact.pose_extract.weights.download import find_weights, identify_weights
from skelact.pose_extract.weights.table import WEIGHTS, WeightsError

SHAPE = RTMDetShape(width=2)


def save(path):
    torch.manual_seed(0)
    network = RTMDetNano(SHAPE).eval()
    meta = BundleMeta(kind="detector", input_wh=(64, 64), network=SHAPE, seed=3)
    return network, save_bundle(path, network, meta)


def as_version_1(info, **changes):
    """Rewrite a shipped bundle's JSON as the first version of the format had it."""
    values = json.loads(info.read_text()) | {"format_version": 1} | changes
    info.write_text(json.dumps(values))


def copy_of(name, folder):
    path = find_weights(name)
    for file in bundle_pair(path):
        shutil.copy(file, folder)
    return folder / path.with_suffix(".json").name


def test_what_is_saved_is_loaded_and_kernels_take_half_the_room(tmp_path):
    network, info = save(tmp_path / "mine.1")
    assert info.name == "mine.1.json"
    meta = read_bundle(info, "detector")
    assert (meta.network, meta.input_wh, meta.seed) == (SHAPE, (64, 64), 3)
    tensors = load_file(bundle_pair(info)[0])
    assert all((t.dtype == torch.float16) == (t.dim() == 4) for t in tensors.values())
    loaded = RTMDetNano(SHAPE).eval()
    load_bundle_weights(info, loaded)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert all(torch.allclose(a, b, atol=1e-2) for a, b in zip(network(x), loaded(x)))


def test_the_json_says_the_type_of_the_network_in_words(tmp_path):
    _, info = save(tmp_path / "mine")
    assert json.loads(info.read_text())["network"] == {"type": "rtmdet", "width": 2}
    shipped = {"detector-320": "rtmdet", "litehrnet18-256x192": "lite_hrnet"}
    for name, expected in shipped.items():
        values = json.loads(find_weights(f"skelact-{name}").with_suffix(".json").read_text())
        assert values["network"]["type"] == expected
        assert values["format_version"] == 2


@pytest.mark.parametrize(
    ("name", "kind", "network", "shape"),
    [
        ("skelact-detector-320", "finder", {"rtmdet_width": 16}, RTMDetShape(width=16)),
        ("skelact-litehrnet18-256x192", "pose", {"lite_depth": 18}, LiteHRNet(depth=18)),
    ],
)
def test_bundles_of_the_first_version_load_as_the_present_ones(
    name, kind, network, shape, tmp_path
):
    info = copy_of(name, tmp_path)
    present = read_bundle(info)
    old = {
        "kind": kind,
        "optim": {"kind": "muon"},
        "apart_epochs": 2,
        "bell_weight": 0.0,
        "init_share": 0.25,
        "pictures": {"hide_prob": 0.3, "color": 0.1},
        "pose": {"turned_prob": 0.7, "half_prob": 0.1},
        "finder": {"turned_prob": 0.5},
    }
    as_version_1(info, kind=kind, network=network, config=old)
    meta = read_bundle(info, present.kind)
    assert (meta.kind, meta.network) == (present.kind, shape)
    assert meta.network == present.network
    # The record of the training stays as it was written.
    assert meta.config == old


def test_an_old_detector_finds_what_the_shipped_one_finds(tmp_path):
    info = copy_of("skelact-detector-320", tmp_path)
    as_version_1(info, kind="finder", network={"rtmdet_width": 16})
    old, new = (build_detector(name, device="cpu") for name in (str(info), "skelact-detector-320"))
    assert old.identity()["sha256"] == new.identity()["sha256"]
    old.load()
    new.load()
    x = np.zeros((1, 64, 64, 3), np.uint8)
    assert all(np.array_equal(a, b) for a, b in zip(old._engine(x), new._engine(x)))


def test_a_pair_that_does_not_belong_together_is_refused(tmp_path):
    _, info = save(tmp_path / "mine")
    with pytest.raises(WeightsError, match="expected a network of kind 'pose', got 'detector'"):
        read_bundle(info, "pose")
    values = json.loads(info.read_text())
    info.write_text(json.dumps(values | {"weights_sha256": "0" * 64}))
    with pytest.raises(WeightsError, match="do not belong together"):
        read_bundle(info)
    with pytest.raises(WeightsError, match="do not belong together"):
        load_bundle_weights(info, RTMDetNano(SHAPE))
    info.write_text(json.dumps(values | {"format_version": 3}))
    with pytest.raises(WeightsError, match="expected format_version 1 to 2, got 3"):
        read_bundle(info)
    info.write_text(json.dumps(values | {"network": {"type": "vgg"}}))
    with pytest.raises(WeightsError, match="expected the JSON of a model file"):
        read_bundle(info)
    info.write_text("{}")
    with pytest.raises(WeightsError, match="expected the JSON of a model file"):
        PoseEstimator(str(info))
    with pytest.raises(WeightsError, match=r"no file .*none\.json"):
        PoseEstimator(str(tmp_path / "none.json"))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("kind", "build"),
    [("finder", build_detector), ("pose", PoseEstimator), ("aligner", PoseEstimator)],
)
def test_networks_that_are_run_no_more_say_so(kind, build, version, tmp_path):
    _, info = save(tmp_path / "mine")
    slim = {"width": 16, "blocks": 1, "modules": [1, 2, 1], "bottleneck": 16}
    if version == 1:
        as_version_1(info, kind=kind, network=slim)
    else:
        network = {"type": "slim_hrnet", **slim}
        info.write_text(
            json.dumps(json.loads(info.read_text()) | {"kind": kind, "network": network})
        )
    what = "aligner" if kind == "aligner" else "slim_hrnet"
    with pytest.raises(WeightsError, match=f"this version no longer runs '{what}' networks"):
        build(str(info), device="cpu").load()


@pytest.mark.parametrize(("kind", "build"), [("detector", build_detector), ("pose", PoseEstimator)])
def test_a_network_of_another_shape_than_its_kind_is_refused(kind, build, tmp_path):
    _, info = save(tmp_path / "mine")
    shape = {"pose": {"type": "rtmdet", "width": 2}, "detector": {"type": "lite_hrnet"}}[kind]
    info.write_text(json.dumps(json.loads(info.read_text()) | {"kind": kind, "network": shape}))
    with pytest.raises(WeightsError, match=f"a {kind}: expected .*, got "):
        build(str(info), device="cpu").load()


def test_weights_of_another_network_are_refused(tmp_path):
    _, info = save(tmp_path / "mine")
    with pytest.raises(WeightsError, match="do not fit their JSON"):
        load_bundle_weights(info, RTMDetNano(RTMDetShape(width=4)))


@pytest.mark.parametrize("use", [find_weights, identify_weights, build_detector, PoseEstimator])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("skelact-finder-320", "are now called 'skelact-detector-320'"),
        ("skelact-pose-256x192", "no longer ship: 'skelact-litehrnet18-256x192' takes their place"),
        ("skelact-aligner-96", "no longer ship: 'skelact-litehrnet18-256x192' needs no aligner"),
    ],
)
def test_a_name_of_an_earlier_version_is_an_error_that_names_the_new_one(use, name, message):
    with pytest.raises(WeightsError, match=f"the weights {name!r} {message}"):
        use(name)
    assert name not in WEIGHTS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"later": 1}, "unknown key 'later'"),
        ({"format_version": True}, "expected format_version 1 to 2, got True"),
        ({"format_version": [2]}, r"expected format_version 1 to 2, got \[2\]"),
        ({"kind": "finger"}, "kind: expected one of pose, detector, got"),
        ({"seed": "3"}, "seed: expected a whole number"),
        ({"input_wh": [64]}, "input_wh: expected a list of 2"),
        ({"input_wh": [64, 10**9]}, "input_wh: expected sides of 32 to 2048"),
        ({"network": {"type": ["rtmdet"]}}, "unhashable"),
        ({"network": {"width": 2}}, "KeyError"),
        ({"network": {"type": "rtmdet", "width": 10**6}}, "width: expected 1 to 80"),
        ({"network": {"type": "rtmdet", "width": "2"}}, "width: expected a whole number"),
        ({"network": {"type": "rtmdet", "depth": 2}}, "unknown key 'depth'"),
        ({"network": {"type": "lite_hrnet", "depth": 10**9}}, "depth: expected 18"),
        ({"network": None}, "NoneType"),
        ({"config": []}, "config: expected a mapping"),
        ({"weights_sha256": None}, "weights_sha256: expected text"),
    ],
)  # fmt: skip
def test_a_json_that_asks_for_something_else_is_an_error_before_memory_is_taken(
    tmp_path, change, message
):
    _, info = save(tmp_path / "mine")
    info.write_text(json.dumps(json.loads(info.read_text()) | change))
    with pytest.raises(WeightsError, match=message) as raised:
        read_bundle(info)
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 10**5, '{"format_version": 2', "\x00"])
def test_text_that_is_no_json_of_a_model_file(tmp_path, text):
    _, info = save(tmp_path / "mine")
    info.write_text(text)
    with pytest.raises(WeightsError, match="expected the JSON of a model file"):
        read_bundle(info)


def changed_weights(info, content):
    """Replace the weights of a pair, and let its JSON name them."""
    weights, _ = bundle_pair(info)
    weights.write_bytes(content)
    values = json.loads(info.read_text())
    info.write_text(json.dumps(values | {"weights_sha256": sha256_of(weights)}))


@pytest.mark.parametrize("what", ["empty", "cut", "header of 2^62 bytes", "other names", "nan"])
def test_weights_that_are_damaged_or_no_numbers(tmp_path, what):
    network, info = save(tmp_path / "mine")
    content = bundle_pair(info)[0].read_bytes()
    tensors = {name: value.clone() for name, value in network.state_dict().items()}
    tensors[next(iter(tensors))].view(-1)[0] = float("nan")
    changed_weights(
        info,
        {
            "empty": b"",
            "cut": content[:-100],
            "header of 2^62 bytes": (1 << 62).to_bytes(8, "little") + content[8:],
            "other names": save_tensors({"x": torch.zeros(2)}),
            "nan": save_tensors(tensors),
        }[what],
    )
    assert read_bundle(info).kind == "detector"
    with pytest.raises(WeightsError, match="do not fit their JSON|expected finite weights"):
        load_bundle_weights(info, RTMDetNano(SHAPE))
