"""Early stopping: the weights of the lowest loss on the val split are kept."""

from __future__ import annotations

import pytest
import torch
from skeletons import make_annotations, write_annotations
from torch import nn
from training_configs import make_config

from skelact import SkelactError
from skelact.pipeline.checkpoints.checkpoint import load_classifier, load_meta
from skelact.pipeline.config import FinetuneConfig, PretrainConfig
from skelact.pipeline.training import resume, runner
from skelact.pipeline.training.early_stop import BestSoFar
from skelact.pipeline.training.train import finetune, pretrain

STOPPED = {"optim": {"epochs": 12, "patience": 2, "lr": 0.03}, "runtime": {"val_every": 1}}


def test_the_lowest_of_five_losses_is_kept():
    """With a patience of two an equal loss counts as none that is lower, and two are too many."""
    module = nn.Linear(1, 1, bias=False)
    best = BestSoFar(patience=2)
    over = []
    for epoch, loss in enumerate((3.0, 2.0, 2.5, 1.0, 1.0, 1.5), 1):
        module.weight.data.fill_(epoch)
        best.update(loss, epoch, module)
        over.append(best.is_over)
    assert over == [False, False, False, False, False, True]
    assert (best.epoch, best.loss, best.values["weight"].item()) == (4, 1.0, 4.0)
    other = BestSoFar(patience=2)
    other.load_state_dict(best.state_dict())
    assert (other.epoch, other.is_over, other.values) == (4, True, best.values)


@pytest.fixture(scope="module")
def ann_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "actions.pkl"
    return write_annotations(path, make_annotations(4), make_annotations(2, seed=1))


def weights(info):
    return load_classifier(info)[0].state_dict()


def test_a_stopped_training_has_the_weights_of_its_best_epoch(ann_file, tmp_path, monkeypatch):
    losses = iter([1.0, 0.5, 0.7, 0.6])
    measured = []

    def figures(self):
        measured.append({n: v.clone() for n, v in self.classifier.state_dict().items()})
        return {"val_loss": next(losses, 9.0)}

    monkeypatch.setattr("skelact.pipeline.training.objectives.FinetuneModule.figures", figures)
    info = finetune(make_config(FinetuneConfig, ann_file, **STOPPED), tmp_path, quiet=True)
    assert len(measured) == 5  # four epochs, and the result
    assert load_meta(info).figures["best_epoch"] == 2
    found = weights(info)
    assert all(torch.equal(found[name], measured[1][name]) for name in found)


def test_one_that_was_killed_goes_on_as_if_it_was_not(ann_file, tmp_path, monkeypatch):
    config = make_config(FinetuneConfig, ann_file, **STOPPED)
    whole = finetune(config, tmp_path / "whole", quiet=True)

    def killed(path, state, seed, epoch):
        if epoch == 3:
            raise KeyboardInterrupt
        resume.save(path, state, seed, epoch)

    monkeypatch.setattr(runner, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        finetune(config, tmp_path / "broken", quiet=True)
    monkeypatch.undo()
    resumed = finetune(config, tmp_path / "broken", resume=True, quiet=True)
    assert load_meta(resumed).figures == load_meta(whole).figures
    one, two = weights(whole), weights(resumed)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_without_a_val_split_nothing_can_stop_it(ann_file, tmp_path):
    config = make_config(FinetuneConfig, ann_file, **STOPPED, data={"val_split": ""})
    with pytest.raises(SkelactError, match="there is no val split to stop by"):
        finetune(config, tmp_path, quiet=True)
    config = make_config(PretrainConfig, ann_file, optim={"patience": 1})
    with pytest.raises(SkelactError, match="there is no val split to stop by"):
        pretrain(config, tmp_path, quiet=True)


def test_a_classifier_is_a_start_for_other_classes(ann_file, tmp_path):
    """All its weights but the head are taken; another network, or one more person, is refused."""
    first = finetune(make_config(FinetuneConfig, ann_file), tmp_path / "first", quiet=True)
    still = {"optim": {"epochs": 1, "lr": 1e-12}, "data": {"num_classes": 5, "val_split": ""}}
    second = finetune(
        make_config(FinetuneConfig, ann_file, **still), tmp_path / "b", pretrained=first, quiet=True
    )
    meta = load_meta(second)
    assert meta.data["pretrained_on"]["kind"] == "classifier"
    assert len(meta.label_names) == 5
    one, two = weights(first), weights(second)
    learned = [n for n in one if "running" not in n and "batches" not in n and "head" not in n]
    assert len(learned) > 10
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in learned)
    for changes, message in (
        ({"preprocess": {"num_person": 2}}, "the same settings and num_person in both configs"),
        ({"model": "stgcn"}, "expected a STGCNClassifier, got a SSLClassifier"),
    ):
        config = make_config(FinetuneConfig, ann_file, **changes)
        with pytest.raises(SkelactError, match=message):
            finetune(config, tmp_path / "c", pretrained=first, quiet=True)
