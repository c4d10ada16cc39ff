"""The model file of the network that reads flights."""

from __future__ import annotations

import json

import pytest
import torch

from skelact import SkelactError
from skelact.pipeline.checkpoints.flight_factors import (
    FlightFactorsMeta,
    build_flight_net,
    load_flight_net,
    save_flight_net,
)
from skelact.pipeline.network_config import FlightNetConfig

SHAPE = FlightNetConfig(fold=2, widths=(8, 16), strides=(1, 2), hidden=8)


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    net = build_flight_net(SHAPE, 8, 6).eval()
    meta = FlightFactorsMeta(SHAPE, 8, 6, {"a": 1}, {"windows": 3}, 7, {})
    return save_flight_net(tmp_path / "net", net, meta), net


def test_what_is_saved_is_loaded(saved):
    path, net = saved
    loaded, meta = load_flight_net(path)
    assert (meta.network, meta.seed, meta.data) == (SHAPE, 7, {"windows": 3})
    joints, facts = torch.randn(2, 8, 17, 8), torch.randn(2, 6)
    for name, logits in net(joints, facts).items():
        torch.testing.assert_close(loaded(joints, facts)[name], logits, atol=0.01, rtol=0.02)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("kind", "classifier", "flight_factors"),
        ("channels", 10**9, "channels: expected 1 to"),
        ("network", {"widths": [7]}, "widths: expected multiples"),
        ("network", {"hidden": 10**9}, "layers"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(saved, key, value, said):
    path, _ = saved
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {key: value}))
    with pytest.raises(SkelactError, match=said):
        load_flight_net(path)


def test_weights_of_another_file_are_refused(saved):
    path, _ = saved
    weights = path.with_suffix(".safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(SkelactError, match="do not belong together"):
        load_flight_net(path)
