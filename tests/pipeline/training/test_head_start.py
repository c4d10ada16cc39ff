"""A head that is fitted before the first step knows the training clips; the encoder stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from skeletons import make_annotations, write_annotations
from training_configs import make_config

from skelact.pipeline.config import FinetuneConfig
from skelact.pipeline.training.prepare import prepare_finetune

TUBE = {
    "model": "tube",
    "tube": {"widths": (16, 32), "strides": (2, 1), "num_heads": 4},
    "classifier": {"pooling": "mean_std"},
}


@pytest.fixture(scope="module")
def ann_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "actions.pkl"
    return write_annotations(path, make_annotations(8), make_annotations(4, seed=1))


@pytest.mark.parametrize(
    "changes",
    [
        TUBE,
        {},
        {"model": "stgcn", "stgcn": {"base_width": 8}},
        {"model": "protogcn", "protogcn": {"base_width": 8}},
    ],
)
def test_a_fitted_head_knows_the_clips_before_the_first_step(ann_file, changes):
    config = make_config(FinetuneConfig, ann_file, **changes)
    one = prepare_finetune(config, 0).module.eval()
    fitted = replace(config, optim=replace(config.optim, head_start="probe"))
    two = prepare_finetune(fitted, 0).module.eval()
    weights = one.classifier.state_dict()
    changed = {n for n, v in two.classifier.state_dict().items() if not torch.equal(v, weights[n])}
    assert len(changed) == 2  # weight and bias of one layer
    assert {name.partition(".")[0] for name in changed} == {"head"}
    x = two.store.batch(torch.arange(len(two.store)), torch.device("cpu"))
    with torch.no_grad():
        right = [
            (m.classifier(x).argmax(dim=1) == m.store.labels).float().mean() for m in (one, two)
        ]
    assert right[0] < 0.6
    assert right[1] >= 0.9
