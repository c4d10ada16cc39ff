"""Linear probe, nearest neighbour, cost, and evaluation under worse skeletons."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from skeletons import make_annotations, write_annotations

from skelact import SkelactError
from skelact.pipeline.checkpoints.checkpoint import CheckpointMeta, save_checkpoint
from skelact.pipeline.checkpoints.networks import build_classifier, build_mae
from skelact.pipeline.cli.main import main
from skelact.pipeline.config import ClassifierConfig, EncoderConfig, MaskConfig, TubeConfig
from skelact.pipeline.data.preprocess import PreprocessConfig
from skelact.pipeline.evaluation.evaluate import corrupt
from skelact.pipeline.evaluation.probe import clip_features, fit_linear, probe

SPLITS = ("train", "val")
PREPROCESS = PreprocessConfig(clip_len=16, num_person=2)
NETWORKS = {
    "ssl": EncoderConfig(embed_dim=16, hidden_dim=16),
    "tube": TubeConfig(widths=(16, 32), strides=(2, 1), num_heads=4),
}


@pytest.fixture(scope="module")
def ann_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "actions.pkl"
    return write_annotations(path, make_annotations(20), make_annotations(10, seed=1))


def save(folder, kind, model):
    torch.manual_seed(0)
    network = NETWORKS[model]
    module = (
        build_mae(PREPROCESS, network, MaskConfig())
        if kind == "pretrain"
        else build_classifier(PREPROCESS, network, ClassifierConfig(), 3)
    )
    meta = CheckpointMeta(
        kind=kind, preprocess=PREPROCESS, encoder=dataclasses.asdict(network), head={},
        label_names=("a", "b", "c"), config={}, data={}, seed=0, figures={}, model=model,
    )  # fmt: skip
    return save_checkpoint(folder / model, module.eval(), meta)


@pytest.mark.parametrize("kind", ["pretrain", "classifier"])
@pytest.mark.parametrize("model", ["ssl", "tube"])
def test_even_random_features_tell_a_wave_from_a_turn(tmp_path, ann_file, kind, model):
    result = probe(save(tmp_path, kind, model), ann_file, "train", "val")
    assert (result.num_train, result.num_val) == (60, 30)
    assert result.linear > 60
    assert result.knn > 50


@pytest.mark.parametrize("kind", ["pretrain", "classifier"])
def test_the_probe_measures_any_labels_and_says_whose(tmp_path, kind):
    """The order of the classes changes nothing; foreign ones are measured, with a note."""
    info, path = save(tmp_path, kind, "tube"), tmp_path / "a.pkl"
    train, val = make_annotations(8), make_annotations(4, seed=1)
    results = {}
    for names in ("abc", "cab", "xyz"):
        moved = [
            [dataclasses.replace(c, label=names.index("abc"[c.label])) for c in clips]
            if names != "xyz" else clips
            for clips in (train, val)
        ]  # fmt: skip
        results[names] = probe(info, write_annotations(path, *moved, label_names=names), *SPLITS)
    assert results["abc"].notes == results["cab"].notes == ()
    assert (results["abc"].linear, results["abc"].knn) == (
        pytest.approx(results["cab"].linear), results["cab"].knn,
    )  # fmt: skip
    assert results["xyz"].knn == results["abc"].knn
    note = ("the classes of a.pkl are not those of the checkpoint; the probe was fitted on the "
            "file's own",)  # fmt: skip
    assert results["xyz"].notes == (note if kind == "classifier" else ())
    if kind == "classifier":
        mapped = probe(info, path, *SPLITS, label_map=dict(zip("xyz", "abc")))
        assert mapped == results["abc"]
        with pytest.raises(SkelactError, match="the checkpoint has no class 'd'"):
            probe(info, path, *SPLITS, label_map={"x": "d"})
    else:
        with pytest.raises(SkelactError, match="a pre-training checkpoint has no classes"):
            probe(info, path, *SPLITS, label_map={"x": "a"})


def test_probes_that_cannot_be(tmp_path, ann_file):
    info = save(tmp_path, "pretrain", "tube")
    with pytest.raises(SkelactError, match="'train' and 'train', which share 60, such as wave"):
        probe(info, ann_file, "train", "train")
    with pytest.raises(SkelactError, match="seed: expected a whole number"):
        probe(info, ann_file, "train", "val", seed=-1)
    bare = [dataclasses.replace(clip, label=-1) for clip in make_annotations(1)]
    path = write_annotations(tmp_path / "a.pkl", make_annotations(1, seed=1), bare)
    with pytest.raises(SkelactError, match=r"3 of 6 clips have no label \(-1\)"):
        probe(info, path, "train", "val")


def test_features_that_are_not_finite_are_an_error(tmp_path, ann_file):
    module = build_mae(PREPROCESS, NETWORKS["tube"], MaskConfig())
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(1e30)  # finite, but their products are not
    meta = CheckpointMeta(
        kind="pretrain", preprocess=PREPROCESS, encoder=dataclasses.asdict(NETWORKS["tube"]),
        head={}, label_names=(), config={}, data={}, seed=0, figures={}, model="tube",
    )  # fmt: skip
    info = save_checkpoint(tmp_path / "nan", module.eval(), meta)
    with pytest.raises(SkelactError, match="features of the checkpoint: expected finite numbers"):
        probe(info, ann_file, "train", "val")


def test_absent_people_change_no_feature(tmp_path):
    info = save(tmp_path, "pretrain", "tube")
    alone = make_annotations(2)
    padded = [
        dataclasses.replace(
            clip,
            keypoints=np.concatenate([clip.keypoints, 0 * clip.keypoints]),
            keypoint_scores=np.concatenate([clip.keypoint_scores, 0 * clip.keypoint_scores]),
        )
        for clip in alone
    ]
    one, two = (clip_features(info, clips, torch.device("cpu"))[0] for clips in (alone, padded))
    assert torch.allclose(one, two, atol=1e-5)


def test_a_line_between_two_clouds():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(200, 4, generator=generator)
    labels = (features[:, 1] > 0).long()
    linear = fit_linear(features, labels)
    assert (linear(features).argmax(dim=1) == labels).float().mean() > 0.97
    assert linear.weight[1, 1] > linear.weight[1, 0].abs()


def test_the_command(tmp_path, ann_file):
    info = save(tmp_path, "pretrain", "ssl")
    arguments = ["probe", str(info), "--ann-file", str(ann_file), "--train-split", "train"]
    result = CliRunner().invoke(main, [*arguments, "--val-split", "val", "--label-fraction", "0.5"])
    assert result.exit_code == 0, result.output
    assert "30 labelled clips, 30 measured" in result.output
    assert "linear probe: " in result.output


def test_cost_of_the_shipped_networks_is_that_of_the_light_peers():
    names = ["penn_action", "penn_action_tube", "penn_action_stgcn"]
    result = CliRunner().invoke(main, ["cost", *names])
    assert result.exit_code == 0, result.output
    for line, name in zip(result.output.splitlines(), names):
        assert line.startswith(f"{name}: ")
        words = line.split()
        assert float(words[1]) <= 2.0
        assert float(words[4]) <= 2.0


def test_cost_by_hand():
    """One linear layer of the head: 32 features to 7 classes."""
    from skelact.pipeline.config import DataConfig, FinetuneConfig, OptimConfig
    from skelact.pipeline.evaluation.cost import measure_cost

    config = FinetuneConfig(
        DataConfig("x", "x"), OptimConfig("sgd", 0.1, 1, 1), model="tube",
        preprocess=PREPROCESS, tube=NETWORKS["tube"],
    )  # fmt: skip
    few, many = measure_cost(config, 7), measure_cost(config, 8)
    assert many.parameters - few.parameters == 32 + 1
    assert (many.gflops - few.gflops) * 1e9 == pytest.approx(32)
    assert measure_cost(config, 7, num_person=4).gflops == pytest.approx(2 * few.gflops, rel=0.01)
    with pytest.raises(SkelactError, match="num_classes: expected at least 1, got 0"):
        measure_cost(config, 0)


def test_corrupted_clips():
    clips = make_annotations(10)
    same = corrupt(clips, 0.0, 0.0, 0)
    np.testing.assert_array_equal(same[0].keypoints, clips[0].keypoints)
    worse = corrupt(clips, 0.02, 0.3, 0)
    lost = np.concatenate([(clip.keypoint_scores[0] == 0).all(axis=1) for clip in worse])
    assert lost.mean() == pytest.approx(0.3, abs=0.08)
    seen = worse[0].keypoint_scores > 0
    extent = np.ptp(clips[0].keypoints.reshape(-1, 2), axis=0).max()
    moved = (worse[0].keypoints - clips[0].keypoints)[seen]
    assert moved.std() == pytest.approx(0.02 * extent, rel=0.1)
    assert (worse[0].keypoints[~seen] == 0).all()
    again = corrupt(clips[:1], 0.02, 0.3, 0)
    np.testing.assert_array_equal(again[0].keypoints, worse[0].keypoints)
    with pytest.raises(SkelactError, match="share of lost frames"):
        corrupt(clips, 0.0, 1.0, 0)
