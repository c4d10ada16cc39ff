"""Own clips in one call, with the real parts: it resumes, leaves out what is broken, predicts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from clips import BrightnessPose, OneWalker, write_clip
from skeletons import make_annotations, write_annotations
from training_configs import make_config

from skelact import SkelactError
from skelact.pipeline.checkpoints.checkpoint import load_classifier, load_meta
from skelact.pipeline.cli.learn import _print
from skelact.pipeline.cli.main import main
from skelact.pipeline.config import FinetuneConfig
from skelact.pipeline.learn import trainings
from skelact.pipeline.learn.learn import learn_with
from skelact.pipeline.learn.recipe import make_recipe
from skelact.pipeline.training.prepare import prepare_finetune
from skelact.pipeline.training.train import finetune
from skelact.pose_extract.batch import extract_clips
from skelact.pose_extract.extract import ExtractConfig, Extractor

# One training takes a second.
SMALL = ("optim.batch_size=8", "runtime.num_test_clips=1", "runtime.flip_test=false")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Make four clips of two actions each, a file that is no video, and what they are read by."""
    root = tmp_path_factory.mktemp("own") / "moves"
    for action, length in (("turn", 8), ("wave", 12)):
        (root / action).mkdir(parents=True)
        for i, name in enumerate(("anna_1", "anna_2", "berta_1", "carla_1")):
            # No two alike: copies of a file are a group.
            write_clip(root / action / f"{action}_{name}.mp4", num_frames=length + i)
    (root / "wave" / "broken.mp4").write_bytes(b"no video")
    return root


def make_extractor():
    return Extractor(ExtractConfig(effort="fast"), detector=OneWalker(), pose=BrightnessPose())


def extraction(clips, folder):
    return extract_clips(clips, folder, make_extractor(), read_entries=True)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Make a classifier of three other classes to start from, small and of model tube."""
    folder = tmp_path_factory.mktemp("start")
    ann_file = write_annotations(folder / "a.pkl", make_annotations(2), make_annotations(1, seed=1))
    tube = {"widths": (16, 32), "strides": (2, 1), "num_heads": 4}
    changes = {"model": "tube", "tube": tube, "optim": {"epochs": 1}}
    return finetune(make_config(FinetuneConfig, ann_file, **changes), folder, quiet=True)


def run(dataset, work, start, notes=None, **options):
    said = notes if notes is not None else []
    options = {"steps": 4, "overrides": SMALL, "device": "cpu", "pretrained": start} | options
    return learn_with(extraction, dataset, work, on_note=said.append, **options)


@pytest.fixture(scope="module")
def learned(dataset, start, tmp_path_factory):
    notes = []
    return run(dataset, tmp_path_factory.mktemp("work"), start, notes), notes


def test_clips_become_a_checkpoint_with_figures_of_each_clip_once(learned):
    found, notes = learned
    assert len(found.left_out) == 1
    assert any(line.startswith("left out: wave/broken.mp4: ") for line in notes)
    assert any("WARNING: fewer than 20 clips of turn (4), wave (4)" in note for note in notes)
    meta = load_meta(found.checkpoint)
    assert meta.label_names == ("turn", "wave")
    assert meta.data["num_clips"] == 8  # learned from all; measured in three folds
    assert meta.data["pretrained_on"]["kind"] == "classifier"
    assert meta.figures["num_clips"] == 8
    assert len(found.outcome.fold_top1) == 3
    assert sorted(clip.clip for clip in found.outcome.clips) == sorted(
        f"{action}/{action}_{name}.mp4"
        for action in ("turn", "wave")
        for name in ("anna_1", "anna_2", "berta_1", "carla_1")
    )
    groups = {clip.clip: (clip.group, clip.fold) for clip in found.outcome.clips}
    assert groups["wave/wave_anna_1.mp4"] == groups["wave/wave_anna_2.mp4"]
    assert np.sum(found.outcome.evaluation.confusion_matrix) == 8


def test_the_card_says_what_it_is_made_of(learned):
    found, _ = learned
    card = found.card.read_text()
    for part in (
        "8 of moves, in 6 groups; 1 left out", "turn (4), wave (4)", "(classifier of actions)",
        "3-fold cross-validation by groups", f"{found.outcome.evaluation.top1:.1f} % top-1 [",
        "never says unknown, because there are too few clips", "wave/broken.mp4",
    ):  # fmt: skip
        assert part in card
    assert found.card == found.checkpoint.with_suffix(".md")


def test_the_page_links_to_the_clips_and_runs_nothing(learned, dataset):
    found, _ = learned
    page = found.page.read_text()
    assert "<script" not in page
    assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "")
    links = re.findall(r'href="([^#"][^"]*\.mp4)"', page)
    videos = [path for path in dataset.rglob("*.mp4") if path.name != "broken.mp4"]
    assert sorted((found.page.parent / link).resolve() for link in links) == sorted(videos)
    # Each cell that is not zero leads to its clips.
    anchors = re.findall(r'href="#(c\d-\d)"', page)
    assert anchors
    assert all(f'id="{anchor}"' in page for anchor in anchors)
    for i, row in enumerate(found.outcome.evaluation.confusion_matrix):
        for j, count in enumerate(row):
            assert (f'href="#c{i}-{j}">{count}<' in page) == (count > 0)


def test_the_same_again_does_nothing_and_other_settings_replace_nothing(dataset, learned, start):
    found, _ = learned
    work = found.checkpoint.parent.parent
    before = {path: path.read_bytes() for path in work.rglob("*") if path.is_file()}
    again = run(dataset, work, start)
    assert again.checkpoint == found.checkpoint
    other = run(dataset, work, start, seed=1)
    assert other.checkpoint.parent.name == "run_2"
    for path, content in before.items():
        if "skeletons" not in path.parts:
            assert path.read_bytes() == content, path


def test_a_killed_run_goes_on_to_the_same_weights(dataset, learned, start, tmp_path, monkeypatch):
    calls = []

    def killed(config, folder, **options):
        calls.append(Path(folder).name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return finetune(config, folder, **options)

    monkeypatch.setattr(trainings, "finetune", killed)
    with pytest.raises(KeyboardInterrupt):
        run(dataset, tmp_path, start)
    assert not (tmp_path / "run_1" / "classifier.json").exists()
    resumed = run(dataset, tmp_path, start)
    assert calls == ["fold_1", "fold_2", "fold_3", "fold_3", "all"]
    whole = load_classifier(learned[0].checkpoint)[0].state_dict()
    weights = load_classifier(resumed.checkpoint)[0].state_dict()
    assert all((whole[name] == weights[name]).all() for name in whole)
    assert resumed.outcome.evaluation == learned[0].outcome.evaluation


def test_the_classifier_predicts(learned, dataset):
    """With the chain that extracts for the command, from a file to one of its names."""
    from skelact.pipeline.inference.pipeline import Pipeline

    model = Pipeline(learned[0].checkpoint, extractor=make_extractor())
    assert model.label_names == ("turn", "wave")
    assert model(dataset / "wave" / "wave_anna_1.mp4").label in ("turn", "wave")


def test_a_class_whose_clips_all_fail_is_told(dataset, start, tmp_path):
    for action in ("wave", "turn"):
        (tmp_path / "moves" / action).mkdir(parents=True)
    source = dataset / "wave" / "wave_anna_1.mp4"
    (tmp_path / "moves" / "wave" / "a.mp4").write_bytes(source.read_bytes())
    (tmp_path / "moves" / "turn" / "b.mp4").write_bytes(b"no video")
    notes = []
    with pytest.raises(SkelactError, match="two classes or more, got wave"):
        run(tmp_path / "moves", tmp_path / "work", start, notes)
    assert notes[0].startswith("left out: turn/b.mp4: ")


def test_steps_and_a_start_that_cannot_be(dataset, start, tmp_path):
    for options, message in (
        ({"steps": 0}, "steps: expected 1 or more, got 0"),
        ({"pretrained": tmp_path / "none.json"}, "expected the pair none.safetensors"),
        ({"overrides": ("optim.lrr=1",)}, "did you mean 'lr'"),
    ):
        with pytest.raises(SkelactError, match=message):
            run(dataset, tmp_path / "work", start, **options)
    assert not (tmp_path / "work").exists()


def test_the_terminal_shows_the_matrix_with_names(learned, capsys):
    _print(learned[0])
    shown = capsys.readouterr().out
    (row,) = re.findall(r"1 │ turn\s+│\s+(\d)│?\s+│?\s+(\d)", shown) or [("?", "?")]
    assert list(map(int, row)) == learned[0].outcome.evaluation.confusion_matrix[0]
    assert f"checkpoint: {learned[0].checkpoint}" in shown
    assert "confusion.html" in shown


def test_models_are_listed_with_what_they_are():
    result = CliRunner().invoke(main, ["models", "--json"])
    assert result.exit_code == 0
    models = {model["name"]: model for model in json.loads(result.output)}
    shipped = models["penn_action_video"]
    assert (shipped["kind"], shipped["place"]) == ("classifier", "shipped")
    assert "baseball_pitch" in shipped["classes"]
    assert shipped["licence"] == "Apache-2.0; the data has its own terms"
    assert Path(shipped["path"]).stat().st_size == shipped["num_bytes"]
    assert models["rtmdet-nano"]["kind"] == "detector"
    assert models["flight_factors"]["what"] == "network that reads dives and saltos"
    table = CliRunner().invoke(main, ["models"]).output
    assert all(name in table for name in models)


def test_the_shipped_classifier_is_a_start_for_other_classes(tmp_path):
    """All of its weights but those of its classes are taken, in its own preprocessing."""
    ann_file = write_annotations(
        tmp_path / "a.pkl", make_annotations(2), make_annotations(1, seed=1)
    )
    recipe = make_recipe(None, 10, "own", ())
    config = recipe.for_clips(ann_file, "train", "val", 6)
    assert (config.optim.epochs, config.preprocess.normalization) == (10, "body")
    prepared = prepare_finetune(config, 0, recipe.start)
    shipped = load_classifier(None)[0].state_dict()
    own = prepared.module.classifier.state_dict()
    assert own["head.1.weight"].shape[0] == 3
    body = [name for name in own if not name.startswith("head.")]
    assert len(body) > 10
    assert all((own[name] == shipped[name]).all() for name in body)


def test_clips_of_other_actions_are_extracted_and_told_of(dataset, start, tmp_path):
    others = tmp_path / "others"
    others.mkdir()
    for i in range(3):
        write_clip(others / f"other_{i}.mp4", num_frames=9 + i)
    found = run(dataset, tmp_path / "work", start, unknown=others)
    assert (tmp_path / "work" / "unknown_skeletons" / "annotations.pkl").is_file()
    assert found.outcome is not None
    meta = load_meta(found.checkpoint)
    # Too few to fit a gate on: what is said of it is the same with and without them.
    assert meta.gate is None
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(SkelactError, match="unknown: none of its clips could be read"):
        run(dataset, tmp_path / "work", start, unknown=empty)
