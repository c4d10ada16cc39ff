"""Model files: what is saved is loaded; what does not fit is refused; older files still load."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from skelact.pose_extract.detect.build import build_detector
from skelact.pose_extract.nets.lite_hrnet import LiteHRNet
from skelact.pose_extract.nets.rtmdet import RTMDetNano
from skelact.pose_extract.nets.shapes import RTMDetShape, SlimHRNet
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
    shipped = {"detector-320": "rtmdet", "pose-256x192": "lite_hrnet", "aligner-96": "slim_hrnet"}
    for name, expected in shipped.items():
        values = json.loads(find_weights(f"skelact-{name}").with_suffix(".json").read_text())
        assert values["network"]["type"] == expected
        assert values["format_version"] == 2


@pytest.mark.parametrize(
    ("name", "kind", "network", "shape"),
    [
        ("skelact-detector-320", "finder", {"rtmdet_width": 16}, RTMDetShape(width=16)),
        ("skelact-pose-256x192", "pose", {"lite_depth": 18}, LiteHRNet(depth=18)),
        ("skelact-aligner-96", "aligner",
         {"width": 8, "blocks": 1, "modules": [1, 1, 1], "bottleneck": 8},
         SlimHRNet(8, 1, (1, 1, 1), 8)),
    ],
)  # fmt: skip
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
    # The record of the training stays as it was written, but for the setting that is read.
    assert meta.config == old | {"pose": {"rotated_prob": 0.7, "half_prob": 0.1}}


def test_an_old_detector_finds_what_the_shipped_one_finds(tmp_path):
    info = copy_of("skelact-detector-320", tmp_path)
    as_version_1(info, kind="finder", network={"rtmdet_width": 16})
    old, new = (build_detector(name, device="cpu") for name in (str(info), "skelact-detector-320"))
    assert old.identity()["sha256"] == new.identity()["sha256"]
    old.load()
    new.load()
    x = torch.zeros(1, 64, 64, 3, dtype=torch.uint8).numpy()
    assert all(torch.equal(a, b) for a, b in zip(old._net(x), new._net(x)))


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


@pytest.mark.parametrize(("kind", "build"), [("finder", build_detector), ("pose", PoseEstimator)])
def test_networks_that_are_run_no_more_say_so(kind, build, tmp_path):
    info = copy_of("skelact-aligner-96", tmp_path)
    slim = {"width": 16, "blocks": 1, "modules": [1, 2, 1], "bottleneck": 16}
    as_version_1(info, kind=kind, network=slim)
    with pytest.raises(WeightsError, match=r"got SlimHRNet.* does not run; train another"):
        build(str(info), device="cpu").load()


def test_weights_of_another_network_are_refused(tmp_path):
    _, info = save(tmp_path / "mine")
    with pytest.raises(WeightsError, match="do not fit their JSON"):
        load_bundle_weights(info, RTMDetNano(RTMDetShape(width=4)))


@pytest.mark.parametrize("use", [find_weights, identify_weights, build_detector])
def test_a_name_of_an_earlier_version_is_an_error_that_names_the_new_one(use):
    with pytest.raises(WeightsError, match="'skelact-finder-320' are now .*'skelact-detector-320'"):
        use("skelact-finder-320")
    assert "skelact-finder-320" not in WEIGHTS
