"""How own clips are trained on: the start, and a budget in steps turned into epochs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ... import SkelactError
from ..checkpoints.checkpoint import CheckpointMeta, find_checkpoint, load_meta
from ..config import NETWORKS, ClassifierConfig, FinetuneConfig, build_config, load_config

# Of the shipped config; --set reaches the rest of it.
_CONFIG = "learn"
# Steps of a training that nothing stops, and between two measurements on the val part.
DEFAULT_STEPS = 200
_STEPS_BETWEEN = 20


@dataclass(frozen=True)
class Recipe:
    """What all trainings of a data set share.

    Attributes:
        start: Checkpoint whose weights they start from.
        start_meta: What stands in it.
        config: The config, whose data and epochs each training replaces.
        steps: Most steps of a training.
    """

    start: Path
    start_meta: CheckpointMeta
    config: FinetuneConfig
    steps: int

    def for_clips(
        self, ann_file: Path, train: str, val: str, num_train: int, steps: int | None = None
    ) -> FinetuneConfig:
        """Return the config of one training.

        Args:
            ann_file: Its clips.
            train: Split to learn from.
            val: Split to stop by; "" trains to the end.
            num_train: Clips of ``train``.
            steps: Steps, at most, in whole epochs; None for those of the recipe.
        """
        config = self.config
        per_epoch = math.ceil(num_train / config.optim.batch_size)
        epochs = max(1, round((steps or self.steps) / per_epoch))
        between = max(1, round(_STEPS_BETWEEN / per_epoch))
        data = dataclasses.replace(
            config.data, ann_file=str(ann_file), train_split=train, val_split=val
        )
        optim = dataclasses.replace(
            config.optim, epochs=epochs, patience=config.optim.patience if val else 0
        )
        runtime = dataclasses.replace(config.runtime, val_every=between, save_every=between)
        return dataclasses.replace(config, data=data, optim=optim, runtime=runtime)

    def steps_of(self, epochs: int, num_train: int) -> int:
        """Return the steps of so many epochs."""
        return epochs * math.ceil(num_train / self.config.optim.batch_size)


def make_recipe(
    pretrained: str | Path | None, steps: int, dataset: str, overrides: Sequence[str]
) -> Recipe:
    """Return how to train, from the checkpoint to start from.

    Args:
        pretrained: The checkpoint, a classifier or a masked autoencoder; None for the shipped
            classifier.
        steps: Most steps of a training.
        dataset: Name of the data set.
        overrides: ``key.subkey=value`` settings of the config.

    Raises:
        SkelactError: if the checkpoint or a setting cannot be used.
    """
    if steps < 1:
        raise SkelactError(f"steps: expected 1 or more, got {steps}")
    start = find_checkpoint(pretrained)
    if start.suffix == ".onnx":
        raise SkelactError(f"{start}: expected a checkpoint to start from, got an ONNX file")
    meta = load_meta(start)
    config = load_config(FinetuneConfig, _CONFIG, "finetune", overrides)
    section = {"ssl": "encoder"}.get(meta.model, meta.model)
    network: dict[str, Any] = {
        section: build_config(NETWORKS[meta.model], meta.encoder, f"{start}: encoder")
    }
    config = dataclasses.replace(
        config,
        model=meta.model,
        preprocess=meta.preprocess,
        data=dataclasses.replace(config.data, dataset=dataset),
        **network,
    )
    if meta.kind == "classifier" and meta.model == "ssl":
        head = build_config(ClassifierConfig, meta.head, f"{start}: head")
        config = dataclasses.replace(config, classifier=head)
    return Recipe(start, meta, config, steps)
