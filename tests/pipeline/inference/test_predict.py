"""From clips to labels, through a classifier trained on the spot."""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner
from clips import BrightnessPose, OneWalker, write_clip
from scenes import make_sequence
from skeletons import ACTIONS, make_annotations, make_clip, write_annotations
from training_configs import make_config

from skelact import SkelactError
from skelact.pipeline.checkpoints.checkpoint import load_classifier, save_checkpoint
from skelact.pipeline.checkpoints.gate import Gate, tempered
from skelact.pipeline.cli.main import main
from skelact.pipeline.config import FinetuneConfig
from skelact.pipeline.data.annotations import load_annotations
from skelact.pipeline.inference.classify import classify
from skelact.pipeline.inference.clip_skeletons import ClipSkeletons
from skelact.pipeline.inference.pipeline import Pipeline
from skelact.pipeline.inference.predict import Predictor, usual_frames, window_frames
from skelact.pipeline.training.train import finetune
from skelact.pose_extract.extract import ExtractConfig, Extractor
from skelact.pose_extract.sources import ClipSource


@pytest.fixture(scope="module")
def ann_file(tmp_path_factory):
    return write_annotations(
        tmp_path_factory.mktemp("data") / "actions.pkl",
        make_annotations(16, num_person=2),
        make_annotations(4, seed=1, num_person=2),
        label_names=list(ACTIONS),
    )


@pytest.fixture(scope="module")
def checkpoint(ann_file, tmp_path_factory):
    config = make_config(
        FinetuneConfig,
        ann_file,
        preprocess={"num_person": 2},
        optim={"epochs": 25, "ema_momentum": 0.05, "schedule": "cosine"},
    )
    return finetune(config, tmp_path_factory.mktemp("work"), quiet=True)


def sequence_of(action, num_person=2, num_frames=40):
    """Return people at an action, as many as the classifier has learned from."""
    keypoints = make_clip(action, 77, num_frames, num_person)
    return make_sequence(
        num_person,
        num_frames,
        keypoints=keypoints,
        keypoint_scores=np.full(keypoints.shape[:3], 0.8, np.float32),
    )


@pytest.mark.parametrize("action", range(3))
def test_a_sequence_gets_its_label(checkpoint, action):
    prediction = Predictor(checkpoint, top_k=2).predict_sequence(sequence_of(action))
    assert prediction.label == ACTIONS[action]
    assert prediction.score == prediction.top_k[0].score > prediction.top_k[1].score
    assert [person.track_id for person in prediction.persons] == [0, 1]
    assert all(len(person.top_k) == 2 for person in prediction.persons)
    assert prediction.error is None


def test_prediction_is_what_evaluation_computes(checkpoint, ann_file):
    predictor = Predictor(checkpoint, top_k=3)
    clip = load_annotations(ann_file).select("val")[4]
    sequence = make_sequence(
        2,
        clip.keypoints.shape[1],
        keypoints=clip.keypoints,
        keypoint_scores=clip.keypoint_scores,
        img_shape=clip.img_shape,
    )
    scores = classify(predictor._model, predictor.meta, [clip], device=predictor._device)[0]
    by_name = {item.label: item.score for item in predictor.predict_sequence(sequence).top_k}
    for name, score in zip(ACTIONS, tempered(scores, predictor.meta.gate.temperature)):
        assert by_name[name] == pytest.approx(float(score), abs=1e-4)


def with_gate(checkpoint, folder, **gate):
    """Return a copy of a checkpoint with another gate, or with none."""
    model, meta = load_classifier(checkpoint)
    if not gate:
        model.novelty = None
    changed = dataclasses.replace(meta, gate=Gate(**gate) if gate else None)
    return save_checkpoint(folder / "other", model, changed)


def test_what_is_far_from_all_classes_has_no_label(checkpoint, tmp_path):
    """No clip is nearer than nothing, and none is farther than infinitely far."""
    nothing = Predictor(with_gate(checkpoint, tmp_path, novelty_thr=0.0))
    prediction = nothing.predict_sequence(sequence_of(1))
    assert (prediction.unknown, prediction.label, prediction.score) == (True, None, None)
    assert prediction.error is None
    assert prediction.words == f"not one of its actions (closest: {prediction.top_k[0].label})"
    assert prediction.top_k[0].label == ACTIONS[1]
    assert prediction.persons[0].unknown
    values = prediction.to_dict()
    assert (values["unknown"], values["label"]) == (True, None)
    assert values["top_k"][0]["label"] == ACTIONS[1]

    everything = Predictor(with_gate(checkpoint, tmp_path, novelty_thr=1e9))
    known = everything.predict_sequence(sequence_of(1))
    assert (known.unknown, known.label, known.words) == (False, ACTIONS[1], ACTIONS[1])
    assert known.top_k == prediction.top_k


def test_a_checkpoint_of_an_earlier_version_never_says_unknown(checkpoint, tmp_path):
    plain = with_gate(checkpoint, tmp_path)
    values = json.loads(plain.read_text())
    del values["gate"]  # it did not have the key
    plain.write_text(json.dumps(values))
    predictor = Predictor(plain)
    noise = sequence_of(0)
    scrambled = np.random.default_rng(0).permuted(noise.keypoints, axis=2)
    prediction = predictor.predict_sequence(dataclasses.replace(noise, keypoints=scrambled))
    assert not prediction.unknown
    assert prediction.label in ACTIONS


def test_the_command_says_unknown_and_no_label(checkpoint, tmp_path, monkeypatch):
    path = with_gate(checkpoint, tmp_path, novelty_thr=0.0)
    prediction = Predictor(path).predict_sequence(sequence_of(2))
    monkeypatch.setattr(Pipeline, "stream", lambda model, sources, **_: iter([prediction]))
    clip = write_clip(tmp_path / "a.mp4")
    result = CliRunner().invoke(main, ["predict", str(clip), "--checkpoint", str(path)])
    assert result.exit_code == 0, result.output
    assert f"  not one of its actions (closest: {ACTIONS[2]})\n" in result.output
    assert "%" not in result.output


def test_a_clip_without_people_has_no_label(checkpoint):
    prediction = Predictor(checkpoint).predict_sequence(make_sequence(0, 5))
    assert (prediction.label, prediction.error) == (None, "no person was found")
    assert prediction.top_k == ()


def test_a_broken_clip_gives_its_error_and_the_others_their_label(checkpoint, tmp_path):
    extractor = Extractor(ExtractConfig(effort="fast"), detector=OneWalker(), pose=BrightnessPose())
    clips = [write_clip(tmp_path / "a.mp4"), tmp_path / "b.mp4", write_clip(tmp_path / "c.mp4")]
    clips[1].write_text("no video")
    sources = [ClipSource(path, path.name) for path in clips]
    found = [p for _, p in Predictor(checkpoint, extractor).predict_clips(sources)]
    assert [p.video for p in found] == ["a.mp4", "b.mp4", "c.mp4"]
    assert [bool(p.top_k) for p in found] == [True, False, True]
    assert "FFmpeg cannot read it" in found[1].error


def test_lost_frames_are_said_with_the_label_and_without_one(checkpoint):
    """That no person is in what is left of a damaged clip says little."""
    predictor = Predictor(checkpoint)
    prediction = predictor.predict_skeletons(ClipSkeletons("a", make_sequence(0, 32), num_lost=40))
    assert prediction.error == "no person was found in 32 frames; 40 are lost"
    assert prediction.to_dict()["lost_frames"] == 40
    someone = predictor.predict_skeletons(ClipSkeletons("a", sequence_of(0), num_lost=40))
    assert (someone.error, someone.label, someone.to_dict()["lost_frames"]) == (
        None,
        ACTIONS[0],
        40,
    )


def test_a_file_that_is_cut_short_reports_its_loss(shared, checkpoint):
    """Of its 72 frames the file holds the first 33, and one more that later ones refer to."""
    extractor = Extractor(ExtractConfig(effort="fast"), detector=OneWalker(), pose=BrightnessPose())
    clip = shared / "faults" / "trunc_front.mp4"
    if not clip.is_file():
        pytest.skip(f"needs {clip}")
    ((_, prediction),) = Predictor(checkpoint, extractor).predict_clips([ClipSource(clip, "a")])
    assert prediction.sequence.frame_inds.tolist() == [*range(33), 36]
    assert prediction.to_dict()["lost_frames"] == 72 - 34
    extractor = Extractor(
        ExtractConfig(effort="fast"), detector=OneWalker(absent=range(72)), pose=BrightnessPose()
    )
    ((_, prediction),) = Predictor(checkpoint, extractor).predict_clips([ClipSource(clip, "a")])
    assert prediction.error == "no person was found in 34 frames; 38 are lost"


def test_top_k_must_be_one_at_least(checkpoint):
    with pytest.raises(ValueError, match="top_k"):
        Predictor(checkpoint, top_k=0)


def test_the_command_on_a_real_clip(shared, checkpoint, tmp_path):
    clip = shared / "videos" / "people" / "mmaction2_demo_skeleton.mp4"
    out = tmp_path / "out.json"
    arguments = [str(clip), str(tmp_path / "broken.mp4"), "--checkpoint", str(checkpoint)]
    (tmp_path / "broken.mp4").write_text("no video")
    overlay_folder = tmp_path / "overlays"
    result = CliRunner().invoke(
        main,
        ["predict", *arguments, "--json", str(out), "--overlay", str(overlay_folder)],
    )
    assert result.exit_code == 3, result.output  # one clip is broken
    good, bad = json.loads(out.read_text())
    assert set(good) == {
        "video", "path", "fps", "img_shape", "duration_seconds", "frame_inds", "pts_seconds",
        "family", "unknown", "elements", "segments", "label", "score", "top_k", "persons",
        "checkpoint", "version", "lost_frames", "error",
    }  # fmt: skip
    assert good["unknown"] == (good["label"] is None)
    assert good["top_k"][0]["label"] in ACTIONS
    assert set(good["top_k"][0]) == {"label", "score"}
    assert set(good["persons"][0]) == {"track_id", "unknown", "top_k", "bboxes"}
    assert bad["label"] is None
    assert bad["error"]
    assert len(list(overlay_folder.rglob("*.mp4"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "unknown"),
    [("v_BabyCrawling_g13_c05.avi", True), ("v_BaseballPitch_g14_c04.avi", False)],
)
def test_a_crawling_baby_is_no_pushup_and_a_pitch_is_one(shared, name, unknown):
    """By the shipped classifier and the default effort, from the raw file."""
    clip = shared / "videos" / "ucf101_train" / name
    if not clip.is_file():
        pytest.skip(f"needs {clip}")
    extractor = Extractor(ExtractConfig(num_threads=1))
    ((_, prediction),) = Predictor(None, extractor).predict_clips([ClipSource(clip, name)])
    assert prediction.unknown == unknown
    assert prediction.label == (None if unknown else "baseball_pitch")
    assert prediction.top_k[0].label == ("pushup" if unknown else "baseball_pitch")


def test_one_overlay_file_for_two_clips_is_refused(checkpoint, tmp_path):
    clips = [str(write_clip(tmp_path / name)) for name in ("a.mp4", "b.mp4")]
    result = CliRunner().invoke(main, ["predict", *clips, "--overlay", str(tmp_path / "o.mp4")])
    assert result.exit_code == 1
    assert "expected a folder for 2 clips" in result.output


def test_evaluate_prints_and_writes_the_figures(checkpoint, ann_file, tmp_path):
    out = tmp_path / "figures.json"
    arguments = ["--checkpoint", str(checkpoint), "--ann-file", str(ann_file), "--split", "val"]
    result = CliRunner().invoke(main, ["evaluate", *arguments, "--json", str(out)])
    assert result.exit_code == 0, result.output
    figures = json.loads(out.read_text())
    assert figures["num_clips"] == 12
    assert figures["top1"] >= 90
    assert f"top1: {figures['top1']:.2f} %" in result.output
    assert np.shape(figures["confusion_matrix"]) == (3, 3)


def test_labels_that_the_classifier_does_not_know(checkpoint, tmp_path):
    clips = make_annotations(1)
    clips[0] = type(clips[0])("x", 7, clips[0].keypoints, clips[0].keypoint_scores, (240, 320))
    path = write_annotations(tmp_path / "a.pkl", clips, [])
    arguments = ["--checkpoint", str(checkpoint), "--ann-file", str(path), "--split", "train"]
    result = CliRunner().invoke(main, ["evaluate", *arguments])
    assert result.exit_code == 1
    assert "a.pkl: expected 3 classes, as the checkpoint" in result.output


def test_a_missing_checkpoint(tmp_path):
    with pytest.raises(SkelactError, match="is missing"):
        Predictor(tmp_path / "none.json")


def test_a_long_clip_is_cut_into_windows_where_the_person_is_seen():
    clip = make_annotations(1)[0]
    keypoints = np.tile(np.arange(100, dtype=np.float32)[None, :, None, None], (1, 1, 17, 2))
    scores = np.ones((1, 100, 17), np.float32)
    scores[:, :45] = 0
    long = type(clip)("long", 0, keypoints, scores, (240, 320))
    # Every tenth frame; in the window from frame 30 the person is seen in 5 of 20 frames.
    assert window_frames(long, 20) == [slice(i, i + 20) for i in (40, 50, 60, 70, 80)]


@pytest.mark.parametrize("num_frames", [0, 50, 1000])
def test_a_clip_of_usual_length_stays_whole(num_frames):
    clip = make_annotations(1)[0]
    assert window_frames(clip, num_frames) == [slice(0, clip.keypoints.shape[1])]


@pytest.mark.parametrize(("every", "frames"), [(1, 100), (2, 50), (4, 25)])
def test_windows_last_as_long_as_the_clips_of_the_training_set(every, frames):
    sequence = dataclasses.replace(
        sequence_of(0, num_frames=120), fps=Fraction(60), pts_seconds=np.arange(120) / 60
    )
    learned = {"median_frames": 50, "max_frames": 200, "fps": 30.0}
    taken = dataclasses.replace(
        sequence,
        **{
            name: getattr(sequence, name)[:, ::every]
            for name in ("keypoints", "keypoint_scores", "bboxes")
        },
        **{
            name: getattr(sequence, name)[::every]
            for name in ("frame_inds", "pts_seconds", "camera_maps", "scene_ids")
        },
    )
    assert usual_frames(taken, learned) == (frames, 4 * frames)
    assert usual_frames(taken, {"median_frames": 50}) == (50, 0)


def test_windows_without_the_person_are_kept_if_there_are_no_others():
    clip = make_annotations(1)[0]
    clip.keypoint_scores[:] = 0
    clip.keypoint_scores[:, 0] = 1
    assert window_frames(clip, 5) == [slice(0, clip.keypoints.shape[1])]


@pytest.mark.parametrize("option", ["--overlay", "--json"])
def test_a_source_is_never_written_over(tmp_path, option):
    clip = write_clip(tmp_path / "clip.mp4", 5)
    before = clip.read_bytes()
    (tmp_path / "link.mp4").hardlink_to(clip)
    (tmp_path / "soft.mp4").symlink_to(clip)
    for target in (clip, tmp_path / "link.mp4", tmp_path / "soft.mp4"):
        result = CliRunner().invoke(main, ["predict", str(clip), option, str(target)])
        assert result.exit_code == 1
        assert "is one of the sources and would be lost" in result.output
    assert clip.read_bytes() == before


def predict_fakes(monkeypatch, *arguments):
    """Run the command with a detector and a pose model whose answers are known."""
    monkeypatch.setattr(
        "skelact.pipeline.cli.predict.make_extractor",
        lambda options: Extractor(
            ExtractConfig(effort="fast"), detector=OneWalker(), pose=BrightnessPose()
        ),
    )
    return CliRunner().invoke(main, ["predict", *map(str, arguments)])


def test_an_overlay_that_cannot_be_written_stops_no_other_clip(monkeypatch, tmp_path):
    clips = [write_clip(tmp_path / name, 6) for name in ("a.mp4", "b.mp4", "c.mp4")]
    # A folder lies where an overlay would be.
    (tmp_path / "out" / "b.mp4.mp4").mkdir(parents=True)
    found = tmp_path / "found.json"
    result = predict_fakes(monkeypatch, *clips, "--overlay", tmp_path / "out", "--json", found)
    assert result.exit_code == 3
    assert result.output.count("no overlay: ") == 1
    assert result.output.count("  overlay: ") == 2
    entries = json.loads(found.read_text())
    assert [(e["video"], e["error"]) for e in entries] == [(c.name, None) for c in clips]
    assert [p.name for p in sorted((tmp_path / "out").iterdir())] == [
        "a.mp4.mp4", "b.mp4.mp4", "c.mp4.mp4"
    ]  # fmt: skip


def test_an_interrupted_run_keeps_what_it_has_done(monkeypatch, tmp_path):
    clips = [write_clip(tmp_path / name, 6) for name in ("a.mp4", "b.mp4", "c.mp4")]
    real = Predictor.predict_skeletons

    def interrupted(self, skeletons):
        if skeletons.video == "b.mp4":
            raise KeyboardInterrupt
        return real(self, skeletons)

    monkeypatch.setattr(Predictor, "predict_skeletons", interrupted)
    found = tmp_path / "found.json"
    assert predict_fakes(monkeypatch, *clips, "--json", found).exit_code == 1
    assert [entry["video"] for entry in json.loads(found.read_text())] == ["a.mp4"]


def test_overlays_are_not_labelled_again(monkeypatch, tmp_path):
    """Overlays written beside the clips are passed over when the folder is searched again."""
    write_clip(tmp_path / "a.mp4", 6)
    for _ in range(2):
        result = predict_fakes(monkeypatch, tmp_path, "--overlay", tmp_path)
        assert result.exit_code == 0, result.output
        assert result.output.count("overlay: ") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "a.mp4.mp4"]


def test_control_characters_of_a_name_are_not_sent_to_the_terminal(monkeypatch, tmp_path):
    clip = write_clip(tmp_path / "a.mp4", 6).rename(tmp_path / "a\x1b[2J.mp4")
    result = predict_fakes(monkeypatch, clip)
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.output
    assert "a\\x1b[2J.mp4" in result.output


def test_an_overlay_of_another_kind_is_refused_before_any_work(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", 5)
    result = CliRunner().invoke(main, ["predict", str(clip), "--overlay", str(tmp_path / "o.avi")])
    assert result.exit_code == 1
    assert "expected an .mp4 file or a folder" in result.output
