"""How much there is to learn in the pretext task of SkeletonMAE.

    python benchmarks/pretext.py

Pre-trains the paper's network on Penn Action for some steps and prints, on clips of the val split
that it has not seen: the loss of predictions that need no network, and of the network; how far its
target, a linear map of x and y, has moved; the share of the classifier's weights that pre-training
reaches; and linear probes of the features before and after.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import click
import torch
import torch.nn.functional as F
from torch import Tensor

from skelact.models.losses import reconstruction_loss
from skelact.models.masking import part_mask
from skelact.models.skeleton_mae import SkeletonMAE
from skelact.models.strl import SSLClassifier
from skelact.pipeline.checkpoints.checkpoint import load_mae
from skelact.pipeline.checkpoints.networks import build_classifier
from skelact.pipeline.config import FinetuneConfig, PretrainConfig, load_config
from skelact.pipeline.data.annotations import annotation_path, load_annotations
from skelact.pipeline.data.clip_store import ClipStore
from skelact.pipeline.evaluation.probe import probe
from skelact.pipeline.training.train import pretrain
from skelact.pose_extract.layout import KeypointLayout

_CLIPS = 64


def nearest_visible(mask: Tensor, layout: KeypointLayout) -> Tensor:
    """Return (B, V) int64: the joint over the fewest bones that is visible; itself if visible.

    Args:
        mask: (B, V) bool, True where hidden.
        layout: The bones.
    """
    count = layout.num_keypoints
    step = torch.from_numpy(layout.adjacency()) + torch.eye(count)
    distance = torch.full((count, count), float(count))
    reached = torch.eye(count)
    for bones in range(count):
        distance = torch.minimum(distance, torch.where(reached > 0, float(bones), float(count)))
        reached = reached @ step
    return (distance + 2 * count * mask.unsqueeze(1)).argmin(dim=2)


def frames_of(config: FinetuneConfig, split: str) -> Tensor:
    """Return (B, V, C): every frame of clips from all over a split, which lies action by action."""
    clips = load_annotations(annotation_path(config.data.ann_file)).select(split)
    store = ClipStore(clips[:: len(clips) // _CLIPS][:_CLIPS], config.preprocess)
    x = store.batch(torch.arange(len(store)), torch.device("cpu"))
    return x.flatten(0, 2)


def score(name: str, prediction: Tensor, target: Tensor, hidden: Tensor) -> None:
    """Print the mean cosine and the loss as printed in the paper."""
    keep = hidden.any(dim=1)
    cosine = F.cosine_similarity(prediction, target, dim=-1)[hidden].mean()
    loss = reconstruction_loss(prediction[keep], target[keep], hidden[keep])
    click.echo(f"  {name}: mean cosine {cosine:.3f}, loss {loss:.4f}")


@torch.no_grad()
def baselines(name: str, mae: SkeletonMAE, train: Tensor, x: Tensor, hidden: Tensor) -> None:
    """Print what the network predicts, and what needs none."""
    click.echo(name)
    seen = (x != 0).any(dim=-1)
    scored = hidden & seen
    target = mae.embedded(x).movedim(0, -1)
    known = F.normalize(mae.embedded(train).movedim(0, -1), dim=-1)
    known = known * (train != 0).any(dim=-1, keepdim=True)
    score("a constant per joint", known.sum(dim=0).expand_as(target), target, scored)
    near = nearest_visible(hidden | ~seen, mae.layout).unsqueeze(-1)
    score("its nearest visible joint", torch.take_along_dim(target, near, dim=1), target, scored)
    # Batch statistics, as while training: running ones need many steps.
    score("the network", mae.train()(x, hidden | ~seen)[0], target, scored)


@click.command()
@click.option("--epochs", type=int, default=4, show_default=True, help="63 steps each.")
@click.option("--seed", type=int, default=0, show_default=True)
def main(epochs: int, seed: int) -> None:
    """Measure the pretext task on Penn Action."""
    config = load_config(PretrainConfig, "penn_action", "pretrain", [f"optim.epochs={epochs}"])
    fine = load_config(FinetuneConfig, "penn_action", "finetune")
    train, val = (frames_of(fine, split) for split in ("dev_train", "dev_val"))
    layout = fine.preprocess.keypoint_layout
    hidden = part_mask(len(val), layout, generator=torch.Generator().manual_seed(seed))
    with tempfile.TemporaryDirectory() as folder:
        # One epoch at no rate to speak of: random weights, and batch norms that have seen the data.
        still = replace(config, optim=replace(config.optim, epochs=1, lr=1e-12))
        runs = {"random weights": still, f"after {epochs} epochs": config}
        weights = []
        for name, run in runs.items():
            path = pretrain(run, Path(folder) / name, seed=seed, quiet=True)
            mae, _ = load_mae(path)
            assert isinstance(mae, SkeletonMAE)
            weights.append(mae.embed.weight.detach())
            baselines(name, mae, train, val, hidden)
            found = probe(path, annotation_path(fine.data.ann_file), "dev_train", "dev_val")
            click.echo(f"  linear probe of its features: {found.linear:.2f} % top-1")
    moved = (weights[1] - weights[0]).norm() / weights[0].norm()
    click.echo(f"the target's linear map moved by {moved:.2%} of its norm")
    classifier = build_classifier(fine.preprocess, fine.network, fine.classifier, 15)
    assert isinstance(classifier, SSLClassifier)
    total = sum(p.numel() for p in classifier.parameters())
    reached = sum(p.numel() for p in classifier.embed.parameters()) + sum(
        p.numel() for layer in classifier.layers for p in layer.encoders.parameters()
    )
    click.echo(f"{reached} of {total} weights ({reached / total:.0%}) are pre-trained")


if __name__ == "__main__":
    main()
