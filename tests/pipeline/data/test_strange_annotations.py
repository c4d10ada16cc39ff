"""Annotation files with a strange value anywhere: clear errors, or finite clips."""

from __future__ import annotations

import collections
import copy
import pickle

import numpy as np
import pytest
import torch
from skeletons import ACTIONS, make_annotations, write_annotations

from skelact import SkelactError
from skelact.pipeline.data.annotations import load_annotations
from skelact.pipeline.data.clip_store import ClipStore
from skelact.pipeline.data.labels import match_labels
from skelact.pipeline.data.preprocess import PreprocessConfig

STRANGE = [
    None, True, -1, 2.5, float("nan"), float("inf"), 1 << 70, -(1 << 70), 1j, "", "x", b"x",
    "\x1b[31m", "\ud800", "a" * 100_000, [], [[]], {}, {"a": 1}, (), set(), frozenset([1]),
    slice(1), collections.OrderedDict(), np.int8(-3), np.array("x"), np.zeros(0),
    np.zeros((0, 0, 17, 2)), np.zeros((0, 5, 17, 2)), np.zeros((3, 0, 17, 2)),
    np.full((1, 5, 17, 2), None), np.zeros((1, 5, 17, 2), "U3"), np.full((1, 5, 17, 2), np.nan),
    np.full((1, 5, 17, 2), 3e38, np.float32), np.full((1, 5, 17, 2), 1e-40),
    np.full((1, 5, 17, 2), 1e300),
]  # fmt: skip


def paths(value, before=()):
    yield before
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(inner, (*before, key))


def changed(data, path, rng):
    """Return a copy with the value at a path removed or replaced."""
    data = copy.deepcopy(data)
    if not path:
        return STRANGE[rng.integers(len(STRANGE))]
    holder = data
    for key in path[:-1]:
        holder = holder[key]
    if rng.random() < 0.2:
        del holder[path[-1]]
    else:
        holder[path[-1]] = STRANGE[rng.integers(len(STRANGE))]
    return data


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_strange_value_anywhere_is_an_error_or_finite(tmp_path):
    path = tmp_path / "a.pkl"
    write_annotations(path, make_annotations(1), make_annotations(1, seed=1), label_names=ACTIONS)
    whole = pickle.loads(path.read_bytes())
    places, rng = list(paths(whole)), np.random.default_rng(0)
    found = collections.Counter()
    for _ in range(600):
        data = changed(whole, places[rng.integers(len(places))], rng)
        path.write_bytes(pickle.dumps(data))
        try:
            read = load_annotations(path)
            for split in read.splits:
                clips, _ = match_labels(read, read.select(split), ACTIONS)
                assert {clip.label for clip in clips} <= {0, 1, 2}
                store = ClipStore(clips, PreprocessConfig(clip_len=8, in_channels=3))
                batch = store.batch(torch.arange(len(store)), torch.device("cpu"))
                assert torch.isfinite(batch).all()
            found["read"] += 1
        except SkelactError as error:
            found["refused", len(str(error)) < 9000] += 1
    assert found["refused", False] == 0
    assert found["refused", True] > 300
    assert found["read"] > 50
