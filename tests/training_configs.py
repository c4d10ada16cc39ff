"""Small training configs."""

from __future__ import annotations

from skelact.pipeline.config import FinetuneConfig, build_config


def make_config(cls, ann_file, **changes):
    values = {
        "data": {"dataset": "actions", "ann_file": str(ann_file)},
        "preprocess": {"clip_len": 16, "num_person": 1},
        "encoder": {"embed_dim": 16, "hidden_dim": 16},
        "optim": {"kind": "adam", "lr": 3e-3, "batch_size": 8, "epochs": 4},
        "runtime": {"save_every": 1},
    }
    if cls is FinetuneConfig:
        values["data"]["val_split"] = "val"
        values["classifier"] = {"temporal_dim": 32, "dropout": 0.1}
    if cls is FinetuneConfig:
        changes.pop("mask", None)
    for name, change in changes.items():
        values[name] = values.get(name, {}) | change if isinstance(change, dict) else change
    return build_config(cls, values, "test")
