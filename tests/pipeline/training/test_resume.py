"""Resuming: how a run begins is said, and what earlier runs left is taken up or removed."""

from __future__ import annotations

import collections
import logging

import pytest
import torch
from skeletons import make_annotations, write_annotations
from training_configs import make_config

from skelact import SkelactError
from skelact.pipeline.config import PretrainConfig
from skelact.pipeline.training import runner
from skelact.pipeline.training.train import pretrain

# What versions of skelact on MMEngine wrote: its own history of the log was emptied.
OLD_HUB = {"log_scalars": {}, "resumed_keys": {}, "runtime_info": {"epoch": 3}}


@pytest.fixture(scope="module")
def ann_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "actions.pkl"
    return write_annotations(path, make_annotations(2), make_annotations(1, seed=1))


def run(ann_file, work_dir, epochs=2, **options):
    config = make_config(PretrainConfig, ann_file, optim={"epochs": epochs, "ema_momentum": 0.1})
    return pretrain(config, work_dir, **options)


def said(caplog):
    return [
        record.getMessage() for record in caplog.records if "epoch 1/" not in record.getMessage()
    ]


def old_state(path, hub=OLD_HUB):
    torch.save({"meta": {"epoch": 3}, "state_dict": {}, "message_hub": hub}, path)


def test_a_resumed_run_says_from_which_epoch(ann_file, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    run(ann_file, tmp_path, epochs=1)
    caplog.clear()
    run(ann_file, tmp_path, epochs=2, resume=True)
    assert said(caplog)[0] == f"resumed from epoch 1 of 2 ({tmp_path / 'state.pt'})"
    assert (
        f"resumed from epoch 1 of 2 ({tmp_path / 'state.pt'})"
        in (tmp_path / "train.log").read_text()
    )
    caplog.clear()
    run(ann_file, tmp_path, epochs=2, resume=True)  # nothing is left to do, and that is said
    assert said(caplog) == [f"resumed from epoch 2 of 2 ({tmp_path / 'state.pt'})"]


def test_nothing_to_resume_from_is_said_also_by_a_quiet_run(ann_file, tmp_path, caplog):
    info = run(ann_file, tmp_path / "new", epochs=1, resume=True, quiet=True)
    assert info.is_file()
    assert said(caplog) == [
        f"nothing to resume from in {tmp_path / 'new'}: training begins at epoch 1"
    ]


def test_a_run_that_begins_anew_says_what_it_replaces(ann_file, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    run(ann_file, tmp_path, epochs=1)
    caplog.clear()
    run(ann_file, tmp_path, epochs=1)
    assert said(caplog)[0] == (
        f"training begins at epoch 1 and replaces {tmp_path / 'state.pt'}, which --resume would go "
        "on from"
    )


def test_what_a_run_killed_at_its_end_was_writing_is_removed(ann_file, tmp_path):
    run(ann_file, tmp_path, epochs=1, quiet=True)
    names = sorted(path.name for path in tmp_path.iterdir())
    for name in names:
        (tmp_path / f".{name}.x1y2z3ab{(tmp_path / name).suffix}").write_bytes(b"half")
    run(ann_file, tmp_path, epochs=1, quiet=True, resume=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_states_of_earlier_versions_are_removed(ann_file, tmp_path, caplog):
    old_state(tmp_path / "epoch_3.pth")
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "epoch_3.pth"))
    with pytest.raises(SkelactError, match="an earlier version of skelact began this run"):
        run(ann_file, tmp_path, resume=True, quiet=True)
    assert (tmp_path / "epoch_3.pth").is_file()
    (tmp_path / "last_checkpoint").rename(tmp_path / "kept")  # killed before it was written
    with pytest.raises(SkelactError, match="an earlier version of skelact began this run"):
        run(ann_file, tmp_path, resume=True, quiet=True)
    (tmp_path / "kept").rename(tmp_path / "last_checkpoint")
    run(ann_file, tmp_path, epochs=1, quiet=True)
    assert said(caplog) == ["removed states of an earlier version: epoch_3.pth, last_checkpoint"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "skeleton_mae.json", "skeleton_mae.safetensors", "state.pt", "train.log",
    ]  # fmt: skip


def test_states_of_other_programs_stay(ann_file, tmp_path, caplog):
    """MMEngine's own hold the history of its log; a file that is cut may be theirs."""
    old_state(tmp_path / "epoch_1.pth", OLD_HUB | {"log_scalars": {"loss": [1.0]}})
    old_state(tmp_path / "epoch_2.pth", OLD_HUB | {"log_scalars": collections.deque([1])})
    torch.save({"state_dict": {}}, tmp_path / "epoch_4.pth")
    (tmp_path / "epoch_5.pth").write_bytes(b"cut")
    (tmp_path / "epoch_6.pth").mkdir()
    (tmp_path / "last_checkpoint").write_text("epoch_5.pth")
    before = sorted(path.name for path in tmp_path.iterdir())
    run(ann_file, tmp_path, epochs=1, quiet=True)
    assert said(caplog) == []
    assert set(before) <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epoch": 3}, "expected 1 to optim.epochs=2 epochs done, got 3"),
        ({"epoch": 0}, "expected 1 to optim.epochs=2 epochs done, got 0"),
        ({"epoch": "1"}, "epochs done, got '1'"),
        ({"epoch": True}, "epochs done, got True"),
        ({"module": 3}, "state.pt: cannot resume from it"),
        ({"module": {}}, "state.pt: cannot resume from it"),
        ({"optimizer": None}, "state.pt: cannot resume from it"),
        ({"optimizer": []}, "state.pt: cannot resume from it"),
        ({"average": {"mae.x": torch.ones(1)}}, "average: expected the weights of the module"),
        ({"average": 3}, "state.pt: cannot resume from it"),
    ],
)
def test_damaged_states_are_errors(ann_file, tmp_path, change, message):
    run(ann_file, tmp_path, epochs=1, quiet=True)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    torch.save(state | change, tmp_path / "state.pt")
    with pytest.raises(SkelactError, match=message):
        run(ann_file, tmp_path, resume=True, quiet=True)
    torch.save([1, 2], tmp_path / "state.pt")
    with pytest.raises(SkelactError, match="state.pt: cannot resume from it"):
        run(ann_file, tmp_path, resume=True, quiet=True)


def test_an_optimizer_of_other_shapes_is_an_error_before_the_first_step(ann_file, tmp_path):
    run(ann_file, tmp_path, epochs=1, quiet=True)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    state["optimizer"]["state"][0]["exp_avg"] = torch.ones(1, 2, 3)
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(SkelactError, match=r"optimizer: expected .* exp_avg is \(1, 2, 3\)"):
        run(ann_file, tmp_path, resume=True, quiet=True)


def test_a_state_cut_anywhere_is_an_error(ann_file, tmp_path):
    run(ann_file, tmp_path, epochs=1, quiet=True)
    whole = (tmp_path / "state.pt").read_bytes()
    for share in (0.0, 0.1, 0.5, 0.9, 0.999):
        (tmp_path / "state.pt").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(SkelactError, match="state.pt: cannot resume from it"):
            run(ann_file, tmp_path, resume=True, quiet=True)


def stopped_in(monkeypatch, epoch):
    """Let a run be stopped in an epoch, from 1."""
    train = runner._train_epoch

    def stopped(network, module, state, batch_size, seed, index):
        if index == epoch - 1:
            raise KeyboardInterrupt
        return train(network, module, state, batch_size, seed, index)

    monkeypatch.setattr(runner, "_train_epoch", stopped)


def test_a_run_that_is_stopped_before_its_first_state_says_so(
    ann_file, tmp_path, caplog, monkeypatch
):
    config = make_config(PretrainConfig, ann_file, runtime={"save_every": 5}, optim={"epochs": 3})
    stopped_in(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        pretrain(config, tmp_path, quiet=True)
    assert said(caplog) == ["stopped before the first state; runtime.save_every=1 has more"]
    assert not (tmp_path / "state.pt").exists()


def test_where_epochs_are_long_each_has_a_state(ann_file, tmp_path, caplog, monkeypatch):
    config = make_config(PretrainConfig, ann_file, runtime={"save_every": 5}, optim={"epochs": 3})
    monkeypatch.setattr(runner, "_SECONDS_BETWEEN_STATES", 0.0)
    with monkeypatch.context() as patch:
        stopped_in(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            pretrain(config, tmp_path, quiet=True)
    caplog.set_level(logging.INFO)
    pretrain(config, tmp_path, resume=True)
    assert f"resumed from epoch 2 of 3 ({tmp_path / 'state.pt'})" in said(caplog)
